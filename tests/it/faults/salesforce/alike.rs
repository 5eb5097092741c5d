//! A few ads that are refused alike look like the configuration. Whoever else
//! has something to report waits for seconds, not until a person comes.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;

use super::{fault, refusal};
use crate::support::{PATIENCE, World, wait_until};

const REFUSES: &str = "salesforce refuses every report";
const WORDS: &str = "No such column 'Colour__c' on sobject of type Usage__c";

/// After a few failures 20 seconds at least lie between two trials, unless one
/// is brought forward.
const SLOW: [(&str, &str); 2] = [("OUTAGE_BASE", "100ms"), ("OUTAGE_MAX", "4s")];

/// Less than that.
const SOON: Duration = Duration::from_secs(15);

/// Ads 13 and 14 are refused by this kind of call.
fn refuse_two(world: &World, method: &str) -> u64 {
    let own = refusal("INVALID_FIELD", WORDS, &["13:small", "14:small"]);
    world.sandbox.fault(fault(method, "/composite", "", own))
}

/// They are refused until the pause between two trials has become long; an edit
/// of one of them is tried soon, too.
async fn slow_down(world: &World, refused: u64) {
    for _ in 0..6 {
        let hits = world.sandbox.fault_hits(refused);
        world
            .app("update ad_product set quantity = quantity + 1 where ad_id = 13")
            .await;
        wait_until("another trial", SOON, async || {
            world.sandbox.fault_hits(refused) > hits
        })
        .await;
    }
}

async fn is_reported_soon(world: &World, ad: &str) {
    wait_until(&format!("ad {ad} to be reported soon"), SOON, async || {
        world.status(ad).await.0 == "reported"
    })
    .await;
}

#[tokio::test]
async fn f38_two_ads_that_look_like_the_configuration_hold_a_new_one_up_for_seconds() {
    let world = World::new(1).await;
    let refused = refuse_two(&world, "POST");
    let daemon = world.daemon_with(&SLOW);
    world
        .app("insert into ad_product values (13, 'small', 0, 1), (14, 'small', 0, 1)")
        .await;
    daemon.logged(REFUSES).await;
    slow_down(&world, refused).await;

    world
        .app("insert into ad_product values (15, 'small', 0, 1)")
        .await;
    is_reported_soon(&world, "15").await;
    // Now it is known whose fault it was.
    world.ad_is("13", "rejected").await;
    world.ad_is("14", "rejected").await;
    world
        .app("insert into ad_product values (16, 'small', 0, 1)")
        .await;
    is_reported_soon(&world, "16").await;

    let log = daemon.log();
    assert_eq!(log.matches(REFUSES).count(), 1, "{log}");
}

#[tokio::test]
async fn f38_two_ads_whose_changes_are_refused_alike_do_not_come_before_a_new_one() {
    let world = World::new(1).await;
    let daemon = world.daemon_with(&SLOW);
    world
        .app("insert into ad_product values (13, 'small', 0, 1), (14, 'small', 0, 1)")
        .await;
    world.in_step().await;
    let refused = refuse_two(&world, "PATCH");
    world.app("update ad_product set quantity = 2").await;
    daemon.logged(REFUSES).await;
    slow_down(&world, refused).await;
    let before = writes(&world).await.len();

    world
        .app("insert into ad_product values (15, 'small', 0, 1)")
        .await;
    is_reported_soon(&world, "15").await;
    let first = writes(&world).await.get(before).cloned();
    assert_eq!(first.as_deref(), Some("POST"), "the new one was not first");
    // That new ads are taken does not say that changes are.
    assert_eq!(world.status("13").await.0, "pending");
    world
        .app("insert into ad_product values (16, 'small', 0, 1)")
        .await;
    is_reported_soon(&world, "16").await;

    // A change of another ad tells, once it is tried together with them.
    wait_until("both to be rejected", PATIENCE * 2, async || {
        world
            .app("update ad_product set quantity = quantity + 1 where ad_id = 15")
            .await;
        sleep(Duration::from_secs(1)).await;
        world.status("13").await.0 == "rejected" && world.status("14").await.0 == "rejected"
    })
    .await;
    is_reported_soon(&world, "15").await;
    let log = daemon.log();
    assert_eq!(log.matches(REFUSES).count(), 1, "{log}");
}

/// The methods of all requests that changed records, in their order.
async fn writes(world: &World) -> Vec<String> {
    let url = format!("{}/log", world.sandbox.control_url());
    let answer = reqwest::get(url).await.expect("the sandbox answers");
    let text = answer.text().await.expect("all of it");
    let log: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    log.iter()
        .filter(|entry| {
            entry["path"]
                .as_str()
                .is_some_and(|path| path.contains("/composite"))
        })
        .filter_map(|entry| entry["method"].as_str().map(ToOwned::to_owned))
        .collect()
}

#[tokio::test]
async fn f38_an_ad_behind_many_that_are_refused_alike_is_reached_soon() {
    let world = World::new(1).await;
    let many: Vec<String> = (1..=450).map(|ad| format!("{ad}:small")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let own = refusal("INVALID_FIELD", WORDS, &many);
    let refused = world.sandbox.fault(fault("POST", "/composite", "", own));
    let daemon = world.daemon_with(&SLOW);
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 450) n")
        .await;
    daemon.logged(REFUSES).await;
    slow_down(&world, refused).await;

    world
        .app("insert into ad_product values (500, 'small', 0, 1)")
        .await;
    is_reported_soon(&world, "500").await;
}

#[tokio::test]
async fn f38_what_waits_beside_a_trial_that_is_refused_is_tried_soon() {
    let world = World::new(1).await;
    let daemon = world.daemon_with(&SLOW);
    world
        .app("insert into ad_product values (1, 'small', 0, 1), (2, 'small', 0, 1)")
        .await;
    world.in_step().await;
    let refused = refuse_two(&world, "POST");
    world
        .app("insert into ad_product values (13, 'small', 0, 1), (14, 'small', 0, 1)")
        .await;
    daemon.logged(REFUSES).await;
    slow_down(&world, refused).await;

    // Changes of ads that are wrong as well come before what is new.
    let own = refusal("INVALID_FIELD", WORDS, &["1:small", "2:small"]);
    world.sandbox.fault(fault("PATCH", "/composite", "", own));
    world
        .app(
            "begin; update ad_product set quantity = 2 where ad_id <= 2; \
             insert into ad_product values (15, 'small', 0, 1); commit",
        )
        .await;
    is_reported_soon(&world, "15").await;
}

#[tokio::test]
async fn f38_ads_that_were_refused_are_no_news_at_the_next_sweep() {
    let world = World::new(1).await;
    let refused = refuse_two(&world, "POST");
    let daemon = world.daemon_with(&[
        ("OUTAGE_BASE", "10ms"),
        ("OUTAGE_MAX", "100ms"),
        ("CAPTURE_SWEEP_INTERVAL", "100ms"),
    ]);
    world
        .app("insert into ad_product values (13, 'small', 0, 1), (14, 'small', 0, 1)")
        .await;
    daemon.logged(REFUSES).await;
    // From here on half a second at least lies between two, half of the longest
    // pause; many sweeps go by in three of them.
    let hits = || world.sandbox.fault_hits(refused);
    wait_until("the longest pause", PATIENCE, async || hits() >= 6).await;

    let (start, before) = (Instant::now(), hits());
    wait_until("some trials", PATIENCE, async || hits() >= before + 3).await;
    let trials = u128::from(hits() - before);
    let most = 1 + start.elapsed().as_millis() / 500;
    assert!(trials <= most, "{trials} trials, not {most}");
}
