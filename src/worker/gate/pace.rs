//! How long the gate waits between two tries.

use std::time::{Duration, Instant};

use super::Cause;
use crate::backoff::Backoff;

/// How much slower the gate is where every try costs more than a probe.
const SLOW: u32 = 10;

/// The pause between two tries that each cost a call.
pub(in crate::worker) fn slowest(outage: &Backoff) -> Duration {
    outage.max * SLOW
}

/// Where a probe says nothing, or every try is a login, more patience is due;
/// most where the calls of a whole day have to fall away.
pub(in crate::worker) fn of(cause: Cause, outage: Backoff) -> Backoff {
    match cause {
        Cause::Outage => outage,
        Cause::Configuration => Backoff {
            base: outage.base * SLOW,
            max: slowest(&outage),
        },
        // Half of a pause is chance: never less than the slowest.
        Cause::DailyLimit => Backoff {
            base: slowest(&outage) * 2,
            max: slowest(&outage) * 2,
        },
    }
}

/// So many tries may come ahead of their time in a row.
const BURST: u32 = 5;

/// Tries ahead of their time: a few at once, and then one in a while, however
/// many are asked for.
#[derive(Debug)]
pub(super) struct Early {
    every: Duration,
    /// From then on all of them are there again.
    full: Option<Instant>,
}

impl Early {
    /// All are there. What is spent comes back at the slowest pace of probes.
    pub(super) fn new(outage: Backoff) -> Self {
        Self {
            every: outage.max,
            full: None,
        }
    }

    /// When the next one may be taken.
    pub(super) fn next(&self, now: Instant) -> Instant {
        let spent = self
            .full
            .and_then(|full| full.checked_sub(self.every * (BURST - 1)));
        spent.map_or(now, |next| next.max(now))
    }

    /// One is taken for then.
    pub(super) fn take(&mut self, at: Instant) {
        let full = self.full.map_or(at, |full| full.max(at));
        self.full = Some(full + self.every);
    }
}
