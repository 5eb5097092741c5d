//! What the daemon is doing while the app works.

use std::time::Duration;

use clap::ValueEnum;
use nix::sys::signal::Signal;
use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;
use tokio::time::{Instant, sleep};

use super::Pace;
use super::figures::Sample;
use super::program::Pgbench;
use super::tables::Tables;
use crate::Error;
use crate::daemon::Daemon;
use crate::process::cpu_of_tree;
use crate::stage::Stage;

/// Ads that are edited so that a frozen daemon is frozen in the middle of work.
const AT_WORK: i64 = 5000;

/// The state of everything but the app and its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    /// Tables that nobody watches
    NotWatched,
    /// Watched tables, no daemon, and nobody is notified: the trigger alone
    Unnotified,
    /// Watched tables, no daemon
    NoDaemon,
    /// The daemon runs and keeps up
    KeepingUp,
    /// The daemon is frozen in the middle of its work
    Frozen,
    /// Redis is down
    RedisDown,
    /// Salesforce takes requests and never answers
    SalesforceHangs,
    /// The daemon drains a backlog of all ads while backfills run
    GoneMad,
}

impl State {
    /// For the table.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::NotWatched => "tables not watched",
            Self::Unnotified => "watched, no NOTIFY: the trigger alone",
            Self::NoDaemon => "watched, no daemon",
            Self::KeepingUp => "watched, daemon keeping up",
            Self::Frozen => "watched, daemon frozen at work",
            Self::RedisDown => "watched, Redis down",
            Self::SalesforceHangs => "watched, Salesforce hangs",
            Self::GoneMad => "watched, large drain and backfills",
        }
    }
}

/// One turn of pgbench in this state.
pub(super) async fn turn(
    condition: State,
    pace: Pace,
    stage: &mut Stage,
    tables: &Tables,
    pgbench: &Pgbench,
) -> Result<Sample, Error> {
    let mut daemon = bring_about(condition, stage, tables).await?;
    let awake = match condition {
        State::Unnotified => Some(keep_from_notifying(stage).await?),
        _ => None,
    };
    let pids = [daemon.as_ref().map(Daemon::pid), Some(stage.org.pid())];
    let cpu = |pid: &Option<u32>| pid.map_or(0.0, cpu_of_tree);
    let before = pids.map(|pid| cpu(&pid));
    let start = Instant::now();
    let outcome = if condition == State::GoneMad {
        tokio::select! {
            outcome = pgbench.run(pace, true, tables.ads) => outcome?,
            never = backfill_again_and_again(stage) => never?,
        }
    } else {
        pgbench
            .run(pace, condition != State::NotWatched, tables.ads)
            .await?
    };
    let seconds = start.elapsed().as_secs_f64();
    drop(awake);
    let used = [0, 1].map(|which| (cpu(&pids[which]) - before[which]) / seconds);
    if let Some(daemon) = &mut daemon {
        daemon.must_live()?;
    }
    Ok(Sample::new(&outcome, pgbench.seconds, used[0], used[1]))
}

async fn bring_about(
    condition: State,
    stage: &mut Stage,
    tables: &Tables,
) -> Result<Option<Daemon>, Error> {
    let ads = i64::from(tables.ads);
    match condition {
        State::NotWatched | State::Unnotified | State::NoDaemon => return Ok(None),
        // All of it waits when the daemon starts.
        State::GoneMad => stage.app.edit(1, ads).await?,
        State::KeepingUp | State::Frozen | State::RedisDown | State::SalesforceHangs => {}
    }
    let salesforce = stage.org.ready.base_url.clone();
    let daemon = stage.start_daemon(&salesforce)?;
    if condition != State::GoneMad {
        is_at_work(stage).await?;
    }
    match condition {
        State::Frozen => {
            let edits = stage.app.edit(1, ads.min(AT_WORK));
            let (frozen, edited) = tokio::join!(freeze_at_work(&daemon, stage), edits);
            frozen?;
            edited?;
        }
        State::RedisDown => stage.redis.kill().await?,
        State::SalesforceHangs => {
            let plan = json!({"effect": {"kind": "hang"}});
            stage.org.fault(&plan).await?;
        }
        _ => {}
    }
    Ok(Some(daemon))
}

/// Takes the lock by which an awake daemon tells the trigger not to notify, in
/// a connection whose end frees it.
async fn keep_from_notifying(stage: &Stage) -> Result<PgConnection, Error> {
    let mut connection = stage.app.pool.acquire().await?.detach();
    sqlx::query("select pg_advisory_lock(1970496883, 1)")
        .execute(&mut connection)
        .await?;
    Ok(connection)
}

/// Waits until the daemon has reported something: it is logged in.
async fn is_at_work(stage: &mut Stage) -> Result<(), Error> {
    stage.org.take_counters().await?;
    stage.app.edit(1, 1).await?;
    while stage.org.counters().await?.records.updated == 0 {
        stage.org.must_live()?;
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Freezes the daemon once it holds a transaction open, or a second later.
async fn freeze_at_work(daemon: &Daemon, stage: &Stage) -> Result<(), Error> {
    let deadline = Instant::now() + Duration::from_secs(1);
    let busy = "select exists (select from pg_stat_activity \
         where application_name = 'usage-sync' and state = 'idle in transaction')";
    while Instant::now() < deadline {
        let busy: bool = sqlx::query_scalar(busy).fetch_one(&stage.app.pool).await?;
        if busy {
            break;
        }
    }
    daemon.signal(Signal::SIGSTOP)
}

/// Never ends but by an error.
async fn backfill_again_and_again(stage: &Stage) -> Result<super::program::Outcome, Error> {
    loop {
        let salesforce = stage.org.ready.base_url.clone();
        let mut backfill = stage.command("the backfill", &["backfill"], &salesforce)?;
        loop {
            match backfill.must_live() {
                Ok(()) => sleep(Duration::from_millis(20)).await,
                Err(Error::Ended { status, .. }) if status.success() => break,
                Err(error) => return Err(error),
            }
        }
    }
}

/// Everything is well again and reported, and no daemon runs. An empty Redis
/// and a new daemon get there without waiting for leases and time-outs.
pub(super) async fn catch_up(stage: &mut Stage) -> Result<(), Error> {
    stage.org.mend().await?;
    stage.redis.restart_empty().await?;
    let salesforce = stage.org.ready.base_url.clone();
    let mut daemon = stage.start_daemon(&salesforce)?;
    stage.settled(&mut daemon).await?;
    daemon.stop().await?;
    stage.org.take_counters().await?;
    Ok(())
}
