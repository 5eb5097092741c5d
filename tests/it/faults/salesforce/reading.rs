//! Salesforce takes reports and refuses to be asked about records.

use usage_sync::sandbox::{Effect, Plan};

use super::{complaints, fault};
use crate::support::{PATIENCE, World, wait_until};

/// Ten times slower than this is what a person has to mend.
const QUICK: [(&str, &str); 3] = [
    ("OUTAGE_BASE", "20ms"),
    ("OUTAGE_MAX", "100ms"),
    ("SALESFORCE_LANDING_WINDOW", "60s"),
];

const REFUSES: &str = "salesforce refuses every report";
const UNREADABLE: &str = "records cannot be read back";

/// No record can be asked for by its name.
fn refuse_questions(world: &World) -> u64 {
    let refused = Effect::Error {
        status: 400,
        code: String::from("INVALID_TYPE"),
        message: String::from("sObject type 'Usage__c' is not supported."),
    };
    world.sandbox.fault(fault("GET", "%20IN%20", "", refused))
}

/// Records that are still to be read back; their time has come.
async fn noted(world: &World) -> i64 {
    let over = "update usage_sync.landing set until = least(until, now()), look_at = now()";
    world.app(over).await;
    sqlx::query_scalar("select count(*) from usage_sync.landing")
        .fetch_one(&world.pool)
        .await
        .expect("the ledger can be read")
}

#[tokio::test]
async fn f38_a_question_that_is_refused_stops_no_report_and_is_asked_again() {
    let world = World::new(1).await;
    let daemon = world.daemon_with(&QUICK);
    let refused = refuse_questions(&world);
    let lost = world.sandbox.fault(Plan {
        times: Some(1),
        ..fault("POST", "/composite", "", Effect::DropAfter)
    });
    world
        .app("insert into ad_product values (1, 'small', 0, 1)")
        .await;
    wait_until("an answer to be lost", PATIENCE, async || {
        world.sandbox.fault_hits(lost) > 0
    })
    .await;
    world.in_step().await;
    let writes = world.sandbox.stats().records;

    let asked = async || {
        assert_eq!(
            noted(&world).await,
            1,
            "what could not be seen was passed over"
        );
        // Each time for what it should hold, and whether it can be read at all.
        world.sandbox.fault_hits(refused)
    };
    wait_until("some questions", PATIENCE, async || asked().await >= 6).await;
    assert_eq!(world.sandbox.stats().records, writes);
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(2, 20) n")
        .await;
    world.in_step().await;
    let before = world.sandbox.fault_hits(refused);
    wait_until("more questions", PATIENCE, async || asked().await > before).await;

    let log = daemon.log();
    assert!(!log.contains(REFUSES), "{log}");
    assert_eq!(log.matches(UNREADABLE).count(), 1, "{log}");
    world.sandbox.clear_faults();
    wait_until("all to be read back", PATIENCE, async || {
        noted(&world).await == 0
    })
    .await;
    daemon.logged("records can be read back again").await;
    // Mended between the two questions of one look, it passes for the refusal of a
    // field, and the ad is reported once more.
    world.in_step().await;
    // It was no outage.
    let log = daemon.log();
    let unseen = log.matches("took effect late").count();
    assert!(unseen <= 1, "{log}");
    assert_eq!(complaints(&log), 1 + unseen, "{log}");
}

#[tokio::test]
async fn f38_a_removal_that_cannot_be_looked_up_waits_and_stops_no_report() {
    let world = World::new(1).await;
    let never_answered = Effect::Withhold { hangs: true };
    let unheard = world
        .sandbox
        .fault(fault("POST", "/composite", "", never_answered));
    let first = world.daemon_with(&QUICK);
    world
        .app("insert into ad_product values (1, 'small', 0, 1)")
        .await;
    wait_until("the request", PATIENCE, async || {
        world.sandbox.fault_hits(unheard) > 0
    })
    .await;
    // It never hears what id the record has.
    wait_until("the record", PATIENCE, async || {
        world.sandbox.land().await;
        world.held().await.len() == 1
    })
    .await;
    first.kill_9();
    world.sandbox.clear_faults();
    world.app("delete from ad_product").await;
    let refused = refuse_questions(&world);

    let daemon = world.daemon_with(&QUICK);
    wait_until("some questions", PATIENCE, async || {
        world.sandbox.fault_hits(refused) >= 3
    })
    .await;
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(2, 20) n")
        .await;
    world.ad_is("20", "reported").await;
    let (state, code, _) = world.status("1").await;
    assert_eq!(
        (state.as_str(), code.as_deref()),
        ("pending", Some("INVALID_TYPE"))
    );
    assert_eq!(world.held().await.len(), 20);
    assert!(!daemon.log().contains(REFUSES), "{}", daemon.log());

    world.sandbox.clear_faults();
    world.in_step().await;
    assert!(!daemon.log().contains(REFUSES), "{}", daemon.log());
}
