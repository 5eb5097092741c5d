//! A database that is older than what was reported, and one that only looks so.

use std::{os::unix::fs::MetadataExt as _, path::PathBuf, process::Command};

use serde_json::json;
use usage_sync::sandbox::{Effect, Plan};

use super::REFUSES;
use crate::support::{Daemon, PATIENCE, World, redis_connection, wait_until};

/// Of what the backup lacks, some is in the org and nobody knows it.
const WITHDRAW: &[&str] = &["rebase", "--withdraw-unknown"];

/// A copy of the server's files, as a physical backup has them.
struct Backup(PathBuf);

impl World {
    fn data(&self) -> PathBuf {
        self.database.server.directory().join("data")
    }

    async fn back_up(&mut self) -> Backup {
        self.database.server.stop().await.expect("it stops");
        let backup = self.database.server.directory().join("backup");
        copy(&self.data(), &backup);
        self.database.server.restart().await.expect("it starts");
        Backup(backup)
    }

    /// Puts a backup in the place of the database; Redis may forget meanwhile.
    async fn restore(&mut self, Backup(backup): &Backup, flush: bool) {
        self.database.server.stop().await.expect("it stops");
        std::fs::remove_dir_all(self.data()).expect("the files go");
        copy(backup, &self.data());
        if flush {
            self.flush_redis().await;
        }
        self.database.server.restart().await.expect("it starts");
    }

    async fn flush_redis(&self) {
        let mut redis = redis_connection(&self.redis.url()).await.expect("redis");
        let _: () = redis::cmd("FLUSHALL")
            .query_async(&mut redis)
            .await
            .expect("redis obeys");
    }

    /// What the app did between the backup and its loss.
    async fn an_hour_of_work(&self) {
        self.app(
            "insert into ad_product select n, 'small', 0, 1 from generate_series(21, 30) n; \
             update ad_product set quantity = 50 where ad_id <= 5; \
             delete from ad_product where ad_id between 6 and 8; \
             delete from ad_product where ad_id = 9 and product = 'large'",
        )
        .await;
        self.in_step().await;
    }
}

fn copy(from: &PathBuf, to: &PathBuf) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.expect("cp is there").success());
}

const BEFORE: &str = "insert into ad_product \
    select n, product, n % 2, 2.5 from generate_series(1, 20) n, unnest(array['small', 'large']) product";

/// A world that went on after a backup of its database was made.
async fn an_hour_after_a_backup(settings: &[(&'static str, &str)]) -> (World, Daemon, Backup) {
    let mut world = World::new(2).await;
    let daemon = world.daemon_with(settings);
    world.app(BEFORE).await;
    world.in_step().await;
    let backup = world.back_up().await;
    world.in_step().await;
    world.an_hour_of_work().await;
    (world, daemon, backup)
}

#[tokio::test]
async fn f20_an_older_database_under_a_running_daemon_reports_nothing_until_a_rebase() {
    let (mut world, daemon, backup) = an_hour_after_a_backup(&[]).await;
    let reported = world.held().await;

    // Redis knows nothing, and Salesforce was asked long ago.
    world.restore(&backup, true).await;
    daemon.logged(REFUSES).await;
    world
        .app("insert into ad_product values (31, 'small', 0, 1); update ad_product set quantity = 7 where ad_id = 10")
        .await;
    world.ad_is("31", "pending").await;

    let status = world.status_json().await;
    let why = status["elsewhere"].as_str().expect("a reason");
    assert!(why.contains("older"), "{status}");
    let (exit, state, _, remedy) = world.checked("place").await;
    assert_eq!((exit, state.as_str()), (1, "failed"));
    assert!(remedy.contains("usage-sync rebase"), "{remedy}");

    let (exit, out) = world.command(&["rebase", "--dry-run"]).await;
    assert_eq!(exit, 0, "{out}");
    assert!(out.contains("unknown       10 records"), "{out}");
    assert!(
        out.contains("wants 10 no longer, or never did: 21:small, 22:small, 23:small"),
        "{out}"
    );
    assert!(out.contains("nothing was changed"), "{out}");
    assert_eq!(world.held().await, reported, "nothing was reported");

    // They may be another installation's.
    let (exit, out) = world.command(&["rebase"]).await;
    assert_eq!(exit, 1, "{out}");
    assert!(out.contains("10 records that neither"), "{out}");
    assert!(
        out.contains("such as 21:small, 22:small, 23:small"),
        "{out}"
    );
    assert!(out.contains("--withdraw-unknown"), "{out}");
    assert!(world.status_json().await["elsewhere"].is_string());
    assert_eq!(world.held().await, reported, "nothing was reported");

    let (exit, out) = world.command(WITHDRAW).await;
    assert_eq!(exit, 0, "{out}");
    world.in_step().await;
    daemon.logged("reporting goes on").await;
    assert_eq!(daemon.log().matches(REFUSES).count(), 1);
    assert!(world.status_json().await["elsewhere"].is_null());
    assert_eq!(world.checked("place").await.0, 0);

    // And tokens are above what Salesforce has seen.
    world
        .app("update ad_product set quantity = quantity + 1")
        .await;
    world.in_step().await;
}

#[tokio::test]
async fn f20_an_older_database_is_told_by_salesforce_alone_before_the_first_claim() {
    let (mut world, mut daemon, backup) = an_hour_after_a_backup(&[]).await;
    daemon.sigterm();
    daemon.ended().await;
    let reported = world.held().await;

    world.restore(&backup, true).await;
    world.app("update ad_product set quantity = 9").await;
    let daemon = world.daemon();
    daemon.logged(REFUSES).await;
    world.ad_is("1", "pending").await;
    assert_eq!(world.held().await, reported, "nothing was reported");

    let (exit, out) = world.command(WITHDRAW).await;
    assert_eq!(exit, 0, "{out}");
    world.in_step().await;
}

#[tokio::test]
async fn f20_an_older_database_is_told_by_redis_where_the_org_has_no_revision() {
    const SETTINGS: &[(&str, &str)] = &[("SALESFORCE_REVISION_FIELD", "")];
    let (mut world, mut daemon, backup) = an_hour_after_a_backup(SETTINGS).await;
    daemon.sigterm();
    daemon.ended().await;
    let reported = world.held().await;

    world.restore(&backup, false).await;
    world.app("update ad_product set quantity = 9").await;
    let daemon = world.daemon_with(SETTINGS);
    daemon.logged(REFUSES).await;
    world.ad_is("1", "pending").await;
    assert_eq!(world.held().await, reported, "nothing was reported");

    let (exit, out) = world.command_with(WITHDRAW, SETTINGS).await;
    assert_eq!(exit, 0, "{out}");
    world.in_step().await;
}

/// Wherever a rebase ended, the daemon goes on refusing, and another one ends
/// well.
#[tokio::test]
async fn f20_a_rebase_that_ended_halfway_is_run_again() {
    let (mut world, daemon, backup) = an_hour_after_a_backup(&[]).await;
    world.restore(&backup, true).await;
    daemon.logged(REFUSES).await;

    // Killed while it reads the org.
    world
        .sandbox
        .settings(&json!({"page_size": 5}))
        .expect("a setting");
    let pages = world.sandbox.fault(Plan {
        path: Some(String::from("/query/")),
        every: Some(2),
        ..Plan::always(Effect::Hang)
    });
    let mut rebase = Daemon::start(WITHDRAW, world.environment());
    wait_until("a later page", PATIENCE, async || {
        world.sandbox.fault_hits(pages) > 0
    })
    .await;
    rebase.kill_9();
    rebase.ended().await;
    world.sandbox.clear_faults();
    assert_eq!(world.checked("place").await.1, "failed");

    // The last step queues all ads: where it fails, the ledger is done and the
    // place is not.
    world
        .app(
            "create function disk_full() returns trigger language plpgsql as \
             $$ begin raise exception 'no space left on device' using errcode = '53100'; end $$; \
             create trigger disk_full before insert on usage_sync.change execute function disk_full()",
        )
        .await;
    let (exit, out) = world.command(WITHDRAW).await;
    assert_ne!(exit, 0, "{out}");
    let in_doubt: i64 =
        sqlx::query_scalar("select count(*) from usage_sync.record where state = 'sending'")
            .fetch_one(&world.pool)
            .await
            .expect("the ledger can be read");
    assert!(in_doubt > 0, "{out}");
    world
        .app("drop trigger disk_full on usage_sync.change")
        .await;
    assert_eq!(world.checked("place").await.1, "failed");

    let (exit, out) = world.command(WITHDRAW).await;
    assert_eq!(exit, 0, "{out}");
    world.in_step().await;
}

/// Between two looks at the place nothing goes out either, though what is
/// claimed takes more tokens than the database lacks.
#[tokio::test]
async fn f20_tokens_that_go_back_are_not_sent() {
    let world = World::new(2).await;
    let daemon = world.daemon();
    world.app(BEFORE).await;
    world.in_step().await;

    world
        .app(
            "begin; select setval('usage_sync.token', 1); \
             insert into ad_product select n, 'small', 0, 1 from generate_series(31, 130) n; commit",
        )
        .await;
    daemon.logged(REFUSES).await;
    world.ad_is("31", "pending").await;

    assert_eq!(world.checked("place").await.1, "failed");
    assert_eq!(world.held().await.len(), 40);
}

#[tokio::test]
async fn f20_a_crashed_server_is_not_taken_for_a_restored_one() {
    let mut world = World::new(2).await;
    // What a commit does not wait for is not on disk by chance.
    world.app("alter system set wal_writer_delay = '10s'").await;
    world
        .app("alter system set wal_writer_flush_after = '1GB'")
        .await;
    world.app("select pg_reload_conf()").await;
    let daemon = world.daemon();
    for ads in [1, 1000, 1000] {
        let before: i64 = sqlx::query_scalar("select count(*) from ad_product")
            .fetch_one(&world.pool)
            .await
            .expect("the app can count");
        sqlx::query(
            "insert into ad_product select $1 + n, 'small', 0, 1 from generate_series(1, $2) n",
        )
        .bind(before)
        .bind(ads)
        .execute(&world.pool)
        .await
        .expect("the app writes");
        wait_until("reports under way", PATIENCE, async || {
            world.held().await.len() > usize::try_from(before).expect("few")
        })
        .await;
        world.database.server.kill().await.expect("it is killed");
        world.database.server.restart().await.expect("it starts");
    }
    world.in_step().await;

    assert!(!daemon.log().contains(REFUSES));
}

#[tokio::test]
async fn f20_a_standby_that_takes_over_is_the_same_place() {
    let mut world = World::new(2).await;
    let daemon = world.daemon();
    world.app(BEFORE).await;
    world.in_step().await;

    world.database.server.stop().await.expect("it stops");
    let signal = world.data().join("standby.signal");
    std::fs::write(&signal, "").expect("a file");
    let owner = std::fs::metadata(world.data()).expect("it is there");
    std::os::unix::fs::chown(&signal, Some(owner.uid()), Some(owner.gid())).expect("given away");
    world.database.server.restart().await.expect("it starts");
    world.app("select pg_promote()").await;
    world.app("update ad_product set quantity = 4").await;
    world.in_step().await;

    assert!(!daemon.log().contains(REFUSES));
}
