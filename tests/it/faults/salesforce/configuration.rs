//! What fails for every ad until a person mends it: the daemon waits, says so
//! once, and goes on by itself. What is one ad's own fault stays that ad's.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use usage_sync::sandbox::Effect;

use super::{complaints, fault, refusal};
use crate::support::{PATIENCE, World, wait_until};

/// Ten times slower the gate is where a person has to mend something.
const QUICK: [(&str, &str); 2] = [("OUTAGE_BASE", "20ms"), ("OUTAGE_MAX", "100ms")];

const REFUSES: &str = "salesforce refuses every report";

/// Breaks the org for ads that change, and mends it.
async fn broken_and_mended(broken: &Value, mended: &Value, remedy: &str) {
    let world = World::new(2).await;
    let daemon = world.daemon_with(&QUICK);
    world
        .app("insert into ad_product select n, 'small', n % 2, 1 from generate_series(1, 20) n")
        .await;
    world.in_step().await;
    world.sandbox.settings(broken).expect("a setting");
    let before = world.sandbox.stats().api_calls;

    world.app("update ad_product set quantity = 2").await;
    world
        .app("insert into ad_product select n, 'small', n % 2, 1 from generate_series(21, 40) n")
        .await;
    daemon.logged(REFUSES).await;
    wait_until("another try", PATIENCE, async || {
        world.sandbox.stats().api_calls >= before + 6
    })
    .await;
    let rejected = "select count(*) from usage_sync.ad where state = 'rejected'";
    let rejected: i64 = sqlx::query_scalar(rejected)
        .fetch_one(&world.pool)
        .await
        .expect("the ledger can be read");
    assert_eq!(rejected, 0, "ads were blamed for {broken}");
    world.sandbox.settings(mended).expect("a setting");
    world.in_step().await;
    daemon.logged("salesforce takes reports again").await;

    let log = daemon.log();
    assert_eq!(complaints(&log), 1, "{log}");
    let said = log.lines().find(|line| line.contains(REFUSES));
    let said = said.unwrap_or_default();
    assert!(said.contains(remedy), "{said}");
    let (_, words) = said.split_once("remedy=").expect("a remedy");
    assert!(
        words.starts_with('"') && !words.starts_with("\"\""),
        "{said}"
    );
}

/// Tries of a request that is refused lie ever further apart. A trial takes at
/// most so many calls.
async fn refused_seldom(world: &World, fault: u64, calls: u64, begun: Instant) {
    let (said, hits) = (Instant::now(), world.sandbox.fault_hits(fault));
    // Whoever reads the log late finds some more trials, half a second apart.
    let most = 8 + u128::from(calls) * (begun.elapsed().as_millis() / 400);
    assert!(u128::from(hits) <= most, "{hits} calls, not {most}");
    wait_until("some tries", PATIENCE, async || {
        world.sandbox.fault_hits(fault) >= hits + 7 * calls
    })
    .await;
    // Three more may have been on their way. Between the four others lie pauses
    // of at least half of 200, 400 and 800 ms.
    let paused = said.elapsed();
    assert!(paused >= Duration::from_millis(650), "{paused:?}");
}

#[tokio::test]
async fn f38_a_field_that_is_gone_stops_reporting_until_it_is_back() {
    let field =
        |hidden| json!({"fields": [{"object": "Usage__c", "field": "Ad_Id__c", "hidden": hidden}]});
    broken_and_mended(&field(true), &field(false), "Ad_Id__c").await;
}

#[tokio::test]
async fn f38_a_new_required_field_stops_reporting_until_it_is_filled_or_optional() {
    refused_alike(
        "REQUIRED_FIELD_MISSING",
        "Required fields are missing: [Region__c]",
    )
    .await;
}

#[tokio::test]
async fn f38_a_picklist_that_no_longer_has_the_value_of_all_ads_stops_reporting() {
    refused_alike(
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        "bad value for restricted picklist field: unit",
    )
    .await;
}

/// Every record is refused in the same words, and later none is.
async fn refused_alike(code: &str, message: &str) {
    let world = World::new(1).await;
    let daemon = world.daemon_with(&QUICK);
    let all = refusal(code, message, &[]);
    let all = world.sandbox.fault(fault("", "/composite", "", all));

    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 300) n")
        .await;
    daemon.logged(REFUSES).await;
    wait_until("another try", PATIENCE, async || {
        world.sandbox.fault_hits(all) > 2
    })
    .await;
    assert_eq!(world.status("7").await.0, "pending");
    world.sandbox.clear_faults();
    world.in_step().await;
    daemon.logged("salesforce takes reports again").await;

    assert!(daemon.log().contains(message), "{}", daemon.log());
    assert_eq!(complaints(&daemon.log()), 1, "{}", daemon.log());
}

#[tokio::test]
async fn f38_revoked_rights_stop_reporting_until_they_are_given_back() {
    broken_and_mended(
        &json!({"rights": {"Usage__c": ["read"]}}),
        &json!({"rights": {"Usage__c": ["create", "read", "edit", "delete"]}}),
        "right",
    )
    .await;
}

#[tokio::test]
async fn f38_an_object_that_is_gone_stops_reporting_until_it_is_back() {
    let world = World::new(1).await;
    let daemon = world.daemon_with(&QUICK);
    let gone = Effect::Error {
        status: 404,
        code: String::from("NOT_FOUND"),
        message: String::from("The requested resource does not exist"),
    };
    let gone = world.sandbox.fault(fault("POST", "/composite", "", gone));
    let begun = Instant::now();

    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 300) n")
        .await;
    daemon.logged(REFUSES).await;
    refused_seldom(&world, gone, 1, begun).await;
    world.sandbox.clear_faults();
    world.in_step().await;

    assert!(
        daemon.log().contains("compare SALESFORCE_OBJECT"),
        "{}",
        daemon.log()
    );
}

#[tokio::test]
async fn f38_a_request_that_is_refused_whatever_is_in_it_blames_no_ad() {
    let world = World::new(1).await;
    let daemon = world.daemon_with(&QUICK);
    let gone = Effect::Error {
        status: 400,
        code: String::from("INVALID_FIELD"),
        message: String::from("No such column 'Ad_Id__c' on sobject of type Usage__c"),
    };
    let gone = world.sandbox.fault(fault("POST", "/composite", "", gone));
    let begun = Instant::now();

    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 200) n")
        .await;
    daemon.logged(REFUSES).await;
    refused_seldom(&world, gone, 4, begun).await;
    world.sandbox.clear_faults();
    world.in_step().await;

    assert_eq!(complaints(&daemon.log()), 1, "{}", daemon.log());
}

#[tokio::test]
async fn f38_an_org_that_is_mended_while_a_call_is_divided_rejects_no_ad() {
    let world = World::new(1).await;
    let words = "No such column 'Ad_Id__c' on sobject of type Usage__c";
    let refused = Effect::Error {
        status: 400,
        code: String::from("INVALID_FIELD"),
        message: String::from(words),
    };
    // The call as a whole, and the one ad of it that is sent by itself.
    let mut twice = fault("POST", "/composite", "", refused);
    twice.times = Some(2);
    let twice = world.sandbox.fault(twice);
    let daemon = world.daemon_with(&QUICK);

    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 100) n")
        .await;
    world.in_step().await;

    assert_eq!(world.sandbox.fault_hits(twice), 2);
    assert_eq!(complaints(&daemon.log()), 0, "{}", daemon.log());
}

#[tokio::test]
async fn f38_one_ad_with_a_field_that_is_not_there_stops_no_other() {
    let world = World::new(1).await;
    let words = "No such column 'Colour__c' on sobject of type Usage__c";
    for method in ["POST", "PATCH"] {
        let own = refusal("INVALID_FIELD", words, &["13:small"]);
        world.sandbox.fault(fault(method, "/composite", "", own));
    }
    let daemon = world.daemon_with(&QUICK);

    world
        .app("insert into ad_product values (13, 'small', 0, 1)")
        .await;
    world.ad_is("13", "rejected").await;
    world
        .app(
            "insert into ad_product select n, 'small', 0, 1 from generate_series(14, 40) n; \
              update ad_product set quantity = 2 where ad_id = 13",
        )
        .await;
    world.ad_is("40", "reported").await;
    world.ad_is("13", "rejected").await;

    assert!(!daemon.log().contains(REFUSES), "{}", daemon.log());
}

#[tokio::test]
async fn f38_one_ad_that_is_still_refused_does_not_keep_the_others_waiting() {
    let world = World::new(1).await;
    let words = "No such column 'Colour__c' on sobject of type Usage__c";
    world.sandbox.fault(fault(
        "POST",
        "/composite",
        "",
        refusal("INVALID_FIELD", words, &[]),
    ));
    let daemon = world.daemon_with(&QUICK);
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 30) n")
        .await;
    daemon.logged(REFUSES).await;

    // Between the two the org is whole, which harms nothing.
    world.sandbox.clear_faults();
    world.sandbox.fault(fault(
        "POST",
        "/composite",
        "",
        refusal("INVALID_FIELD", words, &["1:small"]),
    ));

    wait_until("the others", PATIENCE, async || {
        world.held().await.len() >= 29
    })
    .await;
    daemon.logged("salesforce takes reports again").await;
}

#[tokio::test]
async fn f38_two_ads_that_come_together_and_are_refused_alike_are_rejected_and_stop_no_other() {
    let world = World::new(1).await;
    let words = "No such column 'Colour__c' on sobject of type Usage__c";
    for method in ["POST", "PATCH"] {
        let own = refusal("INVALID_FIELD", words, &["13:small", "14:small"]);
        world.sandbox.fault(fault(method, "/composite", "", own));
    }
    let daemon = world.daemon_with(&QUICK);

    world
        .app("insert into ad_product values (13, 'small', 0, 1), (14, 'small', 0, 1)")
        .await;
    daemon.logged("INVALID_FIELD").await;
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(15, 20) n")
        .await;
    world.ad_is("20", "reported").await;
    world.ad_is("13", "rejected").await;
    world.ad_is("14", "rejected").await;
}
