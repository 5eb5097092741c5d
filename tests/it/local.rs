//! Private servers: they come up, survive what tests do to them, and never
//! outlive their owner.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use std::{env, fs};

use nix::sys::signal::kill;
use nix::unistd::Pid;
use redis::AsyncCommands;
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;
use usage_sync::local::{Durability, Postgres, PostgresOptions, Redis, RedisOptions};

use crate::support::{self, Mode, PATIENCE, Proxy, redis_connection as redis_client, wait_until};

async fn one(url: &str) -> Result<i32, sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::query_scalar("select 1")
        .fetch_one(&mut connection)
        .await
}

/// Long enough to call it silence; too long for no test.
const SILENCE: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_killed_postgres_comes_back_on_its_port_with_what_was_committed() {
    let mut database = support::postgres().await;
    let url = database.url.clone();
    let app = database.pool().await;
    sqlx::raw_sql("create table ad (id int); insert into ad values (42)")
        .execute(&app)
        .await
        .unwrap();

    database.server.kill().await.unwrap();
    assert!(one(&url).await.is_err(), "nobody listens");
    database.server.restart().await.unwrap();

    let ad: i32 = sqlx::query_scalar("select id from ad")
        .fetch_one(&app)
        .await
        .unwrap();
    assert_eq!(ad, 42);
}

#[tokio::test]
async fn killing_postgres_kills_a_session_that_is_too_busy_to_notice() {
    let database = support::postgres().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let session: i32 = sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let busy = tokio::spawn(async move {
        sqlx::raw_sql("do $$ begin loop null; end loop; end $$")
            .execute(&mut connection)
            .await
    });
    let watcher = database.pool().await;
    wait_until("the busy session", PATIENCE, async || {
        sqlx::query_scalar("select state = 'active' from pg_stat_activity where pid = $1")
            .bind(session)
            .fetch_one(&watcher)
            .await
            .unwrap()
    })
    .await;

    database.server.kill().await.unwrap();

    wait_until("the session's end", PATIENCE, async || !lives(session)).await;
    assert!(busy.await.unwrap().is_err(), "its client was cut off");
}

#[tokio::test]
async fn a_frozen_postgres_answers_when_it_thaws() {
    let database = support::postgres().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();

    database.server.freeze();
    let mut answer = Box::pin(sqlx::query("select 1").execute(&mut connection));
    let early = timeout(SILENCE, &mut answer).await;
    assert!(early.is_err(), "a frozen server does not answer");
    database.server.thaw();

    answer.await.unwrap();
}

#[tokio::test]
async fn a_frozen_postgres_can_be_stopped_and_restarted() {
    let mut database = support::postgres().await;

    database.server.freeze();
    database.server.restart().await.unwrap();

    assert_eq!(one(&database.url).await.unwrap(), 1);
}

#[tokio::test]
async fn a_setting_that_postgres_does_not_know_is_shown_with_its_own_words() {
    let options = PostgresOptions {
        template_cache: Some(Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned()),
        ..PostgresOptions::default()
    };

    let outcome = Postgres::start(options.set("no_such_setting", "1")).await;

    let message = outcome.err().expect("it cannot start").to_string();
    assert!(message.contains("no_such_setting"), "{message}");
}

#[tokio::test]
async fn a_durable_postgres_is_set_up_as_in_production() {
    // Not every machine has room in /dev/shm. The server's user must have a way in.
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let server = Postgres::start(PostgresOptions {
        durability: Durability::Durable,
        parent: Some(place.path().to_owned()),
        ..PostgresOptions::default()
    })
    .await
    .unwrap();
    let mut connection = PgConnection::connect(&server.url("postgres"))
        .await
        .unwrap();

    let settings: Vec<(String, String)> = sqlx::query_as(
        "select name, setting || coalesce(unit, '') from pg_settings
         where name in ('fsync', 'full_page_writes', 'synchronous_commit', 'wal_segment_size')
         order by name",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();

    let values: Vec<&str> = settings.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(values, ["on", "on", "on", "16777216B"], "{settings:?}");
    assert!(server.directory().starts_with(place.path()));
}

#[tokio::test]
async fn a_killed_redis_comes_back_with_its_data_or_without() {
    let mut server = support::redis().await;
    let url = server.url();
    let mut client = redis_client(&url).await.unwrap();
    let _: () = client.rpush("queue", 42).await.unwrap();

    server.kill().await.unwrap();
    assert!(redis_client(&url).await.is_err(), "nobody listens");
    server.restart().await.unwrap();
    let mut client = redis_client(&url).await.unwrap();
    let kept: usize = client.llen("queue").await.unwrap();
    server.restart_empty().await.unwrap();
    let mut client = redis_client(&url).await.unwrap();
    let lost: usize = client.llen("queue").await.unwrap();

    assert_eq!((kept, lost), (1, 0));
}

#[tokio::test]
async fn redis_takes_its_parameters() {
    let options = RedisOptions::default()
        .set("maxmemory", "25mb")
        .set("maxmemory-policy", "noeviction");
    let server = support::redis_with(options).await;
    let mut client = redis_client(&server.url()).await.unwrap();

    let answer: Vec<String> = redis::cmd("CONFIG")
        .arg(&["GET", "maxmemory"])
        .query_async(&mut client)
        .await
        .unwrap();

    assert_eq!(answer, ["maxmemory", "26214400"]);
}

#[tokio::test]
async fn redis_speaks_tls_with_a_certificate_that_nobody_vouches_for() {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    let server = support::redis_with(RedisOptions::default().over_tls()).await;

    let checked = redis_client(&server.url()).await;
    let mut trusting = redis_client(&format!("{}#insecure", server.url()))
        .await
        .unwrap();

    let refusal = checked.expect_err("it is refused").to_string();
    assert!(refusal.contains("certificate"), "{refusal}");
    let length: usize = trusting.llen("queue").await.unwrap();
    assert_eq!(length, 0);
}

/// The test runs itself once more as the owner of two servers, and kills it.
#[tokio::test]
async fn a_killed_owner_leaves_no_server_behind() {
    const ROLE: &str = "USAGE_SYNC_TEST_OWNER";
    if let Some(file) = env::var_os(ROLE) {
        return own_servers(Path::new(&file)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("servers");
    let mut owner = std::process::Command::new(env::current_exe().unwrap())
        .args(["--exact", "local::a_killed_owner_leaves_no_server_behind"])
        .env(ROLE, &file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the owner's servers", PATIENCE, async || file.exists()).await;
    let servers = fs::read_to_string(&file).unwrap();
    let servers: Vec<(i32, &str)> = servers
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(pid, directory)| (pid.parse().unwrap(), directory))
        .collect();
    assert_eq!(servers.len(), 2);
    assert!(servers.iter().all(|&(pid, _)| lives(pid)));

    owner.kill().unwrap();
    owner.wait().unwrap();

    for (pid, directory) in servers {
        wait_until("a server's end", PATIENCE, async || !lives(pid)).await;
        let folder = Path::new(directory);
        wait_until("its directory's end", PATIENCE, async || !folder.exists()).await;
    }
}

async fn own_servers(file: &Path) {
    let database = support::postgres().await;
    let redis = support::redis().await;
    // Frozen, it could not stop itself.
    database.server.freeze();
    let servers = [
        (database.server.pid(), database.server.directory()),
        (redis.pid(), redis.directory()),
    ];
    let lines: String = servers
        .map(|(pid, directory)| format!("{} {}\n", pid.unwrap(), directory.display()))
        .concat();
    let draft = file.with_extension("draft");
    fs::write(&draft, lines).unwrap();
    fs::rename(&draft, file).unwrap();
    std::future::pending::<()>().await;
}

/// A process that only waits to be waited for is dead.
fn lives(pid: i32) -> bool {
    let zombie = fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| s.contains(") Z "));
    kill(Pid::from_raw(pid), None).is_ok() && !zombie
}

#[tokio::test]
async fn a_stopped_server_leaves_no_directory_behind() {
    let redis = support::redis().await;
    let directory = redis.directory().to_owned();
    assert!(directory.exists());

    drop(redis);

    assert!(!directory.exists());
}

#[tokio::test]
async fn the_proxy_cuts_stalls_delays_and_swallows() {
    let server: Redis = support::redis().await;
    let proxy = Proxy::in_front_of(&server.url()).await;
    let mut direct = redis_client(&server.url()).await.unwrap();
    let connect = async || redis_client(&proxy.url()).await;
    let mut client = connect().await.unwrap();
    let _: usize = client.rpush("queue", "passed").await.unwrap();

    proxy.set(Mode::SwallowReplies);
    let answer = timeout(SILENCE, client.rpush::<_, _, usize>("queue", "swallowed")).await;
    assert!(answer.is_err(), "the answer vanished");
    wait_until("the request, which did not", PATIENCE, async || {
        direct.llen::<_, usize>("queue").await.unwrap() == 2
    })
    .await;

    proxy.set(Mode::Pass);
    let mut client = connect().await.unwrap();
    proxy.set(Mode::Stall);
    let answer = timeout(SILENCE, client.rpush::<_, _, usize>("queue", "stalled")).await;
    assert!(answer.is_err(), "nothing passes");
    let length: usize = direct.llen("queue").await.unwrap();
    assert_eq!(length, 2, "nothing passes");
    proxy.set(Mode::Pass);
    wait_until("what was sent meanwhile", PATIENCE, async || {
        direct.llen::<_, usize>("queue").await.unwrap() == 3
    })
    .await;

    proxy.set(Mode::Cut);
    assert!(connect().await.is_err(), "new connections are reset");
    proxy.set(Mode::Pass);
    let mut client = connect().await.unwrap();
    proxy.reset_connections();
    let reset: redis::RedisResult<usize> = client.llen("queue").await;
    assert!(reset.is_err(), "open connections are reset");
    assert!(connect().await.is_ok(), "new ones are not");

    proxy.set(Mode::Delay(Duration::from_millis(1)));
    let mut client = connect().await.unwrap();
    let length: usize = client.llen("queue").await.unwrap();
    assert_eq!(length, 3);
}
