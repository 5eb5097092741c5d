//! `usage-sync status`: is it working, how late are we, what is stuck?

use std::{io::Write as _, time::Duration};

use serde::Serialize;
use sqlx::{PgPool, types::time::OffsetDateTime};
use time::format_description::well_known::Rfc3339;
use usage_sync::{
    ledger::{self, Ledger, Overview},
    pace::{Budget, Usage},
    place,
    queue::{self, Depth, Health, Queue},
    settings::Settings,
    shutdown::Shutdown,
    watched,
};

use super::{Exit, Failure, args::StatusArgs, connect};

const WATCH_EVERY: Duration = Duration::from_secs(2);

/// The answer for programs. More keys may come, none goes.
#[derive(Debug, Serialize)]
struct Status {
    /// Null when Redis does not answer.
    queue: Option<Depth>,
    pending: i64,
    rejected: i64,
    /// Records that a request given up on may still change.
    landing: i64,
    lag_seconds: f64,
    paused: bool,
    paused_since: Option<String>,
    paused_because: Option<String>,
    /// Why nothing is reported from here, if that is so.
    elsewhere: Option<String>,
    /// Why no ad can be read, if that is so.
    view: Option<String>,
    /// Why changes of the app are missed, if they are.
    unwatched: Option<String>,
    place: Pinned,
    salesforce: Salesforce,
    /// Null until an answer has told what the org allows.
    budget: Option<Budget>,
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
    /// Null when no daemon is there to know, or Redis does not answer.
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
    let names = usage_sync::daemon::names(&settings.salesforce);
    let ledger = Ledger::new(pool.clone(), names);
    let mut queue = connect::redis(settings).await;
    loop {
        let (engine, missing) = match ask(queue).await {
            Ok((known, connected)) => {
                queue = Ok(connected);
                (Some(known), None)
            }
            Err(missing) => {
                queue = connect::redis(settings).await;
                (None, Some(missing))
            }
        };
        let status = read(&pool, &ledger, engine, settings.salesforce.api_budget);
        print(&connect::step(status).await?, args.json)?;
        if !args.watch {
            return missing.map_or(Ok(Exit::Done), Err);
        }
        tokio::select! {
            () = tokio::time::sleep(WATCH_EVERY) => {}
            () = shutdown.wait() => return Ok(Exit::Done),
        }
    }
}

/// What only Redis knows.
#[derive(Default)]
struct Engine {
    depth: Option<Depth>,
    health: Option<Health>,
    usage: Option<Usage>,
    /// The highest fencing token that was used.
    used: i64,
    /// What the daemons say of their place.
    elsewhere: Option<String>,
    /// What they say of the view.
    view: Option<String>,
}

async fn ask(queue: Result<Queue, Failure>) -> Result<(Engine, Queue), Failure> {
    let queue = queue?;
    let asked = async {
        Ok(Engine {
            depth: Some(queue.depth().await?),
            health: queue.health().await?,
            usage: queue.usage().await?,
            used: queue.used_token(0).await?,
            elsewhere: queue.elsewhere().await?,
            view: queue.view().await?,
        })
    };
    let engine = asked.await.map_err(|error: queue::Error| {
        Failure::new(Exit::Unavailable, "redis does not answer")
            .because(&error)
            .remedy("start it, or correct REDIS_URL")
    })?;
    Ok((engine, queue))
}

/// What Postgres knows is shown without Redis, too.
async fn read(
    pool: &PgPool,
    ledger: &Ledger,
    engine: Option<Engine>,
    share: f64,
) -> Result<Status, ledger::Error> {
    let engine = engine.unwrap_or_default();
    let Overview {
        pending,
        rejected,
        lag_seconds,
        landing,
    } = ledger.overview().await?;
    let row = place::look(pool).await?;
    // The org is known to those who log in.
    let elsewhere = place::judge(&row, None, engine.used);
    let unwatched = watched::look(pool).await?;
    Ok(Status {
        queue: engine.depth,
        pending,
        rejected,
        landing,
        lag_seconds,
        paused: row.paused_since.is_some(),
        paused_since: row.paused_since.and_then(rfc3339),
        paused_because: row.paused_because,
        elsewhere: elsewhere.map_or(engine.elsewhere, |elsewhere| Some(elsewhere.to_string())),
        view: engine.view,
        unwatched: unwatched.map(|unwatched| unwatched.to_string()),
        place: Pinned {
            org: row.org_id,
            database: row.cluster_id,
            since: row.pinned_at.and_then(rfc3339),
        },
        salesforce: Salesforce::from(engine.health),
        budget: engine.usage.map(|usage| usage.budget(share)),
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
    if let Some(view) = &status.view {
        writeln!(
            out,
            "VIEW FAILS      {view}\n                `usage-sync check` shows Postgres' words"
        )?;
    }
    if let Some(unwatched) = &status.unwatched {
        writeln!(out, "CHANGES MISSED  {unwatched}")?;
    }
    let salesforce = match (status.salesforce.up, &status.salesforce.since) {
        (Some(true), Some(since)) => format!("up since {since}"),
        (Some(false), Some(since)) => format!("DOWN since {since}"),
        _ if status.queue.is_none() => String::from("unknown: redis does not answer"),
        _ => String::from("unknown: no daemon has written to Redis of late"),
    };
    let calls = match status.salesforce.api_calls_left {
        Some(calls) => calls.to_string(),
        None => String::from("unknown"),
    };
    writeln!(out, "salesforce      {salesforce}")?;
    writeln!(out, "api calls left  {calls}")?;
    let budget = match status.budget {
        Some(Budget { calls, left: 0 }) => {
            format!("used up: {calls} calls a day, reporting pauses until some are free")
        }
        Some(Budget { calls, left }) => format!("{left} of {calls} calls a day left for reports"),
        None => String::from("unknown"),
    };
    writeln!(out, "budget          {budget}")?;
    writeln!(out, "queue           {}", queue(status.queue))?;
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

fn queue(depth: Option<Depth>) -> String {
    let Some(depth) = depth else {
        return String::from("unknown: redis does not answer");
    };
    let known = format!(
        "{} ready, {} in hand, {} waiting out a backoff",
        depth.ready, depth.claimed, depth.retry
    );
    match depth.suspects {
        0 => known,
        suspects => format!("{known}, {suspects} to be handled alone since workers died with them"),
    }
}
