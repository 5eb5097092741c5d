//! What the daemon says: one line for each event, in the form that fits who
//! reads it.
//!
//! Promises that logging never stops, slows or breaks the daemon: a reader that
//! is slow or gone costs lines, and the lost ones are counted. Lines carry no
//! time, because whoever collects them stamps them; on a terminal they do.

mod line;
mod sink;

use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal as _};
use std::panic::{self, PanicHookInfo};

use time::OffsetDateTime;
use tracing::level_filters::LevelFilter;
use tracing::{Subscriber, error};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt as layers};

use crate::settings::{Log, LogFormat};
use line::Form;
use sink::Sink;

/// Where log lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// For the daemon, whose log is its output.
    Stdout,
    /// For commands that print an answer of their own.
    Stderr,
}

/// Keeps the log alive; dropping it writes out what is still waiting.
#[derive(Debug)]
#[must_use = "the last lines are lost unless this lives as long as `main`"]
pub struct Telemetry(Sink);

/// Starts the log of this process and reports panics in it. A log that was
/// started before stays as it is.
pub fn init(log: &Log, output: Output) -> io::Result<Telemetry> {
    let sink = match output {
        Output::Stdout => Sink::start(io::stdout(), form(log, io::stdout().is_terminal())),
        Output::Stderr => Sink::start(io::stderr(), form(log, io::stderr().is_terminal())),
    }?;
    if subscriber(log, sink.clone()).try_init().is_ok() {
        panic::set_hook(Box::new(report_panic));
    }
    Ok(Telemetry(sink))
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.0.flush();
    }
}

fn form(log: &Log, terminal: bool) -> Form {
    match log.format {
        LogFormat::Human => Form::Human {
            color: log.color && terminal,
        },
        LogFormat::Auto if terminal => Form::Human { color: log.color },
        LogFormat::Auto | LogFormat::Logfmt => Form::Logfmt,
        LogFormat::Json => Form::Json,
    }
}

fn subscriber(log: &Log, sink: Sink) -> impl Subscriber + Send + Sync + 'static {
    Registry::default().with(layer(sink).with_filter(filter(&log.level)))
}

fn layer<S>(sink: Sink) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    match sink.form() {
        Form::Human { color } => {
            let lines = layers::layer()
                .with_writer(sink)
                .with_ansi(color)
                .with_timer(Clock);
            lines.with_target(false).compact().boxed()
        }
        Form::Logfmt => {
            let lines = tracing_logfmt::builder()
                .with_timestamp(false)
                .with_target(false);
            lines
                .with_span_name(false)
                .with_span_path(false)
                .layer()
                .with_writer(sink)
                .boxed()
        }
        Form::Json => {
            let lines = layers::layer().with_writer(sink).json().without_time();
            lines
                .flatten_event(true)
                .with_target(false)
                .with_current_span(false)
                .boxed()
        }
    }
}

/// A bare level is meant for this crate; from others only warnings are of
/// interest, unless a directive names them. At trace, HTTP and TLS crates print
/// what passes through them, tokens included, so that is never let through.
fn filter(directives: &str) -> Targets {
    let given: Targets = directives.parse().unwrap_or_default();
    let level = given.default_level().unwrap_or(LevelFilter::INFO);
    let named = given.iter().map(|(target, level)| match target {
        own if own.starts_with("usage_sync") => (target.to_owned(), level),
        _ => (target.to_owned(), level.min(LevelFilter::DEBUG)),
    });
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("usage_sync", level)
        .with_targets(named)
}

/// Time of day in UTC, for people who watch a terminal.
struct Clock;

impl FormatTime for Clock {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let (hour, minute, second) = OffsetDateTime::now_utc().to_hms();
        write!(writer, "{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// An error with its causes, `a: b: c`.
///
/// `tracing` prints the causes of an error in one format and loses them in
/// another, so errors are always logged as `error = %Chain(&error)`.
pub struct Chain<'a>(pub &'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Some crates repeat the cause in their own message.
            if !said.ends_with(&text) {
                write!(f, ": {text}")?;
                said = text;
            }
            cause = error.source();
        }
        Ok(())
    }
}

fn report_panic(panic: &PanicHookInfo<'_>) {
    let location = panic
        .location()
        .map(ToString::to_string)
        .unwrap_or_default();
    let reason = panic.payload_as_str().map(invariant).unwrap_or_default();
    error!(
        panic.location = location,
        panic.reason = reason,
        "a bug: a task panicked"
    );
}

/// The part of a panic's message that stands in the source. What comes after
/// the first colon is data, as in `expect`'s `<invariant>: <the error>`, and
/// data may be a secret.
fn invariant(message: &str) -> &str {
    let line = message.lines().next().unwrap_or_default();
    line.split_once(": ").map_or(line, |(literal, _)| literal)
}

#[cfg(test)]
mod tests;
