//! Redis goes away, forgets, fills up or falls behind: it heals by itself.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, FromRedisValue};
use serde_json::json;
use sqlx::types::time::OffsetDateTime;
use tokio::time::sleep;
use usage_sync::local::RedisOptions;
use usage_sync::sandbox::{Effect, Plan};

use crate::support::{self, Daemon, Mode, PATIENCE, Proxy, World, redis_connection, wait_until};

/// Longer than any test runs: what heals has not waited for a sweep.
const NO_SWEEP: (&str, &str) = ("CAPTURE_SWEEP_INTERVAL", "1h");

const KEYS: [&str; 8] = [
    "queue",
    "queued",
    "claimed",
    "retry",
    "suspects",
    "deaths",
    "filled",
    "salesforce",
];

/// A key of the installation.
pub(super) fn key(name: &str) -> String {
    format!("{{usage-sync}}:{name}")
}

async fn connection(world: &World) -> MultiplexedConnection {
    redis_connection(&world.redis.url())
        .await
        .expect("redis answers")
}

/// What Redis answers to a command.
pub(super) async fn tell<T: FromRedisValue>(world: &World, command: &[&str]) -> T {
    redis::cmd(command[0])
        .arg(&command[1..])
        .query_async(&mut connection(world).await)
        .await
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

async fn insert(world: &World, first: i32, last: i32) {
    sqlx::query("insert into ad_product select n, 'small', 0, 1 from generate_series($1, $2) n")
        .bind(first)
        .bind(last)
        .execute(&world.pool)
        .await
        .expect("the app is never hindered");
}

/// The app writes one ad after the other until `fault` is over.
async fn under_load(world: &World, fault: impl Future<Output = ()>) {
    let over = AtomicBool::new(false);
    let load = async {
        for ad in 1.. {
            insert(world, ad, ad).await;
            if over.load(Ordering::Relaxed) {
                break;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    let fault = async {
        fault.await;
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(load, fault);
}

/// The app writes so many ads more.
async fn ads_later(world: &World, more: i64) {
    let count = async || -> i64 {
        sqlx::query_scalar("select count(*) from ad_product")
            .fetch_one(&world.pool)
            .await
            .expect("the app can count")
    };
    let before = count().await;
    wait_until("the app to go on", PATIENCE, async || {
        count().await >= before + more
    })
    .await;
}

/// Whatever the app has written so far arrives, though it goes on writing.
async fn all_until_now_are_reported(world: &World) {
    let now: OffsetDateTime = sqlx::query_scalar("select clock_timestamp()")
        .fetch_one(&world.pool)
        .await
        .expect("it has a clock");
    wait_until("all ads until now to be reported", PATIENCE, async || {
        let waiting: i64 = sqlx::query_scalar(
            "select (select count(*) from usage_sync.change where changed_at <= $1) \
             + (select count(*) from usage_sync.ad where state = 'pending' and changed_at <= $1)",
        )
        .bind(now)
        .fetch_one(&world.pool)
        .await
        .expect("they can be counted");
        waiting == 0
    })
    .await;
}

/// It began and ended, and each was said once.
fn said_once(daemon: &Daemon) {
    for line in ["waiting for redis", "redis answers again"] {
        assert_eq!(daemon.log().matches(line).count(), 1, "{line}");
    }
}

fn down() -> Plan {
    Plan {
        path: Some(String::from("/services")),
        ..Plan::always(Effect::HtmlPage { status: 503 })
    }
}

async fn ready(connection: &mut MultiplexedConnection) -> usize {
    // It may be away.
    connection.llen(key("queue")).await.unwrap_or_default()
}

#[tokio::test]
async fn f03_an_ad_that_is_recorded_and_was_never_put_down_is_not_sent_again() {
    let world = World::new(1).await;
    let proxy = Proxy::in_front_of(&world.redis.url()).await;
    let slow = world.sandbox.fault(Plan {
        method: Some(String::from("POST")),
        path: Some(String::from("/composite")),
        // What a busy machine needs to stall Redis meanwhile.
        ..Plan::always(Effect::Delay { ms: 4000 })
    });
    let url = proxy.url();
    let dying = world.daemon_with(&[("REDIS_URL", &url)]);
    insert(&world, 1, 1).await;
    wait_until("the request", PATIENCE, async || {
        world.sandbox.fault_hits(slow) == 1
    })
    .await;

    // Salesforce and Postgres know, Redis does not.
    proxy.set(Mode::Stall);
    world.ad_is("1", "reported").await;
    dying.kill_9();
    proxy.set(Mode::Cut);

    let mut connection = connection(&world).await;
    let left = async |connection: &mut MultiplexedConnection| -> usize {
        let claimed: usize = connection.zcard(key("claimed")).await.expect("an answer");
        claimed + ready(connection).await
    };
    assert_eq!(left(&mut connection).await, 1);
    let _daemon = world.daemon();
    wait_until("the stale id to be dropped", PATIENCE, async || {
        left(&mut connection).await == 0
    })
    .await;
    world.in_step().await;
    assert_eq!(world.writes(), 1, "{:?}", world.sandbox.stats().calls);
}

#[tokio::test]
async fn f04_ads_that_go_to_the_tail_while_workers_are_killed_stand_there_once() {
    const ADS: i32 = 60;
    let world = World::new(3).await;
    // A call takes half as long as any of them waits for its next try, so most of
    // them stand in the list while few are in hand, for as long as one likes.
    let slow = json!({ "base_ms": 100 });
    world.sandbox.settings(&slow).expect("a setting");
    // They go back to the tail all the time.
    world
        .sandbox
        .fault(Plan::always(Effect::LockRow { every_row: 1 }));
    insert(&world, 1, ADS).await;
    let mut connection = connection(&world).await;
    let start = || {
        world.daemon_with(&[
            ("RETRY_MAX", "200ms"),
            ("WORKER_BATCH_SIZE", "5"),
            ("SALESFORCE_MAX_CONCURRENCY", "1"),
        ])
    };
    let mut daemon = start();

    for _ in 0..4 {
        let calls = world.sandbox.stats().api_calls;
        wait_until("some tries", PATIENCE, async || {
            world.sandbox.stats().api_calls > calls + 2
        })
        .await;
        daemon.kill_9();
        let list: Vec<String> = connection
            .lrange(key("queue"), 0, -1)
            .await
            .expect("an answer");
        let once: HashSet<&String> = list.iter().collect();
        assert_eq!(once.len(), list.len(), "{list:?}");
        assert!(!list.is_empty(), "nothing was seen to stand there");
        daemon = start();
    }
    world.sandbox.clear_faults();
    world.in_step().await;

    assert_eq!(
        world.sandbox.stats().records.created,
        u64::from(ADS.unsigned_abs())
    );
}

#[tokio::test]
async fn f21_a_flushed_redis_has_ten_thousand_pending_ads_again_within_five_seconds() {
    const ADS: usize = 10_000;
    let mut world = World::new(5).await;
    world.sandbox.fault(down());
    let daemon = world.daemon_with(&[NO_SWEEP]);
    insert(&world, 1, 10_000).await;
    let mut connection = connection(&world).await;
    wait_until("all of them in the queue", PATIENCE, async || {
        ready(&mut connection).await == ADS
    })
    .await;
    daemon.logged("salesforce is down").await;

    () = tell(&world, &["FLUSHALL"]).await;
    wait_until("a full queue", Duration::from_secs(5), async || {
        ready(&mut connection).await == ADS
    })
    .await;

    // The same again with another server in its place, which has nothing.
    world.redis.restart_empty().await.expect("it starts");
    let mut connection = self::connection(&world).await;
    wait_until("a full queue", Duration::from_secs(5), async || {
        ready(&mut connection).await == ADS
    })
    .await;
    world.sandbox.clear_faults();
    world.in_step().await;
    assert_eq!(world.sandbox.stats().records.created, 10_000);
}

#[tokio::test]
async fn f21_a_redis_that_is_killed_for_a_while_is_said_once_and_used_again() {
    let mut world = World::new(3).await;
    let daemon = world.daemon_with(&[NO_SWEEP]);
    insert(&world, 1_000_001, 1_000_100).await;
    world.in_step().await;

    under_load(&world, async {
        world.redis.kill().await.expect("it is killed");
        daemon.logged("waiting for redis").await;
        ads_later(&world, 200).await;
    })
    .await;
    world.redis.restart().await.expect("it starts");

    world.in_step().await;
    daemon.logged("redis answers again").await;
    said_once(&daemon);
}

#[tokio::test]
async fn f21_a_redis_that_hangs_is_said_once_and_used_again() {
    let world = World::new(3).await;
    let daemon = world.daemon_with(&[NO_SWEEP]);
    insert(&world, 1_000_001, 1_000_100).await;
    world.in_step().await;

    under_load(&world, async {
        world.redis.freeze();
        daemon.logged("waiting for redis").await;
        ads_later(&world, 200).await;
        world.redis.thaw();
    })
    .await;

    world.in_step().await;
    daemon.logged("redis answers again").await;
    said_once(&daemon);
}

#[tokio::test]
async fn f21_a_connection_to_redis_that_is_dead_without_a_word_is_given_up() {
    let world = World::new(3).await;
    let proxy = Proxy::in_front_of(&world.redis.url()).await;
    let url = proxy.url();
    let daemon = world.daemon_with(&[NO_SWEEP, ("REDIS_URL", &url)]);
    insert(&world, 1_000_001, 1_000_100).await;
    world.in_step().await;

    under_load(&world, async {
        // Whatever is asked is done, and no answer arrives.
        proxy.set(Mode::SwallowReplies);
        daemon.logged("waiting for redis").await;
        ads_later(&world, 200).await;
        // The old connections stay as dead as they are.
        proxy.forget_connections();
        proxy.set(Mode::Pass);
    })
    .await;

    world.in_step().await;
    daemon.logged("redis answers again").await;
    said_once(&daemon);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a place for the copy");
    for file in std::fs::read_dir(from).expect("its data") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), to.join(file.file_name())).expect("a copy");
    }
}

#[tokio::test]
async fn f22_a_redis_that_comes_back_as_it_was_before_loses_no_ad_and_doubles_none() {
    let mut world = World::new(3).await;
    let daemon = world.daemon_with(&[NO_SWEEP]);
    let data = world.redis.directory().join("appendonlydir");
    let snapshot = world.redis.directory().join("snapshot");
    world.sandbox.fault(down());
    insert(&world, 1, 500).await;
    let mut before = connection(&world).await;
    wait_until("the first ads in the queue", PATIENCE, async || {
        ready(&mut before).await == 500
    })
    .await;
    daemon.logged("salesforce is down").await;

    copy(&data, &snapshot);
    // What the copy has is reported meanwhile, what comes now it never heard of.
    world.sandbox.clear_faults();
    world.in_step().await;
    world.sandbox.fault(down());
    insert(&world, 501, 1000).await;
    wait_until("the others in the queue", PATIENCE, async || {
        ready(&mut before).await > 400
    })
    .await;
    world.redis.kill().await.expect("it is killed");
    std::fs::remove_dir_all(&data).expect("its data are lost");
    std::fs::rename(&snapshot, &data).expect("the copy takes their place");
    daemon.logged("waiting for redis").await;
    world.redis.restart().await.expect("it starts");
    world.sandbox.clear_faults();

    world.in_step().await;
    assert_eq!(world.sandbox.stats().records.created, 1000);
}

#[tokio::test]
async fn f22_a_replica_that_missed_everything_is_waited_for_and_filled_when_it_is_promoted() {
    let world = World::new(3).await;
    let empty = support::redis().await;
    let port = empty.port().to_string();
    let daemon = world.daemon_with(&[NO_SWEEP]);
    insert(&world, 1_000_001, 1_000_100).await;
    world.in_step().await;

    under_load(&world, async {
        () = tell(&world, &["REPLICAOF", "127.0.0.1", &port]).await;
        daemon.logged("read only replica").await;
        ads_later(&world, 200).await;
        () = tell(&world, &["REPLICAOF", "NO", "ONE"]).await;
    })
    .await;

    world.in_step().await;
    daemon.logged("redis answers again").await;
    said_once(&daemon);
}

#[tokio::test]
async fn f23_a_redis_that_is_loading_is_waited_for() {
    let mut world = World::new(3).await;
    // Microseconds a key: what a large data set takes, 15 s at most.
    world.redis = support::redis_with(RedisOptions::default().set("key-load-delay", "500")).await;
    let fill = "for n = 1, 30000 do redis.call('SET', 'filler' .. n, n) end";
    () = tell(&world, &["EVAL", fill, "0"]).await;
    let daemon = world.daemon_with(&[NO_SWEEP]);
    insert(&world, 1, 100).await;
    world.in_step().await;

    world.redis.kill().await.expect("it is killed");
    insert(&world, 101, 200).await;
    daemon.logged("waiting for redis").await;
    let url = world.redis.url();
    let loading = async {
        let mut connection = None;
        wait_until("a redis that is loading", PATIENCE, async || {
            let Ok(mut open) = redis_connection(&url).await else {
                return false;
            };
            let answer: Result<usize, _> = open.llen(key("queue")).await;
            connection = Some(open);
            answer.is_err_and(|error| error.to_string().to_lowercase().contains("loading"))
        })
        .await;
        // It was seen, and need not take any longer.
        redis::cmd("CONFIG")
            .arg(&["SET", "key-load-delay", "0"])
            .exec_async(&mut connection.expect("one that was answered"))
            .await
            .expect("it takes that also while it loads");
    };
    let (restarted, ()) = tokio::join!(world.redis.restart(), loading);
    restarted.expect("it starts");

    world.in_step().await;
    daemon.logged("redis answers again").await;
    said_once(&daemon);
}

#[tokio::test]
async fn f23_scripts_that_are_forgotten_all_the_time_are_sent_again_and_nobody_hears_of_it() {
    let world = World::new(3).await;
    let daemon = world.daemon();

    under_load(&world, async {
        for _ in 0..100 {
            ads_later(&world, 3).await;
            () = tell(&world, &["SCRIPT", "FLUSH"]).await;
        }
    })
    .await;

    world.in_step().await;
    assert!(!daemon.log().contains("waiting for redis"));
}

#[tokio::test]
async fn f24_a_redis_without_memory_is_not_fed_and_said_once_and_postgres_keeps_the_rest() {
    let world = World::new(3).await;
    let daemon = world.daemon_with(&[NO_SWEEP]);
    insert(&world, 1_000_001, 1_000_100).await;
    world.in_step().await;

    under_load(&world, async {
        () = tell(&world, &["CONFIG", "SET", "maxmemory", "1"]).await;
        daemon.logged("OOM").await;
        ads_later(&world, 200).await;
        () = tell(&world, &["CONFIG", "SET", "maxmemory", "0"]).await;
    })
    .await;

    world.in_step().await;
    daemon.logged("redis answers again").await;
    said_once(&daemon);
}

#[tokio::test]
async fn f25_whichever_key_is_evicted_no_ad_is_lost() {
    let world = World::new(3).await;
    // So that something waits out a backoff, and something else in the list.
    world.sandbox.fault(Plan {
        every: Some(2),
        ..Plan::always(Effect::LockRow { every_row: 3 })
    });
    world.sandbox.fault(Plan {
        path: Some(String::from("/composite")),
        ..Plan::always(Effect::Delay { ms: 300 })
    });
    let _daemon = world.daemon_with(&[("SALESFORCE_MAX_CONCURRENCY", "1")]);

    under_load(&world, async {
        for name in KEYS {
            ads_later(&world, 10).await;
            wait_until(&format!("{name} to be lost"), PATIENCE, async || {
                let lost: usize = tell(&world, &["DEL", &key(name)]).await;
                // Nobody died with an ad.
                lost == 1 || name == "suspects"
            })
            .await;
            // The loss of the next key must not be what heals that of this one.
            all_until_now_are_reported(&world).await;
        }
    })
    .await;
    world.sandbox.clear_faults();

    world.in_step().await;
}

#[tokio::test]
async fn f25_a_redis_that_evicts_by_itself_loses_no_ad() {
    let world = World::new(3).await;
    world.sandbox.fault(down());
    let daemon = world.daemon();
    insert(&world, 1, 1).await;
    daemon.logged("salesforce is down").await;
    let info = async || -> String { tell(&world, &["INFO"]).await };
    let number = |info: &str, name: &str| -> usize {
        let line = info.lines().find_map(|line| line.strip_prefix(name));
        line.expect("it is told").trim().parse().expect("a number")
    };
    let used = number(&info().await, "used_memory:");
    () = tell(
        &world,
        &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"],
    )
    .await;
    let limit = (used + 200_000).to_string();
    () = tell(&world, &["CONFIG", "SET", "maxmemory", &limit]).await;

    insert(&world, 2, 8000).await;
    wait_until("keys to be evicted", PATIENCE, async || {
        number(&info().await, "evicted_keys:") > 0
    })
    .await;
    // While it evicts, ads in hand are among what it forgets.
    () = tell(&world, &["CONFIG", "SET", "maxmemory", "0"]).await;
    world.sandbox.clear_faults();

    world.in_step().await;
    assert_eq!(world.sandbox.stats().records.created, 8000);
}

#[tokio::test]
async fn f26_a_stop_or_a_connection_that_redis_closes_takes_no_ad_out_of_the_queue() {
    let world = World::new(3).await;
    world.sandbox.fault(Plan {
        path: Some(String::from("/composite")),
        ..Plan::always(Effect::Hang)
    });
    let mut connection = connection(&world).await;
    insert(&world, 1, 300).await;
    let start = || {
        // A fifth of it is left to give back what hangs.
        let settings = [NO_SWEEP, ("QUEUE_LEASE", "10m"), ("SHUTDOWN_TIMEOUT", "8s")];
        world.daemon_with(&settings)
    };
    let mut daemon = start();
    let known = async |connection: &mut MultiplexedConnection| -> usize {
        let claimed: usize = connection.zcard(key("claimed")).await.expect("an answer");
        claimed + ready(connection).await
    };
    wait_until("all of them in the queue", PATIENCE, async || {
        known(&mut connection).await == 300
    })
    .await;

    for _ in 0..3 {
        wait_until("some of them in hand", PATIENCE, async || {
            ready(&mut connection).await < 300
        })
        .await;
        let kill = ["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"];
        let _closed: usize = redis::cmd(kill[0])
            .arg(&kill[1..])
            .query_async(&mut connection)
            .await
            .expect("they are closed");
        daemon.sigterm();
        assert!(daemon.ended().await.success());
        assert_eq!(ready(&mut connection).await, 300);
        daemon = start();
    }
    world.sandbox.clear_faults();
    world.in_step().await;
    assert_eq!(world.sandbox.stats().records.created, 300);
}

#[tokio::test]
async fn ads_that_fail_again_and_again_leave_room_to_those_that_do_not() {
    let world = World::new(2).await;
    // Twice as many as the queue may hold.
    sqlx::query("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 40) n")
        .execute(&world.pool)
        .await
        .expect("the app writes");
    let failing = world.sandbox.fault(Plan::always(Effect::RecordError {
        code: String::from("UNABLE_TO_LOCK_ROW"),
        message: String::from("unable to obtain exclusive access to this record"),
        fields: Vec::new(),
        external_ids: (1..=40).map(|ad| format!("{ad}:small")).collect(),
        every_row: 1,
    }));
    let _daemon = world.daemon_with(&[
        ("QUEUE_MAX", "20"),
        ("RETRY_BASE", "1h"),
        ("RETRY_MAX", "1h"),
    ]);
    let waiting = "select count(*) from usage_sync.ad where state = 'pending' and attempts >= 3";
    wait_until("all of them to have failed", PATIENCE, async || {
        let waiting: i64 = sqlx::query_scalar(waiting)
            .fetch_one(&world.pool)
            .await
            .expect("they can be counted");
        waiting == 40
    })
    .await;
    let tries = world.sandbox.fault_hits(failing);

    for ad in 101..=130 {
        sqlx::query("insert into ad_product values ($1, 'small', 1, 1)")
            .bind(ad)
            .execute(&world.pool)
            .await
            .expect("the app writes");
    }
    wait_until("the healthy ones to be reported", PATIENCE, async || {
        world.sandbox.stats().records.created == 30
    })
    .await;

    let retry: usize = tell(&world, &["ZCARD", &key("retry")]).await;
    assert!(retry <= 10, "{retry}");
    // Those that wait in Postgres keep to their pauses: only the calls for the
    // healthy ones were added.
    let added = world.sandbox.fault_hits(failing) - tries;
    let calls = world.sandbox.stats().api_calls;
    assert!(added <= 31, "{added} of {calls}");
}
