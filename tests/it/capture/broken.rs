//! Connections that end, servers that go away and come back.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::PgPool;

use super::{Bench, EARS, NEVER, OFTEN, bench};
use crate::schema::sql;
use crate::support::{PATIENCE, wait_until};

/// The server's end of the listener's connection, once it listens.
async fn ears(app: &PgPool) -> Option<i32> {
    sqlx::query_scalar(
        "select pid from pg_stat_activity where application_name = $1 and query ilike 'listen%' \
         order by backend_start desc limit 1",
    )
    .bind(EARS)
    .fetch_optional(app)
    .await
    .ok()
    .flatten()
}

async fn new_ears(app: &PgPool, old: Option<i32>) -> i32 {
    let mut found = None;
    wait_until("a listening connection", PATIENCE, async || {
        found = ears(app).await.filter(|pid| Some(*pid) != old);
        found.is_some()
    })
    .await;
    found.unwrap()
}

async fn listening() -> (Bench, i32) {
    let mut bench = bench().await;
    bench.capture_that_listens().await;
    bench.is_woken(1).await;
    let ears = new_ears(&bench.app, None).await;
    (bench, ears)
}

#[tokio::test]
async fn a_listener_whose_connection_is_terminated_listens_again() {
    let (bench, old) = listening().await;

    sqlx::query("select pg_terminate_backend($1)")
        .bind(old)
        .execute(&bench.app)
        .await
        .unwrap();
    bench.insert(5..=5).await;

    bench.queued(5).await;
    new_ears(&bench.app, Some(old)).await;
    bench.is_woken(6).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_listener_whose_connection_died_without_a_word_notices() {
    let (bench, old) = listening().await;
    let server_end = Pid::from_raw(old);

    // The connection stays open and nothing ever comes out of it again.
    kill(server_end, Signal::SIGSTOP).unwrap();
    bench.insert(5..=5).await;

    // The kernel would take a quarter of an hour, or for ever.
    bench.queued(5).await;
    new_ears(&bench.app, Some(old)).await;
    bench.is_woken(6).await;
    kill(server_end, Signal::SIGCONT).unwrap();
    bench.stop().await;
}

#[tokio::test]
async fn a_restarted_postgres_is_listened_to_again() {
    let (mut bench, _) = listening().await;

    bench.database.server.kill().await.unwrap();
    bench.database.server.restart().await.unwrap();
    wait_until("the app's connection", PATIENCE, async || {
        sqlx::query("insert into ad values (5)")
            .execute(&bench.app)
            .await
            .is_ok()
    })
    .await;

    bench.queued(5).await;
    bench.is_woken(6).await;
    bench.stop().await;
}

#[tokio::test]
async fn what_is_captured_while_redis_is_down_is_offered_when_it_is_back() {
    let mut bench = bench().await;
    // Only the sweep at the start finds this one: it is over afterwards.
    sql(
        &bench.app,
        "insert into usage_sync.ad (ad_id, changed_at) values ('0', now())",
    )
    .await;
    bench.capture(OFTEN, NEVER).await;
    bench.queued(1).await;

    bench.redis.kill().await.unwrap();
    for ad in 1..=2 {
        // The second is moved after Redis was not told of the first.
        bench.insert(ad..=ad).await;
        bench.outbox_is_empty().await;
    }
    bench.redis.restart().await.unwrap();

    bench.queued(3).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_stop_is_obeyed_while_postgres_and_redis_are_down() {
    let (bench, _) = listening().await;
    bench.database.server.kill().await.unwrap();
    bench.redis.kill().await.unwrap();

    tokio::time::timeout(PATIENCE, bench.stop())
        .await
        .expect("capture ends in time");
}
