//! How far long work has come: a bar on a terminal, a line from time to time
//! elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Off a terminal, a line this often.
const SAY_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Progress {
    bar: ProgressBar,
    work: &'static str,
    /// Unknown where it is not worth counting.
    total: Option<u64>,
    done: usize,
    said: Instant,
}

impl Progress {
    /// Of so many `things` that the `work` goes through.
    pub(super) fn of(work: &'static str, things: &'static str, total: Option<u64>) -> Self {
        let template = format!("{{bar:40}} {{pos}}/{{len}} {things}, {{per_sec}}, {{eta}} left");
        let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
        Self {
            bar: match ProgressStyle::with_template(&template) {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            },
            work,
            total,
            done: 0,
            said: Instant::now(),
        }
    }

    /// Once the total is known.
    pub(super) fn is_of(&mut self, total: u64) {
        self.total = Some(total);
        self.bar.set_length(total);
    }

    pub(super) fn add(&mut self, more: usize) {
        self.done += more;
        self.bar.inc(more as u64);
        if self.bar.is_hidden() && self.said.elapsed() >= SAY_EVERY {
            let (done, total) = (self.done, self.total);
            tracing::info!(done, total, "{} goes on", self.work);
            self.said = Instant::now();
        }
    }

    pub(super) fn done(&self) -> usize {
        self.done
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
