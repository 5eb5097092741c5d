//! The promise as a whole: whatever breaks on the way, in the end Salesforce
//! holds exactly what the app wants.

use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::{PgPool, postgres::PgPoolCopyExt as _};
use tokio::time::{Duration, sleep};
use usage_sync::sandbox::{Effect, Plan};

use crate::support::{Daemon, World, redis_connection};

const CONTRACTS: usize = 40;
/// Ads by each way of writing; with two lines each, 20,000 records.
const ONE_BY_ONE: i32 = 2000;
const MULTI_ROW: i32 = 4000;
const COPIED: i32 = 4000;
/// Times that each thing breaks.
const BREAKS: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_ads_arrive_exactly_though_everything_breaks() {
    let world = World::new(CONTRACTS).await;
    for method in ["POST", "PATCH", "DELETE"] {
        // Salesforce does what it is asked, and one answer in ten gets lost.
        world.sandbox.fault(Plan {
            method: Some(method.to_owned()),
            path: Some(String::from("/composite/sobjects")),
            every: Some(10),
            ..Plan::always(Effect::DropAfter)
        });
    }
    let breaking = AtomicBool::new(true);

    let breaks = async {
        let daemon = break_everything(&world).await;
        breaking.store(false, Ordering::Relaxed);
        daemon
    };
    let (daemon, ..) = tokio::join!(
        breaks,
        one_by_one(&world.pool),
        multi_row(&world.pool),
        copy(&world.pool),
        edit(&world.pool, &breaking)
    );
    world.in_step().await;

    let created = world.sandbox.stats().records.created;
    assert!(created >= 10_000, "{created} records were ever created");
    assert!(world.held().await.len() > 10_000);
    drop(daemon);
}

async fn one_by_one(pool: &PgPool) {
    for id in 0..ONE_BY_ONE {
        sqlx::query(
            "insert into ad_product values ($1, 'gigantic', $1 % 40, 1), ($1, 'small', $1 % 39, 2)",
        )
        .bind(id)
        .execute(pool)
        .await
        .expect("the app writes");
        sleep(Duration::from_millis(2)).await;
    }
}

async fn multi_row(pool: &PgPool) {
    for start in (0..MULTI_ROW).step_by(500) {
        let rows = "insert into ad_product \
             select n, product, n % 40, 3 \
             from generate_series($1::int, $1 + 499) n, unnest(array['gigantic', 'small']) product \
             on conflict do nothing";
        sqlx::query(rows)
            .bind(10_000 + start)
            .execute(pool)
            .await
            .expect("the app writes");
        sleep(Duration::from_millis(900)).await;
    }
}

async fn copy(pool: &PgPool) {
    for start in (0..COPIED).step_by(1000) {
        let rows: String = (start..start + 1000)
            .flat_map(|n| {
                let (id, contract) = (20_000 + n, n % 40);
                let line = |product, quantity| format!("{id}\t{product}\t{contract}\t{quantity}\n");
                [line("gigantic", "4"), line("small", "5.50")]
            })
            .collect();
        let mut copy = pool
            .copy_in_raw("copy ad_product from stdin")
            .await
            .expect("the app copies");
        copy.send(rows.as_bytes()).await.expect("the rows go out");
        copy.finish().await.expect("the rows are taken");
        sleep(Duration::from_millis(1800)).await;
    }
}

/// Corrects and removes ads at random while others are made.
async fn edit(pool: &PgPool, breaking: &AtomicBool) {
    let statements = [
        "update ad_product set quantity = quantity + 1 where ad_id % 97 = $1 % 97",
        "update ad_product set contract_product = (contract_product + 1) % 40 where ad_id % 89 = $1 % 89",
        "delete from ad_product where ad_id % 83 = $1 % 83",
        "delete from ad_product where product = 'small' and ad_id % 79 = $1 % 79",
        "insert into ad_product select ad_id, 'large', contract_product, 7 from ad_product \
         where product = 'gigantic' and ad_id % 73 = $1 % 73 on conflict do nothing",
    ];
    let mut dice = fastrand::Rng::with_seed(11);
    while breaking.load(Ordering::Relaxed) {
        let statement = statements[dice.usize(..statements.len())];
        sqlx::query(statement)
            .bind(dice.i32(0..1000))
            .execute(pool)
            .await
            .expect("the app corrects");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Kills the daemon, empties Redis and cuts the daemon's connections to the
/// database, in turn; answers the daemon that is left.
async fn break_everything(world: &World) -> Daemon {
    let mut redis = redis_connection(&world.redis.url()).await.expect("redis");
    let mut daemon = world.daemon();
    for _ in 0..BREAKS {
        sleep(Duration::from_millis(700)).await;
        daemon.kill_9();
        daemon.ended().await;
        daemon = world.daemon();
        sleep(Duration::from_millis(700)).await;
        let _: () = redis::cmd("FLUSHALL")
            .query_async(&mut redis)
            .await
            .expect("redis obeys");
        sleep(Duration::from_millis(300)).await;
        sqlx::query(
            "select pg_terminate_backend(pid) from pg_stat_activity \
             where application_name = 'usage-sync' and pid <> pg_backend_pid()",
        )
        .execute(&world.pool)
        .await
        .expect("a superuser may");
    }
    daemon
}
