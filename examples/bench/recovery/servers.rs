//! Redis and Postgres that are flushed, killed and restarted, and connections
//! that end or go deaf.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

use super::scene::Scene;
use super::{Arguments, Figure};
use crate::stage::Stage;
use crate::{Error, Mode};

/// How long Redis is away.
const AWAY: Duration = Duration::from_secs(10);
/// A refill is promised to take no longer, in seconds.
const REFILL: f64 = 5.0;
/// A deaf connection is promised to be noticed by then, in seconds.
const DEAF: f64 = 15.0;
/// Milliseconds a call while Redis is flushed: next to nothing is reported
/// before the ids are back.
const CRAWL: u32 = 3000;

const BACK: &str = "from its return until all that was committed before is reported";

pub(super) async fn redis_flushed(
    stage: &mut Stage,
    arguments: &Arguments,
) -> Result<Vec<Figure>, Error> {
    let ads = super::outage::backlog(stage, arguments).await?;
    stage.org.slow_down(CRAWL).await?;
    let mut scene = Scene::quiet(stage, 1)?;
    scene.stage.app.edit(ads.0, ads.1).await?;
    let mut redis = connect(scene.stage).await?;
    all_known(&mut scene, &mut redis).await?;
    let start = Instant::now();
    redis::cmd("FLUSHALL")
        .exec_async(&mut redis)
        .await
        .map_err(redis_error)?;
    let refilled = all_known(&mut scene, &mut redis).await?;
    scene.stage.org.pretend(Mode::Slow).await?;
    let settled = scene.settled().await?;
    let mut figures = vec![
        Figure::seconds(
            "from the flush until Redis holds every pending ad again",
            refilled.duration_since(start),
        )
        .at_most(REFILL),
        Figure::seconds(
            "from the flush until all are reported, 120 ms a call and 3 ms a record",
            settled.duration_since(start),
        ),
    ];
    figures.extend(scene.end().await?);
    Ok(figures)
}

/// Waits until Redis has at least as many ids as ads are pending, and there are
/// some.
async fn all_known(
    scene: &mut Scene<'_>,
    redis: &mut redis::aio::MultiplexedConnection,
) -> Result<Instant, Error> {
    scene
        .until("that Redis knows every pending ad", async |stage| {
            // In this order: what is reported in between leaves Redis later.
            let pending = stage.app.pending().await?;
            let (ready, claimed, retry): (i64, i64, i64) = redis::pipe()
                .llen("{usage-sync}:queue")
                .zcard("{usage-sync}:claimed")
                .zcard("{usage-sync}:retry")
                .query_async(redis)
                .await
                .map_err(redis_error)?;
            Ok(pending > 0 && ready + claimed + retry >= pending)
        })
        .await
}

async fn connect(stage: &Stage) -> Result<redis::aio::MultiplexedConnection, Error> {
    let client = redis::Client::open(stage.redis.url()).map_err(redis_error)?;
    client
        .get_multiplexed_async_connection()
        .await
        .map_err(redis_error)
}

fn redis_error(error: redis::RedisError) -> Error {
    Error::io("asking Redis")(std::io::Error::other(error))
}

pub(super) async fn redis_killed(
    stage: &mut Stage,
    arguments: &Arguments,
) -> Result<Vec<Figure>, Error> {
    let mut scene = Scene::under_load(stage, 2, arguments).await?;
    scene.stage.redis.kill().await?;
    sleep(AWAY).await;
    scene.stage.redis.restart().await?;
    let recovery = scene.recovery(Instant::now()).await?;
    let mut figures = vec![Figure::seconds(BACK, recovery)];
    figures.extend(scene.end().await?);
    Ok(figures)
}

pub(super) async fn postgres_restarted(
    stage: &mut Stage,
    arguments: &Arguments,
) -> Result<Vec<Figure>, Error> {
    let mut scene = Scene::under_load(stage, 2, arguments).await?;
    scene.stage.postgres.restart().await?;
    let recovery = scene.recovery(Instant::now()).await?;
    let mut figures = vec![Figure::seconds(BACK, recovery)];
    figures.extend(scene.end().await?);
    Ok(figures)
}

pub(super) async fn connections_ended(
    stage: &mut Stage,
    arguments: &Arguments,
) -> Result<Vec<Figure>, Error> {
    let mut scene = Scene::under_load(stage, 2, arguments).await?;
    sqlx::query(
        "select pg_terminate_backend(pid) from pg_stat_activity \
         where application_name = 'usage-sync'",
    )
    .execute(&scene.stage.app.pool)
    .await?;
    let recovery = scene.recovery(Instant::now()).await?;
    let mut figures = vec![Figure::seconds(
        "from their end until all that was committed before is reported",
        recovery,
    )];
    figures.extend(scene.end().await?);
    Ok(figures)
}

pub(super) async fn listener_deaf(
    stage: &mut Stage,
    arguments: &Arguments,
) -> Result<Vec<Figure>, Error> {
    let mut scene = Scene::under_load(stage, 1, arguments).await?;
    let listening = listeners(scene.stage).await?;
    let deaf = *listening
        .first()
        .ok_or_else(|| Error::Inexact("nobody listens".to_owned()))?;
    // A server process that is frozen: its connection is open, and dead.
    signal(deaf, Signal::SIGSTOP)?;
    let start = Instant::now();
    let heard = scene
        .until("a listener that hears", async |stage| {
            Ok(listeners(stage).await?.iter().any(|pid| *pid != deaf))
        })
        .await;
    let recovery = scene.recovery(start).await;
    signal(deaf, Signal::SIGCONT)?;
    let mut figures = vec![
        Figure::seconds(
            "from the last sign of life until a new connection listens",
            heard?.duration_since(start),
        )
        .at_most(DEAF),
    ];
    recovery?;
    figures.extend(scene.end().await?);
    Ok(figures)
}

/// The server processes behind LISTEN.
async fn listeners(stage: &Stage) -> Result<Vec<i32>, Error> {
    Ok(sqlx::query_scalar(
        "select pid from pg_stat_activity \
         where application_name = 'usage-sync' and query ilike 'listen %' order by pid",
    )
    .fetch_all(&stage.app.pool)
    .await?)
}

fn signal(pid: i32, signal: Signal) -> Result<(), Error> {
    kill(Pid::from_raw(pid), signal)
        .map_err(|error| Error::io("freezing a server process")(error.into()))
}
