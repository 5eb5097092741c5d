//! Postgres is restarted, gone, replaced, read only, full, or silent: nothing
//! is reported that is not written down, and it goes on by itself.

use std::time::Duration;

use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use tokio::time::sleep;
use usage_sync::{
    local::PostgresOptions,
    sandbox::{Effect, Plan},
};

use super::redis::{key, tell};
use crate::support::{Daemon, PATIENCE, Proxy, World, wait_until};

const ADS: &str =
    "insert into ad_product select n, 'small', n % 2, 1 from generate_series(1, 50) n";
/// Of one contract.
const HALF: &str = "insert into ad_product select n, 'small', 0, 1 from generate_series(1, 50) n";
const MORE_ADS: &str =
    "insert into ad_product select n, 'small', n % 2, 1 from generate_series(51, 100) n";

/// How often the log has a text.
fn count(daemon: &Daemon, text: &str) -> usize {
    daemon.log().matches(text).count()
}

/// All loops together say it once; the listener, which has a connection of its
/// own, says it once for itself.
fn said_once(daemon: &Daemon) {
    let lines = |dependency: &str| {
        count(
            daemon,
            &format!("waiting for {dependency}: nothing is lost"),
        )
    };
    let log = daemon.log();
    assert_eq!(lines("postgres"), 1, "{log}");
    assert!(lines("postgres listener") <= 1, "{log}");
}

#[tokio::test]
async fn f13_a_restart_of_postgres_costs_two_lines_and_no_ad() {
    let mut world = World::new(2).await;
    let mut daemon = world.daemon();
    world.app(ADS).await;
    world.in_step().await;
    world.app("update ad_product set quantity = 2").await;

    world.database.server.stop().await.expect("it stops");
    // Long enough for each loop to find out, the worker too.
    () = tell(&world, &["RPUSH", &key("queue"), "1"]).await;
    daemon.logged("waiting for postgres: nothing is lost").await;
    sleep(Duration::from_secs(3)).await;
    world.database.server.restart().await.expect("it starts");
    world.app(MORE_ADS).await;
    world.in_step().await;

    daemon.logged("postgres answers again").await;
    assert!(daemon.is_running());
    said_once(&daemon);
    assert_eq!(world.sandbox.stats().records.created, 100);
}

#[tokio::test]
async fn f13_a_promoted_standby_takes_over_where_the_primary_ended() {
    let mut world = World::new(2).await;
    let proxy = Proxy::in_front_of(&world.database.url).await;
    let url = proxy.url();
    let daemon = world.daemon_with(&[("DATABASE_URL", &url)]);
    world.app(ADS).await;
    world.in_step().await;
    let standby = world.database.server.standby(PostgresOptions::default());
    let standby = standby.await.expect("a standby follows");
    // In hand while the primary dies.
    world.sandbox.fault(Plan {
        path: Some(String::from("/composite/sobjects")),
        times: Some(2),
        ..Plan::always(Effect::Delay { ms: 2000 })
    });
    world.app("update ad_product set quantity = 2").await;
    world.app(MORE_ADS).await;
    let mut follower = PgConnection::connect(&standby.url("app"))
        .await
        .expect("it takes reads");
    wait_until("the standby to have it all", PATIENCE, async || {
        let ads = "select count(*) from ad_product where quantity = 2 or ad_id > 50";
        sqlx::query_scalar::<_, i64>(ads)
            .fetch_one(&mut follower)
            .await
            .is_ok_and(|ads| ads == 100)
    })
    .await;

    world.database.server.kill().await.expect("it dies");
    sqlx::query("select pg_promote()")
        .execute(&mut follower)
        .await
        .expect("it becomes the primary");
    proxy.lead_to(&standby.url("app"));
    world.pool = sqlx::PgPool::connect(&standby.url("app"))
        .await
        .expect("it takes connections");
    world.app("delete from ad_product where ad_id > 90").await;
    world.in_step().await;

    said_once(&daemon);
}

#[tokio::test]
async fn f48_nothing_is_sent_while_postgres_is_read_only() {
    let world = World::new(2).await;
    let daemon = world.daemon();
    world.app(ADS).await;
    world.in_step().await;
    // One request is on its way while writes end.
    let slow = world.sandbox.fault(Plan {
        method: Some(String::from("PATCH")),
        times: Some(1),
        ..Plan::always(Effect::Delay { ms: 1000 })
    });
    world
        .app("update ad_product set quantity = 2 where ad_id = 1")
        .await;
    // One that is over by now counts as well.
    wait_until("a request", PATIENCE, async || {
        world.sandbox.fault_hits(slow) > 0
    })
    .await;

    world.app("update ad_product set quantity = 3").await;
    world
        .app("alter system set default_transaction_read_only = on")
        .await;
    world.app("select pg_reload_conf()").await;
    daemon.logged("waiting for postgres: nothing is lost").await;
    let before = world.writes();
    // Whoever asks for it may write; and all of it stands in the queue.
    world
        .app("begin read write; update ad_product set quantity = 4; commit")
        .await;
    let ids: Vec<String> = (1..=50).map(|ad: i32| ad.to_string()).collect();
    let queue = key("queue");
    let push = ["RPUSH", &queue].into_iter();
    let push: Vec<&str> = push.chain(ids.iter().map(String::as_str)).collect();
    () = tell(&world, &push).await;
    let (code, checked) = world.command(&["check"]).await;
    assert_eq!(code, 1, "{checked}");
    assert!(checked.contains("set to read only"), "{checked}");
    assert!(
        world.writes() <= before + 1,
        "something was sent and could not be written down"
    );

    world
        .app("alter system reset default_transaction_read_only")
        .await;
    world.app("select pg_reload_conf()").await;
    world.in_step().await;
    assert_eq!(world.sandbox.stats().records.created, 50);
    said_once(&daemon);
}

/// A full disk, as Postgres words it; a tiny disk of its own needs rights that
/// not every machine gives.
const FULL: &str = "create function disk_full() returns trigger language plpgsql as $$ begin \
    raise exception 'could not extend file: No space left on device' using errcode = 'disk_full'; \
    end $$; ";

#[tokio::test]
async fn f48_nothing_is_sent_while_the_disk_is_full() {
    let world = World::new(2).await;
    world.app(FULL).await;
    world
        .app("create trigger full_disk before insert on usage_sync.intent execute function disk_full()")
        .await;
    let daemon = world.daemon();
    world.app(ADS).await;

    daemon.logged("waiting for postgres: nothing is lost").await;
    assert!(
        daemon.log().contains("No space left on device"),
        "{}",
        daemon.log()
    );
    assert_eq!(world.writes(), 0);

    world
        .app("drop trigger full_disk on usage_sync.intent")
        .await;
    world.in_step().await;
    said_once(&daemon);
}

#[tokio::test]
async fn f48_an_answer_that_finds_the_disk_full_makes_nothing_double() {
    let world = World::new(2).await;
    world.app(FULL).await;
    world
        .app("create trigger full_disk before insert on usage_sync.journal execute function disk_full()")
        .await;
    let daemon = world.daemon();
    world.app(ADS).await;
    daemon
        .logged("answers of salesforce could not be recorded")
        .await;
    let written_down: i64 = sqlx::query_scalar(
        "select (select count(*) from usage_sync.intent) \
         + (select count(*) from usage_sync.record where state = 'sending')",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert!(written_down > 0, "what was sent is written down nowhere");

    world
        .app("drop trigger full_disk on usage_sync.journal")
        .await;
    world.in_step().await;

    assert_eq!(world.sandbox.stats().records.created, 50);
}

#[tokio::test]
async fn f48_out_of_connections_is_said_with_its_cause_and_ends_by_itself() {
    let mut world = World::new(2).await;
    world.app("alter system set max_connections = 10").await;
    world
        .database
        .server
        .restart()
        .await
        .expect("it starts again");
    let mut eaten = Vec::new();
    while let Ok(connection) = PgConnection::connect(&world.database.url).await {
        eaten.push(connection);
    }

    let daemon = world.daemon();
    let waiting = "waiting for postgres: nothing is lost";
    daemon.logged(waiting).await;
    let log = daemon.log();
    let said = log.lines().find(|line| line.contains(waiting));
    assert!(
        said.is_some_and(|said| said.contains("too many clients")),
        "{log}"
    );
    let (code, said) = world.command(&["status"]).await;
    assert_eq!(code, 69);
    assert!(
        said.contains("too many clients") && said.contains("max_connections"),
        "{said}"
    );
    drop(eaten);
    world.app(ADS).await;
    world.in_step().await;
}

#[tokio::test]
async fn f48_a_refused_connection_is_called_that() {
    let world = World::new(1).await;
    world.database.server.stop().await.expect("it stops");

    for command in ["status", "check"] {
        let (_, said) = world.command(&[command]).await;
        assert!(said.contains("Connection refused"), "{said}");
        assert!(said.contains("start it, or correct DATABASE_URL"), "{said}");
    }
    let daemon = world.daemon();
    daemon.logged("waiting for postgres: nothing is lost").await;
    assert!(
        daemon.log().contains("Connection refused"),
        "{}",
        daemon.log()
    );
}

#[tokio::test]
async fn f17_a_change_that_is_committed_late_is_not_skipped() {
    let world = World::new(1).await;
    let _daemon = world.daemon();
    let mut late = world.pool.begin().await.expect("a transaction");
    sqlx::query("insert into ad_product values (1, 'small', 0, 1)")
        .execute(&mut *late)
        .await
        .expect("the app writes");

    world
        .app("insert into ad_product values (2, 'small', 0, 1)")
        .await;
    world.in_step().await;
    late.commit().await.expect("the app commits");
    world.in_step().await;

    assert_eq!(world.held().await.len(), 2);
}

#[tokio::test]
async fn f18_a_transaction_open_all_the_time_holds_up_nothing() {
    let world = World::new(2).await;
    let mut open = world
        .pool
        .begin_with("begin isolation level repeatable read")
        .await
        .expect("a transaction");
    sqlx::query("insert into contract_product values (99, 'none', 'none')")
        .execute(&mut *open)
        .await
        .expect("it writes, and so has an id");
    let _daemon = world.daemon();

    for _ in 0..5 {
        world
            .app(
                "insert into ad_product select n, 'small', n % 2, 1 from generate_series(1, 500) n \
                  on conflict (ad_id, product) do update set quantity = ad_product.quantity + 1",
            )
            .await;
        world.in_step().await;
    }

    open.rollback().await.expect("it ends");
    assert_eq!(world.sandbox.stats().records.created, 500);
}

#[tokio::test]
async fn f18_an_app_that_locks_its_table_waits_for_nobody_and_loses_nothing() {
    let world = World::new(2).await;
    let daemon = world.daemon();
    world.app(ADS).await;
    world.in_step().await;

    // Longer than the daemon waits for a lock.
    let mut migration = world.pool.begin().await.expect("a transaction");
    sqlx::raw_sql(
        "update ad_product set quantity = 2; lock table ad_product in access exclusive mode",
    )
    .execute(&mut *migration)
    .await
    .expect("nobody is in the way");
    world.app("insert into ad values (1, 'new')").await;
    daemon.logged("waiting for postgres: nothing is lost").await;
    migration.commit().await.expect("no deadlock");

    world.in_step().await;
    daemon.logged("postgres answers again").await;
}

#[tokio::test]
async fn f13_connections_that_died_in_silence_are_replaced() {
    let world = World::new(1).await;
    let proxy = Proxy::in_front_of(&world.database.url).await;
    let url = proxy.url();
    let _daemon = world.daemon_with(&[("DATABASE_URL", &url), ("DATABASE_MAX_CONNECTIONS", "2")]);
    world
        .app("insert into ad_product values (1, 'small', 0, 1)")
        .await;
    world.in_step().await;

    // Both are in the middle of something, and no answer ever comes.
    let mut locks = world.pool.begin().await.expect("a transaction");
    sqlx::raw_sql("lock table usage_sync.change, usage_sync.place in access exclusive mode")
        .execute(&mut *locks)
        .await
        .expect("a superuser may");
    wait_until("both to wait", PATIENCE, async || {
        let waiting = "select count(*) from pg_stat_activity \
            where application_name = 'usage-sync' and wait_event_type = 'Lock'";
        let waiting = sqlx::query_scalar::<_, i64>(waiting);
        waiting.fetch_one(&world.pool).await.expect("the server") == 2
    })
    .await;
    proxy.forget_connections();
    locks.rollback().await.expect("they are free");
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(2, 9) n")
        .await;

    wait_until("the ads to be reported", PATIENCE * 3, async || {
        world.sandbox.stats().records.created == 9
    })
    .await;
    world.in_step().await;
}

#[tokio::test]
async fn f48_an_ad_whose_id_no_index_takes_is_put_aside_and_seen() {
    let world = World::new(1).await;
    world
        .app("create table note (id text); select usage_sync.watch('note', 'id')")
        .await;
    let daemon = world.daemon();

    world
        .app("insert into note select string_agg(md5(n::text), '') from generate_series(1, 200) n")
        .await;
    world.app(HALF).await;
    world.in_step().await;

    daemon.logged("its id is too long to be reported").await;
    let (_, status) = world.command(&["status", "--json"]).await;
    let line = status
        .lines()
        .find(|line| line.starts_with('{'))
        .expect("an answer");
    let status: Value = serde_json::from_str(line).expect("JSON");
    assert_eq!(status["rejected"], 1);
    let seen: (String, String) = sqlx::query_as(
        "select state, error_code from usage_sync.ad_status where error_code is not null",
    )
    .fetch_one(&world.pool)
    .await
    .expect("one ad");
    assert_eq!(
        seen,
        (String::from("rejected"), String::from("AD_ID_TOO_LONG"))
    );
    // Nobody can report it, however often it is tried.
    world.command(&["retry", "--rejected"]).await;
    world.in_step().await;
    let rejected = "select count(*) from usage_sync.ad where state = 'rejected'";
    let rejected: i64 = sqlx::query_scalar(rejected)
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert_eq!(rejected, 1);
}

#[tokio::test]
async fn f48_an_ad_whose_answer_is_not_recorded_is_put_down_for_a_while() {
    let world = World::new(1).await;
    let daemon = world.daemon();
    world
        .app(
            "create function full_disk() returns trigger language plpgsql as \
             $$ begin raise exception 'no space left on device' using errcode = '53100'; end $$",
        )
        .await;
    world
        .app(
            "create trigger full_disk before insert on usage_sync.record \
             execute function full_disk()",
        )
        .await;
    world
        .app("insert into ad_product values (1, 'small', 0, 1)")
        .await;
    daemon.logged("could not be recorded").await;

    // It waits like any ad that is tried again, and in nobody's hand.
    wait_until("the ad to be put down", PATIENCE, async || {
        let (_, status) = world.command(&["status", "--json"]).await;
        let status: Value = serde_json::from_str(&status).unwrap_or_default();
        status["queue"]["retry"] == 1 && status["queue"]["claimed"] == 0
    })
    .await;
    world
        .app("drop trigger full_disk on usage_sync.record")
        .await;
    world.in_step().await;
    assert_eq!(world.sandbox.stats().records.created, 1);
}
