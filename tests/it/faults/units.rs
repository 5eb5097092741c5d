//! Corrections are one unit each, also where many share a call, where requests
//! fail and where workers die: every state that Salesforce ever had is looked at.

use serde_json::json;
use usage_sync::sandbox::{Effect, Plan};

use crate::support::{Daemon, PATIENCE, Usage, World, wait_until};

/// A number of ads with two lines each, in contract 0.
async fn booked(ads: usize) -> World {
    let world = World::new(2).await;
    world.keep_moments();
    let book = "insert into ad_product select n, line, 0, 1 \
                from generate_series(1, $1) n, unnest(array['small', 'large']) line";
    sqlx::query(book)
        .bind(i32::try_from(ads).expect("a few"))
        .execute(&world.pool)
        .await
        .expect("the app books");
    let mut daemon = world.daemon();
    world.in_step().await;
    stop(&mut daemon).await;
    world
}

async fn stop(daemon: &mut Daemon) {
    daemon.sigterm();
    assert!(daemon.ended().await.success(), "{}", daemon.log());
}

/// For every ad: one line goes, one changes, one comes.
const CORRECT: &str = "begin; delete from ad_product where product = 'small'; \
    update ad_product set quantity = 2; \
    insert into ad_product select ad_id, 'gigantic', 0, 1 from ad_product; commit";

/// What an ad was when it was booked, and what it is to be.
async fn before_and_after(world: &World, ads: usize) -> Vec<[Vec<Usage>; 2]> {
    let mut both = Vec::new();
    for ad in 1..=ads {
        let before = world.states_of(&ad.to_string()).pop().expect("a state");
        assert_eq!(before.len(), 2);
        both.push([before, world.wanted_of(&ad.to_string()).await]);
    }
    both
}

/// Nobody ever saw an ad other than empty, whole before or whole after.
#[track_caller]
fn never_half(world: &World, both: &[[Vec<Usage>; 2]]) {
    for (ad, [before, after]) in (1..).zip(both) {
        let allowed = [Vec::new(), before.clone(), after.clone()];
        world.was_only_seen_as(&i32::to_string(&ad), &allowed);
    }
}

fn graphs(effect: Effect) -> Plan {
    Plan {
        method: Some(String::from("POST")),
        path: Some(String::from("/composite/graph")),
        ..Plan::always(effect)
    }
}

#[tokio::test]
async fn f27_no_moment_shows_half_a_correction_whatever_becomes_of_the_answers() {
    const ADS: usize = 30;
    let world = booked(ADS).await;
    world.app(CORRECT).await;
    let both = before_and_after(&world, ADS).await;
    let effects = [
        Effect::DropAfter,
        Effect::Truncate,
        Effect::CutJson,
        Effect::DropBefore,
        Effect::LateLanding { after_ms: 300 },
        Effect::HtmlPage { status: 503 },
    ];
    let faults = effects.map(|effect| {
        let plan = Plan {
            times: Some(1),
            ..graphs(effect)
        };
        world.sandbox.fault(plan)
    });

    let _daemon = world.daemon_with(&[("WORKER_BATCH_SIZE", "10")]);
    world.in_step().await;

    let struck: u64 = faults
        .map(|fault| world.sandbox.fault_hits(fault))
        .iter()
        .sum();
    assert!(struck >= 3, "only {struck} answers were struck");
    never_half(&world, &both);
    assert_eq!(world.consumed(0), Some(3.0 * 30.0));
}

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn f02_no_moment_shows_half_a_correction_though_its_worker_dies() {
    for point in ["FenceCommitted", "SendingUnit", "AnsweredUnit", "Recording"] {
        let world = booked(4).await;
        world.app(CORRECT).await;
        let both = before_and_after(&world, 4).await;
        let mut dying = world.daemon_with(&[("FAILPOINT", &format!("{point}:kill"))]);
        let what = format!("a death at {point}");
        wait_until(&what, PATIENCE, async || !dying.is_running()).await;

        let _other = world.daemon();
        world.in_step().await;

        never_half(&world, &both);
    }
}

#[tokio::test]
async fn f39_of_a_hundred_corrections_the_twenty_refused_ones_hold_up_none_and_share_no_blame() {
    const ADS: usize = 100;
    let world = booked(ADS).await;
    world.app(CORRECT).await;
    let both = before_and_after(&world, ADS).await;
    // Spread, so that the first call has more of them than Salesforce goes on
    // after, and the second has some, too.
    let refused: Vec<usize> = (1..=ADS).filter(|ad| ad % 5 == 0).collect();
    let names = refused.iter().map(|ad| format!("{ad}:gigantic"));
    let no = world.sandbox.fault(graphs(Effect::RecordError {
        code: String::from("FIELD_CUSTOM_VALIDATION_EXCEPTION"),
        message: String::from("no gigantic ads"),
        fields: Vec::new(),
        external_ids: names.collect(),
        every_row: 0,
    }));
    let before = world.sandbox.stats();

    // What is not run for others' sake is no try: it waits for nothing.
    let _daemon = world.daemon_with(&[("RETRY_BASE", "10m"), ("RETRY_MAX", "10m")]);
    wait_until("all but the refused ones", PATIENCE, async || {
        world.pending().await == 0
    })
    .await;

    assert!(world.sandbox.fault_hits(no) > 0);
    let rejected: Vec<String> = sqlx::query_scalar(
        "select ad_id from usage_sync.ad where state = 'rejected' order by ad_id::int",
    )
    .fetch_all(&world.pool)
    .await
    .expect("ads");
    let expected: Vec<String> = refused.iter().map(ToString::to_string).collect();
    assert_eq!(rejected, expected);
    let blamed: Vec<(String, String)> = sqlx::query_as(
        "select distinct ad_id, code from usage_sync.journal \
         where action = 'reject' and ad_id::int % 5 <> 0",
    )
    .fetch_all(&world.pool)
    .await
    .expect("the journal");
    assert!(blamed.is_empty(), "{blamed:?}");
    for (ad, [before, after]) in (1..).zip(&both) {
        let now = world
            .states_of(&i32::to_string(&ad))
            .pop()
            .expect("a state");
        let expected = if ad % 5 == 0 { before } else { after };
        assert_eq!(&now, expected, "ad {ad}");
    }
    never_half(&world, &both);
    // 75 of them, the 60 and fewer that were not run, and 25.
    let graphs = "POST composite/graph";
    let calls = |stats: &usage_sync::sandbox::Stats| stats.calls.get(graphs).copied();
    let calls = calls(&world.sandbox.stats()).unwrap_or(0) - calls(&before).unwrap_or(0);
    assert!((2..=5).contains(&calls), "{calls} calls");
}

#[tokio::test]
async fn f38_an_org_that_refuses_every_correction_blames_none_of_many() {
    let world = booked(40).await;
    world.app(CORRECT).await;
    let lost = json!({"fields": [{"object": "Usage__c", "field": "Ad_Id__c", "hidden": true}]});
    world.sandbox.settings(&lost).expect("a setting");

    let daemon = world.daemon();
    daemon.logged("salesforce refuses").await;

    let rejected: i64 =
        sqlx::query_scalar("select count(*) from usage_sync.ad where state = 'rejected'")
            .fetch_one(&world.pool)
            .await
            .expect("ads");
    assert_eq!(rejected, 0, "{}", daemon.log());
    let found = json!({"fields": [{"object": "Usage__c", "field": "Ad_Id__c", "hidden": false}]});
    world.sandbox.settings(&found).expect("a setting");
    world.in_step().await;
}
