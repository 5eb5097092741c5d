//! What daemons leave for the ops page: words of themselves, and figures.

use std::time::Duration;

use redis::AsyncCommands as _;
use usage_sync::queue::{Member, Sample};

use super::{LONG, OVER, bench, taken};
use crate::support::{PATIENCE, wait_until};

fn member(id: &str, since: i64) -> Member {
    Member {
        id: id.to_owned(),
        version: String::from("1.2.3"),
        since,
        in_hand: 7,
    }
}

#[tokio::test]
async fn daemons_are_known_for_as_long_as_they_say_so() {
    let mut bench = bench().await;
    let queue = &bench.queue;
    let (old, young, dead) = (member("b", 1), member("a", 2), member("c", 3));
    queue.present(&young, LONG).await.unwrap();
    queue.present(&old, LONG).await.unwrap();
    queue.present(&dead, OVER).await.unwrap();
    let grown = Member {
        in_hand: 9,
        ..old.clone()
    };
    queue.present(&grown, LONG).await.unwrap();
    let _: () = bench
        .other
        .hset("{usage-sync}:crew", "newer", "99999999999999 {\"shape\":1}")
        .await
        .unwrap();

    let queue = &bench.queue;
    wait_until("the dead one to be forgotten", PATIENCE, async || {
        queue.crew().await.unwrap() == [grown.clone(), young.clone()]
    })
    .await;

    queue.absent("a").await.unwrap();
    assert_eq!(queue.crew().await.unwrap(), [grown]);
}

#[tokio::test]
async fn what_is_in_hand_is_counted_until_it_is_put_down() {
    let bench = bench().await;
    let queue = &bench.queue;
    let ids: Vec<String> = (0..5).map(|n| n.to_string()).collect();
    queue.enqueue(&ids).await.unwrap();
    assert_eq!(queue.in_hand(), 0);

    let mut one = taken(queue, 3).await.unwrap();
    let other = taken(&queue.clone(), 3).await.unwrap();
    assert_eq!(queue.in_hand(), 5);
    let put_down = one.ids[..2].to_vec();
    queue.done(&one, &put_down).await.unwrap();
    one.forget(&put_down);
    assert_eq!(queue.in_hand(), 3);
    drop(other);
    assert_eq!(queue.in_hand(), 1);
    drop(one);
    assert_eq!(queue.in_hand(), 0);
}

#[tokio::test]
async fn a_figure_is_kept_beside_the_same_of_others() {
    let bench = bench().await;
    // In one go, so that several fall into the same moment.
    let daemons: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    let told = daemons.iter().map(|id| bench.queue.sample(id, 1.0, 2));
    futures_util::future::try_join_all(told).await.unwrap();

    assert_eq!(bench.queue.samples().await.unwrap().len(), 300);
}

#[tokio::test]
async fn figures_are_kept_for_a_day() {
    let mut bench = bench().await;
    let queue = &bench.queue;
    queue.sample("a", 1.25, 3).await.unwrap();
    queue.sample("b", 0.0, 3).await.unwrap();
    queue.sample("a", 4000.0, 0).await.unwrap();
    let _: () = bench
        .other
        .zadd("{usage-sync}:samples", "1000 9.0 9 a", 1000)
        .await
        .unwrap();

    let queue = &bench.queue;
    let told = queue.samples().await.unwrap();

    let figures: Vec<(f64, u64)> = told.iter().map(|s| (s.lag_seconds, s.calls)).collect();
    assert_eq!(figures.len(), 3, "{told:?}");
    for figure in [(1.2, 3), (0.0, 3), (4000.0, 0)] {
        assert!(figures.contains(&figure), "{figure:?} in {told:?}");
    }
    let is_recent = |sample: &Sample| sample.ago < Duration::from_hours(1);
    assert!(told.iter().all(is_recent), "{told:?}");
}
