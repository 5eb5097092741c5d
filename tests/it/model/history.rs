//! What happens, step by step. Pure: one seed gives one history.

use std::fmt;

use fastrand::Rng;

use super::{
    app::{CONTRACTS, Change},
    fault::{Fault, Kind, Place},
};

/// A history begins in an empty org, and is quiet after each act.
const ACTS: usize = 3;
const STEPS: std::ops::Range<usize> = 40..70;
/// Contracts that may be locked at once, so that something is left to do.
const LOCKED: usize = 2;

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// The app writes.
    App(Change),
    /// A transaction of the app begins, writes, and stays open.
    Open(Change),
    /// It ends: kept or taken back.
    Close {
        commit: bool,
    },
    /// The sales team locks a contract, or unlocks it again.
    Lock(usize),
    Unlock(usize),
    /// A fault strikes, or is over. The number tells it from the others.
    Begin(usize, Fault),
    End(usize, Fault),
    /// Nothing, for so many milliseconds.
    Pause(u64),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App(change) => write!(f, "{change}"),
            Self::Open(change) => write!(f, "{change} (stays open)"),
            Self::Close { commit: true } => write!(f, "app: commit"),
            Self::Close { commit: false } => write!(f, "app: rollback"),
            Self::Lock(contract) => write!(f, "sales: lock contract {contract}"),
            Self::Unlock(contract) => write!(f, "sales: unlock contract {contract}"),
            Self::Begin(number, fault) => write!(f, "fault {number}: {fault}"),
            Self::End(number, fault) => write!(f, "fault {number} is over: {}", fault.kind.name()),
            Self::Pause(ms) => write!(f, "pause {ms} ms"),
        }
    }
}

/// What one seed stands for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct History {
    pub(super) seed: u64,
    /// Whether the org has the revision field and its rule.
    pub(super) revision: bool,
    /// Whether a record may be moved to another contract product.
    pub(super) movable: bool,
    pub(super) daemons: usize,
    pub(super) queue_max: usize,
    pub(super) batch_size: usize,
    pub(super) concurrency: usize,
    /// Whether rejected ads are soon tried again by themselves.
    pub(super) eager: bool,
    /// How long a call takes, in milliseconds.
    pub(super) call_ms: u64,
    pub(super) acts: Vec<Vec<Step>>,
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}: {} daemons, revision {}, records {}, queue of {}, batches of {}, {} calls at once of \
             {} ms, rejected ads tried again {}",
            self.seed,
            self.daemons,
            if self.revision { "kept" } else { "unknown" },
            if self.movable { "movable" } else { "fixed" },
            self.queue_max,
            self.batch_size,
            self.concurrency,
            self.call_ms,
            if self.eager { "at once" } else { "on demand" },
        )
    }
}

impl History {
    /// The history of a seed, less the faults of some kinds.
    pub(super) fn of(seed: u64, without: &[Kind]) -> Self {
        let mut dice = Rng::with_seed(seed);
        let daemons = [1, 1, 2, 2, 3][dice.usize(..5)];
        let revision = dice.u32(0..3) > 0;
        let queue_max = [4, 10, 50_000, 50_000][dice.usize(..4)];
        let batch_size = [1, 3, 200, 200][dice.usize(..4)];
        let concurrency = [1, 2, 4][dice.usize(..3)];
        let eager = dice.bool();
        let call_ms = [0, 0, 3, 20][dice.usize(..4)];
        let mut script = Script::new(dice, daemons);
        let acts = (0..ACTS).map(|_| script.act()).collect();
        let mut history = Self {
            seed,
            revision,
            movable: !seed.is_multiple_of(4),
            daemons,
            queue_max,
            batch_size,
            concurrency,
            eager,
            call_ms,
            acts,
        };
        // Taken out afterwards, so that all else stays as the seed says.
        for act in &mut history.acts {
            act.retain(|step| match step {
                Step::Begin(_, fault) | Step::End(_, fault) => !without.contains(&fault.kind),
                _ => true,
            });
        }
        history
    }
}

/// A history while it is written.
struct Script {
    dice: Rng,
    daemons: usize,
    faults: usize,
    /// Faults at work, and the step at which each is over.
    active: Vec<(usize, usize, Fault)>,
    locked: Vec<usize>,
    open: bool,
}

impl Script {
    fn new(dice: Rng, daemons: usize) -> Self {
        Self {
            dice,
            daemons,
            faults: 0,
            active: Vec::new(),
            locked: Vec::new(),
            open: false,
        }
    }

    /// Some faults, and everything over at the end but the locks.
    fn act(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        // Quiet acts and wild ones.
        let faults = [5, 15, 30][self.dice.usize(..3)];
        for at in 0..self.dice.usize(STEPS) {
            self.end_faults(at, &mut steps);
            let roll = self.dice.u32(0..100);
            if roll < faults {
                self.begin_fault(at, &mut steps);
            } else if roll < faults + 5 {
                self.turn_a_key(&mut steps);
            } else if roll < faults + 8 {
                self.open_or_close(&mut steps);
            } else {
                let change = Change::random(&mut self.dice);
                if !(self.open && change.is_exclusive()) {
                    steps.push(Step::App(change));
                }
            }
            if self.dice.u32(0..3) == 0 {
                steps.push(Step::Pause(self.dice.u64(1..120)));
            }
        }
        self.end_faults(usize::MAX, &mut steps);
        if self.open {
            self.open_or_close(&mut steps);
        }
        steps
    }

    fn begin_fault(&mut self, at: usize, steps: &mut Vec<Step>) {
        let kind = Kind::ALL[self.dice.usize(..Kind::ALL.len())];
        let fault = Fault::random(kind, self.daemons, &mut self.dice);
        let lasts = self.dice.usize(2..16);
        let taken = self
            .active
            .iter()
            .any(|(.., other)| other.place == fault.place && fault.place != Place::Salesforce);
        if taken {
            return;
        }
        self.faults += 1;
        steps.push(Step::Begin(self.faults, fault.clone()));
        self.active.push((self.faults, at + lasts, fault));
    }

    fn end_faults(&mut self, at: usize, steps: &mut Vec<Step>) {
        let over = |(_, end, _): &mut (usize, usize, Fault)| *end <= at;
        let ended = self.active.extract_if(.., over);
        steps.extend(ended.map(|(number, _, fault)| Step::End(number, fault)));
    }

    fn turn_a_key(&mut self, steps: &mut Vec<Step>) {
        let contract = self.dice.usize(..CONTRACTS);
        if let Some(place) = self.locked.iter().position(|locked| *locked == contract) {
            self.locked.swap_remove(place);
            steps.push(Step::Unlock(contract));
        } else if self.locked.len() < LOCKED {
            self.locked.push(contract);
            steps.push(Step::Lock(contract));
        } else {
            let contract = self.locked.swap_remove(0);
            steps.push(Step::Unlock(contract));
        }
    }

    fn open_or_close(&mut self, steps: &mut Vec<Step>) {
        if self.open {
            let commit = self.dice.bool();
            steps.push(Step::Close { commit });
        } else {
            steps.push(Step::Open(Change::slow(&mut self.dice)));
        }
        self.open = !self.open;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_history_and_another_seed_another_one() {
        let history = History::of(7, &[]);

        assert_eq!(history, History::of(7, &[]));
        assert_ne!(history.acts, History::of(8, &[]).acts);
    }

    #[test]
    fn what_is_left_out_changes_nothing_else() {
        let is_kill = |step: &Step| match step {
            Step::Begin(_, fault) | Step::End(_, fault) => fault.kind == Kind::Kill,
            _ => false,
        };
        let seed = (0..200).find(|seed| History::of(*seed, &[]).acts.concat().iter().any(is_kill));
        let seed = seed.unwrap();

        let without = History::of(seed, &[Kind::Kill]).acts.concat();

        let mut all = History::of(seed, &[]).acts.concat();
        all.retain(|step| !is_kill(step));
        assert_eq!(all, without);
    }

    #[test]
    fn every_fault_strikes_in_some_history_and_is_over_at_the_end_of_its_act() {
        let mut seen: Vec<Kind> = Vec::new();
        for seed in 0..200 {
            for act in History::of(seed, &[]).acts {
                let (mut begun, mut ended) = (Vec::new(), Vec::new());
                for step in act {
                    match step {
                        Step::Begin(number, fault) => {
                            begun.push(number);
                            seen.push(fault.kind);
                        }
                        Step::End(number, _) => ended.push(number),
                        _ => {}
                    }
                }
                ended.sort_unstable();
                assert_eq!(begun, ended);
            }
        }

        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, Kind::ALL);
    }
}
