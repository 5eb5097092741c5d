//! The queue against a real Redis: every script and its rules.

mod crew;
mod engine;
mod hand;
mod memory;
mod random;
mod suspects;

use std::time::Duration;

use redis::{AsyncCommands, aio::MultiplexedConnection};
use secrecy::SecretString;
use usage_sync::local::{Redis, RedisOptions};
use usage_sync::queue::{Claim, Depth, Error, Queue};
use usage_sync::settings;

use crate::support::{self, PATIENCE, wait_until};

/// Longer than any test runs.
const LONG: Duration = Duration::from_hours(1);

/// Over before anybody looks.
const OVER: Duration = Duration::from_millis(1);

/// A queue on a Redis of its own.
struct Bench {
    server: Redis,
    queue: Queue,
    /// Another program with the same Redis.
    other: MultiplexedConnection,
}

async fn bench() -> Bench {
    bench_with(50_000, RedisOptions::default()).await
}

async fn bench_with(max: usize, options: RedisOptions) -> Bench {
    let server = support::redis_with(options).await;
    let queue = open(&server, max, LONG).await;
    let other = connection(&server).await;
    Bench {
        server,
        queue,
        other,
    }
}

async fn connection(server: &Redis) -> MultiplexedConnection {
    let patient = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    redis::Client::open(server.url())
        .unwrap()
        .get_multiplexed_async_connection_with_config(&patient)
        .await
        .unwrap()
}

async fn connect(
    server: &Redis,
    tls_verify: bool,
    max: usize,
    lease: Duration,
) -> Result<Queue, Error> {
    let redis = settings::Redis {
        url: SecretString::from(server.url()),
        tls_verify,
    };
    let queue = settings::Queue {
        name: "usage-sync".to_owned(),
        max,
        lease,
    };
    Queue::connect(&redis, &queue).await
}

async fn open(server: &Redis, max: usize, lease: Duration) -> Queue {
    connect(server, true, max, lease).await.unwrap()
}

fn ids<const N: usize>(ids: [&str; N]) -> Vec<String> {
    ids.map(str::to_owned).to_vec()
}

async fn claimed(queue: &Queue, most: usize) -> Vec<String> {
    taken(queue, most)
        .await
        .map_or_else(Vec::new, |claim| claim.ids)
}

async fn taken(queue: &Queue, most: usize) -> Option<Claim> {
    queue.claim(most).await.unwrap()
}

async fn depth(queue: &Queue) -> (usize, usize, usize) {
    let Depth {
        ready,
        claimed,
        retry,
        ..
    } = queue.depth().await.unwrap();
    (ready, claimed, retry)
}

/// Waits until Redis' clock has passed the end of so many leases.
async fn recover_expired(queue: &Queue, count: usize) {
    let mut expired = 0;
    wait_until("the end of the leases", PATIENCE, async || {
        expired += queue.recover().await.unwrap().expired;
        expired == count
    })
    .await;
}

#[tokio::test]
async fn an_id_that_is_queued_twice_is_taken_once() {
    let Bench {
        server: _server,
        queue,
        ..
    } = bench().await;

    for _ in 0..2 {
        assert_eq!(queue.enqueue(&ids(["1", "2", "1"])).await.unwrap(), 0);
    }
    assert_eq!(queue.offer(&ids(["2", "3"])).await.unwrap().refused, 0);

    assert_eq!(claimed(&queue, 10).await, ["1", "2", "3"]);
    assert_eq!(claimed(&queue, 10).await, [""; 0]);
}

#[tokio::test]
async fn ids_are_taken_in_the_order_in_which_they_came() {
    let Bench {
        server: _server,
        queue,
        ..
    } = bench().await;
    let many: Vec<String> = (0..2500).map(|id| id.to_string()).collect();

    queue.enqueue(&many).await.unwrap();

    let mut order = claimed(&queue, 1).await;
    order.extend(claimed(&queue, 2000).await);
    order.extend(claimed(&queue, 2000).await);
    assert_eq!(order, many);
}

#[tokio::test]
async fn an_id_in_hand_is_in_no_second_hand_and_is_queued_again_when_it_changed_and_is_put_down() {
    let Bench {
        server: _server,
        queue,
        ..
    } = bench().await;
    let changed = ids(["done", "released", "retried"]);
    queue.enqueue(&changed).await.unwrap();
    let hand = taken(&queue, 10).await.unwrap();

    queue.enqueue(&changed).await.unwrap();
    queue.offer(&changed).await.unwrap();
    assert_eq!(claimed(&queue, 10).await, [""; 0]);

    queue.done(&hand, &ids(["done"])).await.unwrap();
    queue.release(&hand, &ids(["released"])).await.unwrap();
    queue
        .retry(&hand, &[("retried".to_owned(), LONG)])
        .await
        .unwrap();
    assert_eq!(depth(&queue).await, (3, 0, 0));
    assert_eq!(claimed(&queue, 10).await, changed);
}

#[tokio::test]
async fn an_id_that_did_not_change_is_gone_when_done_and_at_the_tail_when_released() {
    let Bench {
        server: _server,
        queue,
        ..
    } = bench().await;
    queue.enqueue(&ids(["1", "2", "3"])).await.unwrap();
    let hand = taken(&queue, 2).await.unwrap();

    // An offer is no change.
    queue.offer(&ids(["1", "2"])).await.unwrap();
    queue.done(&hand, &ids(["1"])).await.unwrap();
    queue.release(&hand, &ids(["2"])).await.unwrap();

    assert_eq!(claimed(&queue, 10).await, ["3", "2"]);
}

#[tokio::test]
async fn an_id_that_waits_out_a_backoff_comes_back_when_it_is_due() {
    let Bench {
        server: _server,
        queue,
        ..
    } = bench().await;
    queue.enqueue(&ids(["soon", "late"])).await.unwrap();
    let hand = taken(&queue, 10).await.unwrap();

    let pauses = [("soon".to_owned(), OVER), ("late".to_owned(), LONG)];
    queue.retry(&hand, &pauses).await.unwrap();

    assert_eq!(claimed(&queue, 10).await, [""; 0]);
    wait_until("the retry that is due", PATIENCE, async || {
        queue.recover().await.unwrap().due == 1
    })
    .await;
    assert_eq!(depth(&queue).await, (1, 0, 1));
    assert_eq!(claimed(&queue, 10).await, ["soon"]);
}

#[tokio::test]
async fn a_change_ends_a_backoff_and_an_offer_does_not() {
    let Bench {
        server: _server,
        queue,
        ..
    } = bench().await;
    queue.enqueue(&ids(["1"])).await.unwrap();
    let hand = taken(&queue, 10).await.unwrap();
    queue.retry(&hand, &[("1".to_owned(), LONG)]).await.unwrap();

    assert_eq!(queue.offer(&ids(["1"])).await.unwrap().refused, 0);
    assert_eq!(depth(&queue).await, (0, 0, 1));
    assert_eq!(queue.enqueue(&ids(["1"])).await.unwrap(), 0);
    assert_eq!(depth(&queue).await, (1, 0, 0));
    assert_eq!(claimed(&queue, 10).await, ["1"]);
}

#[tokio::test]
async fn the_ads_of_a_dead_worker_go_to_the_tail_and_its_hand_has_no_say_any_more() {
    let Bench {
        server,
        queue: living,
        ..
    } = bench().await;
    let dying = open(&server, 50_000, OVER).await;
    let all = ids(["1", "2", "3", "4"]);
    living.enqueue(&all).await.unwrap();
    let mut dead = taken(&dying, 10).await.unwrap();
    living.enqueue(&ids(["5"])).await.unwrap();

    recover_expired(&living, 4).await;
    let hand = taken(&living, 10).await.unwrap();
    assert_eq!(hand.ids, ["5", "1", "2", "3", "4"]);

    dying.done(&dead, &ids(["1"])).await.unwrap();
    dying.release(&dead, &ids(["2"])).await.unwrap();
    let retried = [("3".to_owned(), OVER)];
    dying.retry(&dead, &retried).await.unwrap();
    assert_eq!(dying.renew(&mut dead).await.unwrap(), all);
    assert_eq!(dead.ids, [""; 0]);
    assert_eq!(depth(&living).await, (0, 5, 0));

    living.done(&hand, &hand.ids).await.unwrap();
    assert_eq!(depth(&living).await, (0, 0, 0));
}

#[tokio::test]
async fn a_renewed_lease_lasts_and_still_puts_its_ids_down() {
    let Bench {
        server,
        queue: patient,
        ..
    } = bench().await;
    let hasty = open(&server, 50_000, OVER).await;
    patient.enqueue(&ids(["1", "2"])).await.unwrap();
    let mut hand = taken(&hasty, 10).await.unwrap();

    assert_eq!(patient.renew(&mut hand).await.unwrap(), [""; 0]);
    assert_eq!(patient.recover().await.unwrap().expired, 0);
    patient.done(&hand, &ids(["1", "2"])).await.unwrap();

    assert_eq!(depth(&patient).await, (0, 0, 0));
}

#[tokio::test]
async fn a_full_queue_says_for_how_many_there_was_no_room_and_takes_no_more() {
    let Bench {
        server: _server,
        queue,
        ..
    } = bench_with(3, RedisOptions::default()).await;

    assert_eq!(queue.enqueue(&ids(["1", "2"])).await.unwrap(), 0);
    assert_eq!(queue.offer(&ids(["2", "3", "4"])).await.unwrap().refused, 1);
    // What is known needs no room, wherever it is.
    let hand = taken(&queue, 1).await.unwrap();
    assert_eq!(queue.enqueue(&ids(["1", "2", "3", "4"])).await.unwrap(), 1);
    queue.done(&hand, &ids(["1"])).await.unwrap();
    assert_eq!(depth(&queue).await, (3, 0, 0));

    let hand = taken(&queue, 2).await.unwrap();
    let retried = [("2".to_owned(), LONG)];
    queue.retry(&hand, &retried).await.unwrap();
    assert_eq!(depth(&queue).await, (1, 1, 1));
    assert_eq!(queue.offer(&ids(["4"])).await.unwrap().refused, 1);
    assert_eq!(queue.enqueue(&ids(["2", "4"])).await.unwrap(), 1);
    assert_eq!(depth(&queue).await, (2, 1, 0));

    queue.done(&hand, &ids(["3"])).await.unwrap();
    assert_eq!(queue.enqueue(&ids(["4"])).await.unwrap(), 0);
}

#[tokio::test]
async fn a_plain_push_by_another_program_is_taken_like_any_other() {
    let Bench {
        server: _server,
        queue,
        mut other,
    } = bench().await;
    let list = "{usage-sync}:queue";

    () = other.rpush(list, &["42", "42"]).await.unwrap();
    let hand = taken(&queue, 10).await.unwrap();
    assert_eq!(hand.ids, ["42"]);
    () = other.rpush(list, "42").await.unwrap();
    assert_eq!(claimed(&queue, 10).await, [""; 0]);
    queue.done(&hand, &hand.ids).await.unwrap();

    // It was pushed while in hand, so it is looked at once more, and only once.
    let hand = taken(&queue, 10).await.unwrap();
    assert_eq!(hand.ids, ["42"]);
    queue.done(&hand, &hand.ids).await.unwrap();
    assert_eq!(depth(&queue).await, (0, 0, 0));
    assert_eq!(claimed(&queue, 10).await, [""; 0]);
}

#[tokio::test]
async fn a_plain_push_of_what_is_no_text_is_dropped_and_harms_no_other_id() {
    let Bench {
        server: _server,
        queue,
        mut other,
    } = bench().await;
    let pushed: [&[u8]; 4] = [b"1", b"\xff\xfe", b"a\0b", "\u{e4}".as_bytes()];

    () = other.rpush("{usage-sync}:queue", &pushed).await.unwrap();

    let hand = taken(&queue, 10).await.unwrap();
    assert_eq!(hand.ids, ["1", "\u{e4}"]);
    assert_eq!(depth(&queue).await, (0, 2, 0));
    queue.done(&hand, &hand.ids).await.unwrap();
    assert_eq!(depth(&queue).await, (0, 0, 0));
}

#[tokio::test]
async fn installations_that_share_a_redis_do_not_see_each_other() {
    let Bench { server, queue, .. } = bench().await;
    let redis = settings::Redis {
        url: SecretString::from(server.url()),
        tls_verify: true,
    };
    let settings = settings::Queue {
        name: "other".to_owned(),
        max: 10,
        lease: LONG,
    };
    let other = Queue::connect(&redis, &settings).await.unwrap();

    queue.enqueue(&ids(["1"])).await.unwrap();

    assert_eq!(claimed(&other, 10).await, [""; 0]);
    assert_eq!(claimed(&queue, 10).await, ["1"]);
}

#[tokio::test]
async fn many_hands_take_every_id_once() {
    let Bench {
        server: _server,
        queue,
        ..
    } = bench().await;
    let all: Vec<String> = (1000..3000).map(|id| id.to_string()).collect();
    queue.enqueue(&all).await.unwrap();

    let mut hands = tokio::task::JoinSet::new();
    for most in 1..=8 {
        let queue = queue.clone();
        hands.spawn(async move {
            let mut ids = Vec::new();
            while let Some(claim) = queue.claim(most).await.unwrap() {
                ids.extend(claim.ids);
            }
            ids
        });
    }
    let mut taken = hands.join_all().await.concat();

    taken.sort();
    assert_eq!(taken, all);
}

#[tokio::test]
async fn what_is_to_be_taken_is_found_behind_what_is_not() {
    let Bench {
        server: _server,
        queue,
        mut other,
    } = bench().await;
    let list = "{usage-sync}:queue";
    queue.enqueue(&ids(["1"])).await.unwrap();
    let hand = taken(&queue, 1).await.unwrap();
    let pushed: [&[u8]; 4] = [b"\xff", b"1", b"\xfe", b"2"];
    () = other.rpush(list, &pushed).await.unwrap();

    // One at a time: three times there is nothing to take, and the list is not empty.
    assert_eq!(claimed(&queue, 1).await, ["2"]);

    queue.done(&hand, &hand.ids).await.unwrap();
    assert_eq!(claimed(&queue, 1).await, ["1"]);
}

#[tokio::test]
async fn what_waits_out_a_backoff_leaves_half_of_the_room_to_others() {
    let Bench {
        server: _server,
        queue,
        ..
    } = bench_with(6, RedisOptions::default()).await;
    let failing = ids(["1", "2", "3", "4", "5", "6"]);
    queue.enqueue(&failing).await.unwrap();
    let hand = taken(&queue, 10).await.unwrap();
    // In an order of their own: 1 is due last.
    let pauses: Vec<(String, Duration)> = failing
        .iter()
        .zip([6, 1, 5, 2, 4, 3].map(|hours| LONG * hours))
        .map(|(id, pause)| (id.clone(), pause))
        .collect();

    let mut left = queue.retry(&hand, &pauses).await.unwrap();

    left.sort();
    let (gone, remaining): (Vec<String>, Vec<Duration>) = left.into_iter().unzip();
    assert_eq!(gone, ["1", "3", "5"], "those that are due last");
    assert!(
        remaining.iter().all(|pause| *pause > LONG * 3),
        "{remaining:?}"
    );
    assert_eq!(depth(&queue).await, (0, 0, 3));
    let healthy = ids(["7", "8", "9", "10"]);
    assert_eq!(queue.enqueue(&healthy).await.unwrap(), 1);
    assert_eq!(claimed(&queue, 10).await, ["7", "8", "9"]);
}
