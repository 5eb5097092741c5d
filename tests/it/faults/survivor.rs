//! A daemon that dies with nothing in hand, having made an ad pending that Redis
//! was not told of.

use std::collections::BTreeMap;

use crate::support::{PATIENCE, World, redis_connection, wait_until};

/// Who lives, and until when that holds.
async fn living(world: &World) -> BTreeMap<String, u64> {
    let mut redis = redis_connection(&world.redis.url()).await.expect("redis");
    redis::cmd("ZRANGE")
        .arg(&["{usage-sync}:daemons", "0", "-1", "WITHSCORES"])
        .query_async(&mut redis)
        .await
        .expect("redis answers")
}

/// What a daemon leaves that dies between the two steps.
const UNTOLD: &str = "begin; set local session_replication_role = replica; \
    insert into ad_product values (1, 'small', 0, 1); commit; \
    insert into usage_sync.ad (ad_id, changed_at) values ('1', clock_timestamp())";

#[tokio::test]
async fn f05_what_a_dead_daemon_did_not_tell_redis_of_is_found_by_a_survivor() {
    let world = World::new(1).await;
    // No sweep comes by itself but the first.
    let seldom = &[("CAPTURE_SWEEP_INTERVAL", "1h")];
    let (dying, survivor) = (world.daemon_with(seldom), world.daemon_with(seldom));
    let mut first = BTreeMap::new();
    wait_until("two daemons", PATIENCE, async || {
        first = living(&world).await;
        first.len() == 2
    })
    .await;
    wait_until("a second sign of life of both", PATIENCE, async || {
        let now = living(&world).await;
        first
            .iter()
            .all(|(id, until)| now.get(id).is_some_and(|now| now > until))
    })
    .await;
    world.app(UNTOLD).await;
    world
        .app("insert into ad_product values (2, 'small', 0, 1)")
        .await;
    world.ad_is("2", "reported").await;
    assert_eq!(world.status("1").await.0, "pending", "nobody knows of it");

    dying.kill_9();

    world.ad_is("1", "reported").await;
    survivor.logged("another daemon gave no sign of life").await;
}

#[tokio::test]
async fn a_daemon_that_ends_in_good_order_is_missed_by_nobody() {
    let world = World::new(1).await;
    let (mut ending, staying) = (world.daemon(), world.daemon());
    wait_until("two daemons", PATIENCE, async || {
        living(&world).await.len() == 2
    })
    .await;
    let before = living(&world).await;

    ending.sigterm();
    assert!(ending.ended().await.success());

    // It does not wait for a Redis that hears it late.
    let gone = format!("one of {before:?} to be gone");
    wait_until(&gone, PATIENCE, async || living(&world).await.len() == 1).await;
    assert!(
        !staying.log().contains("no sign of life"),
        "{}",
        staying.log()
    );
}
