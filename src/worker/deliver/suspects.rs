//! A call that failed as a whole, though Salesforce is there: which of the ads
//! in it is to blame? Pure.
//!
//! The call is divided, and its pieces are sent breadth first, so that the
//! innocent go through early. Each failed piece gives up one at random, who is
//! sent alone: unless most are culprits it is taken, which tells a call with a
//! culprit from a Salesforce that takes nothing at all. Some failures in a row
//! without any success are the latter.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::salesforce::Error;

/// Failures in a row that are not put down to single ads any more. With one
/// culprit there are never more than two.
const ENOUGH: u32 = 4;

/// Whether Salesforce takes reports, as this process saw it last. An ad that is
/// alone in a failed call is blamed only if others went through.
#[derive(Debug, Default)]
pub struct Witness(AtomicBool);

impl Witness {
    /// Salesforce took a report.
    pub(super) fn took(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Something failed; answers whether Salesforce took reports before.
    pub(super) fn doubt(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }

    pub(super) fn takes(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is still to be sent of a call.
#[derive(Debug)]
pub(super) struct Pieces<T> {
    open: VecDeque<Vec<T>>,
    failures: u32,
    taken: bool,
    alone: Vec<(T, Error)>,
}

impl<T: Copy> Pieces<T> {
    /// The call as a whole.
    pub(super) fn of(all: &[T]) -> Self {
        Self {
            open: VecDeque::from([all.to_vec()]),
            failures: 0,
            taken: false,
            alone: Vec::new(),
        }
    }

    /// What to send next; never empty.
    pub(super) fn next(&mut self) -> Option<Vec<T>> {
        std::iter::from_fn(|| self.open.pop_front()).find(|piece| !piece.is_empty())
    }

    /// A piece was answered; some of it has to be sent once more.
    pub(super) fn answered(&mut self, again: Vec<T>) {
        self.failures = 0;
        self.taken = true;
        self.open.push_front(again);
    }

    /// A piece failed. `Err` when it is not one ad's fault after all; `whim`,
    /// from 0 to 1, picks who is sent alone.
    pub(super) fn failed(
        &mut self,
        mut piece: Vec<T>,
        error: Error,
        whim: f64,
    ) -> Result<(), Error> {
        self.failures += 1;
        if self.failures >= ENOUGH {
            return Err(error);
        }
        if let [one] = piece[..] {
            self.alone.push((one, error));
            return Ok(());
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a piece has a few hundred members"
        )]
        let pick = (whim * piece.len() as f64) as usize;
        let one = piece.swap_remove(pick.min(piece.len() - 1));
        let second = piece.split_off(piece.len() / 2);
        self.open.extend([vec![one], piece, second]);
        Ok(())
    }

    /// Whether any piece was answered.
    pub(super) fn taken(&self) -> bool {
        self.taken
    }

    /// Those who failed alone.
    pub(super) fn culprits(self) -> Vec<(T, Error)> {
        self.alone
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection::btree_set, prelude::*};

    use super::*;

    fn error() -> Error {
        Error::Miscounted {
            sent: 1,
            received: 0,
        }
    }

    /// Sends all of it; answers who failed alone, how many calls it took, and
    /// whether it was given up.
    fn send(
        size: u32,
        culprits: &BTreeSet<u32>,
        whims: &mut dyn FnMut() -> f64,
    ) -> (BTreeSet<u32>, u32, bool) {
        let mut pieces = Pieces::of(&(0..size).collect::<Vec<_>>());
        let (mut calls, mut went) = (0, BTreeSet::new());
        while let Some(piece) = pieces.next() {
            calls += 1;
            if piece.iter().any(|one| culprits.contains(one)) {
                if pieces.failed(piece, error(), whims()).is_err() {
                    return (BTreeSet::new(), calls, true);
                }
            } else {
                assert!(piece.iter().all(|one| went.insert(*one)), "sent twice");
                pieces.answered(Vec::new());
            }
        }
        let alone: BTreeSet<u32> = pieces.culprits().into_iter().map(|(one, _)| one).collect();
        assert!(
            (0..size).all(|one| went.contains(&one) != alone.contains(&one)),
            "lost"
        );
        (alone, calls, false)
    }

    proptest! {
        #[test]
        fn one_culprit_is_always_found_and_soon(size in 1u32..=200, who in 0u32..200, seed in any::<u64>()) {
            let culprits = BTreeSet::from([who % size]);
            let mut dice = fastrand::Rng::with_seed(seed);
            let (found, calls, given_up) = send(size, &culprits, &mut || dice.f64());
            prop_assert!(!given_up);
            prop_assert_eq!(found, culprits);
            prop_assert!(calls <= 25, "{} calls", calls);
        }

        #[test]
        fn nobody_is_blamed_for_another(culprits in btree_set(0u32..200, 0..20), seed in any::<u64>()) {
            let mut dice = fastrand::Rng::with_seed(seed);
            let (found, _, given_up) = send(200, &culprits, &mut || dice.f64());
            prop_assert!(given_up || found == culprits);
        }
    }

    #[test]
    fn several_culprits_are_mostly_found_at_the_first_go() {
        let culprits = BTreeSet::from([3, 50, 51, 120, 199]);
        let mut dice = fastrand::Rng::with_seed(7);
        let found = (0..1000).filter(|_| send(200, &culprits, &mut || dice.f64()).0 == culprits);
        assert!(found.count() > 900);
    }

    #[test]
    fn a_salesforce_that_takes_nothing_is_told_after_four_calls() {
        let all: BTreeSet<u32> = (0..200).collect();
        assert_eq!(send(200, &all, &mut || 0.5), (BTreeSet::new(), 4, true));
    }
}
