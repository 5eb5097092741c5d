//! Throughput and latency of the app: medians over the turns.

use comfy_table::{Table, presets::ASCII_MARKDOWN};
use serde::Serialize;

use super::Pace;
use super::program::Outcome;
use super::state::State;
use crate::report::median;

/// One turn.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Sample {
    tps: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    failures: u32,
    /// Cores in use: the daemon's process, and the sandbox's.
    cpu_daemon: f64,
    cpu_sandbox: f64,
}

impl Sample {
    pub(super) fn new(outcome: &Outcome, seconds: u32, cpu_daemon: f64, cpu_sandbox: f64) -> Self {
        let latencies = &outcome.latencies;
        let count = u32::try_from(latencies.len()).unwrap_or(u32::MAX);
        Self {
            tps: f64::from(count) / f64::from(seconds),
            p50_ms: per_mille(latencies, 500),
            p99_ms: per_mille(latencies, 990),
            max_ms: latencies.last().copied().unwrap_or_default(),
            failures: outcome.failures,
            cpu_daemon,
            cpu_sandbox,
        }
    }
}

/// The value below which so many of a thousand sorted values lie.
fn per_mille(sorted: &[f64], part: usize) -> f64 {
    let place = (sorted.len() * part / 1000).min(sorted.len().saturating_sub(1));
    sorted.get(place).copied().unwrap_or_default()
}

/// All turns.
#[derive(Debug, Default)]
pub(super) struct Samples(Vec<(State, Pace, Sample)>);

/// One state at one pace.
#[derive(Debug, Serialize)]
struct Row {
    state: State,
    pace: Pace,
    turns: usize,
    /// Medians; of the longest and of the failures the most.
    #[serde(flatten)]
    figures: Sample,
}

impl Samples {
    pub(super) fn add(&mut self, state: State, pace: Pace, sample: Sample) {
        self.0.push((state, pace, sample));
    }

    /// Transactions that failed, all together.
    pub(super) fn failures(&self) -> u32 {
        self.0.iter().map(|(.., sample)| sample.failures).sum()
    }

    /// For people or for programs.
    pub(super) fn text(&self, json: bool) -> String {
        let rows = self.rows();
        if json {
            return serde_json::to_string_pretty(&rows).unwrap_or_default();
        }
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        table.set_header([
            "pace",
            "state",
            "tps",
            "of not watched",
            "p50, ms",
            "p99, ms",
            "max, ms",
            "failed",
            "cores: daemon / sandbox",
        ]);
        for row in &rows {
            let Sample {
                tps,
                p50_ms,
                p99_ms,
                max_ms,
                failures,
                cpu_daemon,
                cpu_sandbox,
            } = row.figures;
            let base = rows
                .iter()
                .find(|other| other.state == State::NotWatched && other.pace == row.pace);
            table.add_row([
                match row.pace {
                    Pace::Full => "full",
                    Pace::Steady => "steady",
                }
                .to_owned(),
                row.state.words().to_owned(),
                format!("{tps:.0}"),
                base.map_or_else(String::new, |base| format!("{:.2}", tps / base.figures.tps)),
                format!("{p50_ms:.2}"),
                format!("{p99_ms:.2}"),
                format!("{max_ms:.1}"),
                failures.to_string(),
                format!("{cpu_daemon:.2} / {cpu_sandbox:.2}"),
            ]);
        }
        table.to_string()
    }

    /// In the order in which they were first measured.
    fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for (state, pace, _) in &self.0 {
            if rows
                .iter()
                .any(|row| (row.state, row.pace) == (*state, *pace))
            {
                continue;
            }
            let turns: Vec<&Sample> = self
                .0
                .iter()
                .filter(|(s, p, _)| (s, p) == (state, pace))
                .map(|(.., sample)| sample)
                .collect();
            let middle = |of: fn(&Sample) -> f64| {
                let mut values: Vec<f64> = turns.iter().map(|sample| of(sample)).collect();
                values.sort_by(f64::total_cmp);
                median(&values)
            };
            rows.push(Row {
                state: *state,
                pace: *pace,
                turns: turns.len(),
                figures: Sample {
                    tps: middle(|sample| sample.tps),
                    p50_ms: middle(|sample| sample.p50_ms),
                    p99_ms: middle(|sample| sample.p99_ms),
                    max_ms: turns.iter().map(|s| s.max_ms).fold(0.0, f64::max),
                    failures: turns.iter().map(|sample| sample.failures).sum(),
                    cpu_daemon: middle(|sample| sample.cpu_daemon),
                    cpu_sandbox: middle(|sample| sample.cpu_sandbox),
                },
            });
        }
        rows
    }
}
