//! What is answered while something else does not answer.

use std::time::Instant;

use reqwest::Method;
use serde_json::Value;
use usage_sync::sandbox::{Effect, Plan};

use super::{ANSWER, Answer, Gateway};
use crate::support::{PATIENCE, World, wait_until};

async fn lives(gateway: &Gateway) {
    let answer = Answer::to(gateway.request(Method::GET, "/healthz")).await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
}

#[tokio::test]
async fn without_postgres_the_gateway_says_so_and_goes_on_afterwards() {
    let (mut world, daemon) = World::reporting().await;
    drop(daemon);
    world.database.server.kill().await.expect("it dies");
    // It starts without any of them.
    let mut gateway = Gateway::of(&world).await;

    for path in ["/ads/1", "/status"] {
        gateway.get(path).await.refuses(503, "unavailable");
    }
    gateway
        .post("/ads/1/retry")
        .await
        .refuses(503, "unavailable");
    lives(&gateway).await;
    world.database.server.restart().await.expect("it is back");

    // A server that was killed may have forgotten how the ad was settled.
    wait_until("the ad to be told again", PATIENCE, async || {
        gateway.get("/ads/1").await.json()["ad"]["id"] == "1"
    })
    .await;
    // All that it says has come when it has ended.
    gateway.process.sigterm();
    gateway.process.ended().await;
    let log = gateway.process.log();
    assert_eq!(
        log.matches("requests could not be answered").count(),
        1,
        "{log}"
    );
}

#[tokio::test]
async fn a_postgres_that_hangs_hangs_no_request() {
    let (world, daemon) = World::reporting().await;
    drop(daemon);
    let gateway = Gateway::of(&world).await;
    gateway.get("/ads/1").await.json();
    world.database.server.freeze();

    let began = Instant::now();
    let (ad, status, retry) = tokio::join!(
        gateway.get("/ads/1"),
        gateway.get("/status"),
        gateway.post("/ads/1/retry")
    );

    for answer in [ad, status, retry] {
        answer.refuses(503, "unavailable");
    }
    assert!(began.elapsed() < ANSWER);
    lives(&gateway).await;
    world.database.server.thaw();
    // What had hung is taken off the pool first.
    wait_until("the ad to be told again", PATIENCE, async || {
        gateway.get("/ads/1").await.json()["ad"]["state"] == "reported"
    })
    .await;
}

#[tokio::test]
async fn without_redis_the_status_tells_the_rest() {
    let (mut world, daemon) = World::reporting().await;
    drop(daemon);
    world.redis.kill().await.expect("it dies");
    let gateway = Gateway::of(&world).await;

    let status = gateway.get("/status").await.json();
    assert_eq!(
        (&status["queue"], &status["salesforce"]["up"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(status["pending"], 0);
    // A retry goes through Postgres alone.
    assert_eq!(gateway.post("/ads/1/retry").await.status.as_u16(), 202);
    world.redis.restart().await.expect("it is back");

    // A Redis that takes more than a few seconds is told as one that is away.
    wait_until("the queue to be told again", PATIENCE, async || {
        let status = gateway.get("/status").await.json();
        status["queue"]["ready"] == 0 && status["pending"] == 1
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_hangs_hangs_no_request() {
    let (world, daemon) = World::reporting().await;
    drop(daemon);
    let gateway = Gateway::of(&world).await;
    wait_until("the queue to be told", PATIENCE, async || {
        gateway.get("/status").await.json()["queue"]["ready"] == 0
    })
    .await;
    world.redis.freeze();

    let status = gateway.get("/status").await;

    // The rest, and not a no because time was over.
    assert_eq!(status.status.as_u16(), 200, "{status:?}");
    let status = status.json();
    assert_eq!(
        (&status["queue"], &status["pending"]),
        (&Value::Null, &0.into())
    );
    world.redis.thaw();
}

#[tokio::test]
async fn a_table_that_a_migration_has_is_not_waited_for() {
    let (world, daemon) = World::reporting().await;
    drop(daemon);
    let gateway = Gateway::of(&world).await;
    let mut migration = world.pool.begin().await.expect("the app's migration");
    sqlx::raw_sql("lock table ad_product in access exclusive mode")
        .execute(&mut *migration)
        .await
        .expect("it has its lock");

    let refused = gateway
        .post("/ads/1/retry")
        .await
        .refuses(503, "unavailable");

    let message = refused["message"].as_str().expect("a message");
    assert!(message.contains("migration"), "{message}");
    migration.rollback().await.expect("it is done");
    assert_eq!(gateway.post("/ads/1/retry").await.status.as_u16(), 202);
}

#[tokio::test]
async fn a_contract_is_unavailable_while_salesforce_is() {
    let world = World::new(1).await;
    let gateway = Gateway::of(&world).await;
    let contract = world.products[0].0.clone();
    let down = world
        .sandbox
        .fault(Plan::always(Effect::HtmlPage { status: 503 }));

    for path in [
        format!("/contracts/{contract}"),
        String::from("/contracts?account=001000000000001"),
    ] {
        let refused = gateway.get(&path).await.refuses(503, "unavailable");
        let since = refused["since"].as_str().expect("since when");
        assert!(since.ends_with('Z'), "{since}");
    }
    world.sandbox.end_fault(down);
    let concurrent = false;
    world.sandbox.fault(Plan {
        path: Some(String::from("/query")),
        ..Plan::always(Effect::RequestLimit { concurrent })
    });
    let refused = gateway.get(&format!("/contracts/{contract}")).await;
    let message = refused.refuses(503, "unavailable")["message"].to_string();
    assert!(message.contains("REQUEST_LIMIT_EXCEEDED"), "{message}");
    lives(&gateway).await;
}
