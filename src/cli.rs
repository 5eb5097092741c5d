//! The command line: what can be asked for, how a failure looks, and which
//! settings a command needs.
//!
//! A command's answer goes to stdout, everything else to stderr; only `run`
//! and `web` log to stdout, because their log is their answer. A command returns an
//! [`Exit`]; `main` alone ends the process.

mod args;
mod audit;
mod backfill;
mod check;
mod connect;
mod contract;
#[cfg(feature = "sandbox")]
mod demo;
mod exit;
mod failure;
mod history;
mod migrate;
mod pause;
mod progress;
mod rebase;
mod rejected;
mod resume;
mod retry;
mod run;
#[cfg(feature = "sandbox")]
mod sandbox;
mod status;
mod table;
mod web;

use clap::Parser as _;
use clap::error::ErrorKind;
use tracing::warn;
use usage_sync::settings::{Faults, Log, Settings, Source};
use usage_sync::shutdown::Shutdown;
use usage_sync::telemetry::{self, Output, Telemetry};

pub(crate) use args::{Cli, Command};
pub(crate) use exit::Exit;
pub(crate) use failure::Failure;

/// Reads the command line. What clap says by itself, help or a complaint, is
/// printed here and is the whole answer.
pub(crate) fn parse() -> Result<Command, Exit> {
    Cli::try_parse().map(|cli| cli.command).map_err(|error| {
        // A closed pipe has nobody left to read it.
        error.print().ok();
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Done,
            _ => Exit::Usage,
        }
    })
}

/// Does what was asked for, or ends where it stands when told to.
pub(crate) async fn run(command: Command, shutdown: Shutdown) -> Result<Exit, Failure> {
    let drains = command.drains();
    tokio::select! {
        result = dispatch(command, shutdown.clone()) => result,
        () = shutdown.wait(), if !drains => Ok(Exit::Interrupted),
        () = shutdown.wait_for_end() => Ok(Exit::Interrupted),
    }
}

/// Settings are checked before any connection is opened, and only those that
/// the command needs.
async fn dispatch(command: Command, shutdown: Shutdown) -> Result<Exit, Failure> {
    let source = Source::of_process();
    let ready = |output| ready(&source, output);
    match command {
        Command::Run => {
            let (settings, _telemetry) = ready(Output::Stdout)?;
            run::run(&settings, shutdown).await
        }
        Command::Web => {
            let (settings, web) = source.web().map_err(|faults| wrong(&source, &faults))?;
            let _telemetry = start_log(&settings.log, Output::Stdout, &source)?;
            web::run(&settings, &web, &shutdown).await
        }
        Command::Migrate => {
            let (database, log) = source
                .database()
                .map_err(|faults| wrong(&source, &faults))?;
            let _telemetry = start_log(&log, Output::Stderr, &source)?;
            migrate::run(&database).await
        }
        Command::Check(args) => {
            let (settings, _telemetry) = ready(Output::Stderr)?;
            Box::pin(check::run(&settings, &args)).await
        }
        Command::Status(args) => {
            let (settings, _telemetry) = ready(Output::Stderr)?;
            status::run(&settings, &args, &shutdown).await
        }
        Command::Pause(args) => {
            let (settings, _telemetry) = ready(Output::Stderr)?;
            pause::run(&settings, &args).await
        }
        Command::Resume => {
            let (settings, _telemetry) = ready(Output::Stderr)?;
            resume::run(&settings).await
        }
        Command::Rebase(args) => {
            let (settings, _telemetry) = ready(Output::Stderr)?;
            rebase::run(&settings, &args, &shutdown).await
        }
        Command::Retry(args) => {
            let (settings, _telemetry) = ready(Output::Stderr)?;
            retry::run(&settings, &args).await
        }
        Command::History(args) => {
            let (settings, _telemetry) = ready(Output::Stderr)?;
            history::run(&settings, &args).await
        }
        Command::Rejected(args) => {
            let (settings, _telemetry) = ready(Output::Stderr)?;
            rejected::run(&settings, &args).await
        }
        Command::Contract(args) => {
            let (settings, _telemetry) = ready(Output::Stderr)?;
            contract::run(&settings, &args).await
        }
        Command::Backfill(args) => {
            let (settings, _telemetry) = ready(Output::Stderr)?;
            backfill::run(&settings, &args, &shutdown).await
        }
        Command::Audit(args) => {
            let (settings, _telemetry) = ready(Output::Stderr)?;
            audit::run(&settings, &args).await
        }
        #[cfg(feature = "sandbox")]
        Command::Demo(args) => {
            let log = source.log().map_err(|faults| wrong(&source, &faults))?;
            demo::run(&args, log.color, &shutdown).await
        }
        #[cfg(feature = "sandbox")]
        Command::Sandbox(args) => {
            let log = source.log().map_err(|faults| wrong(&source, &faults))?;
            let _telemetry = start_log(&log, Output::Stderr, &source)?;
            sandbox::run(&args, &shutdown).await
        }
    }
}

/// All settings, and the log.
fn ready(source: &Source, output: Output) -> Result<(Settings, Telemetry), Failure> {
    let settings = source.settings().map_err(|faults| wrong(source, &faults))?;
    let telemetry = start_log(&settings.log, output, source)?;
    Ok((settings, telemetry))
}

fn wrong(source: &Source, faults: &Faults) -> Failure {
    Failure::of_settings(faults, &source.warnings())
}

fn start_log(log: &Log, output: Output, source: &Source) -> Result<Telemetry, Failure> {
    let telemetry = telemetry::init(log, output).map_err(|error| {
        let failure = Failure::new(Exit::Unavailable, "the log cannot be started");
        failure.because(&error).remedy("raise the limit of threads")
    })?;
    for warning in source.warnings().0 {
        let (what, remedy) = (&warning.what, &warning.remedy);
        warn!(setting = warning.variable, what, remedy, "doubtful setting");
    }
    Ok(telemetry)
}
