//! The figures, as a table or as JSON.

use comfy_table::{Table, presets::ASCII_MARKDOWN};
use serde::Serialize;

use crate::Mode;
use crate::latency::Latency;
use crate::phases::{Drain, Idle};
use crate::process::Memory;

/// What one mode gave.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) mode: Mode,
    /// Committed while nothing ran; from process start to the last record.
    pub(crate) backlog: Drain,
    pub(crate) idle: Idle,
    /// Committed at once while the daemon ran; from the commit to the last record.
    pub(crate) import: Drain,
    pub(crate) latency: Latency,
}

/// All runs, for people or for programs.
pub(crate) fn text(runs: &[Run], json: bool) -> String {
    if json {
        return serde_json::to_string_pretty(runs).unwrap_or_default();
    }
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(std::iter::once("measure".to_owned()).chain(runs.iter().map(title)));
    let mut row = |name: &str, figure: &dyn Fn(&Run) -> String| {
        table.add_row(std::iter::once(name.to_owned()).chain(runs.iter().map(figure)));
    };
    drain_rows(&mut row, "backlog", |run| &run.backlog);
    drain_rows(&mut row, "import", |run| &run.import);
    row("idle: PSS / RSS, MB", &|run| memory(run.idle.memory));
    row("idle: CPU s an hour", &|run| {
        format!("{:.1}", run.idle.cpu_daemon)
    });
    row("latency: p50 / p99 / max, ms", &|run| {
        let Latency {
            p50_ms,
            p99_ms,
            max_ms,
            ..
        } = run.latency;
        format!("{p50_ms:.2} / {p99_ms:.2} / {max_ms:.2}")
    });
    row("latency: ads, API calls", &|run| {
        format!("{}, {}", run.latency.ads, run.latency.api_calls)
    });
    table.to_string()
}

/// Adds a row: its name, and its figure for each run.
type Row<'a> = dyn FnMut(&str, &dyn Fn(&Run) -> String) + 'a;

fn drain_rows(row: &mut Row<'_>, name: &str, of: fn(&Run) -> &Drain) {
    row(&format!("{name}: records"), &|run| {
        of(run).records.to_string()
    });
    row(&format!("{name}: records/s"), &|run| rate(of(run)));
    row(&format!("{name}: API calls"), &|run| {
        of(run).api_calls.to_string()
    });
    row(&format!("{name}: requests at once"), &|run| {
        of(run).max_in_flight.to_string()
    });
    row(&format!("{name}: lock meetings"), &|run| {
        of(run).lock_meetings.to_string()
    });
    row(&format!("{name}: CPU s per 1,000 records"), &|run| {
        format!("{:.4}", of(run).cpu_daemon)
    });
    row(&format!("{name}: the same of Postgres and Redis"), &|run| {
        format!("{:.4}", of(run).cpu_servers)
    });
    row(&format!("{name}: peak PSS / RSS, MB"), &|run| {
        memory(of(run).peak)
    });
}

fn title(run: &Run) -> String {
    match run.mode.pretended() {
        (0, 0) => "limit: no time".to_owned(),
        (call, record) => format!("slow: {call} ms + {record} ms a record"),
    }
}

fn rate(drain: &Drain) -> String {
    let rate = drain.records_a_second;
    drain.bound.map_or_else(
        || format!("{rate:.0}"),
        |bound| format!("{rate:.0} ({:.2} of the bound)", rate / bound),
    )
}

fn memory(memory: Memory) -> String {
    format!("{:.1} / {:.1}", memory.pss, memory.rss)
}

/// Of sorted values; between the two in the middle of an even number.
pub(crate) fn median(values: &[f64]) -> f64 {
    let middle = values.len() / 2;
    match values {
        [] => 0.0,
        _ if values.len().is_multiple_of(2) => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}
