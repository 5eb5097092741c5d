//! Those who ask: each one contract, again and again, until the turn is over.

use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{Arguments, Asked, Expected, turn};
use crate::Error;

/// All of them.
pub(super) struct Readers {
    count: usize,
    lasts: Duration,
    /// Milliseconds, at most.
    pause: u64,
    /// What they ask for, one after the other.
    pub(super) expected: Vec<Arc<Expected>>,
}

/// What a turn gave.
pub(super) struct Turn {
    /// Microseconds from question to answer.
    pub(super) reads: Vec<u64>,
    pub(super) seconds: f64,
    pub(super) queries: u64,
}

impl Readers {
    pub(super) fn new(arguments: &Arguments, expected: Vec<Expected>) -> Self {
        Self {
            count: arguments.readers.max(1),
            lasts: turn(arguments),
            pause: arguments.pause,
            expected: expected.into_iter().map(Arc::new).collect(),
        }
    }

    /// All of them ask, each for itself.
    pub(super) async fn ask(
        &self,
        ask: impl Fn(Arc<Expected>) -> Asked + Clone + Send + 'static,
    ) -> Result<Turn, Error> {
        self.drive(self.count, ask).await
    }

    /// Only one of them asks.
    pub(super) async fn alone(
        &self,
        ask: impl Fn(Arc<Expected>) -> Asked + Clone + Send + 'static,
    ) -> Result<Turn, Error> {
        self.drive(1, ask).await
    }

    async fn drive(
        &self,
        count: usize,
        ask: impl Fn(Arc<Expected>) -> Asked + Clone + Send + 'static,
    ) -> Result<Turn, Error> {
        let began = Instant::now();
        let (end, pause) = (began + self.lasts, self.pause);
        let mut readers: JoinSet<Result<Vec<u64>, Error>> = JoinSet::new();
        for reader in 0..count {
            let ask = ask.clone();
            let expected = Arc::clone(&self.expected[reader % self.expected.len()]);
            readers.spawn(async move {
                let mut took = Vec::new();
                loop {
                    if pause > 0 {
                        sleep(Duration::from_millis(fastrand::u64(0..=pause))).await;
                    }
                    let asked = Instant::now();
                    if asked >= end {
                        return Ok(took);
                    }
                    ask(Arc::clone(&expected)).await?;
                    took.push(u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX));
                }
            });
        }
        let reads: Result<Vec<Vec<u64>>, Error> = readers.join_all().await.into_iter().collect();
        Ok(Turn {
            reads: reads?.concat(),
            seconds: began.elapsed().as_secs_f64(),
            queries: 0,
        })
    }
}

/// For microseconds up to ten minutes.
pub(super) fn histogram() -> Result<Histogram<u64>, Error> {
    Histogram::new_with_bounds(1, 600_000_000, 3).map_err(|error| Error::Inexact(error.to_string()))
}
