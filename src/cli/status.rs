//! `usage-sync status`: is it working, how late are we, what is stuck?

use std::{io::Write as _, time::Duration};

use usage_sync::{
    ledger::Ledger,
    pace::Budget,
    queue::{Depth, Queue},
    settings::Settings,
    shutdown::Shutdown,
    status::{self, Engine, Status},
};

use super::{Exit, Failure, args::StatusArgs, connect};

const WATCH_EVERY: Duration = Duration::from_secs(2);

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
                (known, None)
            }
            Err(missing) => {
                queue = connect::redis(settings).await;
                (Engine::default(), Some(missing))
            }
        };
        let status = status::read(&pool, &ledger, engine, settings.salesforce.api_budget);
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

async fn ask(queue: Result<Queue, Failure>) -> Result<(Engine, Queue), Failure> {
    let queue = queue?;
    let engine = status::ask(&queue).await.map_err(|error| {
        Failure::new(Exit::Unavailable, "redis does not answer")
            .because(&error)
            .remedy("start it, or correct REDIS_URL")
    })?;
    Ok((engine, queue))
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
    let trouble = [&status.salesforce.why, &status.salesforce.remedy];
    for line in trouble.into_iter().flatten() {
        writeln!(out, "                {line}")?;
    }
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
    writeln!(out, "daemons         {}", status.daemons.len())?;
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
