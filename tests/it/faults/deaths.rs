//! Workers that die, with one ad above all, and workers that were frozen.

use usage_sync::sandbox::{Effect, Plan};

use crate::support::{Daemon, PATIENCE, World, wait_until};

/// Strikes requests that hold the ad 13.
fn holding_13(effect: Effect) -> Plan {
    Plan {
        body: Some(String::from("\"13:small\"")),
        ..Plan::always(effect)
    }
}

/// Kills the daemon at the first request for the ad 13 after `hits` of them,
/// and starts a new one.
async fn die_sending(world: &World, daemon: Daemon, plan: u64, hits: u64) -> Daemon {
    wait_until("a request with the ad 13", PATIENCE, async || {
        world.sandbox.fault_hits(plan) > hits
    })
    .await;
    daemon.kill_9();
    world.daemon()
}

/// Waits until these ads are reported.
async fn reported(world: &World, ads: &str) {
    let query = "select count(*) from unnest(string_to_array($1, ' ')) as ad (id) \
                 where not exists (select from usage_sync.ad_status \
                 where ad_id = ad.id and state = 'reported')";
    wait_until(&format!("{ads} to be reported"), PATIENCE, async || {
        let missing: i64 = sqlx::query_scalar(query)
            .bind(ads)
            .fetch_one(&world.pool)
            .await
            .expect("the app may see it");
        missing == 0
    })
    .await;
}

#[tokio::test]
async fn f11_an_ad_that_workers_die_with_is_rejected_alone_and_others_flow_all_the_time() {
    let world = World::new(1).await;
    let never_answered = holding_13(Effect::Hang);
    let plan = world.sandbox.fault(never_answered);
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(10, 15) n")
        .await;
    // The next one has time to start and to report another ad of the same
    // contract before it takes over what this one leaves behind.
    let mut daemon = world.daemon_with(&[("QUEUE_LEASE", "12s")]);

    daemon = die_sending(&world, daemon, plan, 0).await;
    world
        .app("insert into ad_product values (21, 'small', 0, 1)")
        .await;
    reported(&world, "21").await;
    daemon = die_sending(&world, daemon, plan, 1).await;
    daemon = die_sending(&world, daemon, plan, 2).await;
    // Those that were in hand with it every time are handled alone, as it is.
    reported(&world, "10 11 12").await;
    daemon = die_sending(&world, daemon, plan, 3).await;
    world
        .app("insert into ad_product values (22, 'small', 0, 1)")
        .await;
    reported(&world, "10 11 12 14 15 22").await;
    world.ad_is("13", "rejected").await;

    let (_, code, message) = world.status("13").await;
    assert_eq!(code.as_deref(), Some("WORKER_DIED"));
    let message = message.expect("a reason");
    assert!(message.starts_with("4 workers died"), "{message}");
    daemon.logged("workers die with it").await;
    assert_eq!(world.sandbox.fault_hits(plan), 4, "it is left alone now");

    // Once its cause is gone a change is enough.
    world.sandbox.clear_faults();
    world
        .app("update ad_product set quantity = 2 where ad_id = 13")
        .await;
    reported(&world, "13").await;
    world.in_step().await;
}

#[tokio::test]
async fn f11_an_ad_that_kills_whoever_reads_it_is_rejected_unread() {
    let world = World::new(1).await;
    world
        .reads_13_by(
            "create function quantity_of_13() returns numeric language plpgsql as $$ \
             begin perform pg_sleep(3600); return 1; end $$",
        )
        .await;
    world
        .app("insert into ad_product values (12, 'small', 0, 1), (13, 'small', 0, 1)")
        .await;

    let readers = async || -> Vec<i32> {
        sqlx::query_scalar("select pid from pg_stat_activity where wait_event = 'PgSleep'")
            .fetch_all(&world.pool)
            .await
            .expect("it can be asked")
    };
    for _ in 0..4 {
        let daemon = world.daemon();
        wait_until("the ad 13 to be read", PATIENCE, async || {
            !readers().await.is_empty()
        })
        .await;
        daemon.kill_9();
        // The death of its client is nothing that a sleeping query sees, and the
        // next worker's must not be mistaken for it.
        wait_until("the query to end", PATIENCE, async || {
            let readers = readers().await;
            for reader in &readers {
                sqlx::query("select pg_terminate_backend($1)")
                    .bind(reader)
                    .execute(&world.pool)
                    .await
                    .expect("it can be ended");
            }
            readers.is_empty()
        })
        .await;
    }
    let _daemon = world.daemon();

    world.ad_is("13", "rejected").await;
    assert_eq!(world.status("13").await.1.as_deref(), Some("WORKER_DIED"));
    reported(&world, "12").await;
}

#[tokio::test]
async fn f06_what_a_frozen_worker_had_ready_is_not_sent_when_it_wakes() {
    let world = World::new(2).await;
    // One request at a time, with the two records of one ad: the other ad
    // waits ready to be sent.
    // What a busy machine needs to freeze it meanwhile.
    let slow = world.sandbox.fault(Plan {
        times: Some(1),
        ..holding_13(Effect::Delay { ms: 4000 })
    });
    let one = &[
        ("SALESFORCE_MAX_CONCURRENCY", "1"),
        ("WORKER_BATCH_SIZE", "2"),
    ];
    world
        .app(
            "insert into ad_product values (13, 'small', 0, 1), (13, 'large', 0, 1), \
             (14, 'small', 1, 1), (14, 'large', 1, 1)",
        )
        .await;
    let frozen = world.daemon_with(one);
    wait_until("the first request", PATIENCE, async || {
        world.sandbox.fault_hits(slow) == 1
    })
    .await;
    wait_until("the second ad to be ready", PATIENCE, async || {
        let ready: i64 = sqlx::query_scalar("select count(*) from usage_sync.intent")
            .fetch_one(&world.pool)
            .await
            .expect("it can be counted");
        ready == 2
    })
    .await;
    frozen.freeze();
    wait_until("the end of the request", PATIENCE, async || {
        world.sandbox.stats().in_flight == 0
    })
    .await;

    let mut other = world.daemon();
    reported(&world, "13 14").await;
    other.sigterm();
    assert!(other.ended().await.success());
    let calls = world.sandbox.stats().calls;
    frozen.thaw();
    world
        .app("insert into ad_product values (15, 'small', 0, 1)")
        .await;
    reported(&world, "15").await;
    world.in_step().await;

    // Of what happened before it slept it has to make good at most the ad
    // whose answer it never saw; the other one it does not touch.
    let journal: i64 =
        sqlx::query_scalar("select count(*) from usage_sync.journal where ad_id = '14'")
            .fetch_one(&world.pool)
            .await
            .expect("it can be counted");
    assert_eq!(journal, 2);
    let creates = |calls: &std::collections::BTreeMap<String, u64>| -> u64 {
        calls.get("POST composite/sobjects").copied().unwrap_or(0)
    };
    let after = world.sandbox.stats().calls;
    assert_eq!(creates(&after) - creates(&calls), 1, "{calls:?} {after:?}");
}
