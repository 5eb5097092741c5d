//! Whether anything may be sent: open, or closed for an outage or a fault in
//! the configuration. Pure: the time comes in as a value.
//!
//! The first failure closes the gate for as long as one probe takes; if
//! Salesforce answers the probe, one small real batch is tried. Only when that
//! fails too is it called an outage, said once, and probed at a growing pace.
//! That it is over is said once it has held for a while: what comes and goes is
//! one outage.
//!
//! Ads that are wrong in the same way look like the configuration as long as
//! nothing else is sent. So once another ad waits the next trial comes sooner,
//! though not without measure: the configuration may be to blame after all.

mod pace;
mod words;

use std::time::{Duration, Instant};

pub(super) use pace::{of as pace, slowest};
pub use words::{Cause, Permit, Sent, Turn};

use crate::backoff::Backoff;
use pace::Early;

/// The gate.
#[derive(Debug)]
pub struct Gate {
    outage: Backoff,
    state: State,
    /// What was said to have begun and may be over.
    recent: Option<Recent>,
    /// Trials that came sooner than their pause since the last that went well.
    early: Early,
}

#[derive(Debug, Clone, Copy)]
struct Recent {
    cause: Cause,
    since: Instant,
    until: Instant,
    failures: u32,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Open,
    Closed(Closed),
}

#[derive(Debug, Clone, Copy)]
struct Closed {
    cause: Cause,
    since: Instant,
    failures: u32,
    said: bool,
    /// When the last failure came.
    failed: Instant,
    /// Something waits that no trial has sent.
    news: bool,
    next: Next,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Probe at this time.
    At(Instant),
    Probing,
    /// The probe was answered: a trial may go out.
    Trial,
    Trying,
}

/// How many times the shortest pause it has to hold before an outage is over.
const STEADY: u32 = 15;

impl Gate {
    /// An open gate that probes at this pace.
    pub fn new(outage: Backoff) -> Self {
        Self {
            outage,
            state: State::Open,
            recent: None,
            early: Early::new(outage),
        }
    }

    /// Whether the gate stands open.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Whether no outage is known: one lost answer is none.
    pub fn is_up(&self) -> bool {
        !matches!(self.state, State::Closed(Closed { said: true, .. }))
    }

    /// Why nothing is sent.
    pub fn closed_for(&self) -> Option<Cause> {
        match &self.state {
            State::Open => None,
            State::Closed(closed) => Some(closed.cause),
        }
    }

    /// Says that an outage is over, once it has held for a while.
    pub fn settled(&mut self, now: Instant) -> Option<Turn> {
        let steady = self.outage.base * STEADY;
        let held = |recent: &mut Recent| now.duration_since(recent.until) >= steady;
        let recent = self.recent.take_if(held)?;
        let lasted = recent.until.duration_since(recent.since);
        Some(Turn::Ended(recent.cause, lasted))
    }

    /// What may be done now. A probe or a trial is handed out once.
    pub fn permit(&mut self, now: Instant) -> Permit {
        let State::Closed(closed) = &mut self.state else {
            return Permit::Full;
        };
        match closed.next {
            Next::At(at) if at > now => Permit::Wait(at),
            Next::At(_) => {
                closed.next = Next::Probing;
                Permit::Probe
            }
            Next::Trial => {
                closed.next = Next::Trying;
                Permit::Trial
            }
            Next::Probing | Next::Trying => Permit::Pending,
        }
    }

    /// Something waits that was not among what was refused.
    pub fn news(&mut self, now: Instant) {
        if let State::Closed(closed) = &mut self.state {
            closed.news = true;
            self.hasten(now);
        }
    }

    /// All that waits is taken for a trial.
    pub fn all_taken(&mut self) {
        if let State::Closed(closed) = &mut self.state {
            closed.news = false;
        }
    }

    /// Brings the next trial forward if it may tell the fault of a few ads from
    /// one in the configuration.
    fn hasten(&mut self, now: Instant) {
        if let State::Closed(closed) = &mut self.state
            && closed.news
            && closed.cause == Cause::Configuration
            && let Next::At(at) = closed.next
        {
            let pause = pace::of(closed.cause, self.outage).base;
            let soon = self.early.next(now).max(closed.failed + pause);
            if soon < at {
                self.early.take(soon);
                closed.next = Next::At(soon);
            }
        }
    }

    /// The trial could not go out yet: the next one may.
    pub fn trial_postponed(&mut self) {
        if let State::Closed(closed) = &mut self.state
            && closed.next == Next::Trying
        {
            closed.next = Next::Trial;
        }
    }

    /// The trial found nothing to send. After an outage the probe's answer is
    /// then all there is to know; of the other causes a probe, which costs no
    /// call, tells nothing. Answers whether a call has to be the trial.
    pub fn nothing_to_try(&mut self, now: Instant) -> bool {
        match &self.state {
            State::Closed(closed) if closed.next == Next::Trying => {
                let is_told = closed.cause == Cause::Outage;
                if is_told {
                    self.succeeded(Sent::Probe, now);
                }
                !is_told
            }
            State::Closed(_) | State::Open => false,
        }
    }

    /// The probe was answered.
    pub fn probe_answered(&mut self) {
        if let State::Closed(closed) = &mut self.state
            && closed.next == Next::Probing
        {
            closed.next = Next::Trial;
        }
    }

    /// Something failed. While the gate is closed only the probe or the trial
    /// that was handed out counts: the stragglers of the first failure say
    /// nothing new.
    pub fn failed(&mut self, what: Sent, cause: Cause, now: Instant, chance: f64) -> Option<Turn> {
        let pace = pace::of(cause, self.outage);
        match &mut self.state {
            State::Open => {
                let recent = self.recent.take();
                let again = recent.filter(|recent| recent.cause == cause);
                let since = again.map_or(now, |recent| recent.since);
                // It may have been one lost answer: a probe tells.
                let (failures, pause) = if cause == Cause::Outage {
                    (0, Duration::ZERO)
                } else {
                    let failures = again.map_or(0, |recent| recent.failures) + 1;
                    (failures, pace.pause(failures, chance))
                };
                let begins = again.is_none() && cause != Cause::Outage;
                self.state = State::Closed(Closed {
                    cause,
                    since,
                    failures,
                    said: again.is_some() || begins,
                    failed: now,
                    // Nobody knows what waits beside what was refused.
                    news: true,
                    next: Next::At(now + pause),
                });
                self.hasten(now);
                begins.then_some(Turn::Began(cause))
            }
            State::Closed(closed) => {
                let counts = match what {
                    Sent::Probe => closed.next == Next::Probing,
                    Sent::Trial => closed.next == Next::Trying,
                    Sent::Straggler => false,
                };
                if !counts {
                    return None;
                }
                closed.failures += 1;
                closed.next = Next::At(now + pace.pause(closed.failures, chance));
                let new = !closed.said || closed.cause != cause;
                closed.said = true;
                closed.cause = cause;
                closed.failed = now;
                self.hasten(now);
                new.then_some(Turn::Began(cause))
            }
        }
    }

    /// A request was answered as it should be. A straggler's answer says that
    /// Salesforce is there; that the day has calls again, or that a fault in the
    /// configuration is mended, only the trial says.
    pub fn succeeded(&mut self, what: Sent, now: Instant) {
        let State::Closed(closed) = self.state else {
            return;
        };
        if closed.cause != Cause::Outage && what != Sent::Trial {
            return;
        }
        self.state = State::Open;
        self.early = Early::new(self.outage);
        self.recent = closed.said.then_some(Recent {
            cause: closed.cause,
            since: closed.since,
            until: now,
            failures: closed.failures,
        });
    }
}

#[cfg(test)]
mod tests;
