//! Commands beside a migration of the app, and before a Postgres that says
//! nothing any more: the app never waits for them, and each of them ends.

use std::time::Duration;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sqlx::{PgPool, postgres::PgPoolOptions};

use crate::support::{Daemon, PATIENCE, World, wait_until};

/// What a command says while it gives way.
const WAITING: &str = "waiting: a table that the view usage_sync.usage reads is locked";

/// A default that is another for each row: the table is written anew.
const REWRITE: &str = "alter table ad_product add note timestamptz default clock_timestamp()";

/// The owner of the tables. A statement of his that waits for somebody for two
/// seconds ends in an error; one that a busy machine takes long for does not.
async fn owner(world: &World) -> PgPool {
    let options: sqlx::postgres::PgConnectOptions = world.database.url.parse().expect("an address");
    PgPoolOptions::new()
        .connect_with(options.options([("lock_timeout", "2s"), ("statement_timeout", "30s")]))
        .await
        .expect("it may log in")
}

async fn execute(connection: &mut sqlx::PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql)
        .execute(connection)
        .await
        .unwrap_or_else(|error| panic!("the app waits for nobody: {error}\n{sql}"));
}

/// Waits until somebody waits for a table.
async fn is_waited_for(world: &World, table: &str) {
    wait_until(
        &format!("somebody to wait for {table}"),
        PATIENCE,
        async || {
            let query =
                "select count(*) from pg_locks where not granted and relation = to_regclass($1)";
            let waiting: i64 = sqlx::query_scalar(query)
                .bind(table)
                .fetch_one(&world.pool)
                .await
                .expect("the server tells");
            waiting > 0
        },
    )
    .await;
}

/// Ads that were there before usage-sync.
const UNSEEN: &str = "select usage_sync.unwatch('ad_product'); \
    insert into ad_product select n, 'small', 0, 1 from generate_series(1, 1500) n";

#[tokio::test]
async fn app_a_backfill_gives_way_to_a_migration_and_takes_no_table_for_empty() {
    let world = World::new(1).await;
    world.app(UNSEEN).await;
    let owner = owner(&world).await;
    // Holds it up after its first page.
    let mut outbox = world.pool.begin().await.expect("a connection");
    execute(
        &mut outbox,
        "lock table usage_sync.change in exclusive mode",
    )
    .await;
    let mut backfill = Daemon::start(&["backfill"], world.environment());
    is_waited_for(&world, "usage_sync.change").await;

    let mut migration = owner.begin().await.expect("a connection");
    execute(&mut migration, REWRITE).await;
    outbox.rollback().await.expect("it goes on");
    is_waited_for(&world, "ad_product").await;
    migration.commit().await.expect("the migration is done");

    let exit = backfill.ended().await.code();
    let out = backfill.log();
    assert_eq!(exit, Some(0), "{out}");
    assert!(
        out.contains("1500 ads of usage_sync.usage enqueued"),
        "{out}"
    );
    assert!(!out.contains("no longer has"), "{out}");
}

#[tokio::test]
async fn app_a_retry_waits_for_a_migration_and_is_in_nobodys_way() {
    let world = World::new(1).await;
    world.app(UNSEEN).await;
    let owner = owner(&world).await;
    let mut migration = owner.begin().await.expect("a connection");
    execute(&mut migration, "alter table contract_product add note text").await;
    let mut retry = Daemon::start(&["retry", "7"], world.environment());
    // It has the one table and waits for the other.
    is_waited_for(&world, "contract_product").await;
    execute(&mut migration, REWRITE).await;
    retry.logged(WAITING).await;
    is_waited_for(&world, "ad_product").await;
    migration.commit().await.expect("the migration is done");

    let exit = retry.ended().await.code();
    let out = retry.log();
    assert_eq!(exit, Some(0), "{out}");
    assert!(out.contains("1 ad will be reported again"), "{out}");
    assert_eq!(out.matches(WAITING).count(), 1, "{out}");
    let deadlocks: i64 = sqlx::query_scalar(
        "select deadlocks from pg_stat_database where datname = current_database()",
    )
    .fetch_one(&world.pool)
    .await
    .expect("the server counts");
    assert_eq!(deadlocks, 0);
}

#[tokio::test]
async fn app_a_rebase_takes_no_table_that_is_rewritten_for_empty() {
    let world = World::new(1).await;
    let mut daemon = world.daemon();
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 20) n")
        .await;
    world.in_step().await;
    daemon.sigterm();
    assert!(daemon.ended().await.success());
    // A ledger that has forgotten them, as a logical copy without it has.
    world.app("truncate usage_sync.record, usage_sync.ad").await;
    let owner = owner(&world).await;
    let mut migration = owner.begin().await.expect("a connection");
    execute(&mut migration, REWRITE).await;

    let mut rebase = Daemon::start(&["rebase"], world.environment());
    is_waited_for(&world, "ad_product").await;
    migration.commit().await.expect("the migration is done");

    let exit = rebase.ended().await.code();
    assert_eq!(exit, Some(0), "{}", rebase.log());
    let _daemon = world.daemon();
    world.in_step().await;
    assert_eq!(world.sandbox.stats().records.deleted, 0);
}

/// Backends of the server that were stopped; they go on when this goes, so
/// that the server can end.
#[derive(Default)]
struct Frozen(Vec<i32>);

impl Frozen {
    /// Freezes the backends of a command once it waits for a lock.
    async fn freeze_next(&mut self, world: &World) {
        let mut pids = Vec::new();
        wait_until("the command to wait for a lock", PATIENCE, async || {
            let query = "select pid, wait_event_type is not distinct from 'Lock' from pg_stat_activity \
                where application_name = 'usage-sync' and pid <> all ($1)";
            let found: Vec<(i32, bool)> = sqlx::query_as(query)
                .bind(&self.0)
                .fetch_all(&world.pool)
                .await
                .expect("the server tells");
            pids = found.iter().map(|(pid, _)| *pid).collect();
            found.iter().any(|(_, waits)| *waits)
        })
        .await;
        for pid in &pids {
            kill(Pid::from_raw(*pid), Signal::SIGSTOP).expect("it is a process of ours");
        }
        self.0.extend(pids);
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            // It may have ended.
            kill(Pid::from_raw(*pid), Signal::SIGCONT).ok();
        }
    }
}

#[tokio::test]
async fn f48_every_command_ends_though_postgres_took_it_and_says_nothing_any_more() {
    let world = World::new(1).await;
    let mut locks = world.pool.begin().await.expect("a connection");
    execute(
        &mut locks,
        "lock table usage_sync.place, usage_sync.ad, ad_product in access exclusive mode",
    )
    .await;
    let mut frozen = Frozen::default();
    let mut commands = Vec::new();
    for (arguments, exit) in [
        (&["check"][..], 1),
        (&["status", "--json"], 69),
        (&["retry", "1"], 69),
        (&["retry", "--rejected"], 69),
        (&["backfill"], 69),
        (&["pause"], 69),
        (&["resume"], 69),
        (&["rebase"], 69),
    ] {
        let command = Daemon::start(arguments, world.environment());
        frozen.freeze_next(&world).await;
        commands.push((arguments, exit, command));
    }

    for (arguments, exit, mut command) in commands {
        let status = command.ended_within(Duration::from_mins(1)).await;
        let out = command.log();
        assert_eq!(status.code(), Some(exit), "{arguments:?}: {out}");
        assert!(out.contains("postgres"), "{arguments:?}: {out}");
    }
}
