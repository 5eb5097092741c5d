//! How long the gate waits between two tries.

use std::time::Duration;

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
pub(super) fn of(cause: Cause, outage: Backoff) -> Backoff {
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
