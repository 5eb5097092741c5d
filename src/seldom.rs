//! What may happen all the time and is said at most once a minute. Pure: the
//! time comes in as a value.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Between two lines.
const EVERY: Duration = Duration::from_mins(1);

/// Counts what happens until it is said.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    said: Option<Instant>,
    count: usize,
}

impl Seldom {
    /// It happened so many times more. Answers how often it did since the last
    /// line, if it is time for one; the first comes at once.
    pub fn add(&self, more: usize, now: Instant) -> Option<usize> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.count += more;
        let quiet = |said: Instant| now.duration_since(said) >= EVERY;
        if !state.said.is_none_or(quiet) {
            return None;
        }
        state.said = Some(now);
        Some(std::mem::take(&mut state.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_at_once_and_then_once_a_minute_with_all_that_happened() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);

        assert_eq!(seldom.add(3, start), Some(3));
        for second in 1..60 {
            assert_eq!(seldom.add(2, after(second)), None);
        }
        assert_eq!(seldom.add(2, after(60)), Some(120));
        assert_eq!(seldom.add(1, after(119)), None);
        assert_eq!(seldom.add(1, after(600)), Some(2));
    }
}
