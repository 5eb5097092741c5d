//! What was measured, next to what is promised.

use comfy_table::{Table, presets::ASCII_MARKDOWN};
use serde::Serialize;

use super::readers::{Turn, histogram};
use super::{Arguments, Way};
use crate::Error;

/// All turns of each way.
#[derive(Default)]
pub(super) struct Figures(Vec<Sum>);

struct Sum {
    way: Way,
    reads: hdrhistogram::Histogram<u64>,
    seconds: f64,
    queries: u64,
}

/// The figures of one way.
#[derive(Debug, Serialize)]
struct Row {
    way: Way,
    readers: usize,
    reads: u64,
    reads_a_second: f64,
    queries: u64,
    queries_a_read: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// Beyond what Salesforce takes for one caller.
    p50_more_ms: f64,
    p99_more_ms: f64,
}

impl Figures {
    pub(super) fn add(&mut self, way: Way, turn: &Turn) -> Result<(), Error> {
        let place = self.0.iter().position(|sum| sum.way == way);
        let place = place.unwrap_or(self.0.len());
        if place == self.0.len() {
            self.0.push(Sum {
                way,
                reads: histogram()?,
                seconds: 0.0,
                queries: 0,
            });
        }
        let sum = &mut self.0[place];
        for took in &turn.reads {
            sum.reads.saturating_record(*took);
        }
        sum.seconds += turn.seconds;
        sum.queries += turn.queries;
        Ok(())
    }

    /// For people or for programs.
    pub(super) fn text(&self, json: bool, arguments: &Arguments) -> String {
        let own = self.0.iter().find(|sum| sum.way == Way::Alone);
        let rows: Vec<Row> = self.0.iter().map(|sum| row(sum, own, arguments)).collect();
        if json {
            return serde_json::to_string_pretty(&rows).unwrap_or_default();
        }
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        table.set_header([
            "asked", "readers", "reads", "reads/s", "queries", "a read", "p50, ms", "p99, ms",
            "max, ms", "p50 more", "p99 more",
        ]);
        for row in rows {
            table.add_row([
                words(row.way).to_owned(),
                row.readers.to_string(),
                row.reads.to_string(),
                format!("{:.0}", row.reads_a_second),
                row.queries.to_string(),
                format!("{:.3}", row.queries_a_read),
                format!("{:.1}", row.p50_ms),
                format!("{:.1}", row.p99_ms),
                format!("{:.1}", row.max_ms),
                format!("{:+.1}", row.p50_more_ms),
                format!("{:+.1}", row.p99_more_ms),
            ]);
        }
        table.to_string()
    }
}

fn row(sum: &Sum, own: Option<&Sum>, arguments: &Arguments) -> Row {
    let ms = |sum: &Sum, quantile: f64| number(sum.reads.value_at_quantile(quantile)) / 1e3;
    let more = |quantile| ms(sum, quantile) - own.map_or(0.0, |own| ms(own, quantile));
    let reads = sum.reads.len();
    Row {
        way: sum.way,
        readers: if sum.way == Way::Alone {
            1
        } else {
            arguments.readers
        },
        reads,
        reads_a_second: number(reads) / sum.seconds,
        queries: sum.queries,
        queries_a_read: number(sum.queries) / number(reads),
        p50_ms: ms(sum, 0.5),
        p99_ms: ms(sum, 0.99),
        max_ms: number(sum.reads.max()) / 1e3,
        p50_more_ms: more(0.5),
        p99_more_ms: more(0.99),
    }
}

fn words(way: Way) -> &'static str {
    match way {
        Way::Alone => "Salesforce, one by one",
        Way::Each => "Salesforce, each for itself",
        Way::Library => "library",
        Way::Gateway => "gateway",
    }
}

fn number(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "it is far below 2^52")]
    let number = count as f64;
    number
}
