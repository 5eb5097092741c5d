//! The app first: whatever the daemon, Redis and Salesforce do or do not do, the
//! app's transactions neither fail nor wait, and neither do its migrations.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::task::JoinSet;
use usage_sync::sandbox::{Effect, Plan};

use crate::support::{Daemon, PATIENCE, World, wait_until};

/// Connections of the app that write at the same time.
const CLIENTS: i32 = 4;
/// Ads that each of them creates, beside correcting those that all share.
const ADS: i32 = 20;
/// Ads that all of them correct, and that the daemon is busy with.
const SHARED: i32 = 5;

/// A role with rights on its own tables and none in the daemon's schema.
const ROLE: &str = "create role shop login; \
    grant select, insert, update, delete, truncate on ad, ad_product, contract_product to shop";

/// A view that reads two tables of the app that change, in this order.
const OF_TWO_TABLES: &str = "create or replace view usage_sync.usage as \
    select ad_product.ad_id, ad_product.product as line, contract_product.contract, \
    jsonb_build_object('Contract_Product__c', contract_product.salesforce_id, \
    'Ad_Id__c', ad.id::text, 'Quantity__c', ad_product.quantity) as fields \
    from ad_product join ad on ad.id = ad_product.ad_id \
    join contract_product on contract_product.id = ad_product.contract_product";

/// Connections of the daemon in a state that the condition describes.
const DAEMONS: &str = "select count(*) from pg_stat_activity where application_name = 'usage-sync'";

/// The app: in its own role, and with no patience for anything.
async fn shop(world: &World) -> PgPool {
    world.app(ROLE).await;
    impatient(world, "shop").await
}

/// A statement of it that waits for somebody for two seconds ends in an error. How
/// long a busy machine takes to carry one out is another matter.
async fn impatient(world: &World, role: &str) -> PgPool {
    let options: PgConnectOptions = world.database.url.parse().expect("an address");
    PgPoolOptions::new()
        .max_connections(8)
        .connect_with(
            options
                .username(role)
                .options([("lock_timeout", "2s"), ("statement_timeout", "30s")]),
        )
        .await
        .expect("the role may log in")
}

/// Several connections create, correct and remove ads at once. Whatever fails
/// or has to wait for two seconds fails the test.
async fn trade(shop: &PgPool, first: i32) {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let shop = shop.clone();
        clients.spawn(async move {
            for number in 0..ADS {
                let ad = first + client * ADS + number;
                create(&shop, ad).await;
                write(&shop, CORRECT, 1 + number % SHARED).await;
                if number % 3 == 0 {
                    write(&shop, REMOVE, ad).await;
                }
            }
        });
    }
    clients.join_all().await;
}

const CORRECT: &str = "insert into ad_product values ($1, 'small', 0, 1) on conflict (ad_id, product) \
     do update set quantity = ad_product.quantity + 1";
const REMOVE: &str = "delete from ad_product where ad_id = $1";

async fn create(shop: &PgPool, ad: i32) {
    let mut transaction = shop.begin().await.expect("a connection");
    for statement in [
        "insert into ad values ($1) on conflict do nothing",
        "insert into ad_product values ($1, 'small', 0, 1), ($1, 'large', 0, 2)",
    ] {
        sqlx::query(statement)
            .bind(ad)
            .execute(&mut *transaction)
            .await
            .expect("the app writes at once");
    }
    transaction.commit().await.expect("and commits");
}

async fn write(shop: &PgPool, statement: &'static str, ad: i32) {
    sqlx::query(statement)
        .bind(ad)
        .execute(shop)
        .await
        .expect("the app writes at once");
}

/// Waits until some connection of the daemon is as the condition says.
async fn some_daemon(world: &World, condition: &str) {
    let query = format!("{DAEMONS} and {condition}");
    wait_until(condition, PATIENCE, async || {
        let count = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(query.clone()));
        count.fetch_one(&world.pool).await.expect("the server") > 0
    })
    .await;
}

/// A daemon that is frozen while it holds tokens of ads, their locks and
/// those of a read of the app's tables.
async fn frozen_in_a_fence(world: &World) -> Daemon {
    world
        .app(
            "create function slowly(value numeric) returns numeric language plpgsql volatile as \
             $$ begin while not pg_try_advisory_xact_lock_shared(42) loop \
             perform pg_sleep(0.05); end loop; return value; end $$; \
             create or replace view usage_sync.usage as \
             select ad_id, product as line, contract, jsonb_build_object( \
             'Contract_Product__c', salesforce_id, 'Ad_Id__c', ad_id::text, \
             'Quantity__c', case ad_id when 1 then slowly(quantity) else quantity end) as fields \
             from ad_product join contract_product on contract_product.id = contract_product",
        )
        .await;
    // The read goes on until it is frozen, however late that is.
    let mut gate = world.pool.begin().await.expect("a connection");
    sqlx::query("select pg_advisory_xact_lock(42)")
        .execute(&mut *gate)
        .await
        .expect("nobody has it");
    let daemon = world.daemon();
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 5) n")
        .await;
    some_daemon(world, "wait_event = 'PgSleep'").await;
    daemon.freeze();
    gate.rollback().await.expect("the read ends");
    some_daemon(world, "state = 'idle in transaction'").await;
    daemon
}

/// Freezes a daemon while it is awake and holds the lock that tells the trigger
/// not to notify. It gives that up half a second after the last change, so whoever
/// looks late has to begin again.
async fn frozen_awake(world: &World, daemon: &Daemon) {
    let awake = format!(
        "{DAEMONS} and pid in (select pid from pg_locks where locktype = 'advisory' and granted)"
    );
    let is_awake = async || {
        let count = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(awake.clone()));
        count.fetch_one(&world.pool).await.expect("the server") > 0
    };
    wait_until("it to stay awake", PATIENCE, async || {
        if !is_awake().await {
            world
                .app(
                    "insert into ad_product select n, 'small', 0, 1 from generate_series(5000, 5599) n \
                     on conflict (ad_id, product) do update set quantity = ad_product.quantity + 1",
                )
                .await;
            return false;
        }
        daemon.freeze();
        if is_awake().await {
            return true;
        }
        daemon.thaw();
        false
    })
    .await;
}

#[tokio::test]
async fn f16_a_daemon_frozen_with_locks_in_hand_holds_up_neither_the_app_nor_its_migration() {
    let world = World::new(1).await;
    let shop = shop(&world).await;
    let mut frozen = frozen_in_a_fence(&world).await;

    trade(&shop, 100).await;
    // What the daemon has read is not altered under it, until the server ends
    // its transaction.
    let migration = "set statement_timeout to '20s'; alter table ad_product add note text";
    sqlx::raw_sql(migration)
        .execute(&world.pool)
        .await
        .expect("the migration gets its lock");
    trade(&shop, 200).await;
    let _other = world.daemon();
    world.in_step().await;

    frozen.thaw();
    trade(&shop, 300).await;
    world.in_step().await;
    assert!(frozen.is_running(), "{}", frozen.log());
}

#[tokio::test]
async fn app_transactions_go_on_whatever_is_down_or_frozen() {
    let mut world = World::new(1).await;
    let shop = shop(&world).await;

    trade(&shop, 100).await;
    let hasty = [("SALESFORCE_TIMEOUT", "5s")];
    let daemon = world.daemon_with(&hasty);
    world.in_step().await;
    trade(&shop, 200).await;
    world.redis.freeze();
    trade(&shop, 300).await;
    world.redis.kill().await.expect("redis is killed");
    trade(&shop, 400).await;
    world.redis.restart().await.expect("redis comes back");
    let hang = Plan {
        times: Some(4),
        ..Plan::always(Effect::Hang)
    };
    world.sandbox.fault(hang);
    trade(&shop, 500).await;
    frozen_awake(&world, &daemon).await;
    trade(&shop, 600).await;
    daemon.kill_9();
    trade(&shop, 700).await;

    let _next = world.daemon_with(&hasty);
    world.in_step().await;
}

#[tokio::test]
async fn app_no_transaction_is_open_while_salesforce_is_waited_for() {
    let world = World::new(1).await;
    let _daemon = world.daemon();
    world
        .app("insert into ad_product values (1, 'small', 0, 1)")
        .await;
    world.in_step().await;
    world.sandbox.fault(Plan {
        times: Some(1),
        ..Plan::always(Effect::Delay { ms: 120_000 })
    });

    world.app("update ad_product set quantity = 2").await;
    wait_until("the request", PATIENCE, async || {
        world.sandbox.stats().in_flight > 0
    })
    .await;

    wait_until("no open transaction", PATIENCE, async || {
        let open = sqlx::query_scalar::<_, i64>(
            "select count(*) from pg_stat_activity \
             where application_name = 'usage-sync' and xact_start is not null",
        );
        open.fetch_one(&world.pool).await.expect("the server") == 0
    })
    .await;
    assert_eq!(world.sandbox.stats().in_flight, 1, "it is waited for still");
    // One that the server ends because nobody goes on with it was open.
    let ended: i64 = sqlx::query_scalar(
        "select sessions_fatal from pg_stat_database where datname = current_database()",
    )
    .fetch_one(&world.pool)
    .await
    .expect("the server counts");
    assert_eq!(ended, 0, "transactions that the server ended");
    assert_eq!(world.status("1").await.0, "pending");
}

#[tokio::test]
async fn app_truncations_and_writes_of_the_same_ads_never_meet_a_deadlock() {
    let world = World::new(1).await;
    world.app(OF_TWO_TABLES).await;
    let shop = shop(&world).await;
    let _daemons = [world.daemon(), world.daemon()];
    let truncation = "begin; truncate ad, ad_product; \
        insert into ad select n from generate_series(1, 5) n; \
        insert into ad_product select n, 'small', 0, 1 from generate_series(1, 400) n; commit";

    let truncate = async {
        for _ in 0..30 {
            sqlx::raw_sql(truncation)
                .execute(&shop)
                .await
                .expect("the app truncates at once");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::join!(truncate, trade(&shop, 1000), trade(&shop, 2000));

    world.in_step().await;
    assert_eq!(deadlocks(&world).await, 0);
}

/// As Postgres counts them, for every transaction that was in one.
async fn deadlocks(world: &World) -> i64 {
    sqlx::query_scalar("select deadlocks from pg_stat_database where datname = current_database()")
        .fetch_one(&world.pool)
        .await
        .expect("the server counts")
}

#[tokio::test]
async fn app_a_migration_that_alters_two_tables_is_not_the_victim_of_a_deadlock() {
    let world = World::new(1).await;
    world.app(OF_TWO_TABLES).await;
    let owner = impatient(&world, "postgres").await;
    let _daemon = world.daemon();
    world.app("insert into ad values (1)").await;

    for column in 0..3 {
        world
            .app(
                "insert into ad_product values (1, 'small', 0, 1) on conflict (ad_id, product) \
                 do update set quantity = ad_product.quantity + 1",
            )
            .await;
        world.in_step().await;
        let mut migration = owner.begin().await.expect("a connection");
        let alter = |table| format!("alter table {table} add note_{column} text");
        let statement = sqlx::AssertSqlSafe(alter("ad"));
        sqlx::raw_sql(statement)
            .execute(&mut *migration)
            .await
            .expect("the first table is altered");
        world
            .app("update ad_product set quantity = quantity + 1")
            .await;
        // It has read the one table and waits for the other.
        some_daemon(&world, "wait_event_type = 'Lock'").await;
        let statement = sqlx::AssertSqlSafe(alter("ad_product"));
        sqlx::raw_sql(statement)
            .execute(&mut *migration)
            .await
            .expect("the second table is altered, the daemon gives way");
        migration.commit().await.expect("the migration is done");
    }

    world.in_step().await;
    assert_eq!(deadlocks(&world).await, 0);
}

#[tokio::test]
async fn app_a_migration_that_rewrites_a_table_makes_no_ad_look_removed() {
    let world = World::new(1).await;
    let owner = impatient(&world, "postgres").await;
    let _daemon = world.daemon();
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 20) n")
        .await;
    world.in_step().await;

    let mut migration = owner.begin().await.expect("a connection");
    // A default that is another for each row: the table is written anew.
    sqlx::raw_sql("alter table ad_product add note timestamptz default clock_timestamp()")
        .execute(&mut *migration)
        .await
        .expect("the table is rewritten");
    let ids: Vec<String> = (1..=20).map(|ad: i32| ad.to_string()).collect();
    usage_sync::outbox::queue(&world.pool, &ids)
        .await
        .expect("a change of something else");
    // The read has begun, and goes on after the commit.
    some_daemon(&world, "wait_event_type = 'Lock'").await;
    migration.commit().await.expect("the migration is done");

    world.in_step().await;
    assert_eq!(world.sandbox.stats().records.deleted, 0);
}

#[tokio::test]
async fn app_migrations_replace_and_drop_the_view_while_the_daemon_drains() {
    let world = World::new(4).await;
    world.app("create table later (like ad_product)").await;
    world
        .app("insert into ad_product select n, 'small', n % 4, 1 from generate_series(1, 4000) n")
        .await;
    let definition: String =
        sqlx::query_scalar("select pg_get_viewdef('usage_sync.usage'::regclass)")
            .fetch_one(&world.pool)
            .await
            .expect("the view is there");
    let owner = impatient(&world, "postgres").await;
    let slow = world.sandbox.fault(Plan {
        path: Some(String::from("/composite/sobjects")),
        ..Plan::always(Effect::Delay { ms: 100 })
    });
    let _daemon = world.daemon_with(&[("WORKER_BATCH_SIZE", "20")]);
    wait_until("it to drain", PATIENCE, async || {
        world.sandbox.fault_hits(slow) > 0
    })
    .await;
    let replace = format!(
        "create or replace view usage_sync.usage as {definition}; \
         begin; drop view usage_sync.usage; alter table ad_product alter quantity type numeric(20, 0); \
         create view usage_sync.usage as {definition}; commit; \
         begin; drop view usage_sync.usage; alter table ad_product alter quantity type numeric; \
         create view usage_sync.usage as {definition}; commit; \
         select usage_sync.unwatch('ad'); select usage_sync.watch('ad', 'id')"
    );

    for _ in 0..20 {
        sqlx::raw_sql(sqlx::AssertSqlSafe(replace.clone()))
            .execute(&owner)
            .await
            .expect("the migration waits for no longer than a read takes");
        world
            .app("update ad_product set quantity = quantity + 1 where ad_id % 10 = 3")
            .await;
    }

    world.in_step().await;
    assert_eq!(deadlocks(&world).await, 0);
}

#[tokio::test]
async fn f16_a_notification_queue_half_full_makes_no_commit_fail_and_no_change_late_for_long() {
    let world = World::new(1).await;
    // Filling it takes four gigabytes: the function that is asked says so instead.
    world
        .app(
            "create or replace function pg_catalog.pg_notification_queue_usage() \
             returns double precision language sql volatile as 'select 0.6::double precision'",
        )
        .await;
    let mut listener = sqlx::postgres::PgListener::connect_with(&world.pool)
        .await
        .expect("a listener");
    listener
        .listen_all(["usage_sync", "usage_sync_status"])
        .await
        .expect("it listens");
    let shop = shop(&world).await;
    let _daemon = world.daemon();

    trade(&shop, 100).await;
    world.in_step().await;
    sqlx::query("notify usage_sync, 'last'")
        .execute(&world.pool)
        .await
        .expect("the queue has room");

    let first = listener.recv().await.expect("a notification");
    assert_eq!(first.payload(), "last", "nobody else notified before");
}

#[tokio::test]
async fn app_role_has_no_right_in_the_schema_and_its_changes_arrive() {
    let world = World::new(1).await;
    let shop = shop(&world).await;
    let _daemon = world.daemon();

    trade(&shop, 100).await;
    world.in_step().await;

    let rights: Vec<String> = sqlx::query_scalar(
        "select nspname::text from pg_namespace where nspname = 'usage_sync' \
         and has_schema_privilege('shop', oid, 'usage, create') \
         union all select oid::regclass::text from pg_class \
         where relnamespace = 'usage_sync'::regnamespace and ( \
         relkind in ('r', 'v', 'p', 'm') and (has_any_column_privilege('shop', oid, \
         'select, insert, update, references') \
         or has_table_privilege('shop', oid, 'delete, truncate, trigger')) \
         or relkind = 'S' and has_sequence_privilege('shop', oid, 'usage, select, update'))",
    )
    .fetch_all(&world.pool)
    .await
    .expect("the catalogue");
    assert_eq!(rights, Vec::<String>::new());
}
