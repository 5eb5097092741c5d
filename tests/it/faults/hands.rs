//! Two hands at one ad: one that was frozen in the middle of it, and ids that are
//! queued while, or after, another one has it.

use redis::{AsyncCommands as _, aio::MultiplexedConnection};
use usage_sync::sandbox::{Effect, Plan};

use crate::support::{Daemon, Mode, PATIENCE, Proxy, World, redis_connection, wait_until};

/// Longer than any test runs: what arrives was not found by a sweep.
const NO_SWEEP: (&str, &str) = ("CAPTURE_SWEEP_INTERVAL", "1h");

/// A claim that ends in the middle of a story would be another story.
const LONG_LEASE: (&str, &str) = ("QUEUE_LEASE", "10m");

const DOCUMENT: &str = include_str!("../../../docs/journal.md");

/// What a busy machine needs to do something while a request is on its way.
const A_WHILE: u64 = 4000;

/// The next request of a method that is about records is done this much later.
fn slow(method: &str, ms: u64) -> Plan {
    Plan {
        method: Some(method.to_owned()),
        path: Some(String::from("/composite/sobjects")),
        times: Some(1),
        ..Plan::always(Effect::Delay { ms })
    }
}

async fn struck(world: &World, plan: u64) {
    wait_until("the slow request", PATIENCE, async || {
        world.sandbox.fault_hits(plan) == 1
    })
    .await;
}

impl World {
    async fn number(&self, sql: &'static str) -> i64 {
        let number = sqlx::query_scalar(sql).fetch_one(&self.pool).await;
        number.expect("it can be read")
    }

    async fn overtaken(&self) -> i64 {
        self.number("select count(*) from usage_sync.journal where code = 'OVERTAKEN'")
            .await
    }

    /// External id and quantity of what was billed, as the journal tells it.
    async fn billed(&self) -> Vec<(String, f64)> {
        let query = DOCUMENT.split("```sql\n").nth(1).expect("it has a query");
        let query = query.split("```").next().expect("it ends");
        let sums = format!(
            "select external_id, (fields->>'Quantity__c')::float8 from ({query}) as billed order by 1"
        );
        sqlx::query_as(sqlx::AssertSqlSafe(sums.replace("$1", "now()")))
            .fetch_all(&self.pool)
            .await
            .expect("it can be asked")
    }

    async fn queue(&self) -> MultiplexedConnection {
        redis_connection(&self.redis.url())
            .await
            .expect("redis answers")
    }
}

/// Thaws a worker whose only ad another one has settled meanwhile, and waits
/// until it has seen that and has made it good.
async fn finds_itself_overtaken(world: &World, frozen: &Daemon) {
    let version = "select version from usage_sync.ad";
    let before = world.number(version).await;
    frozen.thaw();
    wait_until("it to find itself overtaken", PATIENCE, async || {
        world.number(version).await > before
    })
    .await;
    world.in_step().await;
}

/// Requests with this method that wrote records.
fn writes(world: &World, method: &str) -> u64 {
    let calls = world.sandbox.stats().calls;
    let such = calls.iter().filter(|(name, _)| name.starts_with(method));
    such.map(|(_, count)| count).sum()
}

#[tokio::test]
async fn f06_a_worker_that_was_frozen_between_two_calls_of_one_ad_makes_no_second_one() {
    let world = World::new(1).await;
    let first = world.sandbox.fault(slow("POST", A_WHILE));
    let frozen = world.daemon_with(&[("WORKER_BATCH_SIZE", "1")]);
    world
        .app(
            "insert into ad_product \
             select 1, line, 0, 1 from unnest(array['huge', 'large', 'small']) line",
        )
        .await;
    struck(&world, first).await;

    frozen.freeze();
    let mut other = world.daemon();
    world.in_step().await;
    other.sigterm();
    assert!(other.ended().await.success());
    wait_until("the end of the request", PATIENCE, async || {
        world.sandbox.stats().in_flight == 0
    })
    .await;
    let creates = writes(&world, "POST");
    finds_itself_overtaken(&world, &frozen).await;

    assert_eq!(writes(&world, "POST"), creates, "it went on");
    assert_eq!(world.billed().await.len(), 3);
}

/// A removal is the one request that no revision fences off.
#[tokio::test]
async fn f06_a_worker_that_was_frozen_before_a_removal_does_not_remove_what_came_back() {
    let world = World::new(1).await;
    let creation = world.sandbox.fault(slow("POST", A_WHILE));
    let dying = world.daemon();
    world
        .app("insert into ad_product values (1, 'small', 0, 1)")
        .await;
    struck(&world, creation).await;
    dying.freeze();
    wait_until("the record", PATIENCE, async || {
        world.held().await.len() == 1
    })
    .await;
    dying.kill_9();
    // Nobody has its id, so it is looked up first.
    world.app("delete from ad_product").await;
    let question = world.sandbox.fault(Plan {
        path: Some(String::from("small")),
        ..slow("GET", A_WHILE)
    });
    let frozen = world.daemon();
    struck(&world, question).await;

    frozen.freeze();
    world
        .app("insert into ad_product values (1, 'small', 0, 7)")
        .await;
    let mut other = world.daemon();
    world.in_step().await;
    other.sigterm();
    assert!(other.ended().await.success());
    finds_itself_overtaken(&world, &frozen).await;

    assert_eq!(world.sandbox.stats().records.deleted, 0);
}

#[tokio::test]
async fn f06_what_a_frozen_worker_had_done_is_in_the_journal_though_nobody_can_repeat_it() {
    let world = World::new(1).await;
    let frozen = world.daemon();
    world
        .app("insert into ad_product values (1, 'small', 0, 1)")
        .await;
    world.in_step().await;
    let update = world.sandbox.fault(slow("PATCH", A_WHILE));
    world.app("update ad_product set quantity = 5").await;
    struck(&world, update).await;

    frozen.freeze();
    wait_until("the update", PATIENCE, async || {
        world.consumed(0) == Some(5.0)
    })
    .await;
    world.set_contract(0, "Fulfilled");
    world.app("update ad_product set quantity = 9").await;
    let _other = world.daemon();
    world.ad_is("1", "rejected").await;
    let billed = |quantity| vec![(String::from("1:small"), quantity)];
    assert_eq!(world.billed().await, billed(1.0), "who should know better");
    frozen.thaw();

    wait_until("the journal to know", PATIENCE, async || {
        world.billed().await == billed(5.0)
    })
    .await;
    world.ad_is("1", "rejected").await;
    assert_eq!(world.consumed(0), Some(5.0));
}

#[tokio::test]
async fn f06_two_hands_that_overtake_each_other_end_right_and_queue_the_ad_once_more() {
    let world = World::new(1).await;
    let first = world.sandbox.fault(slow("POST", A_WHILE));
    let frozen = world.daemon_with(&[NO_SWEEP]);
    world
        .app("insert into ad_product values (1, 'small', 0, 1)")
        .await;
    struck(&world, first).await;

    frozen.freeze();
    // While this one sends, the other wakes and finds itself overtaken.
    let second = world.sandbox.fault(slow("PATCH", A_WHILE));
    let _other = world.daemon_with(&[NO_SWEEP]);
    struck(&world, second).await;
    frozen.thaw();
    world.in_step().await;

    assert_eq!(world.overtaken().await, 2);
    assert_eq!(world.sandbox.stats().records.created, 1);
    assert_eq!(world.billed().await, [(String::from("1:small"), 1.0)]);
    at_rest(&world).await;
}

/// Two daemons: what the first has to tell Redis is held back, and the second's
/// requests to Salesforce are.
struct Pair {
    world: World,
    first: Daemon,
    first_redis: Proxy,
    second: Daemon,
    salesforce: Proxy,
}

impl Pair {
    /// The first has made ad 1 pending and cannot tell Redis of it; the second
    /// knows nothing.
    async fn new() -> Self {
        let world = World::new(1).await;
        let salesforce = Proxy::in_front_of(world.sandbox.base_url()).await;
        world.sandbox.stand_behind(&salesforce.url());
        let first_redis = Proxy::in_front_of(&world.redis.url()).await;
        let wire = salesforce.url();
        let wire = ("SALESFORCE_LOGIN_URL", wire.as_str());
        let second = world.daemon_with(&[NO_SWEEP, LONG_LEASE, wire]);
        world
            .app("insert into ad_product values (7, 'small', 0, 1)")
            .await;
        world.in_step().await;
        // What is reported is put down a moment later, which is not to be stalled.
        at_rest(&world).await;
        second.freeze();
        let first_redis_url = ("REDIS_URL", &*first_redis.url());
        let first = world.daemon_with(&[NO_SWEEP, LONG_LEASE, wire, first_redis_url]);
        world
            .app("insert into ad_product values (8, 'small', 0, 1)")
            .await;
        world.in_step().await;
        at_rest(&world).await;
        first_redis.set(Mode::Stall);
        world
            .app("insert into ad_product values (1, 'small', 0, 1)")
            .await;
        world.ad_is("1", "pending").await;
        second.thaw();
        Self {
            world,
            first,
            first_redis,
            second,
            salesforce,
        }
    }

    /// Somebody else queues the ad, as any program may.
    async fn push(&self) {
        let mut redis = self.world.queue().await;
        let pushed: redis::RedisResult<()> = redis.rpush("{usage-sync}:queue", "1").await;
        pushed.expect("redis takes it");
    }

    /// The second has read the ad and cannot send it.
    async fn in_hand(&self) {
        self.salesforce.set(Mode::Stall);
        self.push().await;
        wait_until("the ad in hand", PATIENCE, async || {
            self.world
                .number("select count(*) from usage_sync.intent")
                .await
                == 1
        })
        .await;
    }

    /// What was queued once more cost no call and no record.
    async fn ends_well(&self, told: &[&str]) {
        self.world.in_step().await;
        at_rest(&self.world).await;
        let entries: Vec<String> = sqlx::query_scalar(
            "select action from usage_sync.journal where ad_id = '1' order by id",
        )
        .fetch_all(&self.world.pool)
        .await
        .expect("the journal can be read");
        assert_eq!(entries, told);
        assert_eq!(self.world.overtaken().await, 0);
        for daemon in [&self.first, &self.second] {
            // Nothing had to be recovered.
            assert!(!daemon.log().contains("that redis had lost"));
        }
    }
}

/// Waits until Redis holds no id any more.
async fn at_rest(world: &World) {
    let mut redis = world.queue().await;
    wait_until("an empty queue", PATIENCE, async || {
        // All at one moment: an id may go from one to the other.
        let keys =
            ["queue", "queued", "claimed", "retry"].map(|key| format!("{{usage-sync}}:{key}"));
        let left: i64 = redis.exists(&keys[..]).await.expect("redis answers");
        left == 0
    })
    .await;
}

#[tokio::test]
async fn f09_an_enqueue_that_comes_while_another_has_the_ad_in_hand_has_it_looked_at_again() {
    let pair = Pair::new().await;
    let world = &pair.world;
    pair.in_hand().await;
    world
        .app("update ad_product set quantity = 2 where ad_id = 1")
        .await;
    wait_until("the change to be captured", PATIENCE, async || {
        world
            .number("select version from usage_sync.ad where ad_id = '1'")
            .await
            == 2
    })
    .await;

    pair.first_redis.set(Mode::Pass);
    let mut redis = world.queue().await;
    wait_until("the mark", PATIENCE, async || {
        let marked = redis.sismember("{usage-sync}:queued", "1").await;
        marked.expect("redis answers")
    })
    .await;
    let hand: Option<f64> = redis
        .zscore("{usage-sync}:claimed", "1")
        .await
        .expect("redis answers");
    let waiting: i64 = redis
        .llen("{usage-sync}:queue")
        .await
        .expect("redis answers");
    assert_eq!((hand.is_some(), waiting), (true, 0), "in one hand only");
    pair.salesforce.set(Mode::Pass);

    pair.ends_well(&["create", "update"]).await;
}

#[tokio::test]
async fn f09_an_enqueue_that_comes_when_another_has_finished_costs_a_look_and_nothing_else() {
    let pair = Pair::new().await;
    let world = &pair.world;
    pair.push().await;
    world.in_step().await;
    at_rest(world).await;
    let calls = world.sandbox.stats().api_calls;
    let token = "select last_value from usage_sync.token";
    let looks = world.number(token).await;

    pair.first_redis.set(Mode::Pass);
    // The first may have given up by now what it had to say.
    pair.push().await;
    wait_until("the look", PATIENCE, async || {
        world.number(token).await > looks
    })
    .await;

    pair.ends_well(&["create"]).await;
    assert_eq!(world.sandbox.stats().api_calls, calls);
}

/// As if its daemon had died between Postgres and Redis.
#[tokio::test]
async fn f05_a_change_that_redis_was_never_told_of_is_seen_by_whoever_has_the_ad_in_hand() {
    let pair = Pair::new().await;
    let world = &pair.world;
    pair.in_hand().await;
    pair.first.kill_9();

    world
        .app(
            "begin; set local session_replication_role = replica; \
             update ad_product set quantity = 2 where ad_id = 1; \
             update usage_sync.ad set version = version + 1 where ad_id = '1'; commit",
        )
        .await;
    pair.salesforce.set(Mode::Pass);

    pair.ends_well(&["create", "update"]).await;
}
