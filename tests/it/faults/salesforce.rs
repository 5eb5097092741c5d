//! What Salesforce, its edge and the network before it do to the daemon.

use serde_json::json;
use usage_sync::sandbox::{Effect, Plan};

use crate::support::{PATIENCE, World, wait_until};

/// A fault that strikes requests with this method, whose path and body hold these.
fn fault(method: &str, path: &str, body: &str, effect: Effect) -> Plan {
    Plan {
        method: Some(method.to_owned()),
        path: Some(path.to_owned()),
        body: Some(body.to_owned()),
        ..Plan::always(effect)
    }
}

/// Lines of a level, leaving the metrics aside.
fn lines(log: &str, level: &str) -> usize {
    let level = format!("level={level}");
    log.lines().filter(|line| line.contains(&level)).count()
}

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
    let log = daemon.log();
    assert_eq!(lines(&log, "warn") + lines(&log, "error"), 1, "{log}");
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
    one_culprit(
        Effect::Hang,
        &[
            ("SALESFORCE_TIMEOUT", "500ms"),
            ("SALESFORCE_CONNECT_TIMEOUT", "400ms"),
            ("SALESFORCE_READ_TIMEOUT", "400ms"),
        ],
    )
    .await;
}
