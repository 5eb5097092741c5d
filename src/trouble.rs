//! A dependency that does not answer: said once when it begins, once when it
//! is over, and asked ever more slowly in between.

use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    backoff::{Backoff, chance},
    telemetry::Chain,
};

const PACE: Backoff = Backoff {
    base: Duration::from_millis(200),
    max: Duration::from_secs(5),
};

/// Whether one dependency answers, as one loop finds it. A clone is for another
/// loop that needs the same: it begins when the first of them meets it, and is
/// over when the last of them got an answer.
#[derive(Debug)]
pub struct Trouble {
    dependency: &'static str,
    outage: Arc<Mutex<Outage>>,
    failures: u32,
}

/// What all loops together find.
#[derive(Debug, Default)]
struct Outage {
    /// Loops that got no answer.
    loops: usize,
    since: Option<Instant>,
}

impl Trouble {
    /// None, so far.
    pub fn with(dependency: &'static str) -> Self {
        Self {
            dependency,
            outage: Arc::default(),
            failures: 0,
        }
    }

    /// It failed, once more or for the first time. Answers how long to leave
    /// it alone.
    pub fn met(&mut self, error: &(dyn Error + 'static)) -> Duration {
        if self.failures == 0 {
            self.begins(error);
        }
        self.failures += 1;
        PACE.pause(self.failures, chance())
    }

    /// Whether it failed when it was asked last.
    pub fn is_on(&self) -> bool {
        self.failures > 0
    }

    /// It answers, again (then the answer is yes) or still.
    pub fn over(&mut self) -> bool {
        let again = self.failures > 0;
        if again {
            self.ends();
        }
        self.failures = 0;
        again
    }

    fn begins(&self, error: &(dyn Error + 'static)) {
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        outage.loops += 1;
        if outage.since.is_none() {
            outage.since = Some(Instant::now());
            let dependency = self.dependency;
            tracing::warn!(dependency, error = %Chain(error), "waiting for {dependency}: nothing is lost");
        }
    }

    fn ends(&self) {
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        outage.loops -= 1;
        if outage.loops == 0
            && let Some(since) = outage.since.take()
        {
            tracing::info!(
                dependency = self.dependency,
                duration_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
                "{} answers again",
                self.dependency
            );
        }
    }
}

impl Clone for Trouble {
    fn clone(&self) -> Self {
        Self {
            dependency: self.dependency,
            outage: Arc::clone(&self.outage),
            failures: 0,
        }
    }
}

impl Drop for Trouble {
    /// A loop that ends needs nothing any more.
    fn drop(&mut self) {
        if self.failures > 0 {
            let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
            outage.loops -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn is_on(trouble: &Trouble) -> bool {
        trouble.outage.lock().unwrap().since.is_some()
    }

    #[test]
    fn an_outage_lasts_from_the_first_loop_that_meets_it_to_the_last_that_is_answered() {
        let error = io::Error::other("refused");
        let mut one = Trouble::with("redis");
        let mut other = one.clone();
        assert!(!one.over());

        one.met(&error);
        one.met(&error);
        let began = one.outage.lock().unwrap().since;
        other.met(&error);
        assert_eq!(other.outage.lock().unwrap().since, began);
        assert!(one.over());
        assert!(!one.over());
        assert!(is_on(&one), "the other still waits");
        assert!(other.over());
        assert!(!is_on(&one));
    }
}
