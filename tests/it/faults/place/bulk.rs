//! Work in bulk: a backfill among edits and restarts, a retry of all that is
//! rejected while the cause is still there.

use usage_sync::sandbox::{Effect, Plan};

use crate::support::{Daemon, PATIENCE, World, wait_until};

#[tokio::test]
async fn f45_a_backfill_among_live_edits_goes_on_after_a_restart_without_a_stale_value() {
    const ADS: usize = 10_000;
    let world = World::new(40).await;
    world
        .app(
            "begin; set local session_replication_role = replica; \
             insert into ad_product select n, 'small', n % 40, 1 from generate_series(1, 10000) n; commit",
        )
        .await;
    let daemon = world.daemon();

    let mut backfill = Daemon::start(&["backfill"], world.environment());
    wait_until("the backfill to be under way", PATIENCE, async || {
        !world.held().await.is_empty()
    })
    .await;
    backfill.sigterm();
    let stopped = backfill.ended().await.code();
    daemon.kill_9();
    let daemon = world.daemon();
    for step in 0..20 {
        sqlx::query("update ad_product set quantity = quantity + 1 where ad_id % 500 = $1")
            .bind(step * 17)
            .execute(&world.pool)
            .await
            .expect("the app corrects");
    }
    // It may have been done already; else it says where to go on.
    let log = backfill.log();
    if stopped != Some(0) {
        let after = log
            .split("--after '")
            .nth(1)
            .expect("a place to go on from");
        let after = after.split('\'').next().expect("it is quoted");
        let (exit, out) = world.command(&["backfill", "--after", after]).await;
        assert_eq!(exit, 0, "{out}");
    }
    world.in_step().await;

    assert_eq!(world.held().await.len(), ADS);
    drop(daemon);
}

#[tokio::test]
async fn f46_a_retry_of_all_rejected_ads_returns_each_to_rejected_once() {
    const ADS: i64 = 2000;
    let world = World::new(4).await;
    let refused = Plan {
        path: Some(String::from("/composite")),
        ..Plan::always(Effect::RecordError {
            code: String::from("FIELD_CUSTOM_VALIDATION_EXCEPTION"),
            message: String::from("the quantity is not plausible"),
            fields: Vec::new(),
            external_ids: Vec::new(),
            every_row: 0,
        })
    };
    world.sandbox.fault(refused);
    let daemon = world.daemon();
    world
        .app("insert into ad_product select n, 'small', n % 4, 1 from generate_series(1, 2000) n")
        .await;
    settled(&world, ADS).await;
    let (journal, calls) = (journal(&world).await, world.sandbox.stats().api_calls);
    assert_eq!(journal, ADS, "each was rejected once");

    let (exit, out) = world.command(&["retry", "--rejected"]).await;
    assert_eq!((exit, out.contains("2000 ads")), (0, true), "{out}");
    settled(&world, ADS).await;

    assert_eq!(self::journal(&world).await, 2 * ADS, "and once more");
    let calls = world.sandbox.stats().api_calls - calls;
    assert!(calls <= 40, "{calls} calls for {ADS} ads");
    let lines = daemon.log().matches("ad rejected").count();
    assert!(lines <= 80, "{lines} lines for two times {ADS} ads");
}

async fn settled(world: &World, ads: i64) {
    wait_until("all of them to be rejected", PATIENCE * 2, async || {
        let rejected: i64 = sqlx::query_scalar(
            "select count(*) from usage_sync.ad where state = 'rejected' and settled_version = version",
        )
        .fetch_one(&world.pool)
        .await
        .expect("it can be read");
        rejected == ads && world.pending().await == 0
    })
    .await;
}

async fn journal(world: &World) -> i64 {
    sqlx::query_scalar("select count(*) from usage_sync.journal where action = 'reject'")
        .fetch_one(&world.pool)
        .await
        .expect("it can be read")
}
