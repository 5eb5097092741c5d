//! Token buckets: so many requests a second, and some more at once. Pure: the
//! time comes in as a value.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Buckets that are kept at most: some hundred kilobytes.
const BUCKETS: usize = 10_000;

/// Who may ask how much.
pub(super) struct Limiter<K> {
    /// Requests a second.
    rate: f64,
    /// Requests at once.
    burst: f64,
    buckets: Mutex<HashMap<K, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl<K: Eq + Hash> Limiter<K> {
    pub(super) fn new(rate: u32, burst: u32) -> Self {
        Self {
            rate: f64::from(rate),
            burst: f64::from(burst),
            buckets: Mutex::default(),
        }
    }

    /// How long whoever has nothing left is to wait; `None` if there is room.
    pub(super) fn wait(&self, key: &K, now: Instant) -> Option<Duration> {
        let left = match self.buckets().get(key) {
            Some(bucket) => self.filled(*bucket, now),
            None => self.burst,
        };
        (left < 1.0).then(|| self.until(left))
    }

    /// Takes one, if there is one; else answers how long to wait.
    pub(super) fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets();
        if buckets.len() >= BUCKETS && !buckets.contains_key(&key) {
            // A full one says no more than none.
            buckets.retain(|_, bucket| self.filled(*bucket, now) < self.burst);
            if buckets.len() >= BUCKETS {
                return Err(self.until(0.0));
            }
        }
        let full = Bucket {
            left: self.burst,
            at: now,
        };
        let bucket = buckets.entry(key).or_insert(full);
        let left = self.filled(*bucket, now);
        let taken = left >= 1.0;
        *bucket = Bucket {
            left: if taken { left - 1.0 } else { left },
            at: now,
        };
        if taken { Ok(()) } else { Err(self.until(left)) }
    }

    fn filled(&self, bucket: Bucket, now: Instant) -> f64 {
        let more = now.saturating_duration_since(bucket.at).as_secs_f64() * self.rate;
        (bucket.left + more).min(self.burst)
    }

    fn until(&self, left: f64) -> Duration {
        Duration::from_secs_f64(((1.0 - left) / self.rate).max(0.0))
    }

    fn buckets(&self) -> MutexGuard<'_, HashMap<K, Bucket>> {
        // Each bucket is whole at any moment, also when a thread panicked.
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn so_many_at_once_and_then_so_many_a_second() {
        let (limiter, start) = (Limiter::new(4, 3), Instant::now());

        for _ in 0..3 {
            assert_eq!(limiter.take("a", start), Ok(()));
        }
        assert_eq!(limiter.take("a", start), Err(250 * MS));
        assert_eq!(limiter.wait(&"a", start), Some(250 * MS));
        assert_eq!(limiter.take("b", start), Ok(()), "each has its own");

        assert_eq!(limiter.wait(&"a", start + 250 * MS), None);
        assert_eq!(limiter.take("a", start + 250 * MS), Ok(()));
        assert_eq!(limiter.take("a", start + 250 * MS), Err(250 * MS));
        let later = start + 3_600_000 * MS;
        for _ in 0..3 {
            assert_eq!(limiter.take("a", later), Ok(()));
        }
        assert!(limiter.take("a", later).is_err(), "no more than the burst");
    }

    #[test]
    fn looking_takes_nothing() {
        let (limiter, now) = (Limiter::new(1, 1), Instant::now());

        for _ in 0..5 {
            assert_eq!(limiter.wait(&(), now), None);
        }
        assert_eq!(limiter.take((), now), Ok(()));
        assert!(limiter.wait(&(), now).is_some());
    }

    #[test]
    fn a_crowd_costs_no_memory_and_leaves_who_is_known_alone() {
        let (limiter, start) = (Limiter::new(1, 2), Instant::now());
        for n in 0..BUCKETS {
            assert_eq!(limiter.take(n, start), Ok(()));
        }

        assert!(limiter.take(BUCKETS, start).is_err(), "no room for more");
        assert_eq!(limiter.take(7, start), Ok(()), "who is known goes on");
        let later = start + 1000 * MS;
        assert_eq!(
            limiter.take(BUCKETS, later),
            Ok(()),
            "full buckets are forgotten"
        );
        assert_eq!(limiter.buckets().len(), 2, "but not those in use");
    }
}
