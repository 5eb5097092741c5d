//! What the daemon did, counted.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::sync::Notify;

use crate::{salesforce, seldom::Seldom, telemetry::Chain};

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

/// Whether something works, since when, and what is wrong if it does not.
#[derive(Debug)]
pub struct State {
    now: Mutex<Standing>,
    changed: Notify,
}

/// How something stands.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Whether it works.
    pub works: bool,
    /// Since when.
    pub since: SystemTime,
    /// What is wrong, as far as it was told.
    pub trouble: Option<Trouble>,
}

/// What is wrong, in words for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The error with its causes.
    pub why: String,
    /// What to do, where a person has to do something.
    pub remedy: Option<&'static str>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            now: Mutex::new(Standing {
                works: true,
                since: SystemTime::now(),
                trouble: None,
            }),
            changed: Notify::new(),
        }
    }
}

impl State {
    /// It works from now on, or no longer does. Answers how long the other
    /// state lasted, if this is a change.
    pub fn set(&self, works: bool) -> Option<Duration> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.works == works {
            return None;
        }
        let lasted = now.since.elapsed().unwrap_or_default();
        *now = Standing {
            works,
            since: SystemTime::now(),
            trouble: None,
        };
        self.changed.notify_one();
        Some(lasted)
    }

    /// Says what is wrong, of what does not work.
    pub fn explain(&self, trouble: Trouble) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if !now.works && now.trouble.as_ref() != Some(&trouble) {
            now.trouble = Some(trouble);
            self.changed.notify_one();
        }
    }

    /// How it stands.
    pub fn get(&self) -> Standing {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.clone()
    }

    /// Resolves when it has become another one since the last call.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl Trouble {
    /// What Salesforce's error says.
    pub fn of(error: &salesforce::Error) -> Self {
        Self {
            why: Chain(error).to_string(),
            remedy: error.remedy(),
        }
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
