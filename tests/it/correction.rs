//! A correction of one ad is one unit: Salesforce shows the state before or
//! the state after, not half of it.

use std::collections::BTreeSet;

use serde_json::json;
use usage_sync::sandbox::{Effect, Plan};

use crate::support::{PATIENCE, World, wait_until};

const BOOKED: &str = "insert into ad_product values (1, 'small', 0, 3), (1, 'large', 0, 1)";
const CORRECTED: &str = "begin; delete from ad_product where product = 'small'; \
    update ad_product set quantity = 2; \
    insert into ad_product values (1, 'gigantic', 0, 1); commit";

fn fault(effect: Effect, times: Option<u64>) -> Plan {
    Plan {
        method: Some(String::from("POST")),
        path: Some(String::from("/composite/graph")),
        times,
        ..Plan::always(effect)
    }
}

async fn names(world: &World) -> Vec<String> {
    let held = world.held().await.into_iter();
    held.map(|usage| usage.external_id).collect()
}

#[tokio::test]
async fn a_correction_is_never_seen_in_the_middle() {
    let world = World::new(1).await;
    let _daemon = world.daemon();
    world.app(BOOKED).await;
    world.in_step().await;
    let before = world.held().await;
    // Two calls would be this far apart.
    world.sandbox.settings(&json!({"base_ms": 300})).unwrap();

    world.app(CORRECTED).await;
    let after = world.wanted().await;
    wait_until("the correction", PATIENCE, async || {
        let held = world.held().await;
        assert!(held == before || held == after, "half of it: {held:?}");
        held == after
    })
    .await;

    world.in_step().await;
    assert_eq!(world.consumed(0), Some(3.0));
}

#[tokio::test]
async fn a_correction_that_is_refused_in_one_part_changes_nothing() {
    let world = World::new(1).await;
    let _daemon = world.daemon();
    world.app(BOOKED).await;
    world.in_step().await;
    let before = world.held().await;
    world.sandbox.fault(fault(
        Effect::RecordError {
            code: String::from("FIELD_CUSTOM_VALIDATION_EXCEPTION"),
            message: String::from("no gigantic ads"),
            fields: Vec::new(),
            external_ids: vec![String::from("1:gigantic")],
            every_row: 0,
        },
        None,
    ));

    world.app(CORRECTED).await;
    wait_until("the refusal", PATIENCE, async || {
        world.status("1").await.0 == "rejected"
    })
    .await;

    assert_eq!(world.held().await, before);
}

#[tokio::test]
async fn a_correction_whose_answer_is_lost_is_made_once() {
    let world = World::new(1).await;
    let _daemon = world.daemon();
    world.app(BOOKED).await;
    world.in_step().await;
    let lost = world.sandbox.fault(fault(Effect::DropAfter, Some(1)));

    world.app(CORRECTED).await;
    world.in_step().await;

    assert_eq!(world.sandbox.fault_hits(lost), 1);
    assert_eq!(names(&world).await, ["1:gigantic", "1:large"]);
}

#[tokio::test]
async fn a_record_that_is_gone_already_does_not_hold_up_the_correction() {
    let world = World::new(1).await;
    let _daemon = world.daemon();
    world.app(BOOKED).await;
    world.in_step().await;
    let records = world.sandbox.records("Usage__c").unwrap();
    let small = records
        .iter()
        .find(|record| record["External_Id__c"] == "1:small")
        .unwrap();
    let id = small["Id"].as_str().unwrap();
    let url = format!("{}/records/Usage__c/{id}", world.sandbox.control_url());
    let deleted = reqwest::Client::new().delete(url).send().await.unwrap();
    assert!(deleted.status().is_success());

    world.app(CORRECTED).await;
    world.in_step().await;

    assert_eq!(names(&world).await, ["1:gigantic", "1:large"]);
}

#[tokio::test]
async fn corrections_of_many_ads_share_their_calls() {
    let world = World::new(4).await;
    let book = "insert into ad_product select n, 'small', n % 4, 1 from generate_series(1, 600) n";
    let daemon = world.daemon();
    world.app(book).await;
    world.in_step().await;
    drop(daemon);
    world
        .app(
            "begin; insert into ad_product select ad_id, 'gigantic', contract_product, 1 from ad_product; \
             delete from ad_product where product = 'small'; commit",
        )
        .await;
    let before = world.sandbox.stats().api_calls;

    let _daemon = world.daemon();
    world.in_step().await;

    // A graph for each ad, 75 a call, and a call may not be full.
    let calls = world.sandbox.stats().api_calls - before;
    assert!(calls <= 16, "{calls} calls");
}

#[tokio::test]
async fn a_correction_too_large_for_one_unit_goes_in_the_safe_order_and_the_journal_says_so() {
    let world = World::new(1).await;
    world.keep_moments();
    let _daemon = world.daemon();
    world
        .app("insert into ad_product select 1, 'line ' || n, 0, 1 from generate_series(1, 500) n")
        .await;
    world.in_step().await;

    // One more than a graph takes.
    let correct = "begin; delete from ad_product where product in ('line 1', 'line 2'); \
        update ad_product set quantity = 2; \
        insert into ad_product values (1, 'new', 0, 1); commit";
    world.app(correct).await;
    world.in_step().await;

    let told: Vec<(String, Option<String>, i64)> = sqlx::query_as(
        "select action, code, count(*) from usage_sync.journal group by 1, 2 order by 1, 2",
    )
    .fetch_all(&world.pool)
    .await
    .expect("the journal can be read");
    let in_steps = || Some(String::from("IN_STEPS"));
    assert_eq!(
        told,
        [
            (String::from("create"), in_steps(), 1),
            (String::from("create"), None, 500),
            (String::from("update"), in_steps(), 498),
            (String::from("withdraw"), in_steps(), 2),
        ]
    );
    for state in world.states_of("1") {
        let has = |line: &str| state.iter().any(|usage| usage.external_id == line);
        assert!(
            !has("1:new") || !has("1:line 1") && !has("1:line 2"),
            "what is new stood beside what was to go"
        );
    }
}

#[tokio::test]
async fn an_ad_or_a_line_that_comes_back_under_its_name_counts_once() {
    let world = World::new(1).await;
    let _daemon = world.daemon();
    world.app(BOOKED).await;
    world.in_step().await;
    let first = ids(&world);

    world.app("delete from ad_product").await;
    world.in_step().await;
    assert_eq!(world.consumed(0), Some(0.0));
    world.app(BOOKED).await;
    world.in_step().await;
    let second = ids(&world);
    assert!(first.is_disjoint(&second), "what was deleted is no more");

    world
        .app("delete from ad_product where product = 'small'")
        .await;
    world.in_step().await;
    world
        .app("insert into ad_product values (1, 'small', 0, 2)")
        .await;
    world.in_step().await;
    assert_eq!(world.consumed(0), Some(3.0));

    // In one transaction it never was away.
    let third = ids(&world);
    world
        .app("begin; delete from ad_product; insert into ad_product values (1, 'small', 0, 7), (1, 'large', 0, 1); commit")
        .await;
    world.in_step().await;
    assert_eq!(ids(&world), third);
    assert_eq!(world.consumed(0), Some(8.0));
}

/// What Salesforce calls the records.
fn ids(world: &World) -> BTreeSet<String> {
    let records = world.sandbox.records("Usage__c").expect("records");
    let id = |record: &serde_json::Value| record["Id"].as_str().expect("an id").to_owned();
    records.iter().map(id).collect()
}
