//! A dependency that does not answer: said once when it begins, once when it
//! is over, and asked ever more slowly in between.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use crate::{
    backoff::{Backoff, chance},
    telemetry::Chain,
};

const PACE: Backoff = Backoff {
    base: Duration::from_millis(200),
    max: Duration::from_secs(5),
};

/// Whether one dependency answers.
#[derive(Debug)]
pub struct Trouble {
    dependency: &'static str,
    since: Option<Instant>,
    failures: u32,
}

impl Trouble {
    /// None, so far.
    pub fn with(dependency: &'static str) -> Self {
        Self {
            dependency,
            since: None,
            failures: 0,
        }
    }

    /// It failed, once more or for the first time. Answers how long to leave
    /// it alone.
    pub fn met(&mut self, error: &(dyn Error + 'static)) -> Duration {
        if self.since.is_none() {
            self.since = Some(Instant::now());
            let dependency = self.dependency;
            tracing::warn!(dependency, error = %Chain(error), "waiting for {dependency}: nothing is lost");
        }
        self.failures += 1;
        PACE.pause(self.failures, chance())
    }

    /// It answers, again or still.
    pub fn over(&mut self) {
        if let Some(since) = self.since.take() {
            tracing::info!(
                dependency = self.dependency,
                duration_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
                "{} answers again",
                self.dependency
            );
        }
        self.failures = 0;
    }
}
