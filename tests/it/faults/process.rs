//! The process itself: killed, frozen, hanging, panicking, or with nobody who
//! reads its log.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use usage_sync::sandbox::{Effect, Plan};

#[cfg(feature = "failpoints")]
use crate::support::Daemon;
use crate::support::{Mode, PATIENCE, Proxy, World, wait_until};

/// What the daemon promises, and the time that a busy machine takes to notice.
const A_MINUTE: Duration = Duration::from_secs(75);

/// Longer than anything may stand still.
const TOO_LONG: Duration = Duration::from_secs(48);

/// What ends a process that does its work no more, as a bug does.
#[cfg(feature = "failpoints")]
const BUG: Option<i32> = Some(70);

#[tokio::test]
async fn f01_the_ads_of_a_killed_daemon_are_taken_over_when_its_lease_ends() {
    let world = World::new(1).await;
    let lease = ("QUEUE_LEASE", "15s");
    world.sandbox.fault(Plan {
        method: Some(String::from("POST")),
        path: Some(String::from("/composite/sobjects")),
        times: Some(1),
        ..Plan::always(Effect::Delay { ms: 120_000 })
    });
    let mut killed = world.daemon_with(&[lease]);
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 50) n")
        .await;
    wait_until("the request to hang", PATIENCE, async || {
        world.sandbox.stats().in_flight > 0
    })
    .await;
    let _other = world.daemon_with(&[lease]);

    killed.kill_9();
    killed.ended().await;
    let death = Instant::now();
    world.in_step().await;

    // The lease, and what it takes to report 50 ads on a busy machine.
    assert!(death.elapsed() < Duration::from_secs(25));
}

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn f50_a_panic_ends_the_process_and_another_one_goes_on() {
    let world = World::new(1).await;
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 20) n")
        .await;
    for (point, name) in [
        ("Claimed", "worker"),
        ("Answered", "worker"),
        ("WorkerLoop", "worker"),
        ("CaptureLoop", "capture"),
        ("ListenerLoop", "listener"),
        ("MetricsLoop", "metrics"),
        ("JournalLoop", "journal"),
    ] {
        let order = format!("{point}:panic");
        let mut daemon = world.daemon_with(&[("FAILPOINT", &order)]);

        let status = daemon.ended().await;

        assert_eq!(status.code(), BUG, "{point}\n{}", daemon.log());
        let said = format!("the {name} loop panicked");
        assert!(daemon.log().contains(&said), "{point}\n{}", daemon.log());
        assert!(daemon.log().contains("a bug: a task panicked"));
    }

    let _daemon = world.daemon();
    world.in_step().await;
}

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn f51_what_hangs_ends_the_process_within_a_minute() {
    let world = World::new(1).await;
    let start = |order: &str| world.daemon_with(&[("FAILPOINT", order)]);
    // It keeps the lease of what it claimed for as long as it lives.
    let claimer = start("Claimed:hang");
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 20) n")
        .await;
    wait_until("the ads to be claimed", PATIENCE, async || {
        let (_, status) = world.command(&["status", "--json"]).await;
        status.contains(r#""claimed":2"#)
    })
    .await;
    let mut hanging: Vec<(Daemon, &str)> = vec![
        (claimer, "a claim"),
        (start("WorkerLoop:hang:9"), "worker"),
        (start("CaptureLoop:hang:2"), "capture"),
        (start("ListenerLoop:hang:2"), "listener"),
        (start("MetricsLoop:hang:2"), "metrics"),
        (start("JournalLoop:hang:2"), "journal"),
    ];
    // Both threads of the executor.
    let mut stalled = start("WorkerLoop:block:3,CaptureLoop:block:2");
    let mut healthy = world.daemon();

    for (daemon, name) in &mut hanging {
        let status = daemon.ended_within(A_MINUTE).await;
        assert_eq!(status.code(), BUG, "{name}\n{}", daemon.log());
        let said = format!("the daemon cannot go on: {name} hangs");
        assert!(daemon.log().contains(&said), "{name}\n{}", daemon.log());
    }
    let status = stalled.ended_within(A_MINUTE).await;
    assert_eq!(status.code(), BUG, "{}", stalled.log());
    assert!(stalled.log().contains(" hangs"), "{}", stalled.log());

    world.in_step().await;
    assert!(healthy.is_running());
}

#[tokio::test]
async fn f51_who_waits_or_was_frozen_is_no_zombie() {
    let world = World::new(1).await;
    let proxy = Proxy::in_front_of(&world.database.url).await;
    let url = proxy.url();
    let mut waiting = world.daemon_with(&[("DATABASE_URL", &url)]);
    let mut frozen = world.daemon();
    for daemon in [&waiting, &frozen] {
        daemon.logged("logged in to salesforce").await;
    }
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 20) n")
        .await;
    world.in_step().await;

    // All that the daemon waits for in Postgres, and a machine that stands still.
    proxy.set(Mode::Stall);
    frozen.freeze();
    sleep(TOO_LONG).await;
    proxy.set(Mode::Pass);
    frozen.thaw();
    world.app("update ad_product set quantity = 2").await;
    world.in_step().await;

    assert!(waiting.is_running(), "{}", waiting.log());
    assert!(frozen.is_running(), "{}", frozen.log());
}
