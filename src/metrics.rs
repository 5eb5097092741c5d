//! What the daemon did, counted.

use std::sync::atomic::{AtomicU64, Ordering};

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
}
