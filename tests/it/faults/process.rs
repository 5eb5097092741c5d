//! The process itself: killed, frozen, hanging, panicking, or with nobody who
//! reads its log.

#[cfg(feature = "failpoints")]
use std::{io::Write as _, os::unix::process::ExitStatusExt as _};
use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tokio::time::sleep;
use usage_sync::sandbox::{Effect, Plan};

#[cfg(feature = "failpoints")]
use crate::support::Daemon;
use crate::support::{Mode, PATIENCE, Proxy, World, memory, wait_until};

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

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn f51_what_cannot_even_say_why_it_ends_is_ended_by_force() {
    let world = World::new(1).await;
    let (_unread, mut full) = std::io::pipe().expect("a pipe");
    // As much as Linux has room for in a pipe: the next writer waits for ever.
    full.write_all(&vec![b'.'; 64 << 10]).expect("it has room");
    let mut command = Command::new(env!("CARGO_BIN_EXE_usage-sync"));
    command.arg("run").env_clear().envs(world.environment());
    command.env("FAILPOINT", "JournalLoop:hang:2").stderr(full);
    let mut stuck = Unread(command.stdout(Stdio::null()).spawn().expect("it runs"));

    let mut status = None;
    wait_until("the end of the process", A_MINUTE, async || {
        status = stuck.0.try_wait().expect("it is our child");
        status.is_some()
    })
    .await;

    assert_eq!(status.and_then(|status| status.signal()), Some(6));
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
    // Each is obeyed at a look of its own, and in between the watchdog looks, too.
    for (command, said) in [("pause", "is paused"), ("resume", "was resumed")] {
        world.command(&[command]).await;
        for daemon in [&waiting, &frozen] {
            daemon.logged(said).await;
        }
    }

    assert!(waiting.is_running(), "{}", waiting.log());
    assert!(frozen.is_running(), "{}", frozen.log());
}

/// The daemon with an output of the test's own, killed when this value goes.
struct Unread(Child);

impl Unread {
    fn start(world: &World) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_usage-sync"))
            .arg("run")
            .env_clear()
            .envs(world.environment())
            .env("LOG_LEVEL", "info,sqlx=debug")
            .env("CAPTURE_POLL_INTERVAL", "5ms")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("the binary is there and may be run"))
    }

    /// Bytes of memory that are its own.
    fn memory(&self) -> u64 {
        memory(self.0.id(), "VmRSS:")
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// More lines than the pipe and the buffer behind it take.
async fn chatter(world: &World) {
    for _ in 0..40 {
        world
            .app(
                "insert into ad_product select n, 'small', 0, 1 from generate_series(1, 50) n \
                 on conflict (ad_id, product) do update set quantity = ad_product.quantity + 1",
            )
            .await;
        world.in_step().await;
    }
}

#[tokio::test]
async fn f47_a_log_that_nobody_reads_slows_nothing_and_tells_later_what_it_dropped() {
    let world = World::new(1).await;
    let mut daemon = Unread::start(&world);

    chatter(&world).await;
    let memory = daemon.memory();
    let output = daemon.0.stdout.take().expect("it is piped");
    let (said, heard) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in std::io::BufRead::lines(std::io::BufReader::new(output)) {
            let line = line.unwrap_or_default();
            if line.contains("dropped") {
                said.send(line).ok();
            }
        }
    });
    wait_until("the log to say what it dropped", PATIENCE, async || {
        heard.try_recv().is_ok()
    })
    .await;

    drop(daemon);
    reader.join().expect("it only reads");
    assert!(memory < 200 << 20, "{memory} bytes");
}

#[tokio::test]
async fn f47_a_log_whose_reader_is_gone_stops_nothing() {
    let world = World::new(1).await;
    let mut daemon = Unread::start(&world);

    drop(daemon.0.stdout.take());
    chatter(&world).await;

    assert!(daemon.0.try_wait().expect("it is our child").is_none());
}
