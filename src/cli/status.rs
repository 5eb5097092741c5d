//! `usage-sync status`: is it working, how late are we, what is stuck?

use std::{io::Write as _, time::Duration};

use serde::Serialize;
use sqlx::{PgPool, types::time::OffsetDateTime};
use time::format_description::well_known::Rfc3339;
use usage_sync::{
    ledger::{Ledger, Overview},
    place,
    queue::{Depth, Health, Queue},
    settings::Settings,
    shutdown::Shutdown,
    watched,
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
    paused_since: Option<String>,
    paused_because: Option<String>,
    /// Why nothing is reported from here, if that is so.
    elsewhere: Option<String>,
    /// Why changes of the app are missed, if they are.
    unwatched: Option<String>,
    place: Pinned,
    salesforce: Salesforce,
}

/// The place that was written down at the first report.
#[derive(Debug, Serialize)]
struct Pinned {
    org: Option<String>,
    database: Option<String>,
    since: Option<String>,
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
    let ledger = Ledger::new(
        pool.clone(),
        usage_sync::daemon::names(&settings.salesforce),
    );
    loop {
        let status = read(&pool, &ledger, &queue).await?;
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

async fn read(pool: &PgPool, ledger: &Ledger, queue: &Queue) -> Result<Status, Failure> {
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
    let used = queue.used_token(0).await.map_err(no_redis)?;
    let row = place::look(pool).await.map_err(connect::failed)?;
    // The org is known to those who log in.
    let elsewhere = match place::judge(&row, None, used) {
        Some(elsewhere) => Some(elsewhere.to_string()),
        None => queue.elsewhere().await.map_err(no_redis)?,
    };
    let unwatched = watched::look(pool).await.map_err(connect::failed)?;
    Ok(Status {
        queue: depth,
        pending,
        rejected,
        lag_seconds,
        paused: row.paused_since.is_some(),
        paused_since: row.paused_since.and_then(rfc3339),
        paused_because: row.paused_because,
        elsewhere,
        unwatched: unwatched.map(|unwatched| unwatched.to_string()),
        place: Pinned {
            org: row.org_id,
            database: row.cluster_id,
            since: row.pinned_at.and_then(rfc3339),
        },
        salesforce: Salesforce::from(health),
    })
}

impl From<Option<Health>> for Salesforce {
    fn from(health: Option<Health>) -> Self {
        let since = health
            .and_then(|health| OffsetDateTime::from_unix_timestamp(health.since).ok())
            .and_then(rfc3339);
        Self {
            up: health.map(|health| health.up),
            since,
            api_calls_left: health.and_then(|health| health.api_calls_left),
        }
    }
}

fn rfc3339(time: OffsetDateTime) -> Option<String> {
    time.format(&Rfc3339).ok()
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
    if let Some(elsewhere) = &status.elsewhere {
        writeln!(
            out,
            "REPORTS NOTHING {elsewhere}\n                `usage-sync check` says what to do"
        )?;
    }
    if let Some(since) = &status.paused_since {
        let because = status
            .paused_because
            .as_deref()
            .map(|because| format!(": {because}"));
        writeln!(
            out,
            "PAUSED          since {since}{}\n                `usage-sync resume` ends it",
            because.unwrap_or_default()
        )?;
    }
    if let Some(unwatched) = &status.unwatched {
        writeln!(out, "CHANGES MISSED  {unwatched}")?;
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
