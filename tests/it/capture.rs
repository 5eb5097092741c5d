//! Capture with real Postgres and Redis: whatever is committed gets into the
//! queue, whatever breaks in between.

mod broken;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use usage_sync::capture::{Capture, Context, Listener};
use usage_sync::local::Redis;
use usage_sync::metrics::Metrics;
use usage_sync::queue::Queue;
use usage_sync::settings;
use usage_sync::shutdown::{Shutdown, Trigger};
use usage_sync::trouble::Trouble;

use crate::schema::{migrated, sql};
use crate::support::{self, Database, PATIENCE, wait_until};

/// So rarely that it does not happen in a test.
const NEVER: Duration = Duration::from_hours(1);
const OFTEN: Duration = Duration::from_millis(20);

/// By this name the listener's connection is found in Postgres.
const EARS: &str = "ears";

/// An app with a watched table, a Redis, and any number of captures.
struct Bench {
    database: Database,
    app: PgPool,
    redis: Redis,
    queue: Queue,
    max: usize,
    metrics: Arc<Metrics>,
    sweep: Arc<Notify>,
    running: JoinSet<()>,
    trigger: Trigger,
    shutdown: Shutdown,
}

async fn bench() -> Bench {
    bench_with(50_000).await
}

async fn bench_with(max: usize) -> Bench {
    let (database, app) = migrated().await;
    sql(
        &app,
        "create table ad (id int); select usage_sync.watch('ad', 'id')",
    )
    .await;
    let redis = support::redis().await;
    let queue = Queue::connect(
        &settings::Redis {
            url: SecretString::from(redis.url()),
            tls_verify: true,
        },
        &settings::Queue {
            name: "usage-sync".to_owned(),
            max,
            lease: NEVER,
        },
    )
    .await
    .unwrap();
    let (trigger, shutdown) = Shutdown::manual();
    Bench {
        database,
        app,
        redis,
        queue,
        max,
        metrics: Arc::default(),
        sweep: Arc::default(),
        running: JoinSet::new(),
        trigger,
        shutdown,
    }
}

impl Bench {
    /// Starts a capture; answers what its listener wakes.
    async fn capture(&mut self, poll_interval: Duration, sweep_interval: Duration) -> Arc<Notify> {
        let changed = Arc::new(Notify::new());
        let capture = Capture::new(Context {
            pool: self.database.pool().await,
            postgres: Trouble::with("postgres"),
            queue: self.queue.clone(),
            queue_max: self.max,
            pace: settings::Capture {
                poll_interval,
                sweep_interval,
            },
            metrics: Arc::clone(&self.metrics),
            pushed: Arc::default(),
            sweep: Arc::clone(&self.sweep),
            changed: Arc::clone(&changed),
        });
        self.running.spawn(capture.run(self.shutdown.clone()));
        changed
    }

    /// Starts a capture that looks at the outbox only when it is woken.
    async fn capture_that_listens(&mut self) {
        let changed = self.capture(NEVER, NEVER).await;
        let connect: PgConnectOptions = self.database.url.parse().unwrap();
        let listener = Listener::new(
            connect.application_name(EARS),
            self.database.pool().await,
            changed,
        );
        self.running.spawn(listener.run(self.shutdown.clone()));
    }

    async fn insert(&self, ads: std::ops::RangeInclusive<i32>) {
        sqlx::query("insert into ad select generate_series($1, $2)")
            .bind(ads.start())
            .bind(ads.end())
            .execute(&self.app)
            .await
            .unwrap();
    }

    async fn queued(&self, count: usize) {
        wait_until(&format!("{count} queued ads"), PATIENCE, async || {
            self.queue
                .depth()
                .await
                .is_ok_and(|depth| depth.ready == count)
        })
        .await;
    }

    /// Changes one ad after the other and waits for each. A capture looks at
    /// the outbox unasked when it starts and when its listener connects, so the
    /// third at the latest was notified.
    async fn is_woken(&self, first: i32) {
        let before = self.queue.depth().await.unwrap().ready;
        for (queued, ad) in (before + 1..).zip(first..first + 4) {
            self.insert(ad..=ad).await;
            self.queued(queued).await;
        }
    }

    async fn number(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query)
            .fetch_one(&self.app)
            .await
            .unwrap()
    }

    async fn outbox_is_empty(&self) {
        wait_until("an empty outbox", PATIENCE, async || {
            self.number("select count(*) from usage_sync.change").await == 0
        })
        .await;
    }

    async fn stop(mut self) {
        self.trigger.stop();
        while let Some(ended) = self.running.join_next().await {
            ended.unwrap();
        }
    }
}

#[tokio::test]
async fn a_commit_wakes_capture() {
    let mut bench = bench().await;
    bench.capture_that_listens().await;

    bench.is_woken(1).await;

    let pending = "select count(*) from usage_sync.ad where state = 'pending' and version = 1";
    assert_eq!(bench.number(pending).await, 4);
    bench.stop().await;
}

#[tokio::test]
async fn the_poll_finds_what_was_not_notified() {
    let mut bench = bench().await;
    let mut awake = bench.app.acquire().await.unwrap();
    sqlx::query("select pg_advisory_lock(1970496883, 1)")
        .execute(&mut *awake)
        .await
        .unwrap();
    bench.capture(OFTEN, NEVER).await;

    bench.insert(1..=1).await;
    bench.queued(1).await;
    // So many at once make it want the lock that somebody else has.
    bench.insert(2..=2000).await;
    bench.queued(2000).await;
    bench.insert(2001..=2001).await;
    bench.queued(2001).await;
    bench.stop().await;
}

#[tokio::test]
async fn what_rushes_in_is_captured_and_the_listener_sleeps_again_afterwards() {
    let mut bench = bench().await;
    bench.capture_that_listens().await;
    bench.is_woken(1).await;
    let locks = "select count(*) from pg_locks where locktype = 'advisory' and granted";

    bench.insert(5..=5000).await;
    bench.queued(5000).await;
    wait_until("sleep", PATIENCE, async || bench.number(locks).await == 0).await;

    bench.is_woken(5001).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_flushed_redis_is_filled_again_while_changes_rush_in() {
    let mut bench = bench().await;
    bench.capture(OFTEN, NEVER).await;
    bench.insert(1..=3000).await;
    bench.queued(3000).await;
    let app = bench.app.clone();
    let rush = tokio::spawn(async move {
        for ad in 3001.. {
            sqlx::query("insert into ad values ($1)")
                .bind(ad)
                .execute(&app)
                .await
                .unwrap();
            // Often enough to keep it awake.
            tokio::time::sleep(OFTEN).await;
        }
    });
    let mut other = support::redis_connection(&bench.redis.url()).await.unwrap();

    () = redis::cmd("FLUSHALL")
        .query_async(&mut other)
        .await
        .unwrap();
    bench.sweep.notify_one();

    wait_until("the ads of before", PATIENCE, async || {
        bench
            .queue
            .depth()
            .await
            .is_ok_and(|depth| depth.ready >= 3000)
    })
    .await;
    rush.abort();
    bench.stop().await;
}

#[tokio::test]
async fn what_is_pending_or_due_is_offered_at_the_start() {
    let mut bench = bench().await;
    sql(
        &bench.app,
        "insert into usage_sync.ad (ad_id, state, settled_version, changed_at, retry_at, error_code)
         values ('pending', 'pending', 0, now(), null, null),
                ('reported', 'reported', 1, now(), null, null),
                ('due', 'rejected', 1, now(), now() - interval '1 s', 'X'),
                ('not yet', 'rejected', 1, now(), now() + interval '1 h', 'X')",
    )
    .await;

    bench.capture(NEVER, NEVER).await;

    bench.queued(2).await;
    let claim = bench.queue.claim(10).await.unwrap().unwrap();
    assert_eq!(claim.ids, ["pending", "due"]);
    bench.stop().await;
}

#[tokio::test]
async fn a_backlog_larger_than_redis_may_hold_goes_through_oldest_first() {
    const MAX: usize = 20;
    let mut bench = bench_with(MAX).await;
    for ad in 0..10 {
        bench.insert(ad * 30..=ad * 30 + 29).await;
    }
    bench.capture(NEVER, NEVER).await;

    let mut order = Vec::new();
    wait_until("the last of the backlog", PATIENCE, async || {
        let depth = bench.queue.depth().await.unwrap();
        assert!(depth.ready + depth.claimed <= MAX, "{depth:?}");
        if let Some(claim) = bench.queue.claim(7).await.unwrap() {
            sqlx::query(
                "update usage_sync.ad set state = 'reported', settled_version = version \
                 where ad_id = any ($1)",
            )
            .bind(&claim.ids)
            .execute(&bench.app)
            .await
            .unwrap();
            bench.queue.done(&claim, &claim.ids).await.unwrap();
            order.extend(claim.ids);
        }
        order.len() >= 300
    })
    .await;

    let statement = |ad: &String| ad.parse::<usize>().unwrap() / 30;
    let statements: Vec<usize> = order.iter().map(statement).collect();
    // One batch of the outbox is pushed in the order of its ids.
    assert!(statements[MAX..].is_sorted(), "{statements:?}");
    order.sort();
    order.dedup();
    assert_eq!(order.len(), 300);
    bench.stop().await;
}

#[tokio::test]
async fn a_truncation_counts_for_every_known_ad() {
    let mut bench = bench().await;
    sql(
        &bench.app,
        "insert into usage_sync.ad (ad_id, state, settled_version, changed_at)
         select id::text, 'reported', 1, now() from generate_series(1, 4500) as id;
         insert into usage_sync.ad (ad_id, state, settled_version, changed_at, error_code)
         values ('rejected', 'rejected', 1, now(), 'X');
         truncate ad; truncate ad",
    )
    .await;

    bench.capture(OFTEN, NEVER).await;

    bench.queued(4501).await;
    bench.outbox_is_empty().await;
    let untouched = "select count(*) from usage_sync.ad where state <> 'pending' or version < 2";
    assert_eq!(bench.number(untouched).await, 0);
    bench.stop().await;
}

#[tokio::test]
async fn several_captures_move_each_change_once() {
    let mut bench = bench().await;
    for _ in 0..3 {
        bench.capture(OFTEN, OFTEN).await;
    }
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let app = bench.app.clone();
        writers.spawn(async move {
            for turn in 0..25 {
                // All of them change ad 0, too.
                sqlx::query("insert into ad values (0), ($1)")
                    .bind(1 + writer * 100 + turn)
                    .execute(&app)
                    .await
                    .unwrap();
            }
        });
    }
    writers.join_all().await;

    bench.outbox_is_empty().await;
    bench.queued(101).await;
    let metrics = Arc::clone(&bench.metrics);
    bench.stop().await;
    assert_eq!(metrics.changes_captured.take(), 200);
}

#[tokio::test]
async fn a_long_transaction_of_the_app_holds_up_nobody_and_is_captured_when_it_ends() {
    let mut bench = bench().await;
    bench.capture_that_listens().await;
    let mut long = bench.app.begin().await.unwrap();
    sqlx::query("insert into ad values (0)")
        .execute(&mut *long)
        .await
        .unwrap();

    bench.is_woken(1).await;
    bench.insert(5..=1000).await;
    bench.queued(1000).await;
    long.commit().await.unwrap();

    bench.queued(1001).await;
    bench.stop().await;
}
