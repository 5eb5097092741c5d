//! `usage-sync status`: is it working, how late are we, what is stuck?

use std::{io::Write as _, time::Duration};

use serde::Serialize;
use sqlx::types::time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use usage_sync::{
    ledger::{Ledger, Overview},
    queue::{Depth, Health, Queue},
    settings::Settings,
    shutdown::Shutdown,
};

use super::{Exit, Failure, args::StatusArgs, connect};

const WATCH_EVERY: Duration = Duration::from_secs(2);

/// The answer for programs. More keys may come, none goes.
#[derive(Debug, Serialize)]
struct Status {
    queue: Depth,
    pending: i64,
    rejected: i64,
    lag_seconds: f64,
    paused: bool,
    salesforce: Salesforce,
}

#[derive(Debug, Serialize)]
struct Salesforce {
    /// Null when no daemon is there to know.
    up: Option<bool>,
    since: Option<String>,
    api_calls_left: Option<i64>,
}

/// Prints the status, once or until a stop is asked for.
pub(super) async fn run(
    settings: &Settings,
    args: &StatusArgs,
    shutdown: &Shutdown,
) -> Result<Exit, Failure> {
    let pool = connect::postgres(settings).await?;
    let queue = connect::redis(settings).await?;
    let ledger = Ledger::new(pool, usage_sync::daemon::names(&settings.salesforce));
    loop {
        let status = read(&ledger, &queue).await?;
        print(&status, args.json)?;
        if !args.watch {
            return Ok(Exit::Done);
        }
        tokio::select! {
            () = tokio::time::sleep(WATCH_EVERY) => {}
            () = shutdown.wait() => return Ok(Exit::Done),
        }
    }
}

async fn read(ledger: &Ledger, queue: &Queue) -> Result<Status, Failure> {
    let Overview {
        pending,
        rejected,
        lag_seconds,
    } = ledger.overview().await.map_err(connect::failed)?;
    let no_redis = |error| {
        Failure::new(Exit::Unavailable, "redis does not answer")
            .because(&error)
            .remedy("start it, or correct REDIS_URL")
    };
    let depth = queue.depth().await.map_err(no_redis)?;
    let health = queue.health().await.map_err(no_redis)?;
    Ok(Status {
        queue: depth,
        pending,
        rejected,
        lag_seconds,
        paused: false,
        salesforce: Salesforce::from(health),
    })
}

impl From<Option<Health>> for Salesforce {
    fn from(health: Option<Health>) -> Self {
        let since = health.and_then(|health| {
            let since = OffsetDateTime::from_unix_timestamp(health.since).ok()?;
            since.format(&Rfc3339).ok()
        });
        Self {
            up: health.map(|health| health.up),
            since,
            api_calls_left: health.and_then(|health| health.api_calls_left),
        }
    }
}

fn print(status: &Status, json: bool) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    if json {
        let text = serde_json::to_string(status).map_err(|error| {
            Failure::new(Exit::Bug, "the status has no JSON form").because(&error)
        })?;
        writeln!(out, "{text}")?;
        return Ok(());
    }
    let salesforce = match (status.salesforce.up, &status.salesforce.since) {
        (Some(true), Some(since)) => format!("up since {since}"),
        (Some(false), Some(since)) => format!("DOWN since {since}"),
        _ => String::from("unknown: no daemon has written to Redis of late"),
    };
    let calls = match status.salesforce.api_calls_left {
        Some(calls) => calls.to_string(),
        None => String::from("unknown"),
    };
    writeln!(out, "salesforce      {salesforce}")?;
    writeln!(out, "api calls left  {calls}")?;
    writeln!(
        out,
        "queue           {} ready, {} in hand, {} waiting out a backoff",
        status.queue.ready, status.queue.claimed, status.queue.retry
    )?;
    writeln!(out, "pending         {} ads", status.pending)?;
    writeln!(out, "rejected        {} ads", status.rejected)?;
    let lag = Duration::from_secs_f64(status.lag_seconds.max(0.0).round());
    writeln!(out, "lag             {}", humantime::format_duration(lag))?;
    if status.rejected > 0 {
        writeln!(
            out,
            "\nThe view usage_sync.ad_status says why ads are rejected; \
             `usage-sync retry --rejected` tries them now."
        )?;
    }
    Ok(())
}
