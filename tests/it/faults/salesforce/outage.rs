//! Salesforce as a whole is down, overloaded, or has no calls left.

use std::time::{Duration, Instant};

use usage_sync::sandbox::Effect;

use super::{complaints, fault};
use crate::support::{PATIENCE, World, wait_until};

async fn attempts(world: &World) -> i64 {
    sqlx::query_scalar("select coalesce(sum(attempts), 0)::bigint from usage_sync.ad")
        .fetch_one(&world.pool)
        .await
        .expect("the ledger can be read")
}

#[tokio::test]
async fn f34_without_calls_left_hardly_any_is_made_and_it_goes_on_by_itself() {
    let world = World::new(1).await;
    let daemon = world.daemon_with(&[("OUTAGE_MAX", "200ms")]);
    let spent = Effect::RequestLimit { concurrent: false };
    let spent = world.sandbox.fault(fault("", "/composite", "", spent));

    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 500) n")
        .await;
    daemon.logged("daily calls are used up").await;
    // The parcels that were in flight together, and one try after the pause.
    wait_until("another try", PATIENCE, async || {
        world.sandbox.fault_hits(spent) > 1
    })
    .await;
    assert!(world.sandbox.fault_hits(spent) <= 6);
    assert_eq!(attempts(&world).await, 0);
    world.sandbox.clear_faults();
    world.in_step().await;
    daemon.logged("the org has calls again").await;

    assert_eq!(daemon.log().matches("daily calls are used up").count(), 1);
}

#[tokio::test]
async fn f34_that_the_org_has_calls_again_is_noticed_with_nothing_left_to_report() {
    let world = World::new(1).await;
    let daemon = world.daemon_with(&[("OUTAGE_MAX", "200ms")]);
    world
        .app("insert into ad_product values (1, 'small', 0, 1)")
        .await;
    world.in_step().await;
    let spent = Effect::RequestLimit { concurrent: false };
    let spent = world.sandbox.fault(fault("", "/sobjects", "", spent));
    world
        .app("insert into ad_product values (2, 'small', 0, 1)")
        .await;
    daemon.logged("daily calls are used up").await;

    // Another daemon might have reported it as well.
    world.app("delete from ad_product where ad_id = 2").await;
    world.in_step().await;
    let before = world.sandbox.fault_hits(spent);
    wait_until("a question", PATIENCE, async || {
        world.sandbox.fault_hits(spent) > before
    })
    .await;
    assert!(!daemon.log().contains("the org has calls again"));
    world.sandbox.clear_faults();

    daemon.logged("the org has calls again").await;
    assert_eq!(daemon.log().matches("daily calls are used up").count(), 1);
}

#[tokio::test]
async fn f34_an_org_that_may_overshoot_its_limit_is_no_outage() {
    let world = World::new(1).await;
    let over =
        serde_json::json!({"daily_used": 150_000, "daily_limit": 100_000, "limit_enforced": false});
    world.sandbox.settings(&over).expect("a setting");
    let daemon = world.daemon_with(&[("OUTAGE_MAX", "100ms")]);

    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 5) n")
        .await;
    world.in_step().await;
    world
        .app("insert into ad_product values (6, 'small', 0, 1)")
        .await;
    // Our budget is what pauses reports, in its own words and for its own trials.
    daemon
        .logged("our share of the daily calls is used up")
        .await;
    world.in_step().await;

    assert_eq!(complaints(&daemon.log()), 1, "{}", daemon.log());
}

/// Reports fail in this way, while the probe is answered: the harder case. A
/// trial then takes so many calls.
async fn no_tight_loop(down: Effect, calls: u64) {
    let world = World::new(1).await;
    let daemon = world.daemon();
    let fault = world.sandbox.fault(fault("", "/composite", "", down));
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 1000) n")
        .await;
    daemon.logged("salesforce is down").await;
    let (said, hits) = (Instant::now(), world.sandbox.fault_hits(fault));
    wait_until("some tries", PATIENCE, async || {
        world.sandbox.fault_hits(fault) >= hits + 13 * calls
    })
    .await;
    // Three more may have been on their way. Between the ten others lie pauses
    // of at least half of 50, 100, 200, 400, and from then on 500 ms.
    let paused = said.elapsed();
    assert!(paused >= Duration::from_millis(1300), "{paused:?}");

    world.sandbox.clear_faults();
    world.in_step().await;
    daemon.logged("salesforce is back").await;
    assert_eq!(complaints(&daemon.log()), 1, "{}", daemon.log());
}

#[tokio::test]
async fn f35_too_many_calls_at_once_are_an_outage_without_a_tight_loop() {
    no_tight_loop(Effect::RequestLimit { concurrent: true }, 1).await;
}

#[tokio::test]
async fn f35_status_429_is_an_outage_without_a_tight_loop() {
    no_tight_loop(Effect::EmptyBody { status: 429 }, 4).await;
}

#[tokio::test]
async fn f35_a_page_with_status_503_is_an_outage_without_a_tight_loop() {
    no_tight_loop(Effect::HtmlPage { status: 503 }, 4).await;
}

#[tokio::test]
async fn f35_a_code_with_status_500_for_all_is_an_outage_without_a_tight_loop() {
    no_tight_loop(
        Effect::Error {
            status: 500,
            code: String::from("UNKNOWN_EXCEPTION"),
            message: String::from("ErrorId: 1"),
        },
        4,
    )
    .await;
}

#[tokio::test]
async fn f36_ten_thousand_edits_during_an_outage_take_sixty_calls() {
    let world = World::new(50).await;
    world
        .app("insert into ad_product select n, 'small', n % 50, 1 from generate_series(1, 10000) n")
        .await;
    let daemon = world.daemon();
    world.in_step().await;
    let down = Effect::HtmlPage { status: 503 };
    let all =
        ["POST", "PATCH", "DELETE"].map(|method| fault(method, "/services", "", down.clone()));
    for plan in all {
        world.sandbox.fault(plan);
    }
    let probes = world.sandbox.fault(fault("GET", "/services", "", down));

    for _ in 0..3 {
        world
            .app("update ad_product set quantity = quantity + 1")
            .await;
    }
    daemon.logged("salesforce is down").await;
    let (said, before) = (Instant::now(), world.sandbox.fault_hits(probes));
    wait_until("a row of probes", PATIENCE, async || {
        world.sandbox.fault_hits(probes) >= before + 15
    })
    .await;
    // 50 ms at first, 500 ms at the end, and at least half of that.
    let paused = said.elapsed();
    assert!(paused >= Duration::from_secs(2), "{paused:?}");
    assert_eq!(attempts(&world).await, 0);

    let before = world.sandbox.stats().api_calls;
    world.sandbox.clear_faults();
    world.in_step().await;
    daemon.logged("salesforce is back").await;

    let calls = world.sandbox.stats().api_calls - before;
    assert!(calls <= 60, "{calls} calls");
    assert_eq!(complaints(&daemon.log()), 1, "{}", daemon.log());
}
