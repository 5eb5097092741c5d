//! How long to wait before trying again. Pure: chance comes in as a number.

use std::time::Duration;

/// A growing pause between two bounds.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// Pause before the second try.
    pub base: Duration,
    /// Longest pause.
    pub max: Duration,
}

impl Backoff {
    /// The pause after the given number of tries that failed (0 counts as 1).
    ///
    /// It doubles with each try up to the maximum; `chance`, from 0 to 1, picks
    /// a point in its upper half, so that those who failed together do not
    /// come back together.
    pub fn pause(&self, failures: u32, chance: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(32);
        let full = self
            .base
            .saturating_mul(1 << doublings.min(31))
            .min(self.max);
        full.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0))
    }
}

/// A number from 0 to 1.
pub fn chance() -> f64 {
    fastrand::f64()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn stays_within_its_bounds(
            base in 1u64..10_000, more in 0u64..1_000_000, failures in 0u32..200, chance in 0.0..=1.0f64
        ) {
            let backoff = Backoff {
                base: Duration::from_millis(base),
                max: Duration::from_millis(base + more),
            };
            let pause = backoff.pause(failures, chance);
            prop_assert!(pause >= backoff.base / 2);
            prop_assert!(pause <= backoff.max);
        }

        #[test]
        fn never_shrinks_with_more_failures(base in 1u64..1000, failures in 0u32..100, chance in 0.0..=1.0f64) {
            let backoff = Backoff {
                base: Duration::from_millis(base),
                max: Duration::from_mins(10),
            };
            prop_assert!(backoff.pause(failures + 1, chance) >= backoff.pause(failures, chance));
        }
    }

    #[test]
    fn doubles_until_the_longest_pause() {
        let backoff = Backoff {
            base: Duration::from_secs(2),
            max: Duration::from_secs(10),
        };
        let pauses: Vec<u64> = (1..=5).map(|n| backoff.pause(n, 1.0).as_secs()).collect();
        assert_eq!(pauses, [2, 4, 8, 10, 10]);
    }
}
