//! What the daemon did, counted.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::sync::Notify;

use crate::seldom::Seldom;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }

    /// What came on top since the last call.
    pub fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// Whether something works, and since when.
#[derive(Debug)]
pub struct State {
    now: Mutex<(bool, SystemTime)>,
    changed: Notify,
}

impl Default for State {
    fn default() -> Self {
        Self {
            now: Mutex::new((true, SystemTime::now())),
            changed: Notify::new(),
        }
    }
}

impl State {
    /// It works from now on, or no longer does. Answers how long the other
    /// state lasted, if this is a change.
    pub fn set(&self, works: bool) -> Option<Duration> {
        let mut state = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0 == works {
            return None;
        }
        let lasted = state.1.elapsed().unwrap_or_default();
        *state = (works, SystemTime::now());
        self.changed.notify_one();
        Some(lasted)
    }

    /// Whether it works, and since when.
    pub fn get(&self) -> (bool, SystemTime) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when it has become another one since the last call.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// Counts since the last metric line.
#[derive(Debug, Default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Metrics {
    pub changes_captured: Counter,
    pub ads_reported: Counter,
    pub ads_rejected: Counter,
    pub ads_retried: Counter,
    pub ads_postponed: Counter,
    pub records_created: Counter,
    pub records_updated: Counter,
    pub records_withdrawn: Counter,
    pub calls: Counter,
    pub failed_calls: Counter,
    pub ids_dropped: Counter,
    pub drops_to_say: Seldom,
    pub salesforce: State,
    pub budget: State,
}
