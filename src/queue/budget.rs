//! The bucket of calls in Redis, `{name}:budget`, which all daemons of an
//! installation share.
//!
//! Before ids are claimed [`Queue::reserve`] says whether and how many, and sets
//! calls aside for them; what they cost in truth is told by [`Queue::spend`].
//! Redis' own clock is the only one. Whoever dies in between loses the calls
//! that it had set aside, never more.

use std::time::Duration;

use redis::Script;

use super::{Error, Queue, millis};
use crate::pace::{Allowance, Pace, Terms, Usage};

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "Lua counts in floating point; days in milliseconds and calls are far below 2^52"
)]
mod simulation;

pub(super) const RESERVE: &str = concat!(
    include_str!("budget/bucket.lua"),
    include_str!("budget/reserve.lua")
);
pub(super) const SPEND: &str = concat!(
    include_str!("budget/bucket.lua"),
    include_str!("budget/spend.lua")
);

/// One for each operation.
pub(super) struct Scripts {
    reserve: Script,
    spend: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            reserve: Script::new(RESERVE),
            spend: Script::new(SPEND),
        }
    }
}

impl Queue {
    /// Whether ids may be claimed, `most` at most. `known` is what the caller
    /// knows of the org's calls, in case that Redis knows nothing.
    ///
    /// A lost answer loses the calls that were set aside.
    pub async fn reserve(
        &self,
        terms: &Terms,
        most: usize,
        known: Option<Usage>,
    ) -> Result<Pace, Error> {
        let (used, allowed) = numbers(known);
        let (verdict, first, second): (String, u64, i64) = self
            .call("reserve calls", || {
                let mut call = self.scripts.budget.reserve.prepare_invoke();
                call.key(&self.keys.budget)
                    .key(&self.keys.queue)
                    .arg(terms.share)
                    .arg(terms.batch)
                    .arg(most)
                    .arg(millis(terms.patience))
                    .arg(used)
                    .arg(allowed);
                call
            })
            .await?;
        let allowance = Allowance {
            ids: usize::try_from(first).unwrap_or(most),
            calls: second,
        };
        let pause = Duration::from_millis(first);
        Ok(match verdict.as_str() {
            "go" => Pace::Go(allowance),
            "trial" => Pace::Trial(allowance),
            "wait" => Pace::Wait(pause),
            "gone" => Pace::UsedUp(pause),
            _ => Pace::Empty,
        })
    }

    /// Writes down how many calls were made beyond those that were set aside
    /// (fewer: below zero), and what the answer to them told.
    pub async fn spend(&self, terms: &Terms, calls: i64, told: Option<Usage>) -> Result<(), Error> {
        let (used, allowed) = numbers(told);
        // Not repeated when the connection breaks: it would be spent twice.
        let mut call = self.scripts.budget.spend.prepare_invoke();
        call.key(&self.keys.budget)
            .arg(terms.share)
            .arg(calls)
            .arg(used)
            .arg(allowed);
        call.invoke_async(&mut self.connection.clone())
            .await
            .map_err(|source| Error::Command {
                operation: "count calls",
                source,
            })
    }

    /// The org's calls as the newest answer to any daemon told them, and with
    /// them what was set aside since.
    pub async fn usage(&self) -> Result<Option<Usage>, Error> {
        let (used, allowed): (Option<f64>, Option<f64>) = redis::cmd("HMGET")
            .arg(&self.keys.budget)
            .arg(&["used", "allowed"])
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|source| Error::Command {
                operation: "tell the calls left",
                source,
            })?;
        Ok(used.zip(allowed).map(|(used, allowed)| Usage {
            used: whole(used),
            allowed: whole(allowed),
        }))
    }
}

/// Two arguments of a script; -1 stands for what nobody has told.
fn numbers(usage: Option<Usage>) -> (i64, i64) {
    let number = |calls: u64| i64::try_from(calls).unwrap_or(i64::MAX);
    usage.map_or((-1, -1), |usage| {
        (number(usage.used), number(usage.allowed))
    })
}

/// Scripts count in floating point.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of calls, and such a cast saturates"
)]
fn whole(number: f64) -> u64 {
    number as u64
}
