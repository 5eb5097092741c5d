//! The last hour and the last day in columns: how many records went out, from the
//! journal, and lag and calls, from the figures that the daemons leave in Redis.
//!
//! A day of a busy app's journal is a lot to read, so each is read anew only after
//! a while; the picture is too coarse to show the difference.

use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio::sync::Mutex;

use crate::{
    ledger::{Error, history},
    queue::Sample,
    telemetry::Chain,
};

/// What is shown: how long a column is, how many there are, how long it is kept.
pub(super) const HOUR: Span = Span {
    slot: Duration::from_mins(1),
    slots: 60,
    kept: Duration::from_secs(10),
};
pub(super) const DAY: Span = Span {
    slot: Duration::from_mins(15),
    slots: 96,
    kept: Duration::from_mins(5),
};

pub(super) struct Span {
    slot: Duration,
    slots: u32,
    kept: Duration,
}

impl Span {
    /// The longest lag of each column, in seconds.
    pub(super) fn lags(&self, samples: &[Sample]) -> Vec<u64> {
        self.columns(samples, |column, sample| {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a cast of floats saturates, and a lag is no less than nothing"
            )]
            let lag = sample.lag_seconds.max(0.0) as u64;
            column.max(lag)
        })
    }

    /// The calls of each column, of all daemons together.
    pub(super) fn calls(&self, samples: &[Sample]) -> Vec<u64> {
        self.columns(samples, |column, sample| column + sample.calls)
    }

    /// The newest last.
    fn columns(&self, samples: &[Sample], add: impl Fn(u64, &Sample) -> u64) -> Vec<u64> {
        let mut columns = vec![0; usize::try_from(self.slots).unwrap_or_default()];
        for sample in samples {
            let ago = sample.ago.as_millis() / self.slot.as_millis();
            let place = usize::try_from(ago).unwrap_or(usize::MAX);
            if let Some(column) = columns.iter_mut().rev().nth(place) {
                *column = add(*column, sample);
            }
        }
        columns
    }
}

/// The newest of each; none if it takes too long to read.
#[derive(Default)]
pub(in crate::web) struct Rates {
    hour: Kept,
    day: Kept,
}

type Kept = Mutex<Option<(Instant, Option<Vec<u64>>)>>;

impl Rates {
    /// Records of the last hour, a column a minute.
    pub(super) async fn hour(&self, pool: &PgPool) -> Result<Option<Vec<u64>>, Error> {
        read(&self.hour, &HOUR, pool).await
    }

    /// Records of the last day, a column a quarter of an hour.
    pub(super) async fn day(&self, pool: &PgPool) -> Result<Option<Vec<u64>>, Error> {
        read(&self.day, &DAY, pool).await
    }
}

async fn read(kept: &Kept, span: &Span, pool: &PgPool) -> Result<Option<Vec<u64>>, Error> {
    // Who comes while it is read waits for the same.
    let mut kept = kept.lock().await;
    if let Some((since, rate)) = &*kept
        && since.elapsed() < span.kept
    {
        return Ok(rate.clone());
    }
    let rate = match history::rate(pool, span.slot, span.slots).await {
        Ok(rate) => Some(rate),
        Err(error) if error.is_too_slow() => {
            tracing::debug!(error = %Chain(&error), "the journal is too large to draw");
            None
        }
        Err(error) => return Err(error),
    };
    *kept = Some((Instant::now(), rate.clone()));
    Ok(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_in_the_column_of_its_time() {
        let sample = |seconds, lag_seconds, calls| Sample {
            ago: Duration::from_secs(seconds),
            lag_seconds,
            calls,
        };
        let samples = [
            sample(90_000, 9.0, 9),
            sample(3600, 8.0, 8),
            sample(3599, 7.9, 4),
            sample(61, 2.0, 3),
            sample(59, 0.4, 2),
            sample(0, 1.5, 1),
        ];

        let (lags, calls) = (HOUR.lags(&samples), HOUR.calls(&samples));

        assert_eq!((lags.len(), calls.len()), (60, 60));
        assert_eq!((lags[0], lags[58], lags[59]), (7, 2, 1));
        assert_eq!((calls[0], calls[58], calls[59]), (4, 3, 3));
        assert_eq!(calls.iter().sum::<u64>(), 10);
        assert_eq!(DAY.calls(&samples).iter().sum::<u64>(), 18);
    }
}
