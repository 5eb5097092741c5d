//! Pacing: how many of the org's daily calls are ours, and how fast they may
//! be spent.
//!
//! An org lets so many calls through in any 24 hours, those of all its programs
//! together (Salesforce Developer Limits and Allocations Quick Reference, "API
//! Request Limits and Allocations"). `SALESFORCE_API_BUDGET` is the share of
//! them that all daemons of an installation may spend. A bucket in Redis says
//! when the next claim may go (`queue::budget`): at once while there is credit,
//! and ever later as it runs low. What is not claimed waits in the queue, where
//! it folds and fills up calls. What lies above the share is a reserve: contracts
//! are read from it (`crate::contracts`), which no bucket holds up.
//!
//! Here are the words for it, and the figures that people see. The rule itself
//! stands in `queue/budget/`, where it runs.

use std::time::Duration;

/// What the daemon keeps to.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Share of the org's daily calls, above 0 and at most 1.
    pub share: f64,
    /// Records a call.
    pub batch: usize,
    /// While the budget is used up, one small call in this time finds out
    /// whether it still is.
    pub patience: Duration,
}

/// The org's calls of the last 24 hours, of all programs together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Calls made; may be more than allowed.
    pub used: u64,
    /// Calls that the org is entitled to.
    pub allowed: u64,
}

/// Whether ids may be claimed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Nothing waits.
    Empty,
    /// So much may be claimed.
    Go(Allowance),
    /// The budget is used up, and this may find out whether it still is.
    Trial(Allowance),
    /// Not yet; ask again then.
    Wait(Duration),
    /// The budget is used up; a trial is due then.
    UsedUp(Duration),
}

/// A claim that may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Ids at most.
    pub ids: usize,
    /// Calls set aside for them.
    pub calls: i64,
}

/// Our part of the org's calls, as the newest answer told them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Budget {
    /// Calls that we may spend in 24 hours.
    pub calls: u64,
    /// What remains of them after what all programs have spent.
    pub left: u64,
}

impl Usage {
    /// Our share of what the org allows, and what is left of it. Others' calls
    /// count too: the share is what the org's calls may rise to.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "calls of a day are far below 2^52, and the share is above 0; a cast of floats saturates"
    )]
    pub fn budget(self, share: f64) -> Budget {
        let calls = (self.allowed as f64 * share) as u64;
        Budget {
            calls,
            left: calls.saturating_sub(self.used),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_left_within_the_share() {
        for (used, allowed, share, calls, left) in [
            (0, 100_000, 0.8, 80_000, 80_000),
            (79_999, 100_000, 0.8, 80_000, 1),
            (80_000, 100_000, 0.8, 80_000, 0),
            (100_001, 100_000, 1.0, 100_000, 0),
            (7, 0, 1.0, 0, 0),
            (3, 9, 0.5, 4, 1),
        ] {
            let budget = Usage { used, allowed }.budget(share);
            assert_eq!(
                budget,
                Budget { calls, left },
                "{used}/{allowed} at {share}"
            );
        }
    }
}
