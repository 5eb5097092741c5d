//! Whether records can be read back: a pause of its own and a voice of its own.
//!
//! That Salesforce refuses to be asked, for a field of the question or for the
//! right to read, says nothing about reports. Those go on: what was in doubt
//! has been sent once more in the ordinary way, and only the look at what a
//! request given up on did late has to wait, noted in the ledger.

use std::time::{Duration, Instant};

use super::refuses_the_question;
use crate::{
    backoff::Backoff,
    salesforce::Error,
    telemetry::Chain,
    worker::gate::{self, Cause},
};

/// Failures in a row that are no longer put down to an outage, which the
/// reports notice, too.
const ENOUGH: u32 = 3;

/// How reading back went lately.
#[derive(Debug)]
pub(in crate::worker) struct Reading {
    pace: Backoff,
    failures: u32,
    next: Option<Instant>,
    /// Since when it is said to be impossible.
    said: Option<Instant>,
}

impl Reading {
    /// Nothing has failed yet.
    pub(in crate::worker) fn new(outage: Backoff) -> Self {
        Self {
            pace: gate::pace(Cause::Configuration, outage),
            failures: 0,
            next: None,
            said: None,
        }
    }

    /// Whether to look for records that are due.
    pub(in crate::worker) fn is_due(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| next <= now)
    }

    /// Salesforce was asked. Answers a failure that may concern reports as well.
    pub(in crate::worker) fn asked(
        &mut self,
        answer: Result<(), Error>,
        now: Instant,
        chance: f64,
    ) -> Option<Error> {
        let Err(error) = answer else {
            if let Some(lasted) = self.worked(now) {
                let duration_ms = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
                tracing::info!(duration_ms, "records can be read back again");
            }
            return None;
        };
        let own = refuses_the_question(&error);
        if self.failed(own, now, chance) {
            tracing::error!(
                error = %Chain(&error), remedy = error.remedy().unwrap_or_default(),
                "records cannot be read back: reporting goes on, but what a request given up on \
                 did late is not noticed until this is mended"
            );
        }
        (!own).then_some(error)
    }

    /// Whether that is to be said.
    fn failed(&mut self, own: bool, now: Instant, chance: f64) -> bool {
        self.failures += 1;
        self.next = Some(now + self.pace.pause(self.failures, chance));
        let begins = self.said.is_none() && (own || self.failures >= ENOUGH);
        if begins {
            self.said = Some(now);
        }
        begins
    }

    /// How long it was said to be impossible.
    fn worked(&mut self, now: Instant) -> Option<Duration> {
        self.failures = 0;
        self.next = None;
        Some(now.duration_since(self.said.take()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading() -> Reading {
        Reading::new(Backoff {
            base: Duration::from_secs(1),
            max: Duration::from_mins(1),
        })
    }

    #[test]
    fn a_day_of_refused_questions_is_one_line_and_few_calls() {
        let (mut reading, start) = (reading(), Instant::now());
        let (mut now, mut asked, mut said) = (start, 0, 0);
        while now < start + Duration::from_hours(24) {
            if reading.is_due(now) {
                asked += 1;
                said += u32::from(reading.failed(true, now, 0.5));
            }
            now += Duration::from_secs(2);
        }
        assert_eq!(said, 1);
        assert!((144..=240).contains(&asked), "{asked} questions");

        assert_eq!(reading.worked(now), Some(now - start));
        assert!(reading.is_due(now));
        assert_eq!(reading.worked(now), None);
    }

    #[test]
    fn a_question_without_an_answer_is_said_once_it_has_failed_a_few_times() {
        let (mut reading, now) = (reading(), Instant::now());
        let said: Vec<bool> = (0..5).map(|_| reading.failed(false, now, 1.0)).collect();
        assert_eq!(said, [false, false, true, false, false]);

        reading.worked(now);
        assert!(!reading.failed(false, now, 1.0));
        assert_eq!(reading.worked(now), None);
    }
}
