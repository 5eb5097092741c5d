//! How much memory a full queue takes.

use redis::AsyncCommands;
use usage_sync::local::RedisOptions;

use super::{LONG, bench_with, taken};

/// What Heroku's smallest Redis has.
const SMALLEST: &str = "25mb";
const MAX: usize = 50_000;

/// A uuid is as long as an id gets in practice.
fn uuid(n: usize) -> String {
    format!("{n:08x}-5b7e-4c1d-9a3f-{:012x}", n * 7919)
}

/// A bigint of an app that counts from a snowflake.
fn bigint(n: usize) -> String {
    (1_790_000_000_000_000_000 + n).to_string()
}

#[tokio::test]
async fn as_many_ids_as_the_queue_holds_fit_into_the_smallest_redis_wherever_they_are() {
    for id in [uuid, bigint] {
        let options = RedisOptions::default().set("maxmemory", SMALLEST);
        let mut bench = bench_with(MAX, options).await;
        let queue = &bench.queue;
        let all: Vec<String> = (0..MAX).map(id).collect();
        // Redis refuses what its memory has no room for.
        assert_eq!(queue.enqueue(&all).await.unwrap(), 0);
        let mut fullest = bench.queue.server().await.unwrap().used_memory;

        // All of them in hand, begun with, half of them changed meanwhile; half put down
        // to wait and half given back.
        let mut hands = Vec::new();
        while let Some(claim) = taken(queue, 800).await {
            queue.begin(&claim).await.unwrap();
            hands.push(claim);
        }
        assert_eq!(queue.enqueue(&all[..MAX / 2]).await.unwrap(), 0);
        fullest = fullest.max(queue.server().await.unwrap().used_memory);
        for (n, claim) in hands.iter().enumerate() {
            let ids = &claim.ids;
            if n % 2 == 0 {
                queue.release(claim, ids).await.unwrap();
            } else {
                let pauses: Vec<_> = ids.iter().map(|id| (id.clone(), LONG)).collect();
                queue.retry(claim, &pauses).await.unwrap();
            }
            if n % 8 == 0 {
                fullest = fullest.max(queue.server().await.unwrap().used_memory);
            }
        }

        let total = queue.depth().await.unwrap().total();
        assert_eq!(total, MAX);
        println!("{}: {fullest} bytes at the fullest", id(1));
        let limit: u64 = 25 * 1024 * 1024;
        assert!(
            fullest < limit * 3 / 4,
            "{fullest} bytes leave too little room"
        );
        let evicted: usize = bench.other.exists("{usage-sync}:queued").await.unwrap();
        assert_eq!(evicted, 1);
    }
}
