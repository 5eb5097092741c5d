//! A view that fails for every ad, and ads that make it fail for themselves.

use serde_json::Value;

use crate::support::{Daemon, PATIENCE, World, redis_connection, wait_until};

/// What the log says when the view fails for all.
const BLIND: &str = "the view usage_sync.usage fails for every ad";
const AGAIN: &str = "the view usage_sync.usage can be read again";

impl World {
    /// Replaces the view by one whose quantity is an expression of the row.
    async fn quantity_is(&self, expression: &str) {
        let view = format!(
            "create or replace view usage_sync.usage as \
             select ad_product.ad_id, ad_product.product as line, contract_product.contract, \
             jsonb_build_object('Contract_Product__c', contract_product.salesforce_id, \
             'Ad_Id__c', ad_product.ad_id::text, 'Quantity__c', {expression}) as fields \
             from ad_product join contract_product on contract_product.id = ad_product.contract_product"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(view))
            .execute(&self.pool)
            .await
            .expect("the app's migration");
    }

    async fn status_of_view(&self) -> Value {
        let (exit, out) = self.command(&["status", "--json"]).await;
        assert_eq!(exit, 0, "{out}");
        let line = out.lines().find(|line| line.starts_with('{'));
        let status: Value = serde_json::from_str(line.expect("one line of JSON")).expect("JSON");
        status["view"].clone()
    }

    async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query)
            .fetch_one(&self.pool)
            .await
            .expect("it can be counted")
    }

    /// No ad was rejected, ever, and none was tried in vain.
    async fn nobody_was_blamed(&self) {
        let blamed = "select (select count(*) from usage_sync.ad where state = 'rejected' or attempts > 0) \
             + (select count(*) from usage_sync.journal where action = 'reject')";
        assert_eq!(self.count(blamed).await, 0);
    }
}

/// What Postgres says when a statement's time is over, without the wait.
const ENDLESS: &str = "create function endless() returns integer language plpgsql as $$ \
    begin raise exception 'canceling statement due to statement timeout' \
    using errcode = 'query_canceled'; end $$";

/// Breaks the view for all while the daemon runs, and mends it.
async fn fails_for_all(expression: &str, sqlstate: &str, remedy: &str) {
    let world = World::new(1).await;
    world.app(ENDLESS).await;
    let daemon = world.daemon();
    world
        .app("insert into ad_product select n, 'small', 0, n from generate_series(1, 30) n")
        .await;
    world.in_step().await;

    world.quantity_is(expression).await;
    world
        .app("update ad_product set quantity = quantity + 1")
        .await;
    daemon.logged(BLIND).await;
    let log = daemon.log();
    assert!(log.contains(sqlstate) && log.contains(remedy), "{log}");
    // Others are told after the log.
    wait_until("the status to say why", PATIENCE, async || {
        let view = world.status_of_view().await;
        view.as_str().is_some_and(|why| why.contains(sqlstate))
    })
    .await;
    let (_, out) = world.command(&["status"]).await;
    assert!(out.contains("VIEW FAILS"), "{out}");
    // One by one they come, too, and are tried again all the time.
    world
        .app("insert into ad_product values (31, 'small', 0, 1)")
        .await;
    world.ad_is("31", "pending").await;
    world.nobody_was_blamed().await;

    world.quantity_is("quantity").await;
    world.in_step().await;
    daemon.logged(AGAIN).await;
    wait_until("the status to say no more", PATIENCE, async || {
        world.status_of_view().await == Value::Null
    })
    .await;
    world.nobody_was_blamed().await;
    let log = daemon.log();
    assert_eq!(log.matches(BLIND).count(), 1, "{log}");
    assert_eq!(log.matches(AGAIN).count(), 1, "{log}");
}

#[tokio::test]
async fn f38_a_view_that_fails_for_every_ad_blames_none_and_is_said_once() {
    let by_zero = "quantity / (quantity - quantity)";
    fails_for_all(by_zero, "22012", "correct the view").await;
}

#[tokio::test]
async fn f38_a_view_that_is_too_slow_for_every_ad_blames_none_and_is_said_once() {
    fails_for_all("endless()", "57014", "more than 15 s").await;
}

#[tokio::test]
async fn f38_a_view_that_fails_from_the_first_day_blames_no_ad() {
    let world = World::new(1).await;
    world.quantity_is("quantity / (quantity - quantity)").await;
    world
        .app("insert into ad_product select n, 'small', 0, n from generate_series(1, 30) n")
        .await;
    let daemon = world.daemon();
    daemon.logged(BLIND).await;
    world.nobody_was_blamed().await;

    world.quantity_is("quantity").await;
    world.in_step().await;
    world.nobody_was_blamed().await;
}

/// How often the view was read for one ad: a sequence keeps what a statement
/// that fails takes back.
const COUNTED: &str = "create sequence reads; \
    create function fails() returns integer language plpgsql as $$ \
    begin perform nextval('reads'); raise exception 'no'; end $$";

#[tokio::test]
async fn f38_a_view_that_fails_is_left_alone_for_its_pause_whatever_changes() {
    let world = World::new(1).await;
    world.app(COUNTED).await;
    world.quantity_is("fails()").await;
    world
        .app("insert into ad_product select n, 'small', 0, n from generate_series(1, 30) n")
        .await;
    let daemon = world.daemon_with(&[("OUTAGE_BASE", "1h"), ("OUTAGE_MAX", "1h")]);
    daemon.logged(BLIND).await;
    let reads = "select last_value from reads";
    let before = world.count(reads).await;
    assert!(before <= 10, "{before} reads to find it out");

    for _ in 0..10 {
        world
            .app("update ad_product set quantity = quantity + 1")
            .await;
        wait_until("the changes to be captured", PATIENCE, async || {
            world.count("select count(*) from usage_sync.change").await == 0
        })
        .await;
    }
    assert_eq!(world.count(reads).await, before);
}

/// Ads 13 and 14 make the view fail, each for itself.
const THEIR_OWN: &str = "case when ad_product.ad_id in (13, 14) \
    then quantity / (quantity - quantity) else quantity end";

async fn rejected_alone(world: &World, daemon: &Daemon, ad: &str) {
    world.ad_is(ad, "rejected").await;
    assert_eq!(world.status(ad).await.1.as_deref(), Some("VIEW_22012"));
    assert!(!daemon.log().contains(BLIND), "{}", daemon.log());
}

#[tokio::test]
async fn f39_a_bad_ad_that_comes_alone_is_compared_with_others_and_rejected() {
    let world = World::new(1).await;
    world.quantity_is(THEIR_OWN).await;
    let daemon = world.daemon();
    // Others that Salesforce was told of.
    world
        .app("insert into ad_product select n, 'small', 0, n from generate_series(1, 5) n")
        .await;
    world.in_step().await;
    world
        .app("insert into ad_product values (13, 'small', 0, 1)")
        .await;
    rejected_alone(&world, &daemon, "13").await;

    // Others that stand in the view and were never reported.
    let world = World::new(1).await;
    world.quantity_is(THEIR_OWN).await;
    world
        .app(
            "select usage_sync.unwatch('ad_product'); \
             insert into ad_product select n, 'small', 0, n from generate_series(1, 5) n; \
             select usage_sync.watch('ad_product', 'ad_id'); \
             insert into ad_product values (13, 'small', 0, 1)",
        )
        .await;
    let daemon = world.daemon();
    rejected_alone(&world, &daemon, "13").await;
}

#[tokio::test]
async fn f39_the_only_ad_there_is_is_rejected_if_it_cannot_be_read() {
    let world = World::new(1).await;
    world.quantity_is(THEIR_OWN).await;
    let daemon = world.daemon();
    world
        .app("insert into ad_product values (13, 'small', 0, 1)")
        .await;
    rejected_alone(&world, &daemon, "13").await;
}

#[tokio::test]
async fn f39_two_bad_ads_without_any_other_are_rejected_once_another_comes() {
    let world = World::new(1).await;
    world.quantity_is(THEIR_OWN).await;
    world
        .app("insert into ad_product values (13, 'small', 0, 1), (14, 'small', 0, 1)")
        .await;
    let daemon = world.daemon();
    daemon.logged(BLIND).await;

    world
        .app("insert into ad_product values (15, 'small', 0, 1)")
        .await;

    world.ad_is("13", "rejected").await;
    world.ad_is("14", "rejected").await;
    world.ad_is("15", "reported").await;
    daemon.logged(AGAIN).await;
}

#[tokio::test]
async fn f39_many_bad_ads_cost_a_line_for_each_claim() {
    let world = World::new(1).await;
    let half = "case when ad_product.ad_id % 2 = 0 then quantity / (quantity - quantity) else quantity end";
    world.quantity_is(half).await;
    world
        .app("insert into ad_product select n, 'small', 0, n from generate_series(1, 30) n")
        .await;
    let daemon = world.daemon();

    let settled = "select count(*) from usage_sync.ad where settled_version = version";
    wait_until("all of them to be settled", PATIENCE * 2, async || {
        world.count(settled).await == 30
    })
    .await;
    let rejected = "select count(*) from usage_sync.ad where state = 'rejected'";
    assert_eq!(world.count(rejected).await, 15);
    let log = daemon.log();
    let lines = log.matches("ad rejected: its rows cannot be read").count();
    assert!((1..=5).contains(&lines), "{lines} lines: {log}");
}

#[tokio::test]
async fn check_says_why_a_view_cannot_be_read_and_what_to_do() {
    let world = World::new(1).await;
    world
        .app("insert into ad_product values (1, 'small', 0, 1)")
        .await;
    world.quantity_is("quantity / (quantity - quantity)").await;

    let (exit, out) = world.command(&["check"]).await;

    assert_eq!(exit, 1, "{out}");
    assert!(out.contains("division by zero"), "{out}");
    assert!(out.contains("correct the view, or what it reads"), "{out}");
}

#[tokio::test]
async fn ids_that_no_ad_has_are_one_line_however_many_come() {
    const IDS: usize = 4000;
    let world = World::new(1).await;
    let daemon = world.daemon_with(&[("METRICS_INTERVAL", "1s")]);
    let mut redis = redis_connection(&world.redis.url()).await.expect("redis");
    let ids: Vec<String> = (0..IDS).map(|n| format!("nobody's {n}")).collect();
    let _: usize = redis::cmd("RPUSH")
        .arg("{usage-sync}:queue")
        .arg(ids)
        .query_async(&mut redis)
        .await
        .expect("redis takes them");

    // The metrics tell of all of them.
    wait_until("all of them to be dropped", PATIENCE, async || {
        let log = daemon.log();
        let counts = log.split("ids.dropped=").skip(1).map(|rest| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<usize>().expect("a count")
        });
        counts.sum::<usize>() == IDS
    })
    .await;
    let log = daemon.log();
    assert_eq!(
        log.matches("dropped ids from the queue").count(),
        1,
        "{log}"
    );
}
