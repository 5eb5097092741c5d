//! Tokens, and the endpoint that gives them.

use std::time::Instant;

use serde_json::json;
use usage_sync::sandbox::Effect;

use super::{complaints, fault};
use crate::support::{Mode, PATIENCE, Proxy, World, wait_until};

#[tokio::test]
async fn f32_tokens_that_die_under_load_cost_one_login_each_time() {
    let world = World::new(8).await;
    let daemon = world.daemon();
    world
        .app("insert into ad_product select n, 'small', n % 8, 1 from generate_series(1, 1600) n")
        .await;
    world.in_step().await;
    let slow = fault("POST", "/oauth2/token", "", Effect::Delay { ms: 300 });
    world.sandbox.fault(slow);
    let before = world.sandbox.stats().token_requests;

    world.sandbox.expire_tokens();
    world.app("update ad_product set quantity = 2").await;
    world.in_step().await;

    assert_eq!(world.sandbox.stats().token_requests, before + 1);
    assert_eq!(complaints(&daemon.log()), 0, "{}", daemon.log());
}

#[tokio::test]
async fn f32_a_token_that_is_refused_again_and_again_is_said_once_and_does_not_hammer() {
    let (world, daemon) = World::reporting().await;
    let storm = Effect::SessionExpired { all: true };
    world.sandbox.fault(fault("", "/composite", "", storm));
    let (begun, before) = (Instant::now(), world.sandbox.stats().token_requests);

    world
        .app(
            "update ad_product set quantity = 2; \
              insert into ad_product select n, 'small', 0, 1 from generate_series(2, 50) n",
        )
        .await;
    daemon.logged("salesforce refuses every report").await;
    // Whoever reads the log late finds some more trials, ever further apart.
    let asked = world.sandbox.stats().token_requests - before;
    let most = 3 + 2 * begun.elapsed().as_secs();
    assert!(asked <= most, "{asked} tokens, not {most}");
    world.sandbox.clear_faults();
    world.in_step().await;
    daemon.logged("salesforce takes reports again").await;

    assert_eq!(complaints(&daemon.log()), 1, "{}", daemon.log());
}

#[tokio::test]
async fn f32_an_org_that_has_moved_is_found_with_the_next_token() {
    let (world, daemon) = World::reporting().await;
    let proxy = Proxy::in_front_of(world.sandbox.base_url()).await;
    let moved = json!({"instance_url": proxy.url()});
    world.sandbox.settings(&moved).expect("a setting");

    world.sandbox.expire_tokens();
    world.app("update ad_product set quantity = 2").await;
    world.in_step().await;
    // Whoever comes by the old way would not be stopped by this.
    proxy.set(Mode::Cut);
    world.app("update ad_product set quantity = 3").await;
    daemon.logged("salesforce is down").await;
    proxy.set(Mode::Pass);
    world.in_step().await;
}

/// A login that is refused while the daemon runs, and works again later.
async fn login_refused(description: &str, remedy: &str) {
    let (world, daemon) = World::reporting().await;
    let refused = Effect::LoginRefused {
        error: String::from("invalid_grant"),
        description: description.to_owned(),
    };
    let refused = world
        .sandbox
        .fault(fault("POST", "/oauth2/token", "", refused));
    world.sandbox.expire_tokens();

    world.app("update ad_product set quantity = 2").await;
    daemon.logged("salesforce refuses every report").await;
    wait_until("another try", PATIENCE, async || {
        world.sandbox.fault_hits(refused) >= 3
    })
    .await;
    assert_eq!(world.status("1").await.0, "pending");
    world.sandbox.clear_faults();
    world.in_step().await;
    daemon.logged("salesforce takes reports again").await;

    let log = daemon.log();
    assert!(log.contains(remedy), "{log}");
    assert_eq!(complaints(&log), 1, "{log}");
}

#[tokio::test]
async fn f32_a_revoked_approval_is_said_with_its_remedy_and_heals() {
    login_refused("user hasn't approved this consumer", "pre-authorized").await;
}

#[tokio::test]
async fn f33_a_wrong_clock_is_said_with_its_remedy_and_heals() {
    login_refused(
        "expired authorization code",
        "set the clock of this machine",
    )
    .await;
}
