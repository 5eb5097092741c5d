//! The benchmark: how fast a backlog drains, what it costs, and how long a
//! single change takes to reach Salesforce.
//!
//! `bin/bench` builds and runs it. The daemon is the real program as a process
//! of its own, between a private Postgres that waits for the disk, a private
//! Redis and the sandbox as a third process; all of them end with this one.
//! Two modes: `limit`, in which Salesforce answers at once, shows what the
//! daemon costs; `slow`, with 120 ms a call and 3 ms a record, whether waiting
//! overlaps. A run that does not end exact does not count: it ends in code 1.
//!
//! It is an example, because cargo finds it there without an entry in
//! `Cargo.toml`, which the production image is built from without this file,
//! and because examples may use the dependencies of the tests. Linux only:
//! memory and CPU are read from `/proc`.
//!
//! Without a scenario it does the above; with one, such as `bin/bench recovery`,
//! it measures that instead.
//!
//! Not measured: TLS, a network, anybody's Salesforce.

mod app;
mod backlog;
mod contracts;
mod daemon;
mod exact;
mod latency;
mod meter;
mod org;
mod pace;
mod pgbench;
mod phases;
mod process;
mod recovery;
mod report;
mod stage;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use usage_sync::local;

/// What the benchmark may be told.
#[derive(Debug, Clone, Parser)]
#[command(name = "bench", about = "Measures usage-sync against the sandbox")]
struct Options {
    #[command(subcommand)]
    scenario: Option<Scenario>,
    /// Ads of the backlog in mode limit; each has two records
    #[arg(long, default_value_t = 20_000)]
    backlog: u32,
    /// Ads of the backlog in mode slow
    #[arg(long, default_value_t = 3_000)]
    slow_backlog: u32,
    /// Ads a second while latency is measured
    #[arg(long, default_value_t = 50)]
    rate: u32,
    /// How long latency is measured; 10, and 60 for pace
    #[arg(long)]
    seconds: Option<u32>,
    /// Requests in flight
    #[arg(long, default_value_t = 4)]
    concurrency: u32,
    /// Only this mode
    #[arg(long)]
    only: Option<Mode>,
    /// Another build of usage-sync than the one next to the benchmark
    #[arg(long, global = true, value_name = "PATH")]
    daemon: Option<PathBuf>,
    /// Where Postgres keeps its files: the disk that commits wait for
    #[arg(long, global = true, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    /// Prints JSON
    #[arg(long, global = true)]
    json: bool,
}

/// One thing that is measured by itself.
#[derive(Debug, Clone, clap::Subcommand)]
enum Scenario {
    /// A backlog far larger than a Redis of 25 MB
    Backlog {
        /// Ads; each has two records
        #[arg(long, default_value_t = 1_000_000)]
        ads: u32,
    },
    /// A steady trickle while the org's daily calls run low
    Pace,
    /// How long each kind of crash takes to heal
    Recovery(recovery::Arguments),
    /// What the app's own transactions notice
    App(pgbench::Arguments),
    /// How long a live contract takes when many ask, and how few queries
    Contracts(contracts::Arguments),
}

/// How long Salesforce takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// No time.
    Limit,
    /// 120 ms a call and 3 ms a record. An assumption: nobody has published a
    /// distribution.
    Slow,
}

impl Mode {
    /// Milliseconds a call and a record.
    fn pretended(self) -> (u32, u32) {
        match self {
            Self::Limit => (0, 0),
            Self::Slow => (120, 3),
        }
    }
}

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("a private server is not there")]
    Server(#[from] local::Error),
    #[error("the app's database did not do what the benchmark asked")]
    Postgres(#[from] sqlx::Error),
    #[error("redis did not answer")]
    Redis(#[from] redis::RedisError),
    #[error("the sandbox did not answer")]
    Sandbox(#[from] reqwest::Error),
    #[error("the sandbox answered something else than was asked for")]
    Unreadable(#[source] serde_json::Error),
    #[error("{action} was not possible")]
    Io {
        action: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("{program} ended with {status}; the end of its log:\n{log}")]
    Ended {
        program: &'static str,
        status: std::process::ExitStatus,
        log: String,
    },
    #[error("{what} did not happen within {seconds} s; the end of the daemon's log:\n{log}")]
    Late {
        what: &'static str,
        seconds: u64,
        log: String,
    },
    #[error("the run does not count: {0}")]
    Inexact(String),
    #[error("a setting of the benchmark's own is at fault: {0}")]
    Settings(#[source] usage_sync::settings::Faults),
    #[error("salesforce was not asked")]
    Salesforce(#[from] usage_sync::salesforce::Error),
    #[error("a contract was not read")]
    Contracts(#[from] usage_sync::contracts::Error),
    #[error("{name}, run {number}")]
    Run {
        name: String,
        number: u32,
        #[source]
        source: Box<Error>,
    },
    #[error("stopped")]
    Stopped,
}

impl Error {
    /// For `map_err`: says what was tried.
    fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let measured = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Error::io("starting the threads"))
        .and_then(|runtime| runtime.block_on(measure_or_stop(&options)));
    let printed =
        measured.and_then(|text| writeln!(io::stdout(), "{text}").map_err(Error::io("printing")));
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let chain = usage_sync::telemetry::Chain(&error).to_string();
            // Without stderr, the exit code is all there is.
            writeln!(io::stderr(), "bench: {chain}").ok();
            ExitCode::FAILURE
        }
    }
}

/// A signal ends the measurement, and with it everything that was started.
async fn measure_or_stop(options: &Options) -> Result<String, Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate =
        signal(SignalKind::terminate()).map_err(Error::io("listening for signals"))?;
    tokio::select! {
        text = measure(options) => text,
        _ = tokio::signal::ctrl_c() => Err(Error::Stopped),
        _ = terminate.recv() => Err(Error::Stopped),
    }
}

async fn measure(options: &Options) -> Result<String, Error> {
    match &options.scenario {
        Some(Scenario::Backlog { ads }) => {
            let carried = backlog::run(options, *ads).await?;
            Ok(carried.text(options.json))
        }
        Some(Scenario::Pace) => Ok(pace::run(options).await?.text(options.json)),
        Some(Scenario::Recovery(arguments)) => recovery::run(options, arguments).await,
        Some(Scenario::App(arguments)) => pgbench::run(options, arguments).await,
        Some(Scenario::Contracts(arguments)) => contracts::run(options, arguments).await,
        None => measure_modes(options).await,
    }
}

async fn measure_modes(options: &Options) -> Result<String, Error> {
    let mut runs = Vec::new();
    for mode in [Mode::Limit, Mode::Slow] {
        if options.only.is_none_or(|only| only == mode) {
            runs.push(phases::run(options, mode).await?);
        }
    }
    Ok(report::text(&runs, options.json))
}
