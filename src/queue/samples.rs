//! Figures of the last day, for the charts of the ops page: each daemon leaves
//! one with its metric line. A Redis that loses its memory loses them, too, and
//! nothing but a chart is the poorer for it.

use std::time::Duration;

use super::{Error, Queue, millis};

/// A day, and what stands at its edge.
const KEPT: Duration = Duration::from_hours(25);

/// What one daemon found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// How long ago.
    pub ago: Duration,
    /// Age of the oldest change that was not settled, in seconds.
    pub lag_seconds: f64,
    /// Calls that the daemon made since its last figure.
    pub calls: u64,
}

impl Queue {
    /// Leaves a figure.
    pub async fn sample(&self, daemon: &str, lag_seconds: f64, calls: u64) -> Result<(), Error> {
        self.samples_with(daemon, lag_seconds, calls)
            .await
            .map(|_| ())
    }

    /// The figures of the last day, the oldest first.
    pub async fn samples(&self) -> Result<Vec<Sample>, Error> {
        let told = self.samples_with("", 0.0, 0).await?;
        let read = |figure: &[String]| {
            let [ago, lag_seconds, calls] = figure else {
                return None;
            };
            Some(Sample {
                ago: Duration::from_millis(ago.parse().ok()?),
                lag_seconds: lag_seconds.parse().ok()?,
                calls: calls.parse().ok()?,
            })
        };
        Ok(told.chunks(3).filter_map(read).collect())
    }

    async fn samples_with(
        &self,
        daemon: &str,
        lag_seconds: f64,
        calls: u64,
    ) -> Result<Vec<String>, Error> {
        self.call("keep a figure", || {
            let mut call = self.scripts.sample.prepare_invoke();
            call.key(&self.keys.samples)
                .arg(daemon)
                .arg(format!("{lag_seconds:.1}"))
                .arg(calls)
                .arg(millis(KEPT));
            call
        })
        .await
    }
}
