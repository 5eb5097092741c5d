//! The org's daily calls run low or run out, and come back.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use usage_sync::pace::{Allowance, Pace, Terms, Usage};
use usage_sync::queue::Queue;
use usage_sync::sandbox::{Effect, Plan};
use usage_sync::settings;

use crate::support::{Daemon, PATIENCE, World, redis, redis_connection, wait_until};

/// One trial in ten of these; so a second stands for ten minutes.
const OUTAGE_MAX: (&str, &str) = ("OUTAGE_MAX", "100ms");
const TRIAL_EVERY: Duration = Duration::from_secs(1);

const USED_UP: &str = "our share of the daily calls is used up";
/// Formats escape an apostrophe.
const ORG_USED_UP: &str = "daily calls are used up";
const ROOM_AGAIN: &str = "our share of the daily calls has room again";

impl World {
    fn org(&self, change: &Value) {
        self.sandbox.settings(change).expect("it may be set");
    }

    /// One ad is reported, so that all daemons know what the org allows.
    async fn reports_one(&self) {
        self.app("insert into ad_product values (0, 'first', 0, 1)")
            .await;
        self.ad_is("0", "reported").await;
    }

    async fn budget(&self) -> Value {
        let (code, status) = self.command(&["status", "--json"]).await;
        assert_eq!(code, 0, "{status}");
        let status: Value = serde_json::from_str(&status).expect("JSON");
        status["budget"].clone()
    }

    /// Requests of every kind so far, those that cost no call included.
    async fn requests(&self) -> u128 {
        let url = format!("{}/log", self.sandbox.control_url());
        let answer = reqwest::get(url).await.expect("the sandbox answers");
        let text = answer.text().await.expect("all of it");
        let log: Vec<Value> = serde_json::from_str(&text).expect("JSON");
        log.len() as u128
    }

    /// Changes that are not captured yet.
    async fn changes(&self) -> i64 {
        sqlx::query_scalar("select count(*) from usage_sync.change")
            .fetch_one(&self.pool)
            .await
            .expect("the outbox can be read")
    }

    async fn attempts(&self) -> i32 {
        sqlx::query_scalar("select max(attempts) from usage_sync.ad")
            .fetch_one(&self.pool)
            .await
            .expect("there are ads")
    }
}

fn lines(daemon: &Daemon, text: &str) -> usize {
    daemon.log().matches(text).count()
}

#[tokio::test]
async fn f34_a_budget_that_is_used_up_pauses_reports_and_leaves_the_rest_to_others() {
    let world = World::new(1).await;
    world.org(&json!({"daily_limit": 1_000_000, "daily_used": 900_000}));
    let daemon = world.daemon_with(&[OUTAGE_MAX]);
    world.reports_one().await;

    let start = Instant::now();
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 500) n")
        .await;
    daemon.logged(USED_UP).await;
    let calls = || world.sandbox.stats().api_calls;
    wait_until("some trials", PATIENCE, async || calls() >= 4).await;

    let none = json!({"calls": 800_000, "left": 0});
    assert_eq!(world.budget().await, none);
    // Counted first: none comes between the count and the time that it is held against.
    let calls = u128::from(calls());
    let trials = 2 + start.elapsed().as_millis() / TRIAL_EVERY.as_millis();
    assert!(calls <= 1 + trials, "{calls} calls");
    assert!(world.pending().await > 400);
    assert_eq!(world.attempts().await, 0);

    world.org(&json!({"daily_used": 100_000}));
    world.in_step().await;

    daemon.logged(ROOM_AGAIN).await;
    assert_eq!(
        (lines(&daemon, USED_UP), lines(&daemon, ROOM_AGAIN)),
        (1, 1)
    );
    assert_eq!(world.attempts().await, 0);
}

#[tokio::test]
async fn f34_trials_of_what_is_refused_keep_to_the_budget_too() {
    let world = World::new(1).await;
    world.org(&json!({"daily_limit": 1_000_000}));
    let daemon = world.daemon_with(&[OUTAGE_MAX, ("OUTAGE_BASE", "10ms")]);
    world.reports_one().await;
    world.org(&json!({"daily_used": 900_000}));
    let refused = world.sandbox.fault(Plan {
        path: Some(String::from("/composite")),
        ..Plan::always(Effect::RecordError {
            code: String::from("INVALID_FIELD"),
            message: String::from("No such column 'Colour__c' on sobject of type Usage__c"),
            fields: Vec::new(),
            external_ids: Vec::new(),
            every_row: 0,
        })
    });
    world
        .app("insert into ad_product values (1, 'small', 0, 1), (2, 'small', 0, 1)")
        .await;
    daemon.logged("salesforce refuses every report").await;
    daemon.logged(USED_UP).await;

    // Edits would bring ten trials a second forward.
    let (start, before) = (Instant::now(), world.sandbox.fault_hits(refused));
    wait_until("some trials", PATIENCE, async || {
        world
            .app("update ad_product set quantity = quantity + 1 where ad_id > 0")
            .await;
        world.sandbox.fault_hits(refused) >= before + 3
    })
    .await;

    let trials = u128::from(world.sandbox.fault_hits(refused) - before);
    let most = 1 + start.elapsed().as_millis() / TRIAL_EVERY.as_millis();
    assert!(trials <= most, "{trials} trials, not {most}");
    world.sandbox.clear_faults();
    world.org(&json!({"daily_used": 10}));
    world.in_step().await;
}

#[tokio::test]
async fn f34_an_org_whose_calls_are_all_used_is_asked_seldom_and_reporting_goes_on() {
    let world = World::new(1).await;
    world.org(&json!({"daily_limit": 1000}));
    let daemon = world.daemon_with(&[OUTAGE_MAX, ("SALESFORCE_API_BUDGET", "100%")]);
    world.reports_one().await;
    // Others take all there is, before an answer could have told.
    world.org(&json!({"daily_used": 1000}));
    let refused = world.sandbox.stats().api_calls;

    let start = Instant::now();
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 500) n")
        .await;
    daemon.logged(ORG_USED_UP).await;
    wait_until("a quiet while", PATIENCE, async || {
        start.elapsed() > 4 * TRIAL_EVERY
    })
    .await;

    let asked = world.requests().await;
    let most = 8 + 2 * start.elapsed().as_millis() / TRIAL_EVERY.as_millis();
    assert!(asked <= most, "{asked} requests");
    assert_eq!(world.budget().await["left"], 0);
    assert_eq!(world.sandbox.stats().api_calls, refused);
    assert_eq!(world.attempts().await, 0);

    world.org(&json!({"daily_used": 10}));
    world.in_step().await;
    // Said once it has held for a while.
    daemon.logged("the org has calls again").await;
    assert_eq!(lines(&daemon, ORG_USED_UP), 1);
    assert_eq!(lines(&daemon, "the org has calls again"), 1);
}

#[tokio::test]
async fn f34_an_org_that_lets_more_through_than_it_allows_is_not_made_use_of() {
    let world = World::new(1).await;
    world.org(&json!({"daily_limit": 100, "daily_used": 120, "limit_enforced": false}));
    let daemon = world.daemon_with(&[OUTAGE_MAX, ("SALESFORCE_API_BUDGET", "100%")]);
    world.reports_one().await;

    world
        .app("insert into ad_product values (1, 'small', 0, 1)")
        .await;
    daemon.logged(USED_UP).await;

    assert_eq!(world.budget().await["left"], 0);
    // The trial takes it along.
    world.in_step().await;
    assert_eq!(lines(&daemon, USED_UP), 1);
}

#[tokio::test]
async fn two_daemons_spend_from_one_bucket() {
    let world = World::new(1).await;
    // A tenth of the credit is what a bucket begins with where much is used:
    // then nearly a second lies between two calls.
    world.org(&json!({"daily_limit": 100_000, "daily_used": 50_000}));
    let _daemons = [world.daemon(), world.daemon()];
    world.reports_one().await;
    let before = world.sandbox.stats().api_calls;

    let start = Instant::now();
    for ad in 1..=100 {
        sqlx::query("insert into ad_product values ($1, 'small', 0, 1)")
            .bind(ad)
            .execute(&world.pool)
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    world.in_step().await;

    let calls = u128::from(world.sandbox.stats().api_calls - before);
    let most = 2 + start.elapsed().as_millis() / 900;
    assert!(calls <= most, "{calls} calls, not {most}");
}

#[tokio::test]
async fn f36_what_has_piled_up_is_drained_in_full_calls_though_credit_is_low() {
    let world = World::new(1).await;
    world.org(&json!({"daily_limit": 15_000, "daily_used": 11_000}));
    let daemon = world.daemon();
    world.reports_one().await;
    world.sandbox.fault(Plan {
        path: Some(String::from("/services/data")),
        ..Plan::always(Effect::HtmlPage { status: 503 })
    });
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 3000) n")
        .await;
    daemon.logged("salesforce is down").await;
    wait_until("all to be queued", PATIENCE, async || {
        world.changes().await == 0
    })
    .await;
    let before = world.sandbox.stats().api_calls;

    world.sandbox.clear_faults();
    world.in_step().await;

    let calls = world.sandbox.stats().api_calls - before;
    assert!(calls <= 18, "{calls} calls");
}

#[tokio::test]
async fn f24_a_redis_that_is_full_does_not_keep_calls_from_being_set_aside() {
    let server = redis().await;
    let address = settings::Redis {
        url: server.url().into(),
        tls_verify: true,
    };
    let name = settings::Queue {
        name: String::from("full"),
        max: 1000,
        lease: Duration::from_mins(1),
    };
    let queue = Queue::connect(&address, &name).await.unwrap();
    let terms = Terms {
        share: 0.8,
        batch: 200,
        patience: Duration::from_mins(1),
    };
    let used = |used| Usage {
        used,
        allowed: 100_000,
    };
    let ids: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    assert_eq!(queue.enqueue(&ids).await.unwrap(), 0);
    let mut other = redis_connection(&server.url()).await.unwrap();
    () = redis::cmd("CONFIG")
        .arg(&["SET", "maxmemory", "1"])
        .query_async(&mut other)
        .await
        .unwrap();

    let pace = queue.reserve(&terms, 800, Some(used(7))).await.unwrap();

    assert_eq!(pace, Pace::Go(Allowance { ids: 400, calls: 2 }));
    assert_eq!(queue.usage().await.unwrap(), Some(used(9)));
    queue.spend(&terms, -1, None).await.unwrap();
    assert_eq!(queue.usage().await.unwrap(), Some(used(8)));
    queue.spend(&terms, 0, Some(used(50))).await.unwrap();
    assert_eq!(queue.usage().await.unwrap(), Some(used(50)));
}
