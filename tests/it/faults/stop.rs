//! Told to stop at any moment: it ends in time, loses nothing, and another one
//! takes up what it left.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::{net::UnixStream, process::ExitStatusExt as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::sleep;
use usage_sync::sandbox::{Effect, Plan};

use crate::support::{Daemon, Mode, PATIENCE, Proxy, World, wait_until};

const ADS: &str =
    "insert into ad_product select n, 'small', n % 2, 1 from generate_series(1, 400) n";

/// A lease that no test waits for.
const LONG_LEASE: (&str, &str) = ("QUEUE_LEASE", "10m");

/// Asks so many times, a little apart, and waits for the end.
async fn stop(daemon: &mut Daemon, times: usize) -> Duration {
    let asked = Instant::now();
    for _ in 0..times {
        if !daemon.is_running() {
            break;
        }
        daemon.sigterm();
        sleep(Duration::from_millis(30)).await;
    }
    let status = daemon.ended().await;
    assert_eq!(status.code(), Some(0), "{}", daemon.log());
    asked.elapsed()
}

/// Every request that writes records takes for ever.
fn hang(world: &World) {
    world.sandbox.fault(Plan {
        path: Some(String::from("/composite/sobjects")),
        ..Plan::always(Effect::Delay { ms: 120_000 })
    });
}

async fn attempts(world: &World) -> i32 {
    let most = "select coalesce(max(attempts), 0) from usage_sync.ad";
    let most = sqlx::query_scalar(most).fetch_one(&world.pool);
    most.await.expect("the app's own role may see it")
}

/// It listens before it has as much as read its command line, which it does here
/// for as long as nobody takes what it has to say.
#[tokio::test]
async fn f07_a_stop_in_the_first_moment_is_no_death_by_a_signal() {
    let (mut ours, theirs) = UnixStream::pair().expect("two ends");
    fill(&theirs);
    let mut starting = Command::new(env!("CARGO_BIN_EXE_usage-sync"))
        .arg("--help")
        .stdout(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .spawn()
        .expect("the binary is there and may be run");
    let pid = starting.id();
    let mut asleep = 0;
    wait_until("it to stand still", PATIENCE, async || {
        asleep = if is_asleep(pid) { asleep + 1 } else { 0 };
        asleep > 20
    })
    .await;

    let pid = i32::try_from(pid).expect("pids are small");
    kill(Pid::from_raw(pid), Signal::SIGTERM).expect("it takes signals");
    let mut said = Vec::new();
    ours.read_to_end(&mut said).expect("all that it says");
    let status = starting.wait().expect("it ends");

    assert_eq!((status.code(), status.signal()), (Some(0), None));
    assert!(String::from_utf8_lossy(&said).contains("Usage: usage-sync"));
}

/// Until it takes no more.
fn fill(mut stream: &UnixStream) {
    stream.set_nonblocking(true).expect("a socket can");
    let full = loop {
        if let Err(error) = stream.write(&[b'.'; 1024]) {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    stream.set_nonblocking(false).expect("a socket can");
}

/// Whether its first thread waits for something (`man 5 proc`, `/proc/pid/stat`).
fn is_asleep(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/stat"));
    stat.is_ok_and(|stat| stat.contains(") S "))
}

#[tokio::test]
async fn f07_a_stop_before_postgres_answers_is_a_stop() {
    let world = World::new(1).await;
    for mode in [Mode::Stall, Mode::Cut] {
        for times in [1, 2, 5] {
            let server = ("DATABASE_URL", &*world.database.url);
            is_stopped_while_it_asks(&world, server, mode, times).await;
        }
    }
}

/// A daemon that got nothing but a connection from beyond a proxy is stopped.
async fn is_stopped_while_it_asks(
    world: &World,
    (variable, server): (&'static str, &str),
    mode: Mode,
    times: usize,
) {
    // One of its own: the last question of the daemon before would pass for one of
    // this one, which may not listen to signals yet.
    let proxy = Proxy::in_front_of(server).await;
    proxy.set(mode);
    let url = proxy.url();
    let mut daemon = world.daemon_with(&[(variable, &url), ("SHUTDOWN_TIMEOUT", "4s")]);
    wait_until("it to ask", PATIENCE, async || proxy.accepted() > 0).await;

    let took = stop(&mut daemon, times).await;

    assert!(took < Duration::from_secs(14), "{times} {took:?}");
}

#[tokio::test]
async fn f07_a_stop_before_redis_answers_is_a_stop() {
    let world = World::new(1).await;
    let server = world.redis.url();
    for mode in [Mode::Stall, Mode::Cut] {
        for times in [1, 5] {
            is_stopped_while_it_asks(&world, ("REDIS_URL", &server), mode, times).await;
        }
    }
}

#[tokio::test]
async fn f07_a_stop_in_the_middle_of_a_backlog_leaves_the_rest_to_the_next() {
    let world = World::new(2).await;
    let settings = [LONG_LEASE, ("WORKER_BATCH_SIZE", "5")];
    let mut reported = 0;
    world.app(ADS).await;
    for (times, pause) in [(1, 0), (2, 50), (5, 150), (1, 400), (5, 900)] {
        let mut daemon = world.daemon_with(&settings);
        daemon.logged("usage-sync starts").await;
        sleep(Duration::from_millis(pause)).await;
        stop(&mut daemon, times).await;
        let created = world.sandbox.stats().records.created;
        assert!(created >= reported);
        reported = created;
    }
    assert_eq!(attempts(&world).await, 0);

    let _daemon = world.daemon_with(&settings);
    world.in_step().await;
    assert_eq!(world.sandbox.stats().records.created, 400);
}

#[tokio::test]
async fn f08_a_stop_while_salesforce_hangs_ends_in_time_and_burns_no_attempt() {
    let world = World::new(2).await;
    hang(&world);
    let mut daemon = world.daemon_with(&[LONG_LEASE, ("SHUTDOWN_TIMEOUT", "5s")]);
    world.app(ADS).await;
    wait_until("a request to hang", PATIENCE, async || {
        world.sandbox.stats().in_flight > 0
    })
    .await;

    let took = stop(&mut daemon, 3).await;

    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(attempts(&world).await, 0);
    world.sandbox.clear_faults();
    let start = Instant::now();
    let _next = world.daemon_with(&[LONG_LEASE]);
    world.in_step().await;
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}

#[tokio::test]
async fn f09_three_daemons_are_restarted_in_turn_under_load() {
    let world = World::new(4).await;
    let start = || world.daemon_with(&[LONG_LEASE, ("WORKER_BATCH_SIZE", "20")]);
    let mut daemons = [start(), start(), start()];

    for round in 0..6_i32 {
        sqlx::query(
            "insert into ad_product select n, 'small', n % 4, 1 from generate_series($1 * 200, $1 * 200 + 400) n \
             on conflict (ad_id, product) do update set quantity = ad_product.quantity + 1",
        )
        .bind(round)
        .execute(&world.pool)
        .await
        .expect("the app writes");
        let leaving = &mut daemons[usize::try_from(round % 3).expect("small")];
        // The new one is there before the old one goes, as on Heroku.
        let mut old = std::mem::replace(leaving, start());
        // A signal ahead of `main` would end it without a word.
        old.logged("usage-sync starts").await;
        stop(&mut old, 2).await;
    }
    world.in_step().await;

    assert_eq!(attempts(&world).await, 0);
    assert_eq!(world.sandbox.stats().records.created, 1401);
}

#[tokio::test]
async fn f09_daemons_that_come_and_go_at_will_lose_nothing() {
    let world = World::new(4).await;
    // So that requests are under way most of the time.
    world.sandbox.fault(Plan {
        path: Some(String::from("/composite/sobjects")),
        ..Plan::always(Effect::Delay { ms: 400 })
    });
    let mut dice = fastrand::Rng::with_seed(9);
    let (mut daemons, mut massacres): (Vec<Daemon>, u32) = (Vec::new(), 0);
    for round in 0..12_i32 {
        sqlx::query("insert into ad_product select n, 'small', n % 4, 1 from generate_series($1 * 50, $1 * 50 + 49) n")
            .bind(round)
            .execute(&world.pool)
            .await
            .expect("the app writes");
        if daemons.is_empty() || daemons.len() < 4 && dice.bool() {
            daemons.push(world.daemon());
        } else if massacres < 2 && dice.bool() {
            // All at once: whoever has something in hand is among them. What is in
            // hand a third time would be handled one by one, which takes its time.
            massacres += 1;
            wait_until("a request", PATIENCE, async || {
                // What was written above may all be reported before anybody looks.
                if world.pending().await == 0 {
                    world
                        .app("update ad_product set quantity = quantity + 1")
                        .await;
                }
                world.sandbox.stats().in_flight > 0
            })
            .await;
            for mut killed in daemons.drain(..) {
                killed.kill_9();
                killed.ended().await;
            }
        } else {
            let mut leaving = daemons.swap_remove(dice.usize(..daemons.len()));
            leaving.logged("usage-sync starts").await;
            stop(&mut leaving, 1).await;
        }
        sleep(Duration::from_millis(dice.u64(0..400))).await;
    }

    daemons.push(world.daemon());
    world.in_step().await;
    assert_eq!(world.held().await.len(), 600);
}
