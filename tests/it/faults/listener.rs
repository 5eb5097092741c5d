//! The listening connection dies, goes deaf, or stands behind a pooler: changes
//! are found all the same, and it comes back by itself.

use std::{
    fs,
    net::TcpListener,
    process::Command,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User, chown, geteuid},
};
use tempfile::TempDir;
use url::Url;

use crate::support::{Daemon, Mode, PATIENCE, Proxy, World, wait_until};

/// No poll and no sweep: only a notification or a reconnect finds a change.
const ONLY_LISTENING: [(&str, &str); 2] = [
    ("CAPTURE_POLL_INTERVAL", "1h"),
    ("CAPTURE_SWEEP_INTERVAL", "1h"),
];

/// What is promised, and the time that a busy machine takes.
const NOTICED: Duration = Duration::from_secs(20);

const LISTENER: &str = "select pid from pg_stat_activity \
    where application_name = 'usage-sync' and query ilike 'listen%'";

/// A daemon that has found one change by listening at this address.
async fn listening_at(world: &World, url: &str) -> Daemon {
    let settings = [&ONLY_LISTENING[..], &[("DATABASE_URL", url)]].concat();
    let daemon = world.daemon_with(&settings);
    world
        .app("insert into ad_product values (1, 'small', 0, 1)")
        .await;
    world.in_step().await;
    daemon
}

async fn listener(world: &World) -> i32 {
    let mut pid = None;
    wait_until("the listener", PATIENCE, async || {
        let found = sqlx::query_scalar(LISTENER).fetch_optional(&world.pool);
        pid = found.await.expect("it may be asked");
        pid.is_some()
    })
    .await;
    pid.expect("it was found")
}

#[tokio::test]
async fn f12_a_listener_that_is_cut_off_in_silence_is_noticed() {
    let world = World::new(1).await;
    let proxy = Proxy::in_front_of(&world.database.url).await;
    let daemon = listening_at(&world, &proxy.url()).await;

    proxy.forget_connections();
    let dead = Instant::now();
    world
        .app("insert into ad_product values (2, 'small', 0, 1)")
        .await;
    daemon.logged("the listening connection is dead").await;
    assert!(dead.elapsed() < NOTICED, "{:?}", dead.elapsed());

    world.in_step().await;
    daemon.logged("postgres listener answers again").await;
}

#[tokio::test]
async fn f12_a_listener_whose_backend_stands_still_is_noticed() {
    let world = World::new(1).await;
    let daemon = listening_at(&world, &world.database.url).await;

    let backend = Pid::from_raw(listener(&world).await);
    kill(backend, Signal::SIGSTOP).expect("it is there");
    let dead = Instant::now();
    daemon.logged("the listening connection is dead").await;
    let noticed = dead.elapsed();
    daemon.logged("postgres listener answers again").await;
    world
        .app("insert into ad_product values (2, 'small', 0, 1)")
        .await;
    world.in_step().await;
    kill(backend, Signal::SIGCONT).expect("it is there still");

    assert!(noticed < NOTICED, "{noticed:?}");
}

#[tokio::test]
async fn f13_a_listener_that_is_terminated_comes_back_under_load() {
    let world = World::new(1).await;
    let daemon = listening_at(&world, &world.database.url).await;

    for _ in 0..5 {
        let before = daemon
            .log()
            .matches("postgres listener answers again")
            .count();
        let terminated = listener(&world).await;
        sqlx::query("select pg_terminate_backend($1)")
            .bind(terminated)
            .execute(&world.pool)
            .await
            .expect("a superuser may");
        world
            .app("update ad_product set quantity = quantity + 1")
            .await;
        wait_until("the listener to be back", PATIENCE, async || {
            daemon
                .log()
                .matches("postgres listener answers again")
                .count()
                > before
        })
        .await;
        // Its client heard of its end before the server had cleared it away; the
        // next round must not take it for the new one.
        wait_until("the old one to be gone", PATIENCE, async || {
            let there = "select exists (select from pg_stat_activity where pid = $1)";
            let there = sqlx::query_scalar(there).bind(terminated);
            let there: bool = there.fetch_one(&world.pool).await.expect("the server");
            !there
        })
        .await;
        world
            .app("update ad_product set quantity = quantity + 1")
            .await;
    }

    world.in_step().await;
}

#[tokio::test]
async fn f14_a_change_made_while_nobody_listened_is_found_at_the_reconnect() {
    let world = World::new(1).await;
    let proxy = Proxy::in_front_of(&world.database.url).await;
    let daemon = listening_at(&world, &proxy.url()).await;

    proxy.set(Mode::Cut);
    daemon.logged("waiting for postgres listener").await;
    world
        .app("insert into ad_product values (2, 'small', 0, 1)")
        .await;
    proxy.set(Mode::Pass);

    world.in_step().await;
}

#[tokio::test]
async fn f16_the_listener_is_never_in_a_transaction_while_it_waits() {
    let world = World::new(1).await;
    let _daemon = world.daemon();
    let pid = listener(&world).await;

    for quantity in 1..=30_i32 {
        sqlx::query(
            "insert into ad_product values (1, 'small', 0, $1) \
             on conflict (ad_id, product) do update set quantity = excluded.quantity",
        )
        .bind(quantity)
        .execute(&world.pool)
        .await
        .expect("the app writes");
        // Postgres reads a notification, and a heartbeat is written, in a transaction of its own:
        // it may be seen, but ends by itself. One that the listener has open would not.
        wait_until("the listener rests", PATIENCE, async || {
            let (state, in_transaction): (String, bool) = sqlx::query_as(
                "select state, xact_start is not null from pg_stat_activity where pid = $1",
            )
            .bind(pid)
            .fetch_one(&world.pool)
            .await
            .expect("it listens");
            assert_ne!(state, "idle in transaction");
            state == "idle" && !in_transaction
        })
        .await;
    }
    world.in_step().await;
}

/// Waits until a listener has shown once more that it lives.
async fn next_heartbeat(world: &World) {
    let heard = async || -> i64 {
        sqlx::query_scalar("select last_value from usage_sync.listening")
            .fetch_one(&world.pool)
            .await
            .expect("it can be read")
    };
    let before = heard().await;
    wait_until("a heartbeat", PATIENCE, async || heard().await > before).await;
}

#[tokio::test]
async fn f16_a_notification_queue_that_fills_up_is_said_once_and_stops_nothing() {
    let world = World::new(1).await;
    // Half of 8 GB takes long to fill; this says that it is.
    world
        .app(
            "create schema fake; create table fake.usage (level float8); insert into fake.usage values (0.6); \
             create function fake.pg_notification_queue_usage() returns float8 language sql as \
             'select level from fake.usage'; \
             alter role postgres set search_path to fake, pg_catalog, public",
        )
        .await;
    let daemon = world.daemon();
    daemon
        .logged("the notification queue of postgres fills up")
        .await;

    world
        .app("insert into ad_product values (1, 'small', 0, 1)")
        .await;
    world.in_step().await;
    for _ in 0..2 {
        next_heartbeat(&world).await;
    }
    world.app("update fake.usage set level = 0.1").await;
    daemon
        .logged("the notification queue of postgres has room again")
        .await;

    assert_eq!(
        daemon.log().matches("queue of postgres fills up").count(),
        1
    );
}

/// A pooler in front of the database, gone with this value.
struct Pooler {
    process: Daemon,
    url: String,
    _directory: TempDir,
}

/// With `settings` of its own beside those that every pooler has.
async fn pooler(database: &str, settings: &str) -> Pooler {
    let database = Url::parse(database).expect("a url");
    // Somebody else may take the port before it does: it ends then.
    loop {
        let mut pooler = pooler_somewhere(&database, settings);
        wait_until("the pooler", PATIENCE, async || {
            pooler.is_up() || !pooler.process.is_running()
        })
        .await;
        if pooler.is_up() {
            return pooler;
        }
        pooler.process.ended().await;
        let log = pooler.process.log();
        assert!(log.contains("in use"), "{log}");
    }
}

impl Pooler {
    fn is_up(&self) -> bool {
        self.process.log().contains("process up")
    }
}

/// On a port that was free a moment ago.
fn pooler_somewhere(database: &Url, settings: &str) -> Pooler {
    let directory = TempDir::new().expect("a directory");
    let port = {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        socket.local_addr().expect("it is bound").port()
    };
    let ini = format!(
        "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n\
         default_pool_size = 4\n{settings}\n[databases]\napp = host=127.0.0.1 port={} user=postgres\n",
        database.port().expect("a port"),
        database.port().expect("a port"),
    );
    let file = directory.path().join("pgbouncer.ini");
    fs::write(&file, ini).expect("room for a file");
    // It refuses to run as root.
    let mut command = Command::new("pgbouncer");
    if geteuid().is_root() {
        let user = ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| User::from_name(name).ok()?);
        let user = user.expect("a user that is not root");
        for path in [directory.path(), file.as_path()] {
            chown(path, Some(user.uid), Some(user.gid)).expect("root may");
        }
        command.arg("-u").arg(user.name);
    }
    command.arg(&file).env("PATH", "/usr/sbin:/usr/bin:/bin");
    let process = Daemon::spawn(command);
    let mut url = database.clone();
    url.set_port(Some(port)).expect("it has a host");
    Pooler {
        process,
        url: url.to_string(),
        _directory: directory,
    }
}

#[tokio::test]
async fn f15_behind_a_transaction_pooler_changes_are_found_by_polling() {
    let world = World::new(4).await;
    let pooler = pooler(&world.database.url, "").await;
    let settings = [
        ("DATABASE_URL", pooler.url.as_str()),
        ("WORKER_BATCH_SIZE", "20"),
    ];
    let first = world.daemon_with(&settings);
    let second = world.daemon_with(&settings);
    first.logged("logged in to salesforce").await;

    for _ in 0..3 {
        world
            .app(
                "insert into ad_product select n, 'small', n % 4, 1 from generate_series(1, 300) n \
                  on conflict (ad_id, product) do update set quantity = ad_product.quantity + 1",
            )
            .await;
        world.in_step().await;
    }
    for daemon in [&first, &second] {
        daemon
            .logged("a connection pooler stands in front of the database")
            .await;
    }
    world.app("delete from ad_product where ad_id > 100").await;
    world.in_step().await;

    for daemon in [&first, &second] {
        let log = daemon.log();
        assert!(!log.contains("prepared statement"), "{log}");
        assert_eq!(
            log.matches("a connection pooler stands in front").count(),
            1,
            "{log}"
        );
        assert!(!log.contains("waiting for postgres: "), "{log}");
        assert!(!log.contains("postgres listener answers again"), "{log}");
    }
    drop((first, second));
    drop(pooler.process);
}

/// It takes what a session brings along, and gives it to nobody.
#[tokio::test]
async fn f15_a_pooler_that_lets_a_session_ask_for_anything_is_known_for_one() {
    let world = World::new(1).await;
    let pooler = pooler(
        &world.database.url,
        "ignore_startup_parameters = options, extra_float_digits",
    )
    .await;
    let daemon = world.daemon_with(&[("DATABASE_URL", &pooler.url)]);

    daemon
        .logged("a connection pooler stands in front of the database")
        .await;
    world
        .app("insert into ad_product values (1, 'small', 0, 1)")
        .await;
    world.in_step().await;
    drop(pooler.process);
}
