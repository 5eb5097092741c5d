//! Records that move to another contract, in an org that forbids to move them:
//! counted in one of the two at every moment, also while either locks.

use serde_json::json;
use usage_sync::sandbox::{Effect, Plan};

use super::salesforce::complaints;
use crate::support::{Daemon, PATIENCE, World, wait_until};

/// With one-line ads in contract 0, reported by the daemon.
async fn fixed(ads: i32, settings: &[(&'static str, &str)]) -> (World, Daemon) {
    let world = World::new(2).await;
    let field = json!({
        "object": "Usage__c", "field": "Contract_Product__c", "reparentable": false,
    });
    let setting = json!({ "fields": [field] });
    world.sandbox.settings(&setting).expect("a setting");
    world.keep_moments();
    let daemon = world.daemon_with(settings);
    sqlx::query("insert into ad_product select n, 'small', 0, 1 from generate_series(1, $1) n")
        .bind(ads)
        .execute(&world.pool)
        .await
        .expect("the app books");
    world.in_step().await;
    (world, daemon)
}

/// No ad was ever seen in two contracts, or in none once it had been in one.
fn always_in_one(world: &World, ads: i32) {
    for ad in 1..=ads {
        let states = world.states_of(&ad.to_string());
        let odd = states[1..].iter().find(|state| state.len() != 1);
        assert!(odd.is_none(), "ad {ad} was seen as {odd:?}");
    }
}

#[tokio::test]
async fn f41_where_records_may_not_move_they_are_replaced_in_one() {
    let (world, daemon) = fixed(30, &[]).await;

    world
        .app("update ad_product set contract_product = 1 where ad_id <= 20")
        .await;
    world.in_step().await;
    assert_eq!(
        (world.consumed(0), world.consumed(1)),
        (Some(10.0), Some(20.0))
    );

    // It is known by now: a call for all of them.
    let before = world.sandbox.stats().api_calls;
    world
        .app("update ad_product set contract_product = 1 - contract_product")
        .await;
    world.in_step().await;
    let calls = world.sandbox.stats().api_calls - before;
    assert!(calls <= 4, "{calls} calls");
    assert_eq!(
        (world.consumed(0), world.consumed(1)),
        (Some(20.0), Some(10.0))
    );
    always_in_one(&world, 30);
    assert_eq!(complaints(&daemon.log()), 0, "{}", daemon.log());
}

#[tokio::test]
async fn f41_a_replacement_whose_answer_is_lost_counts_once() {
    let (world, _daemon) = fixed(6, &[]).await;
    world
        .app("update ad_product set contract_product = 1 where ad_id = 1")
        .await;
    world.in_step().await;

    for effect in [Effect::DropAfter, Effect::Truncate, Effect::DropBefore] {
        let fault = world.sandbox.fault(Plan {
            path: Some(String::from("/composite/graph")),
            times: Some(1),
            ..Plan::always(effect)
        });
        world
            .app("update ad_product set contract_product = 1 - contract_product, quantity = quantity + 1")
            .await;
        world.in_step().await;
        assert_eq!(world.sandbox.fault_hits(fault), 1);
    }

    always_in_one(&world, 6);
}

#[tokio::test]
async fn f41_a_replacement_that_was_done_and_locked_before_anybody_heard_of_it_is_reported() {
    let (world, _daemon) = fixed(6, &[]).await;
    world
        .app("update ad_product set contract_product = 1 where ad_id = 1")
        .await;
    world.in_step().await;
    let lost = world.sandbox.fault(Plan {
        path: Some(String::from("/composite/graph")),
        times: Some(1),
        ..Plan::always(Effect::DropAfter)
    });
    // Time to lock the contract.
    world.sandbox.fault(Plan {
        method: Some(String::from("GET")),
        path: Some(String::from("/query")),
        ..Plan::always(Effect::Delay { ms: 500 })
    });

    world
        .app("update ad_product set contract_product = 1 where ad_id = 2")
        .await;
    wait_until("the lost answer", PATIENCE, async || {
        // Struck first, and done a moment later.
        world.sandbox.fault_hits(lost) == 1 && world.consumed(1) == Some(2.0)
    })
    .await;
    world.set_contract(1, "Fulfilled");
    world.in_step().await;

    let refused: i64 =
        sqlx::query_scalar("select count(*) from usage_sync.journal where action = 'reject'")
            .fetch_one(&world.pool)
            .await
            .expect("the journal can be read");
    assert_eq!(refused, 0);
    always_in_one(&world, 6);
}

#[tokio::test]
async fn f41_where_records_may_not_move_a_lock_on_either_side_keeps_them_where_they_are() {
    let (world, _daemon) = fixed(1, &[("RETRY_REJECTED", "500ms")]).await;
    let before = world.held().await;

    for locked in [0, 1] {
        world.set_contract(locked, "Fulfilled");
        world
            .app("update ad_product set contract_product = 1")
            .await;
        world.ad_is("1", "rejected").await;
        let (_, _, words) = world.status("1").await;
        assert!(words.is_some_and(|words| words.contains("fulfilled")));
        assert_eq!(world.held().await, before);
        world
            .app("update ad_product set contract_product = 0")
            .await;
        world.in_step().await;
        world.set_contract(locked, "Activated");
    }

    world.set_contract(1, "Fulfilled");
    world
        .app("update ad_product set contract_product = 1")
        .await;
    world.ad_is("1", "rejected").await;
    // Unlocked, it goes by itself.
    world.set_contract(1, "Activated");
    world.in_step().await;
    assert_eq!(
        (world.consumed(0), world.consumed(1)),
        (Some(0.0), Some(1.0))
    );
    always_in_one(&world, 1);
}

#[tokio::test]
async fn f40_a_correction_of_two_lines_is_refused_whole_where_one_of_them_is_locked() {
    let world = World::new(2).await;
    let _daemon = world.daemon();
    world
        .app("insert into ad_product values (1, 'small', 0, 1), (1, 'large', 1, 1)")
        .await;
    world.in_step().await;
    let before = world.held().await;
    world.set_contract(1, "Fulfilled");

    world.app("update ad_product set quantity = 5").await;
    world.ad_is("1", "rejected").await;
    assert_eq!(world.held().await, before);

    world.app("delete from ad_product").await;
    wait_until("the refusal", PATIENCE, async || world.pending().await == 0).await;
    assert_eq!(world.status("1").await.0, "rejected");
    assert_eq!(world.held().await, before);
}
