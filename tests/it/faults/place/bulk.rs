//! Work in bulk: a backfill among edits and restarts, a retry of all that is
//! rejected while the cause is still there.

use usage_sync::sandbox::{Effect, Plan};

use super::super::redis::tell;
use crate::support::{Daemon, PATIENCE, World, wait_until};

#[tokio::test]
async fn f45_a_backfill_among_live_edits_goes_on_after_a_restart_without_a_stale_value() {
    const ADS: usize = 4000;
    let world = World::new(40).await;
    world
        .app(
            "begin; set local session_replication_role = replica; \
             insert into ad_product select n, 'small', n % 40, 1 from generate_series(1, 4000) n; commit",
        )
        .await;
    let daemon = world.daemon();

    // After two pages it has to wait.
    world
        .app(
            "create sequence page; create function hold_up() returns trigger language plpgsql as $$ begin \
             if nextval('page') > 2 then perform pg_advisory_xact_lock_shared(7); end if; return null; end $$; \
             create trigger hold_up before insert on usage_sync.change execute function hold_up()",
        )
        .await;
    let mut gate = world.pool.begin().await.expect("a transaction");
    sqlx::query("select pg_advisory_xact_lock(7)")
        .execute(&mut *gate)
        .await
        .expect("nobody has it");
    let mut backfill = Daemon::start(&["backfill"], world.environment());
    wait_until("the backfill to be under way", PATIENCE, async || {
        let waiting =
            "select exists (select from pg_locks where locktype = 'advisory' and not granted)";
        let waiting = sqlx::query_scalar::<_, bool>(waiting);
        waiting.fetch_one(&world.pool).await.expect("the server") && !world.held().await.is_empty()
    })
    .await;
    backfill.sigterm();
    gate.rollback().await.expect("it may go on");
    let stopped = backfill.ended().await.code();
    world.app("drop trigger hold_up on usage_sync.change").await;
    daemon.kill_9();
    let daemon = world.daemon();
    for step in 0..20 {
        sqlx::query("update ad_product set quantity = quantity + 1 where ad_id % 500 = $1")
            .bind(step * 17)
            .execute(&world.pool)
            .await
            .expect("the app corrects");
    }
    // It says where to go on.
    let log = backfill.log();
    assert_eq!(stopped, Some(130), "{log}");
    let after = log.split("--after '").nth(1);
    let after = after.and_then(|after| after.split('\'').next());
    let after = after.expect("a place to go on from");
    let (exit, out) = world.command(&["backfill", "--after", after]).await;
    assert_eq!(exit, 0, "{out}");
    world.in_step().await;

    assert_eq!(world.held().await.len(), ADS);
    drop(daemon);
}

fn every_record_is_refused() -> Plan {
    Plan {
        path: Some(String::from("/composite")),
        ..Plan::always(Effect::RecordError {
            code: String::from("FIELD_CUSTOM_VALIDATION_EXCEPTION"),
            message: String::from("the quantity is not plausible"),
            fields: Vec::new(),
            external_ids: Vec::new(),
            every_row: 0,
        })
    }
}

#[tokio::test]
async fn f46_a_retry_of_all_rejected_ads_returns_each_to_rejected_once() {
    const ADS: i64 = 2000;
    let world = World::new(4).await;
    world.sandbox.fault(every_record_is_refused());
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

/// As a sweep does that read it as pending the moment before.
#[tokio::test]
async fn f46_a_rejected_ad_that_is_queued_once_too_often_is_not_sent_again() {
    let world = World::new(1).await;
    world.sandbox.fault(every_record_is_refused());
    let _daemon = world.daemon();
    world
        .app("insert into ad_product values (1, 'small', 0, 1)")
        .await;
    settled(&world, 1).await;
    let calls = world.sandbox.stats().api_calls;

    let _: usize = tell(&world, &["RPUSH", "{usage-sync}:queue", "1"]).await;
    wait_until("it to be looked at and put down", PATIENCE, async || {
        let ready: usize = tell(&world, &["LLEN", "{usage-sync}:queue"]).await;
        let claimed: usize = tell(&world, &["ZCARD", "{usage-sync}:claimed"]).await;
        ready + claimed == 0
    })
    .await;

    assert_eq!(world.sandbox.stats().api_calls, calls);
    assert_eq!(journal(&world).await, 1);
    let (exit, _) = world.command(&["retry", "1"]).await;
    assert_eq!(exit, 0);
    wait_until("another refusal", PATIENCE, async || {
        journal(&world).await == 2
    })
    .await;
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
