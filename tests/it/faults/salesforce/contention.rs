//! Others write below the same contracts.

use std::time::{Duration, Instant};

use serde_json::json;
use usage_sync::sandbox::Effect;

use super::{complaints, fault, refusal};
use crate::support::{PATIENCE, World, wait_until};

#[tokio::test]
async fn f29_a_record_that_another_request_has_just_made_is_taken_over() {
    let world = World::new(1).await;
    for ad in 1..=30 {
        let record = json!({
            "External_Id__c": format!("{ad}:small"),
            "Contract_Product__c": world.products[0].1,
            "Quantity__c": 99,
        });
        world.sandbox.seed("Usage__c", &record).expect("a record");
    }
    let daemon = world.daemon();

    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 30) n")
        .await;
    world.in_step().await;

    assert_eq!(complaints(&daemon.log()), 0, "{}", daemon.log());
}

#[tokio::test]
async fn f29_two_daemons_at_the_same_contracts_end_up_right() {
    let world = World::new(2).await;
    let slow = json!({"base_ms": 200, "lock_wait_ms": 20});
    world.sandbox.settings(&slow).expect("a setting");
    let daemons = [world.daemon(), world.daemon()];

    for daemon in &daemons {
        daemon.logged("logged in").await;
    }

    // Until they have met a few times, and then some more.
    let mut round = 0;
    wait_until("them to meet", PATIENCE * 2, async || {
        round += 1;
        world
            .app(
                "insert into ad_product select n, 'small', n % 2, 1 \
                 from generate_series((select coalesce(max(ad_id), 0) + 1 from ad_product), \
                 (select coalesce(max(ad_id), 0) + 10 from ad_product)) n; \
                 update ad_product set quantity = quantity + 1 where ad_id % 29 = 0",
            )
            .await;
        round > 20 && world.sandbox.stats().lock_timeouts > 3
    })
    .await;
    world.in_step().await;

    for daemon in daemons {
        assert_eq!(complaints(&daemon.log()), 0, "{}", daemon.log());
    }
}

#[tokio::test]
async fn f30_a_contract_that_is_often_locked_costs_others_nothing() {
    let world = World::new(2).await;
    let ids: Vec<String> = (0..300).map(|n| format!("{}:small", 2 * n)).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let words = "unable to obtain exclusive access to this record";
    let mut locked = fault(
        "",
        "/composite",
        "",
        refusal("UNABLE_TO_LOCK_ROW", words, &ids),
    );
    if let Effect::RecordError { every_row, .. } = &mut locked.effect {
        *every_row = 3;
    }
    world.sandbox.fault(locked);
    let daemon = world.daemon();

    world
        .app("insert into ad_product select n, 'small', n % 2, 1 from generate_series(1, 400) n")
        .await;
    wait_until("the other contract", PATIENCE, async || {
        world.consumed(1) == Some(200.0)
    })
    .await;
    world.in_step().await;

    let touched: i64 = sqlx::query_scalar(
        "select count(*) from usage_sync.journal where action not in ('create', 'update')",
    )
    .fetch_one(&world.pool)
    .await
    .expect("the journal can be read");
    assert_eq!(touched, 0, "an ad was rejected for a lock");
    assert_eq!(complaints(&daemon.log()), 0, "{}", daemon.log());
}

#[tokio::test]
async fn f30_locks_burn_no_patience_with_a_record() {
    let world = World::new(1).await;
    let words = "unable to obtain exclusive access to this record";
    let mut locked = fault(
        "POST",
        "/composite",
        "",
        refusal("UNABLE_TO_LOCK_ROW", words, &[]),
    );
    locked.times = Some(7);
    world.sandbox.fault(locked);
    let mut crash = fault(
        "POST",
        "/composite",
        "",
        refusal("UNKNOWN_EXCEPTION", "ErrorId: 1", &[]),
    );
    crash.times = Some(3);
    world.sandbox.fault(crash);
    let daemon = world.daemon_with(&[("RETRY_MAX", "500ms")]);

    world
        .app("insert into ad_product values (1, 'small', 0, 1)")
        .await;
    world.in_step().await;

    assert_eq!(complaints(&daemon.log()), 0, "{}", daemon.log());
}

#[tokio::test]
async fn f30_a_contract_whose_requests_never_end_holds_up_no_other() {
    let world = World::new(2).await;
    let mut hang = fault("POST", "/composite", &world.products[0].1, Effect::Hang);
    hang.times = Some(1);
    let hang = world.sandbox.fault(hang);
    // The request that hangs is given up long after the test.
    let _daemon = world.daemon_with(&[("SALESFORCE_TIMEOUT", "10m")]);
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 4000) n")
        .await;
    wait_until("a request to hang", PATIENCE, async || {
        world.sandbox.fault_hits(hang) == 1
    })
    .await;

    world
        .app("insert into ad_product select n, 'small', 1, 1 from generate_series(5001, 5100) n")
        .await;

    wait_until("the other contract", PATIENCE, async || {
        world.consumed(1) == Some(100.0)
    })
    .await;
    assert_eq!(world.consumed(0), Some(0.0));
}

#[tokio::test]
async fn f43_a_thousand_edits_of_one_ad_are_at_most_two_writes_a_round_trip() {
    let world = World::new(2).await;
    let round_trip = Duration::from_millis(100);
    world
        .sandbox
        .settings(&json!({"base_ms": 100}))
        .expect("a setting");
    let _daemon = world.daemon();
    world
        .app("insert into ad_product values (1, 'small', 0, 0)")
        .await;
    world.in_step().await;
    let before = world.sandbox.stats().api_calls;

    let begun = Instant::now();
    for edit in 1..=1000 {
        world
            .app("update ad_product set quantity = quantity + 1 where ad_id = 1")
            .await;
        if edit == 500 {
            world
                .app("insert into ad_product values (2, 'small', 1, 7)")
                .await;
        }
    }
    let took = begun.elapsed();
    world.in_step().await;

    assert_eq!(world.consumed(0), Some(1000.0));
    assert_eq!(world.consumed(1), Some(7.0));
    let calls = u128::from(world.sandbox.stats().api_calls - before);
    let most = 2 * took.as_millis() / round_trip.as_millis() + 4;
    assert!(calls <= most, "{calls} calls in {took:?}");
}
