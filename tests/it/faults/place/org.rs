//! Another database or another org than those that were written down.

use serde_json::json;

use super::REFUSES;
use crate::support::World;

const ADS: &str =
    "insert into ad_product select n, 'small', n % 2, 1 from generate_series(1, 20) n";

#[tokio::test]
async fn f20_a_copy_of_the_database_reports_nothing() {
    let world = World::new(2).await;
    let mut daemon = world.daemon();
    world.app(ADS).await;
    world.in_step().await;
    daemon.sigterm();
    daemon.ended().await;
    // A template must have no connections.
    world.pool.close().await;
    let server = &world.database.server;
    let admin = sqlx::PgPool::connect(&server.url("postgres"))
        .await
        .expect("the server answers");
    sqlx::query("create database staging template app")
        .execute(&admin)
        .await
        .expect("a copy");
    let staging = sqlx::PgPool::connect(&server.url("staging"))
        .await
        .expect("the copy answers");
    let reported = world.held().await;

    let settings = server.url("staging");
    let settings = [
        ("DATABASE_URL", settings.as_str()),
        ("QUEUE_NAME", "staging"),
    ];
    let copy = world.daemon_with(&settings);
    copy.logged(REFUSES).await;
    sqlx::query("update ad_product set quantity = 99")
        .execute(&staging)
        .await
        .expect("the copy is written");
    crate::support::wait_until(
        "the change to be captured",
        crate::support::PATIENCE,
        async || {
            let pending: i64 =
                sqlx::query_scalar("select count(*) from usage_sync.ad where state = 'pending'")
                    .fetch_one(&staging)
                    .await
                    .expect("it can be read");
            pending == 20
        },
    )
    .await;
    assert_eq!(world.held().await, reported, "the copy reported nothing");

    // It becomes the place that reports.
    let (exit, out) = world.command_with(&["rebase"], &settings).await;
    assert_eq!(exit, 0, "{out}");
    copy.logged("reporting goes on").await;
    crate::support::wait_until("its reports", crate::support::PATIENCE, async || {
        let held = world.held().await;
        held.len() == 20 && held.iter().all(|usage| usage.quantity.starts_with("99"))
    })
    .await;
}

#[tokio::test]
async fn f52_the_credentials_of_another_org_report_nothing() {
    let world = World::new(2).await;
    let mut daemon = world.daemon();
    world.app(ADS).await;
    world.in_step().await;
    daemon.sigterm();
    daemon.ended().await;
    let reported = world.held().await;

    world
        .sandbox
        .settings(&json!({"org": 7}))
        .expect("another org");
    world.app("update ad_product set quantity = 2").await;
    let daemon = world.daemon();
    daemon.logged(REFUSES).await;
    world.ad_is("1", "pending").await;
    let status = world.status_json().await;
    assert!(
        status["elsewhere"]
            .as_str()
            .expect("a reason")
            .contains("org"),
        "{status}"
    );
    let (exit, state, message, remedy) = world.checked("place").await;
    assert_eq!((exit, state.as_str()), (1, "failed"), "{message}");
    assert!(remedy.contains("SALESFORCE_"), "{remedy}");
    assert_eq!(world.held().await, reported, "nothing was reported");

    // The right org again: nothing has to be confirmed.
    world.sandbox.settings(&json!({"org": 0})).expect("the org");
    world.sandbox.expire_tokens();
    drop(daemon);
    let _daemon = world.daemon();
    world.in_step().await;
}

#[tokio::test]
async fn f52_a_running_daemon_notices_that_its_login_leads_elsewhere() {
    let world = World::new(2).await;
    let daemon = world.daemon();
    world.app(ADS).await;
    world.in_step().await;

    world
        .sandbox
        .settings(&json!({"org": 7}))
        .expect("another org");
    world.sandbox.expire_tokens();
    // The call that finds the token dead is the last one.
    world
        .app("update ad_product set quantity = 2 where ad_id = 1")
        .await;
    daemon.logged(REFUSES).await;
}

#[tokio::test]
async fn f52_a_new_org_is_reported_to_anew_after_a_rebase() {
    let world = World::new(2).await;
    let daemon = world.daemon();
    world.app(ADS).await;
    world.in_step().await;
    drop(daemon);

    // A sandbox that was refreshed has none of the records.
    world
        .sandbox
        .settings(&json!({"org": 7}))
        .expect("another org");
    let rows = world.sandbox.records("Usage__c").expect("records");
    let client = reqwest::Client::new();
    for row in &rows {
        let id = row["Id"].as_str().expect("an id");
        let url = format!("{}/records/Usage__c/{id}", world.sandbox.control_url());
        let gone = client
            .delete(url)
            .send()
            .await
            .expect("the sandbox answers");
        assert!(gone.status().is_success(), "{gone:?}");
    }
    assert!(world.held().await.is_empty());
    world.app("delete from ad_product where ad_id = 20").await;

    let daemon = world.daemon();
    daemon.logged(REFUSES).await;
    let (exit, out) = world.command(&["rebase"]).await;
    assert_eq!(exit, 0, "{out}");
    assert!(out.contains("missing       20 records"), "{out}");
    world.in_step().await;
    assert_eq!(world.held().await.len(), 19);
}

/// Nothing was reported, so nothing binds.
#[tokio::test]
async fn f52_wrong_credentials_before_the_first_report_are_simply_corrected() {
    let world = World::new(1).await;
    world
        .sandbox
        .settings(&json!({"org": 7}))
        .expect("another org");
    let daemon = world.daemon();
    crate::support::wait_until(
        "the org to be written down",
        crate::support::PATIENCE,
        async || world.status_json().await["place"]["org"].is_string(),
    )
    .await;
    drop(daemon);

    world.sandbox.settings(&json!({"org": 0})).expect("the org");
    world.sandbox.expire_tokens();
    let daemon = world.daemon();
    world
        .app("insert into ad_product values (1, 'small', 0, 1)")
        .await;
    world.in_step().await;

    assert!(!daemon.log().contains(REFUSES));
}

/// As after the records of another org were copied into it, or another database
/// reported there.
#[tokio::test]
async fn f20_an_org_that_is_ahead_all_at_once_is_told_by_its_first_no_and_waits_for_a_rebase() {
    let world = World::new(2).await;
    let daemon = world.daemon();
    world.app(ADS).await;
    world.in_step().await;
    for record in world.sandbox.records("Usage__c").expect("records") {
        let id = record["Id"].as_str().expect("an id");
        world
            .sandbox
            .change("Usage__c", id, &json!({"Revision__c": 1_000_000}))
            .expect("it changes");
    }
    let reported = world.held().await;

    world.app("update ad_product set quantity = 2").await;
    daemon.logged(REFUSES).await;
    let status = world.status_json().await;
    let why = status["elsewhere"].as_str().expect("a reason");
    assert!(why.contains("1000000 was used already"), "{status}");
    let (exit, state, _, remedy) = world.checked("place").await;
    assert_eq!((exit, state.as_str()), (1, "failed"));
    assert!(remedy.contains("usage-sync rebase"), "{remedy}");
    world.ad_is("1", "pending").await;
    assert_eq!(world.held().await, reported, "nothing was reported");

    let (exit, out) = world.command(&["rebase"]).await;
    assert_eq!(exit, 0, "{out}");
    world.in_step().await;
    assert_eq!(daemon.log().matches(REFUSES).count(), 1);
}
