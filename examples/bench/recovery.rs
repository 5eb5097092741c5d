//! How long each kind of crash takes to heal: median and worst of some runs,
//! with the daemon's default settings.
//!
//! What is waited for is what the app sees: an ad counts as recovered once its
//! state is `reported`, which is never earlier than Salesforce having it. Each
//! run ends with a comparison of both sides, record by record; a run that is not
//! exact ends the measurement.

mod daemons;
mod load;
mod outage;
mod scene;
mod servers;
mod table;

use std::time::Duration;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::stage::Stage;
use crate::{Error, Mode, Options};

/// What may be told to this measurement.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    /// Runs of each crash
    #[arg(long, default_value_t = 10)]
    runs: u32,
    /// Only these crashes
    #[arg(long, value_name = "NAME")]
    only: Vec<Crash>,
    /// Ads a second that the app commits meanwhile
    #[arg(long, default_value_t = 50)]
    rate: u32,
    /// Ads that are pending when Redis is flushed, or edited while Salesforce is down
    #[arg(long, default_value_t = 10_000)]
    pending: u32,
    /// Seconds that Salesforce is down
    #[arg(long, default_value_t = 30)]
    outage: u64,
}

/// What breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Crash {
    /// kill -9 of one of two daemons in the middle of a delivery
    KillOneOfTwo,
    /// kill -9 of the only daemon, and a new one at once
    KillTheOnly,
    /// SIGTERM of one of two daemons
    StopOneOfTwo,
    /// SIGSTOP of one of two daemons for longer than the lease
    FreezeOneOfTwo,
    /// FLUSHALL while ads are pending
    RedisFlushed,
    /// Redis is killed and comes back after ten seconds
    RedisKilled,
    /// Postgres is stopped and started
    PostgresRestarted,
    /// `pg_terminate_backend` for every connection of the daemon
    ConnectionsEnded,
    /// The listening connection stays open and nothing comes any more
    ListenerDeaf,
    /// Salesforce answers 503 while ads are edited
    SalesforceDown,
    /// Salesforce does what it is asked, and one answer is lost
    AnswerLost,
}

/// One thing that a run showed.
#[derive(Debug, Clone, Copy)]
struct Figure {
    what: &'static str,
    value: f64,
    /// What it may be at most, where something is promised.
    bound: Option<f64>,
}

impl Figure {
    fn seconds(what: &'static str, value: Duration) -> Self {
        Self {
            what,
            value: value.as_secs_f64(),
            bound: None,
        }
    }

    fn count(what: &'static str, value: u32) -> Self {
        Self {
            what,
            value: f64::from(value),
            bound: None,
        }
    }

    fn at_most(self, bound: f64) -> Self {
        Self {
            bound: Some(bound),
            ..self
        }
    }
}

/// Measures; answers a table or JSON.
pub(crate) async fn run(options: &Options, arguments: &Arguments) -> Result<String, Error> {
    let crashes: Vec<Crash> = Crash::value_variants()
        .iter()
        .copied()
        .filter(|crash| arguments.only.is_empty() || arguments.only.contains(crash))
        .collect();
    let progress = progress(crashes.len(), arguments.runs);
    let mut rows = Vec::new();
    for crash in crashes {
        // Servers of its own for each kind: none suffers from another.
        let mut stage = Stage::set(options, Mode::Slow).await?;
        let mut runs = Vec::new();
        for number in 1..=arguments.runs.max(1) {
            progress.set_message(format!("{}, run {number}", name(crash)));
            let run = strike(crash, &mut stage, arguments).await;
            runs.push(run.map_err(|error| Error::Run {
                name: name(crash),
                number,
                source: Box::new(error),
            })?);
            progress.inc(1);
        }
        rows.extend(table::rows(crash, &runs));
    }
    progress.finish_and_clear();
    Ok(table::text(&rows, options.json))
}

async fn strike(
    crash: Crash,
    stage: &mut Stage,
    arguments: &Arguments,
) -> Result<Vec<Figure>, Error> {
    match crash {
        Crash::KillOneOfTwo => daemons::kill_one_of_two(stage, arguments).await,
        Crash::KillTheOnly => daemons::kill_the_only(stage, arguments).await,
        Crash::StopOneOfTwo => daemons::stop_one_of_two(stage, arguments).await,
        Crash::FreezeOneOfTwo => daemons::freeze_one_of_two(stage, arguments).await,
        Crash::RedisFlushed => servers::redis_flushed(stage, arguments).await,
        Crash::RedisKilled => servers::redis_killed(stage, arguments).await,
        Crash::PostgresRestarted => servers::postgres_restarted(stage, arguments).await,
        Crash::ConnectionsEnded => servers::connections_ended(stage, arguments).await,
        Crash::ListenerDeaf => servers::listener_deaf(stage, arguments).await,
        Crash::SalesforceDown => outage::salesforce_down(stage, arguments).await,
        Crash::AnswerLost => outage::answer_lost(stage, arguments).await,
    }
}

/// As `--only` has it.
fn name(crash: Crash) -> String {
    let value = crash.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

/// Hides itself off a terminal.
fn progress(crashes: usize, runs: u32) -> ProgressBar {
    let bar = ProgressBar::new(crashes as u64 * u64::from(runs.max(1)));
    bar.enable_steady_tick(Duration::from_secs(1));
    match ProgressStyle::with_template("{bar:30} {pos}/{len} runs, {elapsed}: {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
