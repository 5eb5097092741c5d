//! Median and worst of all runs, as a table or as JSON.

use comfy_table::{Table, presets::ASCII_MARKDOWN};
use serde::Serialize;

use super::{Crash, Figure, name};
use crate::report::median;

/// One figure over all runs of one crash.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    crash: Crash,
    what: &'static str,
    median: f64,
    worst: f64,
    runs: usize,
    /// What is promised at most.
    bound: Option<f64>,
    kept: bool,
}

/// The figures of some runs, in the order in which a run names them.
pub(super) fn rows(crash: Crash, runs: &[Vec<Figure>]) -> Vec<Row> {
    let Some(first) = runs.first() else {
        return Vec::new();
    };
    first
        .iter()
        .map(|figure| {
            let mut values: Vec<f64> = runs
                .iter()
                .flatten()
                .filter(|other| other.what == figure.what)
                .map(|other| other.value)
                .collect();
            values.sort_by(f64::total_cmp);
            let worst = values.last().copied().unwrap_or_default();
            Row {
                crash,
                what: figure.what,
                median: median(&values),
                worst,
                runs: values.len(),
                bound: figure.bound,
                kept: figure.bound.is_none_or(|bound| worst <= bound),
            }
        })
        .collect()
}

/// For people or for programs.
pub(super) fn text(rows: &[Row], json: bool) -> String {
    if json {
        return serde_json::to_string_pretty(rows).unwrap_or_default();
    }
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header([
        "crash",
        "seconds, calls or lines",
        "median",
        "worst",
        "runs",
        "promised",
    ]);
    let mut last = None;
    for row in rows {
        let title = if last == Some(row.crash) {
            String::new()
        } else {
            name(row.crash)
        };
        last = Some(row.crash);
        let promised = match row.bound {
            None => String::new(),
            Some(bound) if row.kept => format!("{bound}"),
            Some(bound) => format!("{bound}: NOT KEPT"),
        };
        table.add_row([
            title,
            row.what.to_owned(),
            number(row.median),
            number(row.worst),
            row.runs.to_string(),
            promised,
        ]);
    }
    table.to_string()
}

fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.strip_suffix(".00").map_or(text.clone(), str::to_owned)
}
