//! One record on which Salesforce chokes holds up no other.

use usage_sync::sandbox::Effect;

use super::{complaints, fault, refusal};
use crate::support::{PATIENCE, World, wait_until};

/// One ad out of 400 makes every request fail that it is in.
async fn one_culprit(effect: Effect, settings: &[(&'static str, &str)]) {
    let world = World::new(4).await;
    for method in ["POST", "PATCH"] {
        world
            .sandbox
            .fault(fault(method, "/composite", "\"13:small\"", effect.clone()));
    }
    world
        .app("insert into ad_product select n, 'small', n % 4, 1 from generate_series(1, 400) n")
        .await;
    let daemon = world.daemon_with(settings);

    wait_until("the other 399", PATIENCE, async || {
        world.held().await.len() >= 399 && world.pending().await <= 1
    })
    .await;
    // It is under suspicion, and what comes now shares no call with it.
    world
        .app("insert into ad_product select n, 'small', 1, 1 from generate_series(401, 420) n")
        .await;
    world.ad_is("420", "reported").await;
    world.ad_is("13", "rejected").await;

    let (_, code, message) = world.status("13").await;
    assert_eq!(code.as_deref(), Some("NO_ANSWER"));
    assert!(
        message
            .unwrap_or_default()
            .contains("given up after 6 tries")
    );
    daemon.logged("ad rejected").await;
    let log = daemon.log();
    assert_eq!(complaints(&log), 1, "{log}");
    world.sandbox.clear_faults();
    let (exit, _) = world.command(&["retry", "13"]).await;
    assert_eq!(exit, 0);
    world.in_step().await;
}

#[tokio::test]
async fn f39_a_record_that_gets_a_page_of_html_holds_up_no_other() {
    one_culprit(Effect::HtmlPage { status: 500 }, &[]).await;
}

#[tokio::test]
async fn f39_a_record_that_makes_salesforce_hang_up_holds_up_no_other() {
    one_culprit(Effect::DropBefore, &[]).await;
}

#[tokio::test]
async fn f39_a_record_whose_answers_get_lost_holds_up_no_other() {
    one_culprit(Effect::DropAfter, &[]).await;
}

#[tokio::test]
async fn f39_a_record_that_makes_salesforce_hang_holds_up_no_other() {
    let settings = [
        ("SALESFORCE_TIMEOUT", "1s"),
        ("SALESFORCE_CONNECT_TIMEOUT", "900ms"),
        ("SALESFORCE_READ_TIMEOUT", "900ms"),
    ];
    one_culprit(Effect::Hang, &settings).await;
}

#[tokio::test]
async fn f39_the_only_ad_may_look_like_an_outage_until_another_goes_through() {
    let world = World::new(1).await;
    for method in ["POST", "PATCH"] {
        let page = Effect::HtmlPage { status: 500 };
        world
            .sandbox
            .fault(fault(method, "/composite", "\"13:small\"", page));
    }
    let daemon = world.daemon();
    world
        .app("insert into ad_product values (13, 'small', 0, 1)")
        .await;
    daemon.logged("salesforce is down").await;

    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(14, 20) n")
        .await;
    wait_until("the others", PATIENCE, async || {
        world.held().await.len() == 7
    })
    .await;
    daemon.logged("salesforce is back").await;
    // More of them come from time to time, so it cannot be Salesforce.
    for _ in 0..3 {
        world
            .app("update ad_product set quantity = quantity + 1 where ad_id > 13")
            .await;
        wait_until("the others", PATIENCE, async || world.pending().await <= 1).await;
    }
    assert_eq!(daemon.log().matches("salesforce is down").count(), 1);
    world.sandbox.clear_faults();
    world.command(&["retry", "--rejected"]).await;
    world.in_step().await;
}

#[tokio::test]
async fn f39_several_such_records_of_one_contract_are_all_found() {
    let world = World::new(1).await;
    let culprits = ["13", "14", "77", "150", "199"];
    for culprit in culprits {
        for method in ["POST", "PATCH"] {
            let id = format!("\"{culprit}:small\"");
            let page = Effect::HtmlPage { status: 502 };
            world.sandbox.fault(fault(method, "/composite", &id, page));
        }
    }
    let daemon = world.daemon();

    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 200) n")
        .await;
    wait_until("the other 195", PATIENCE, async || {
        world.held().await.len() == 195
    })
    .await;
    for culprit in culprits {
        world.ad_is(culprit, "rejected").await;
    }

    assert_eq!(world.pending().await, 0);
    assert!(complaints(&daemon.log()) <= 8, "{}", daemon.log());
}

#[tokio::test]
async fn f39_a_correction_on_which_salesforce_chokes_holds_up_no_other() {
    let world = World::new(1).await;
    let _daemon = world.daemon();
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 40) n")
        .await;
    world.in_step().await;
    // As a unit, and later, in doubt, in a call with others.
    for (path, name) in [("/graph", "/13%3Asmall\""), ("/sobjects", "\"13:small\"")] {
        let page = Effect::HtmlPage { status: 500 };
        world.sandbox.fault(fault("", path, name, page));
    }

    world
        .app(
            "begin; update ad_product set quantity = 2; \
             insert into ad_product select n, 'large', 0, 1 from generate_series(1, 40) n; commit",
        )
        .await;
    wait_until("the other 39", PATIENCE, async || {
        world.held().await.len() == 79
    })
    .await;
    world.ad_is("13", "rejected").await;
    assert_eq!(world.consumed(0), Some(39.0 * 3.0 + 1.0));

    world.sandbox.clear_faults();
    world.command(&["retry", "--rejected"]).await;
    world.in_step().await;
}

#[tokio::test]
async fn f39_a_removal_on_which_salesforce_chokes_holds_up_no_other() {
    let world = World::new(1).await;
    let _daemon = world.daemon();
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 40) n")
        .await;
    world.in_step().await;
    let rows = world.sandbox.records("Usage__c").expect("records");
    let row = rows.iter().find(|row| row["External_Id__c"] == "13:small");
    let id = row.expect("a record")["Id"].as_str().expect("an id");
    world
        .sandbox
        .fault(fault("DELETE", id, "", Effect::DropBefore));

    world.app("delete from ad_product").await;
    wait_until("the other 39 to go", PATIENCE, async || {
        world.held().await.len() == 1
    })
    .await;
    world.ad_is("13", "rejected").await;

    world.sandbox.clear_faults();
    world.command(&["retry", "--rejected"]).await;
    world.in_step().await;
}

#[tokio::test]
async fn f39_a_lookup_on_which_salesforce_chokes_holds_up_no_other() {
    let world = World::new(1).await;
    let lost = world
        .sandbox
        .fault(fault("POST", "/composite", "", Effect::DropAfter));
    let down = world
        .sandbox
        .fault(fault("PATCH", "/composite", "", Effect::DropBefore));
    let daemon = world.daemon();
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 40) n")
        .await;
    wait_until("all to be in doubt", PATIENCE, async || {
        world.sandbox.fault_hits(lost) > 0
            && world.sandbox.fault_hits(down) > 0
            && world.held().await.len() == 40
    })
    .await;
    drop(daemon);
    world.sandbox.clear_faults();
    let page = Effect::HtmlPage { status: 500 };
    world
        .sandbox
        .fault(fault("GET", "%2713%3Asmall%27", "", page));

    world.app("delete from ad_product").await;
    let _next = world.daemon();
    wait_until("the other 39 to go", PATIENCE, async || {
        world.held().await.len() == 1
    })
    .await;
    wait_until("the app to be told", PATIENCE, async || {
        world.status("13").await.1.as_deref() == Some("NO_ANSWER")
    })
    .await;

    world.sandbox.clear_faults();
    world.in_step().await;
}

#[tokio::test]
async fn f39_a_record_that_crashes_a_trigger_is_tried_a_few_times_and_then_rejected() {
    for (code, message) in [
        ("UNKNOWN_EXCEPTION", "ErrorId: 1"),
        ("CANNOT_EXECUTE_FLOW_TRIGGER", "the flow crashed"),
        (
            "INVALID_FIELD",
            "Foreign key external ID: x not found for field External_Id__c in entity Contract_Product__c",
        ),
    ] {
        let world = World::new(1).await;
        let effect = refusal(code, message, &["7:small"]);
        let crash = world.sandbox.fault(fault("", "/composite", "", effect));
        let _daemon = world.daemon();

        world
            .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 20) n")
            .await;
        world.ad_is("7", "rejected").await;
        let (_, reason, words) = world.status("7").await;

        assert_eq!(reason.as_deref(), Some(code));
        assert!(
            words
                .unwrap_or_default()
                .starts_with("given up after 6 tries")
        );
        assert_eq!(world.held().await.len(), 19);
        assert!(world.sandbox.fault_hits(crash) >= 6, "{code}");
        world.sandbox.clear_faults();
        world.command(&["retry", "7"]).await;
        world.in_step().await;
    }
}
