//! The commands as a person or a script runs them: what they find, what they
//! say, and with which code they end.

use serde_json::{Value, json};
use usage_sync::sandbox::{Effect, Plan};

use crate::support::{Daemon, PATIENCE, World, redis_connection, wait_until};

/// Name, state and remedy of each item of `check --json`.
async fn checked(world: &World) -> (i32, Vec<(String, String, String)>) {
    let (exit, out) = world.command(&["check", "--json"]).await;
    let line = out
        .lines()
        .find(|line| line.starts_with('{'))
        .expect("one line of JSON");
    let answer: Value = serde_json::from_str(line).expect("JSON");
    let text = |item: &Value, key: &str| item[key].as_str().expect("a text").to_owned();
    let items = answer["items"].as_array().expect("items");
    let items = items
        .iter()
        .map(|item| {
            (
                text(item, "name"),
                text(item, "state"),
                text(item, "remedy"),
            )
        })
        .collect();
    (exit, items)
}

/// The state of one item.
fn state<'a>(items: &'a [(String, String, String)], name: &str) -> &'a str {
    let item = items.iter().find(|(own, ..)| own == name);
    &item
        .unwrap_or_else(|| panic!("no item {name} in {items:?}"))
        .1
}

#[tokio::test]
async fn check_finds_nothing_to_complain_of_when_everything_is_in_place() {
    let world = World::new(1).await;
    world
        .app("insert into ad_product values (1, 'small', 0, 1)")
        .await;

    // A notification that takes its time on a loaded machine is complained of.
    wait_until("nothing to complain of", PATIENCE, async || {
        let (exit, items) = checked(&world).await;
        let is_calm = items.iter().all(|(_, state, _)| state == "ok");
        if !is_calm {
            eprintln!("{items:?}");
        }
        is_calm && exit == 0
    })
    .await;
}

#[tokio::test]
async fn check_says_what_to_do_about_the_view() {
    let world = World::new(1).await;
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 100) n")
        .await;
    let view = "view usage_sync.usage";

    // An expression hides the column, and with it the index.
    world
        .app(
            "drop view usage_sync.usage; create view usage_sync.usage as \
             select ad_id + 0 as ad_id, product as line, null::text as contract, '{}'::jsonb as fields \
             from ad_product",
        )
        .await;
    let (exit, items) = checked(&world).await;
    assert_eq!(
        (exit, state(&items, "index for ad_id")),
        (0, "warning"),
        "{items:?}"
    );

    world
        .app(
            "drop view usage_sync.usage; create view usage_sync.usage as \
             select ad_id, product as line, quantity as fields from ad_product",
        )
        .await;
    let (exit, items) = checked(&world).await;
    assert_eq!((exit, state(&items, view)), (1, "failed"), "{items:?}");

    world.app("drop view usage_sync.usage").await;
    let (exit, items) = checked(&world).await;
    assert_eq!((exit, state(&items, view)), (1, "failed"), "{items:?}");
    let failed = items
        .iter()
        .find(|(name, ..)| name == view)
        .expect("the view");
    assert!(failed.2.contains("README.md"), "{failed:?}");
}

#[tokio::test]
async fn check_misses_watches_and_a_noeviction_policy() {
    let world = World::new(1).await;
    world
        .app("select usage_sync.unwatch('ad'); select usage_sync.unwatch('ad_product')")
        .await;
    let mut redis = redis_connection(&world.redis.url()).await.expect("redis");
    let _: () = redis::cmd("CONFIG")
        .arg(&["SET", "maxmemory-policy", "allkeys-lru"])
        .query_async(&mut redis)
        .await
        .expect("redis obeys");

    let (_, items) = checked(&world).await;

    assert_eq!(state(&items, "watched tables"), "failed");
    assert_eq!(state(&items, "redis eviction"), "warning");
}

#[tokio::test]
async fn check_finds_fields_and_rights_that_salesforce_hides() {
    let world = World::new(1).await;
    let hide =
        |field: &str| json!({"fields": [{"object": "Usage__c", "field": field, "hidden": true}]});

    world
        .sandbox
        .settings(&hide("Revision__c"))
        .expect("a setting");
    let (exit, items) = checked(&world).await;
    assert_eq!(
        (exit, state(&items, "salesforce revision")),
        (1, "failed"),
        "{items:?}"
    );

    world
        .sandbox
        .settings(&hide("External_Id__c"))
        .expect("a setting");
    let (exit, items) = checked(&world).await;
    assert_eq!(
        (exit, state(&items, "salesforce external id")),
        (1, "failed"),
        "{items:?}"
    );

    let rights = json!({"rights": {"Usage__c": ["read"]}});
    world.sandbox.settings(&rights).expect("a setting");
    let (exit, items) = checked(&world).await;
    assert_eq!(
        (exit, state(&items, "salesforce object")),
        (1, "failed"),
        "{items:?}"
    );
}

#[tokio::test]
async fn check_names_whatever_does_not_answer() {
    let world = World::new(1).await;
    world.redis.kill().await.expect("it is killed");
    world.database.server.kill().await.expect("it is killed");
    let mut environment = world.environment();
    environment.retain(|(name, _)| *name != "SALESFORCE_LOGIN_URL");
    environment.push(("SALESFORCE_LOGIN_URL", String::from("http://127.0.0.1:9")));

    let mut check = Daemon::start(&["check"], environment);
    let exit = check.ended().await.code();

    let text = check.log();
    assert_eq!(exit, Some(1), "{text}");
    for name in ["postgres", "redis", "salesforce login"] {
        let line = text
            .lines()
            .find(|line| line.contains(name))
            .unwrap_or_default();
        assert!(line.starts_with("failed"), "{name}: {text}");
    }
}

#[tokio::test]
async fn status_tells_how_things_stand_and_that_salesforce_is_down() {
    let world = World::new(1).await;
    let daemon = world.daemon();
    let down = Plan {
        path: Some(String::from("/services")),
        ..Plan::always(Effect::EmptyBody { status: 503 })
    };
    world.sandbox.fault(down);
    world
        .app("insert into ad_product values (1, 'small', 0, 1), (2, 'small', 0, 1)")
        .await;
    daemon.logged("salesforce is down").await;

    wait_until("word of it in the status", PATIENCE, async || {
        let (_, out) = world.command(&["status", "--json"]).await;
        let status: Value = serde_json::from_str(out.trim()).expect("JSON");
        assert_eq!(status["pending"], 2);
        assert_eq!(status["rejected"], 0);
        assert_eq!(status["paused"], false);
        assert!(status["lag_seconds"].as_f64().expect("a number") > 0.0);
        assert!(status["queue"]["ready"].is_u64());
        status["salesforce"]["up"] == false && status["salesforce"]["since"].is_string()
    })
    .await;
}

#[tokio::test]
async fn a_login_that_salesforce_refuses_shows_before_the_first_ad() {
    let world = World::new(1).await;
    let daemon = world.daemon_with(&[("SALESFORCE_CLIENT_ID", "another app")]);

    daemon.logged("no login to salesforce yet").await;
    wait_until("word of it in the status", PATIENCE, async || {
        let (_, out) = world.command(&["status", "--json"]).await;
        let status: Value = serde_json::from_str(out.trim()).expect("JSON");
        status["salesforce"]["up"] == false
            && status["salesforce"]["why"]
                .as_str()
                .is_some_and(|why| why.contains("login"))
            && status["salesforce"]["remedy"].is_string()
    })
    .await;
    let (_, out) = world.command(&["status"]).await;
    assert!(out.contains("DOWN since") && out.contains("login"), "{out}");
}

#[tokio::test]
async fn commands_say_which_service_is_missing() {
    let world = World::new(1).await;
    world
        .app("insert into ad_product values (7, 'small', 0, 1)")
        .await;
    world.redis.kill().await.expect("it is killed");
    let (exit, out) = world.command(&["status"]).await;
    assert_eq!(exit, 69);
    assert!(
        out.contains("redis does not answer") && out.contains("REDIS_URL"),
        "{out}"
    );
    // Postgres knows all the same.
    assert!(out.contains("pending         1 ads"), "{out}");
    let (exit, out) = world.command(&["status", "--json"]).await;
    // What is said on the other stream may stand before it.
    let line = out.lines().find(|line| line.starts_with('{'));
    let status: Value = serde_json::from_str(line.expect("a line")).expect("JSON");
    assert_eq!((exit, &status["pending"]), (69, &1.into()), "{out}");
    assert!(
        status["queue"].is_null() && status["salesforce"]["up"].is_null(),
        "{out}"
    );

    // Retrying needs no Redis: it takes the way of every change.
    world
        .app("insert into ad_product values (1, 'small', 0, 1)")
        .await;
    let (exit, out) = world.command(&["retry", "1"]).await;
    assert_eq!(
        (exit, out.contains("1 ad will be reported again")),
        (0, true),
        "{out}"
    );
    let (exit, out) = world.command(&["retry", "1", "no such ad"]).await;
    assert_eq!((exit, out.contains("no such ad")), (1, true), "{out}");

    world.database.server.kill().await.expect("it is killed");
    for command in [
        &["status"][..],
        &["retry", "1"],
        &["backfill"],
        &["migrate"],
    ] {
        let (exit, out) = world.command(command).await;
        assert_eq!(exit, 69, "{command:?}: {out}");
        assert!(out.contains("DATABASE_URL"), "{command:?}: {out}");
    }
}

#[tokio::test]
async fn a_database_without_the_schema_is_pointed_to_migrate() {
    let world = World::new(1).await;
    world.app("drop schema usage_sync cascade").await;

    let (exit, out) = world.command(&["status"]).await;
    assert_eq!(
        (exit, out.contains("usage-sync migrate")),
        (69, true),
        "{out}"
    );

    let (exit, out) = world.command(&["migrate"]).await;
    assert_eq!((exit, out.contains("migrations run")), (0, true), "{out}");
    let (exit, out) = world.command(&["migrate"]).await;
    assert_eq!((exit, out.contains("up to date")), (0, true), "{out}");
}

#[tokio::test]
async fn a_backfill_since_a_day_needs_to_know_when_ads_changed() {
    let world = World::new(1).await;
    let (exit, out) = world.command(&["backfill", "--since", "2026-11-01"]).await;
    assert_eq!((exit, out.contains("changed_at")), (64, true), "{out}");

    world
        .app(
            "create or replace view usage_sync.usage as \
             select ad_product.ad_id, product as line, contract, \
             jsonb_build_object('Contract_Product__c', salesforce_id, 'Ad_Id__c', ad_id::text, 'Quantity__c', quantity) as fields, \
             case when ad_id > 10 then now() else timestamptz '2020-01-01' end as changed_at \
             from ad_product join contract_product on contract_product.id = contract_product; \
             alter table ad_product disable trigger all; \
             insert into ad_product select n, 'small', 0, 1 from generate_series(1, 15) n",
        )
        .await;
    let (exit, out) = world.command(&["backfill", "--since", "2026-11-01"]).await;
    assert_eq!((exit, out.contains("5 ads")), (0, true), "{out}");
}

/// The answer of `status --json`.
async fn status(world: &World) -> Value {
    let (exit, out) = world.command(&["status", "--json"]).await;
    assert_eq!(exit, 0, "{out}");
    let line = out.lines().find(|line| line.starts_with('{'));
    serde_json::from_str(line.expect("one line of JSON")).expect("JSON")
}

#[tokio::test]
async fn a_pause_holds_for_every_daemon_and_over_restarts_until_resume() {
    let world = World::new(2).await;
    let (one, other) = (world.daemon(), world.daemon());
    world
        .app("insert into ad_product values (1, 'small', 0, 1)")
        .await;
    world.in_step().await;

    let (exit, out) = world
        .command(&["pause", "--because", "contracts are moved"])
        .await;
    assert_eq!((exit, out.contains("paused since")), (0, true), "{out}");
    for daemon in [&one, &other] {
        daemon.logged("reporting is paused").await;
        assert!(daemon.log().contains("contracts are moved"));
    }
    drop(one);
    let one = world.daemon();
    one.logged("reporting is paused").await;

    // Captured, and not reported.
    world
        .app("insert into ad_product select n, 'small', 1, 1 from generate_series(2, 9) n")
        .await;
    world.ad_is("9", "pending").await;
    // A pause is no outage; Salesforce is up for as long as a daemon says so.
    let mut paused = Value::Null;
    wait_until("the ads to be queued", PATIENCE, async || {
        paused = status(&world).await;
        paused["queue"]["ready"] == 8 && paused["salesforce"]["up"] == true
    })
    .await;
    assert_eq!(paused["paused"], true);
    assert_eq!(paused["paused_because"], "contracts are moved");
    assert!(paused["paused_since"].is_string(), "{paused}");
    assert_eq!(world.held().await.len(), 1);
    let (exit, items) = checked(&world).await;
    assert_eq!((exit, state(&items, "reporting")), (0, "warning"));

    // Asked for again, it is the same pause.
    let (exit, _) = world.command(&["pause"]).await;
    assert_eq!(exit, 0);
    assert_eq!(status(&world).await["paused_since"], paused["paused_since"]);

    let (exit, out) = world.command(&["resume"]).await;
    assert_eq!((exit, out.contains("resumed")), (0, true), "{out}");
    world.in_step().await;
    for daemon in [&one, &other] {
        daemon.logged("reporting was resumed").await;
        let log = daemon.log();
        assert_eq!(log.matches("reporting is paused").count(), 1, "{log}");
        assert!(!log.contains("salesforce is down"), "{log}");
    }
    assert_eq!(status(&world).await["paused"], false);
    let (_, out) = world.command(&["resume"]).await;
    assert!(out.contains("was not paused"), "{out}");
}

#[tokio::test]
async fn a_pause_lets_what_is_in_flight_finish_and_gives_the_rest_back_untried() {
    let world = World::new(2).await;
    let daemon = world.daemon_with(&[
        ("SALESFORCE_MAX_CONCURRENCY", "2"),
        ("WORKER_BATCH_SIZE", "10"),
    ]);
    // Longer than it takes a loaded machine to look at the queue and to pause.
    let slow = Plan {
        path: Some(String::from("/composite")),
        ..Plan::always(Effect::Delay { ms: 15_000 })
    };
    world.sandbox.fault(slow);
    world
        .app("insert into ad_product select n, 'small', n % 2, 1 from generate_series(1, 100) n")
        .await;
    let in_hand = async || {
        let queue = &status(&world).await["queue"];
        (queue["claimed"].as_u64(), queue["ready"].as_u64())
    };
    wait_until("one call in flight and one waiting", PATIENCE, async || {
        in_hand().await.0 > Some(10)
    })
    .await;

    let (exit, _) = world.command(&["pause"]).await;
    assert_eq!(exit, 0);
    daemon.logged("reporting is paused").await;
    wait_until("everything to be put down", PATIENCE, async || {
        in_hand().await.0 == Some(0)
    })
    .await;

    let held = world.held().await.len();
    assert!((1..=30).contains(&held), "{held} records went out");
    let (attempts, pending): (i64, i64) = sqlx::query_as(
        "select coalesce(sum(attempts), 0), count(*) from usage_sync.ad where state = 'pending'",
    )
    .fetch_one(&world.pool)
    .await
    .expect("it can be read");
    assert_eq!(attempts, 0, "nothing was tried in vain");
    assert_eq!(usize::try_from(pending).expect("a count") + held, 100);
    // No intent is left of what was not sent.
    let intents: i64 = sqlx::query_scalar("select count(*) from usage_sync.intent")
        .fetch_one(&world.pool)
        .await
        .expect("it can be read");
    assert_eq!(intents, 0);

    world.sandbox.clear_faults();
    world.command(&["resume"]).await;
    world.in_step().await;
}
