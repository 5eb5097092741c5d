//! What happened, counted: for tests that ask how many calls something cost.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::org::Tally;

/// Requests that the log remembers.
const LOG: usize = 1000;

/// Counters since the start or the last reset.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Stats {
    /// Calls that count toward the daily limit.
    pub api_calls: u64,
    /// The same by method and resource: `PATCH composite/sobjects/…`.
    pub calls: BTreeMap<String, u64>,
    /// Records written.
    pub records: Tally,
    /// Requests that found a parent locked by another.
    pub lock_meetings: u64,
    /// Requests that gave up waiting for one.
    pub lock_timeouts: u64,
    /// Requests at work now, or still to be carried out.
    pub in_flight: u64,
    /// The most there ever were at once.
    pub max_in_flight: u64,
    /// Requests to the token endpoint.
    pub token_requests: u64,
    #[serde(skip)]
    pub(crate) log: VecDeque<Entry>,
}

/// One request.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Entry {
    pub(crate) method: String,
    pub(crate) path: String,
    /// `None`: the connection was closed without an answer, or there is none
    /// yet.
    pub(crate) status: Option<u16>,
    #[serde(skip)]
    number: u64,
}

impl Stats {
    pub(crate) fn began(&mut self) {
        self.in_flight += 1;
        self.max_in_flight = self.max_in_flight.max(self.in_flight);
    }

    pub(crate) fn ended(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    pub(crate) fn counted(&mut self, method: &str, resource: &str) {
        self.api_calls += 1;
        *self
            .calls
            .entry(format!("{method} {resource}"))
            .or_default() += 1;
    }

    pub(crate) fn wrote(&mut self, tally: Tally) {
        self.records.created += tally.created;
        self.records.updated += tally.updated;
        self.records.deleted += tally.deleted;
    }

    /// Notes a request; its answer is added under the number.
    pub(crate) fn note(&mut self, method: &str, path: &str) -> u64 {
        if self.log.len() >= LOG {
            self.log.pop_front();
        }
        let number = self.log.back().map_or(0, |entry| entry.number + 1);
        self.log.push_back(Entry {
            method: method.to_owned(),
            path: path.to_owned(),
            status: None,
            number,
        });
        number
    }

    pub(crate) fn answered(&mut self, number: u64, status: u16) {
        if let Some(entry) = self
            .log
            .iter_mut()
            .rev()
            .find(|entry| entry.number == number)
        {
            entry.status = Some(status);
        }
    }

    /// Starts anew; what is at work stays.
    pub(crate) fn reset(&mut self) {
        let in_flight = self.in_flight;
        *self = Self {
            in_flight,
            max_in_flight: in_flight,
            ..Self::default()
        };
    }
}
