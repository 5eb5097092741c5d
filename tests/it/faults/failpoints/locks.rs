//! The contract is locked in the middle of an edit, at each of its steps: whatever
//! Salesforce made of it is what the ledger says, and what was refused goes out by
//! itself once the contract is unlocked.

use usage_sync::failpoint::Point;

use super::{CLAIM, REQUEST, die_at, for_each, reported};
use crate::support::{PATIENCE, World, wait_until};

const CAPTURE: &[Point] = &[Point::MoveBegun, Point::Moving, Point::Moved, Point::Pushed];

/// What comes after these touches neither the ledger nor Salesforce.
const RECORD: &[Point] = &[Point::RecordBegun, Point::Recording, Point::Recorded];

/// Some change, some take two kinds of change.
const EDIT: &str = "begin; update ad_product set quantity = 7 where ad_id <= 4; \
    delete from ad_product where ad_id > 7; \
    insert into ad_product select n, 'large', 0, 3 from generate_series(8, 10) n; \
    insert into ad_product select n, 'huge', 0, 1 from generate_series(11, 13) n; commit";

const SETTINGS: [(&str, &str); 2] = [("RETRY_REJECTED", "1s"), ("WORKER_BATCH_SIZE", "10")];

#[tokio::test]
async fn f40_a_lock_at_any_step_of_an_edit_leaves_ledger_and_salesforce_agreed() {
    for_each(&[CAPTURE, CLAIM, REQUEST, RECORD].concat(), survive_lock).await;
}

#[tokio::test]
async fn f40_a_lock_after_a_death_at_any_step_of_an_edit_leaves_ledger_and_salesforce_agreed() {
    let claim = [Point::Claimed, Point::FenceTaken, Point::FenceCommitted];
    for_each(&[&claim, REQUEST, RECORD].concat(), survive_death_and_lock).await;
}

async fn survive_lock(point: Point) {
    let world = reported().await;
    let order = format!("{point:?}:stop");
    let mut settings = SETTINGS.to_vec();
    settings.push(("FAILPOINT", &order));
    let daemon = world.daemon_with(&settings);
    world.app(EDIT).await;
    let what = format!("a stop at {point:?}");
    wait_until(&what, PATIENCE, async || daemon.is_frozen()).await;

    world.set_contract(0, "Fulfilled");
    daemon.thaw();

    agreed(&world, point).await;
}

async fn survive_death_and_lock(point: Point) {
    let world = reported().await;
    die_at(&world, point, EDIT).await;
    world.set_contract(0, "Fulfilled");
    let _other = world.daemon_with(&SETTINGS);

    agreed(&world, point).await;
}

/// External ids with their quantities.
type Quantities = Vec<(String, String)>;

/// What the ledger says, what it is in doubt about, and what Salesforce holds, all
/// of one moment; `None` while a refused ad is tried again, which happens by itself
/// once a second.
async fn told_and_held(world: &World) -> Option<(Quantities, Vec<String>, Quantities)> {
    let calls = world.sandbox.stats().calls;
    let mut ledger = world
        .pool
        .begin_with("begin isolation level repeatable read")
        .await
        .expect("a connection");
    let under_way: i64 = sqlx::query_scalar("select count(*) from usage_sync.intent")
        .fetch_one(&mut *ledger)
        .await
        .expect("the ledger");
    let mut told: Quantities = sqlx::query_as(
        "select external_id, (fields->'Quantity__c')::text from usage_sync.record \
         where state = 'reported'",
    )
    .fetch_all(&mut *ledger)
    .await
    .expect("the ledger");
    told.sort();
    let doubtful: Vec<String> = sqlx::query_scalar(
        "select external_id from usage_sync.record join usage_sync.ad as ad using (ad_id) \
         where record.state = 'sending' and ad.state = 'rejected'",
    )
    .fetch_all(&mut *ledger)
    .await
    .expect("the ledger");
    ledger.rollback().await.expect("it only read");
    let held = world.held().await.into_iter();
    let held = held
        .map(|usage| (usage.external_id, usage.quantity))
        .collect();
    let is_one_moment = under_way == 0 && world.sandbox.stats().calls == calls;
    is_one_moment.then_some((told, doubtful, held))
}

/// The ledger knows what Salesforce holds, or knows that it does not.
async fn agreed(world: &World, point: Point) {
    let what = format!("all to be settled with {point:?}");
    wait_until(&what, PATIENCE, async || world.pending().await == 0).await;

    let what = format!("a moment without a try with {point:?}");
    let mut both = None;
    wait_until(&what, PATIENCE, async || {
        both = told_and_held(world).await;
        both.is_some()
    })
    .await;
    let (told, doubtful, mut held) = both.expect("it was waited for");
    held.retain(|(name, _)| !doubtful.contains(name));
    assert_eq!(told, held, "{point:?}, in doubt {doubtful:?}");

    // Unlocked, what waited goes out by itself.
    world.set_contract(0, "Activated");
    world.in_step().await;
}
