//! What the app notices: pgbench on its tables, not watched and watched, with
//! the daemon in every state that it can be in.
//!
//! The states take turns within one run, so that a machine that grows slower
//! does so for all of them. Each turn is made twice: as fast as it goes, which
//! shows what the states cost in throughput on a machine that the daemon, Redis
//! and the sandbox share with Postgres, and at a steady pace, which shows what a
//! person would notice. The tables that are not watched are copies in a schema of
//! their own. At the end Salesforce must hold exactly what the app wants.

mod figures;
mod program;
mod state;
mod tables;

use std::time::Duration;

use clap::ValueEnum as _;
use indicatif::{ProgressBar, ProgressStyle};

use crate::stage::Stage;
use crate::{Error, Mode, Options, exact};
use figures::Samples;
use program::Pgbench;
use state::State;
use tables::Tables;

/// What may be told to this measurement.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    /// Turns of each state
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Seconds of a turn
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// Connections of the app
    #[arg(long, default_value_t = 4)]
    clients: u32,
    /// Transactions a second of the turns at a steady pace
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// Ads that are there at the start of each turn
    #[arg(long, default_value_t = 20_000)]
    ads: u32,
    /// Only these states
    #[arg(long, value_name = "NAME")]
    only: Vec<State>,
}

/// How fast pgbench goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Pace {
    /// The next transaction as soon as the last one is done.
    Full,
    /// As many a second as was asked for.
    Steady,
}

/// Measures; answers a table or JSON.
pub(crate) async fn run(options: &Options, arguments: &Arguments) -> Result<String, Error> {
    let mut stage = Stage::set(options, Mode::Limit).await?;
    let tables = Tables::fill(&stage, arguments.ads).await?;
    let pgbench = Pgbench::new(&stage, arguments)?;
    let states: Vec<State> = State::value_variants()
        .iter()
        .copied()
        .filter(|state| arguments.only.is_empty() || arguments.only.contains(state))
        .collect();
    state::catch_up(&mut stage).await?;

    let mut samples = Samples::default();
    let rounds = arguments.rounds.max(1);
    let progress = progress(u64::from(rounds) * states.len() as u64 * 2);
    for _ in 0..rounds {
        for pace in [Pace::Full, Pace::Steady] {
            for state in &states {
                progress.set_message(state.words());
                let sample = state::turn(*state, pace, &mut stage, &tables, &pgbench).await?;
                samples.add(*state, pace, sample);
                tables.restore(&stage).await?;
                state::catch_up(&mut stage).await?;
                progress.inc(1);
            }
        }
    }
    exact::check(&stage).await?;
    progress.finish_and_clear();
    let text = samples.text(options.json);
    if samples.failures() > 0 {
        return Err(Error::Inexact(format!(
            "transactions of the app failed\n{text}"
        )));
    }
    Ok(text)
}

/// Hides itself off a terminal.
fn progress(turns: u64) -> ProgressBar {
    let bar = ProgressBar::new(turns);
    bar.enable_steady_tick(Duration::from_secs(1));
    match ProgressStyle::with_template("{bar:30} {pos}/{len} turns, {elapsed}: {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
