//! A hand: how it knows that what it has is its own.

use std::time::Duration;

use redis::AsyncCommands;
use secrecy::SecretString;
use usage_sync::queue::{Claim, Queue};
use usage_sync::settings;
use usage_sync::worker::Hand;

use super::{Bench, LONG, OVER, bench, claimed, depth, ids, taken};
use crate::support::{Mode, PATIENCE, Proxy, wait_until};

async fn behind(proxy: &Proxy, lease: Duration) -> Queue {
    let redis = settings::Redis {
        url: SecretString::from(proxy.url()),
        tls_verify: true,
    };
    let queue = settings::Queue {
        name: "usage-sync".to_owned(),
        max: 50_000,
        lease,
    };
    Queue::connect(&redis, &queue).await.unwrap()
}

/// A claim of a while ago, in a Redis that knows the script.
async fn renewed_once(queue: &Queue) -> Claim {
    let mut claim = taken(queue, 10).await.unwrap();
    queue.renew(&mut claim).await.unwrap();
    wait_until("time to go by", PATIENCE, async || {
        claim.since().elapsed() > OVER * 5
    })
    .await;
    claim
}

#[tokio::test]
async fn a_renewal_whose_answer_got_lost_loses_no_id() {
    let Bench {
        server,
        queue: direct,
        mut other,
    } = bench().await;
    let proxy = Proxy::in_front_of(&server.url()).await;
    let queue = behind(&proxy, LONG).await;
    direct.enqueue(&ids(["1", "2"])).await.unwrap();
    let mut claim = renewed_once(&queue).await;
    let mut end = async || -> f64 { other.zscore("{usage-sync}:claimed", "1").await.unwrap() };
    let before = end().await;

    proxy.set(Mode::SwallowReplies);
    let renewed = async {
        let lost = queue.renew(&mut claim).await.unwrap();
        (lost, claim)
    };
    let answered = async {
        wait_until("the renewal in Redis", PATIENCE, async || {
            end().await > before
        })
        .await;
        proxy.set(Mode::Pass);
        proxy.reset_connections();
    };
    let ((lost, claim), ()) = tokio::join!(renewed, answered);

    assert_eq!(lost, [""; 0]);
    queue.done(&claim, &claim.ids).await.unwrap();
    assert_eq!(depth(&direct).await, (0, 0, 0));
}

#[tokio::test]
async fn a_renewal_that_was_never_answered_leaves_the_hand_able_to_put_down() {
    let Bench {
        server,
        queue: direct,
        mut other,
    } = bench().await;
    let proxy = Proxy::in_front_of(&server.url()).await;
    let queue = behind(&proxy, LONG).await;
    direct.enqueue(&ids(["1", "2"])).await.unwrap();
    let mut claim = renewed_once(&queue).await;
    let mut end = async || -> f64 { other.zscore("{usage-sync}:claimed", "1").await.unwrap() };
    let before = end().await;

    proxy.set(Mode::SwallowReplies);
    let hang_up = async {
        wait_until("the renewal in Redis", PATIENCE, async || {
            end().await > before
        })
        .await;
        // The second try gets no answer either.
        proxy.set(Mode::Cut);
    };
    let (failed, ()) = tokio::join!(queue.renew(&mut claim), hang_up);
    failed.unwrap_err();
    assert!(claim.is_unsure());
    proxy.set(Mode::Pass);
    let hand = Hand::new(queue.clone(), claim, LONG);
    wait_until("the queue's connection", PATIENCE, async || {
        hand.done(&ids(["1"])).await.is_ok()
    })
    .await;
    hand.release(&ids(["2"])).await.unwrap();

    assert_eq!(depth(&direct).await, (1, 0, 0));
    assert_eq!(claimed(&direct, 10).await, ["2"]);
}

#[tokio::test]
async fn a_hand_whose_lease_is_over_or_that_lost_an_id_holds_it_no_more() {
    let Bench {
        server: _server,
        queue,
        mut other,
    } = bench().await;
    queue.enqueue(&ids(["1", "2"])).await.unwrap();
    let first = taken(&queue, 1).await.unwrap();
    let second = taken(&queue, 1).await.unwrap();
    let lease = Duration::from_secs(3);

    let over = Hand::new(queue.clone(), first, OVER);
    wait_until("the end of the lease", PATIENCE, async || !over.is_valid()).await;
    assert!(!over.holds("1"));

    // A process that stood still for longer than the lease holds nothing, until it
    // is renewed.
    let hand = Hand::new(queue.clone(), second, lease);
    wait_until("the hand to hold its id", PATIENCE, async || {
        hand.holds("2")
    })
    .await;
    // Another hand took it, as after a lease that ended.
    () = other.zadd("{usage-sync}:claimed", "2", 1.0).await.unwrap();
    wait_until(
        "the loss to show in a hand that goes on",
        PATIENCE,
        async || !hand.holds("2") && hand.is_valid(),
    )
    .await;
}
