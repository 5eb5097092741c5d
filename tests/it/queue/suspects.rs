//! Ids that workers die with.

use redis::AsyncCommands;
use usage_sync::queue::{DEATHS, Queue, Suspect};

use super::{Bench, LONG, OVER, bench, claimed, ids, open, recover_expired, taken};

/// A worker begins with whatever is there and dies.
async fn die(dying: &Queue, living: &Queue, most: usize) -> Vec<String> {
    let claim = taken(dying, most).await.unwrap();
    dying.begin(&claim).await.unwrap();
    recover_expired(living, claim.ids.len()).await;
    claim.ids
}

async fn suspect(queue: &Queue) -> Option<(String, u32)> {
    let Suspect { claim, deaths } = queue.claim_suspect().await.unwrap()?;
    assert_eq!(claim.ids.len(), 1, "it is alone");
    queue.begin(&claim).await.unwrap();
    Some((claim.ids[0].clone(), deaths))
}

#[tokio::test]
async fn ids_in_hand_at_three_deaths_are_handed_out_one_by_one_and_others_all_the_time() {
    let Bench { server, queue, .. } = bench().await;
    let dying = open(&server, 50_000, OVER).await;
    queue.enqueue(&ids(["1", "2"])).await.unwrap();
    for _ in 0..DEATHS {
        assert_eq!(suspect(&queue).await, None);
        assert_eq!(die(&dying, &queue, 2).await, ["1", "2"]);
    }
    queue.enqueue(&ids(["3"])).await.unwrap();

    assert_eq!(claimed(&queue, 10).await, ["3"]);
    // They are known, wherever they wait, and take up room.
    assert_eq!(queue.enqueue(&ids(["1"])).await.unwrap(), 0);
    assert_eq!(queue.offer(&ids(["2"])).await.unwrap().refused, 0);
    let recovered = queue.recover().await.unwrap();
    assert_eq!((recovered.suspects, recovered.lost), (2, 0));
    assert_eq!(queue.depth().await.unwrap().total(), 3);
    assert_eq!(claimed(&queue, 10).await, [""; 0]);

    assert_eq!(suspect(&queue).await, Some(("1".to_owned(), DEATHS)));
    assert_eq!(suspect(&queue).await, Some(("2".to_owned(), DEATHS)));
    assert_eq!(suspect(&queue).await, None);
}

#[tokio::test]
async fn who_dies_alone_with_an_id_is_counted_and_who_puts_it_down_clears_it() {
    let Bench { server, queue, .. } = bench().await;
    let dying = open(&server, 50_000, OVER).await;
    queue.enqueue(&ids(["killer", "innocent"])).await.unwrap();
    for _ in 0..DEATHS {
        die(&dying, &queue, 2).await;
    }
    assert_eq!(claimed(&queue, 10).await, [""; 0]);

    // The sorted set hands them out by time, then by name.
    let innocent = dying.claim_suspect().await.unwrap().unwrap().claim;
    dying.begin(&innocent).await.unwrap();
    dying.done(&innocent, &innocent.ids).await.unwrap();
    let killer = dying.claim_suspect().await.unwrap().unwrap().claim;
    dying.begin(&killer).await.unwrap();
    recover_expired(&queue, 1).await;
    queue.enqueue(&innocent.ids).await.unwrap();

    assert_eq!(claimed(&queue, 10).await, ["innocent"]);
    let again = queue.claim_suspect().await.unwrap().unwrap();
    assert_eq!(
        (again.claim.ids.as_slice(), again.deaths),
        (&ids(["killer"])[..], DEATHS + 1)
    );
    // Given up on, it stays a suspect for its next time, with one life.
    queue.done(&again.claim, &again.claim.ids).await.unwrap();
    queue.keep_suspect("killer").await.unwrap();
    queue.enqueue(&ids(["killer"])).await.unwrap();
    assert_eq!(claimed(&queue, 10).await, [""; 0]);
    assert_eq!(suspect(&queue).await, Some(("killer".to_owned(), DEATHS)));
}

#[tokio::test]
async fn a_hand_that_gives_its_ids_back_or_never_began_counts_for_no_death() {
    let Bench {
        server,
        queue,
        mut other,
    } = bench().await;
    let dying = open(&server, 50_000, OVER).await;
    queue.enqueue(&ids(["1"])).await.unwrap();

    for _ in 0..=DEATHS {
        // Its answer got lost, so nobody began.
        taken(&dying, 1).await.unwrap();
        recover_expired(&queue, 1).await;
        let claim = taken(&queue, 1).await.unwrap();
        queue.begin(&claim).await.unwrap();
        queue.release(&claim, &claim.ids).await.unwrap();
    }
    let claim = taken(&queue, 1).await.unwrap();
    queue.begin(&claim).await.unwrap();
    queue
        .retry(&claim, &[("1".to_owned(), OVER)])
        .await
        .unwrap();

    let counts: usize = other.hlen("{usage-sync}:deaths").await.unwrap();
    assert_eq!(counts, 0);
    // A death that was there before is not forgiven by giving back.
    queue.enqueue(&ids(["1"])).await.unwrap();
    die(&dying, &queue, 1).await;
    let claim = taken(&queue, 1).await.unwrap();
    queue.begin(&claim).await.unwrap();
    queue.release(&claim, &claim.ids).await.unwrap();
    let count: u32 = other.hget("{usage-sync}:deaths", "1").await.unwrap();
    assert_eq!(count, 1);
    let forgotten_in: i64 = other.pttl("{usage-sync}:deaths").await.unwrap();
    assert!(forgotten_in > 0, "nothing is remembered for ever");
}

#[tokio::test]
async fn a_full_memory_keeps_no_hand_from_beginning() {
    let Bench {
        server: _server,
        queue,
        mut other,
    } = bench().await;
    queue.enqueue(&ids(["1", "2"])).await.unwrap();
    let mut limit = async |bytes: &str| {
        () = redis::cmd("CONFIG")
            .arg(&["SET", "maxmemory", bytes])
            .query_async(&mut other)
            .await
            .unwrap();
    };

    limit("1").await;
    let claim = taken(&queue, 1).await.unwrap();
    queue.begin(&claim).await.unwrap();
    queue.release(&claim, &claim.ids).await.unwrap();
    let claim = taken(&queue, 2).await.unwrap();
    queue.begin(&claim).await.unwrap();
    queue
        .retry(&claim, &[("1".to_owned(), LONG)])
        .await
        .unwrap();
    queue.done(&claim, &ids(["2"])).await.unwrap();

    assert_eq!(queue.depth().await.unwrap().total(), 1);
}
