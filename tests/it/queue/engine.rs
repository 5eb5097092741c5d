//! What Redis does to the queue: it forgets, restarts, fills up, speaks TLS.

use std::error::Error as _;

use redis::AsyncCommands;
use usage_sync::queue::{Health, Server};

use super::{
    Bench, LONG, OVER, bench, bench_with, claimed, connect, depth, ids, open, recover_expired,
    taken,
};
use crate::support::{self, PATIENCE, wait_until};
use usage_sync::local::RedisOptions;
use usage_sync::queue::Error;

#[tokio::test]
async fn ids_come_back_when_redis_has_lost_the_list_alone() {
    let Bench {
        server: _server,
        queue,
        mut other,
    } = bench().await;
    queue.enqueue(&ids(["1", "2", "3"])).await.unwrap();
    let hand = taken(&queue, 1).await.unwrap();

    () = other.del("{usage-sync}:queue").await.unwrap();

    assert_eq!(queue.recover().await.unwrap().lost, 2);
    let mut back = claimed(&queue, 10).await;
    back.sort();
    assert_eq!(back, ["2", "3"]);
    queue.done(&hand, &hand.ids).await.unwrap();
    assert_eq!(depth(&queue).await, (0, 2, 0));
}

#[tokio::test]
async fn ids_that_the_list_lost_come_back_also_while_others_stand_in_it_and_in_hands() {
    let Bench {
        server: _server,
        queue,
        mut other,
    } = bench().await;
    queue.enqueue(&ids(["in hand", "marked"])).await.unwrap();
    let hand = taken(&queue, 2).await.unwrap();
    queue.enqueue(&ids(["lost", "marked"])).await.unwrap();
    () = other.del("{usage-sync}:queue").await.unwrap();
    queue.enqueue(&ids(["later"])).await.unwrap();

    assert_eq!(queue.recover().await.unwrap().lost, 1);
    assert_eq!(queue.recover().await.unwrap().lost, 0);

    assert_eq!(claimed(&queue, 10).await, ["later", "lost"]);
    queue.done(&hand, &hand.ids).await.unwrap();
    assert_eq!(claimed(&queue, 10).await, ["marked"]);
}

#[tokio::test]
async fn ids_that_come_back_take_no_more_room_than_there_is() {
    let Bench {
        server: _server,
        queue,
        mut other,
    } = bench_with(4, RedisOptions::default()).await;
    queue.enqueue(&ids(["1", "2", "3", "4"])).await.unwrap();
    () = other.del("{usage-sync}:queue").await.unwrap();
    queue.enqueue(&ids(["5"])).await.unwrap();
    let hand = taken(&queue, 10).await.unwrap();
    assert_eq!(hand.ids, ["5"]);

    assert_eq!(queue.recover().await.unwrap().lost, 4);

    assert_eq!(depth(&queue).await, (3, 1, 0));
    // The one that found no room is unknown now, so a sweep can offer it.
    let all = ids(["1", "2", "3", "4"]);
    assert_eq!(queue.offer(&all).await.unwrap().refused, 1);
    queue.done(&hand, &hand.ids).await.unwrap();
    assert_eq!(queue.offer(&all).await.unwrap().refused, 0);
    let mut back = claimed(&queue, 10).await;
    back.sort();
    assert_eq!(back, all);
}

#[tokio::test]
async fn a_redis_that_forgot_everything_is_noticed_once() {
    let Bench {
        server: _server,
        queue,
        mut other,
    } = bench().await;
    assert!(queue.recover().await.unwrap().emptied, "it is new");
    assert!(!queue.recover().await.unwrap().emptied);
    queue.enqueue(&ids(["1", "2"])).await.unwrap();
    let hand = taken(&queue, 1).await.unwrap();

    () = redis::cmd("FLUSHALL")
        .query_async(&mut other)
        .await
        .unwrap();

    assert!(queue.recover().await.unwrap().emptied);
    assert!(!queue.recover().await.unwrap().emptied);
    // The sweep offers what is pending, and the hand of before has no say.
    assert_eq!(queue.offer(&ids(["1", "2"])).await.unwrap().refused, 0);
    queue.done(&hand, &hand.ids).await.unwrap();
    assert_eq!(claimed(&queue, 10).await, ["1", "2"]);
}

#[tokio::test]
async fn scripts_that_redis_forgot_are_sent_again() {
    let Bench {
        server: _server,
        queue,
        mut other,
    } = bench().await;
    let mut flush = async || {
        () = redis::cmd("SCRIPT")
            .arg("FLUSH")
            .query_async(&mut other)
            .await
            .unwrap();
    };

    queue.enqueue(&ids(["1", "2", "3"])).await.unwrap();
    flush().await;
    let mut hand = taken(&queue, 10).await.unwrap();
    flush().await;
    assert_eq!(queue.renew(&mut hand).await.unwrap(), [""; 0]);
    flush().await;
    queue.done(&hand, &ids(["1"])).await.unwrap();
    flush().await;
    queue.release(&hand, &ids(["2"])).await.unwrap();
    flush().await;
    queue.retry(&hand, &[("3".to_owned(), OVER)]).await.unwrap();
    wait_until("the retry that is due", PATIENCE, async || {
        flush().await;
        queue.recover().await.unwrap().due == 1
    })
    .await;
    flush().await;
    queue.offer(&ids(["4"])).await.unwrap();

    assert_eq!(claimed(&queue, 10).await, ["2", "3", "4"]);
}

#[tokio::test]
async fn a_restarted_redis_is_used_again_by_the_same_queue() {
    let Bench {
        mut server, queue, ..
    } = bench().await;
    queue.enqueue(&ids(["1", "2"])).await.unwrap();
    let hand = taken(&queue, 1).await.unwrap();

    server.kill().await.unwrap();
    let down = queue.enqueue(&ids(["3"])).await.unwrap_err();
    assert!(!down.is_permanent());
    server.restart().await.unwrap();

    wait_until("the queue's connection", PATIENCE, async || {
        queue.enqueue(&ids(["4"])).await.is_ok()
    })
    .await;
    queue.done(&hand, &hand.ids).await.unwrap();
    assert_eq!(claimed(&queue, 10).await, ["2", "4"]);
}

#[tokio::test]
async fn an_idle_connection_that_redis_closed_fails_nothing_but_a_claim_at_most() {
    let Bench {
        server: _server,
        queue,
        mut other,
    } = bench().await;
    queue.enqueue(&ids(["1"])).await.unwrap();
    let mut hand = taken(&queue, 1).await.unwrap();
    let mut hang_up = async || {
        () = redis::cmd("CLIENT")
            .arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"])
            .query_async(&mut other)
            .await
            .unwrap();
    };

    hang_up().await;
    queue.enqueue(&ids(["2"])).await.unwrap();
    hang_up().await;
    queue.renew(&mut hand).await.unwrap();
    hang_up().await;
    queue.done(&hand, &ids(["1"])).await.unwrap();
    hang_up().await;
    queue.recover().await.unwrap();

    assert_eq!(claimed(&queue, 10).await, ["2"]);
}

#[tokio::test]
async fn a_full_memory_refuses_new_ids_and_loses_none_that_are_there() {
    let Bench {
        server,
        queue,
        mut other,
    } = bench().await;
    let dying = open(&server, 50_000, OVER).await;
    queue
        .enqueue(&ids(["1", "2", "3", "4", "5"]))
        .await
        .unwrap();
    taken(&dying, 1).await.unwrap();
    let mut hand = taken(&queue, 3).await.unwrap();
    let mut limit = async |bytes: &str| {
        () = redis::cmd("CONFIG")
            .arg(&["SET", "maxmemory", bytes])
            .query_async(&mut other)
            .await
            .unwrap();
    };

    limit("1").await;
    for refused in [queue.enqueue(&ids(["6"])), queue.enqueue(&ids(["1", "7"]))] {
        let refused = refused.await.unwrap_err();
        let cause = refused.source().unwrap().to_string();
        assert!(cause.contains("OOM"), "{cause}");
        assert!(!refused.is_permanent());
    }
    // What is there is worked off.
    assert_eq!(queue.renew(&mut hand).await.unwrap(), [""; 0]);
    queue.done(&hand, &ids(["2"])).await.unwrap();
    queue.release(&hand, &ids(["3"])).await.unwrap();
    queue.retry(&hand, &[("4".to_owned(), LONG)]).await.unwrap();
    assert_eq!(claimed(&queue, 1).await, ["5"]);
    limit("0").await;

    recover_expired(&queue, 1).await;
    assert_eq!(queue.enqueue(&ids(["4", "6"])).await.unwrap(), 0);
    assert_eq!(claimed(&queue, 10).await, ["3", "1", "4", "6"]);
}

#[tokio::test]
async fn a_certificate_that_redis_signed_itself_is_taken_only_if_the_settings_say_so() {
    let server = support::redis_with(RedisOptions::default().over_tls()).await;

    let refused = connect(&server, true, 10, LONG).await.err().unwrap();
    assert!(matches!(refused, Error::Connect(_)), "{refused:?}");
    let queue = connect(&server, false, 10, LONG).await.unwrap();

    queue.enqueue(&ids(["1"])).await.unwrap();
    assert_eq!(claimed(&queue, 10).await, ["1"]);
}

#[tokio::test]
async fn the_server_says_what_it_is() {
    let Bench {
        server: _server,
        queue,
        ..
    } = super::bench_with(10, RedisOptions::default().set("maxmemory", "100mb")).await;

    let server = queue.server().await.unwrap();

    assert!(server.is_supported(), "{server:?}");
    assert_eq!(server.eviction_policy.as_deref(), Some("noeviction"));
    assert_eq!(server.max_memory, 100 * 1024 * 1024);
    assert!(server.persistent);
    assert!(server.used_memory > 0);
}

#[test]
fn a_redis_before_6_2_is_too_old() {
    let supported = |version: &str| {
        Server {
            version: version.to_owned(),
            eviction_policy: None,
            persistent: false,
            used_memory: 0,
            max_memory: 0,
        }
        .is_supported()
    };

    for old in ["0", "2.8.24", "5.0.14", "6.0.16", "6.1.242", "nonsense"] {
        assert!(!supported(old), "{old}");
    }
    for new in ["6.2.0", "6.2.14", "7.0.15", "7.4", "8.0.3", "10.0.0"] {
        assert!(supported(new), "{new}");
    }
}

#[tokio::test]
async fn word_of_salesforces_health_lasts_as_long_as_it_was_given() {
    let Bench {
        server: _server,
        queue,
        ..
    } = bench().await;
    let health = Health {
        up: false,
        since: 1_700_000_000,
        why: Some(String::from("the login was refused")),
        remedy: None,
        api_calls_left: Some(7),
    };
    assert_eq!(queue.health().await.unwrap(), None);

    queue.publish(&health, LONG).await.unwrap();
    assert_eq!(queue.health().await.unwrap(), Some(health.clone()));
    queue.publish(&health, OVER).await.unwrap();

    wait_until("the end of the word", PATIENCE, async || {
        queue.health().await.unwrap().is_none()
    })
    .await;
}
