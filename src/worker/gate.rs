//! Whether anything may be sent: open, or closed for an outage or a fault in
//! the configuration. Pure: the time comes in as a value.
//!
//! The first failure closes the gate for as long as one probe takes; if
//! Salesforce answers the probe, one small real batch is tried. Only when that
//! fails too is it called an outage, said once, and probed at a growing pace.
//! That it is over is said once it has held for a while: what comes and goes is
//! one outage.

use std::time::{Duration, Instant};

use crate::backoff::Backoff;

/// Why nothing is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Salesforce does not answer, or not now.
    Outage,
    /// The day's calls are used up: a cheap probe cannot tell when that ends.
    DailyLimit,
    /// What would fail for every ad: login, object, field, rights.
    Configuration,
}

/// What may be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// Send as much as there is.
    Full,
    /// Send one small batch and see.
    Trial,
    /// Ask Salesforce whether it is there.
    Probe,
    /// Nothing until then.
    Wait(Instant),
    /// Nothing until the probe or the trial has its answer.
    Pending,
}

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The probe that [`Gate::permit`] handed out.
    Probe,
    /// The trial that it handed out.
    Trial,
    /// Any other request.
    Straggler,
}

/// What an event made of the gate, if it is worth a line in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is an outage from here on.
    Began(Cause),
    /// It lasted this long.
    Ended(Cause, Duration),
}

/// The gate.
#[derive(Debug)]
pub struct Gate {
    outage: Backoff,
    state: State,
    /// What was said to have begun and may be over.
    recent: Option<Recent>,
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

/// How much slower the gate is where every try costs more than a probe.
const SLOW: u32 = 10;

/// The pause between two tries that each cost a call.
pub(super) fn slowest(outage: &Backoff) -> Duration {
    outage.max * SLOW
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

    /// The trial could not go out yet: the next one may.
    pub fn trial_postponed(&mut self) {
        if let State::Closed(closed) = &mut self.state
            && closed.next == Next::Trying
        {
            closed.next = Next::Trial;
        }
    }

    /// The trial found nothing to send. After an outage the probe's answer is
    /// then all there is to know; of the other causes a probe tells nothing.
    pub fn nothing_to_try(&mut self, now: Instant) {
        match &self.state {
            State::Closed(closed)
                if closed.next == Next::Trying && closed.cause == Cause::Outage =>
            {
                self.succeeded(Sent::Probe, now);
            }
            State::Closed(_) | State::Open => self.trial_postponed(),
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
        let pace = self.pace(cause);
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
                    next: Next::At(now + pause),
                });
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
                new.then_some(Turn::Began(cause))
            }
        }
    }

    /// Where a probe says nothing, or every try is a login, more patience is
    /// due; most where the calls of a whole day have to fall away.
    fn pace(&self, cause: Cause) -> Backoff {
        match cause {
            Cause::Outage => self.outage,
            Cause::Configuration => Backoff {
                base: self.outage.base * SLOW,
                max: slowest(&self.outage),
            },
            // Half of a pause is chance: never less than the slowest.
            Cause::DailyLimit => Backoff {
                base: slowest(&self.outage) * 2,
                max: slowest(&self.outage) * 2,
            },
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
        self.recent = closed.said.then_some(Recent {
            cause: closed.cause,
            since: closed.since,
            until: now,
            failures: closed.failures,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Gate {
        Gate::new(Backoff {
            base: Duration::from_secs(1),
            max: Duration::from_mins(1),
        })
    }

    #[test]
    fn one_lost_answer_costs_one_probe_and_no_line() {
        let (mut gate, now) = (gate(), Instant::now());

        assert_eq!(gate.failed(Sent::Straggler, Cause::Outage, now, 1.0), None);
        assert_eq!(gate.permit(now), Permit::Probe);
        assert_eq!(gate.permit(now), Permit::Pending);
        gate.probe_answered();
        assert_eq!(gate.permit(now), Permit::Trial);
        assert_eq!(gate.permit(now), Permit::Pending);
        gate.succeeded(Sent::Trial, now);

        assert_eq!(gate.permit(now), Permit::Full);
        assert_eq!(gate.settled(now + Duration::from_hours(1)), None);
    }

    #[test]
    fn an_outage_is_said_once_and_probed_ever_more_slowly() {
        let (mut gate, start) = (gate(), Instant::now());
        let (mut now, mut probes, mut turns) = (start, 0, Vec::new());

        turns.extend(gate.failed(Sent::Straggler, Cause::Outage, now, 1.0));
        while now < start + Duration::from_hours(1) {
            match gate.permit(now) {
                Permit::Probe => {
                    probes += 1;
                    turns.extend(gate.failed(Sent::Probe, Cause::Outage, now, 1.0));
                }
                Permit::Wait(at) => now = at,
                other => panic!("{other:?} while Salesforce is down"),
            }
        }
        gate.permit(now);
        gate.probe_answered();
        gate.permit(now);
        gate.succeeded(Sent::Trial, now);
        turns.extend(gate.settled(now));
        turns.extend(gate.settled(now + Duration::from_mins(1)));
        turns.extend(gate.settled(now + Duration::from_mins(2)));

        assert!(probes <= 70, "{probes} probes in an hour");
        assert_eq!(
            turns,
            [
                Turn::Began(Cause::Outage),
                Turn::Ended(Cause::Outage, now - start)
            ]
        );
    }

    #[test]
    fn answers_that_fail_late_do_not_slow_the_probing_down() {
        let (mut gate, now) = (gate(), Instant::now());
        for _ in 0..20 {
            gate.failed(Sent::Straggler, Cause::Outage, now, 1.0);
        }
        assert_eq!(gate.permit(now), Permit::Probe);
        gate.failed(Sent::Straggler, Cause::Outage, now, 1.0);
        gate.failed(Sent::Probe, Cause::Outage, now, 1.0);
        assert_eq!(gate.permit(now), Permit::Wait(now + Duration::from_secs(1)));
    }

    #[test]
    fn a_fault_in_the_configuration_is_said_at_once() {
        let (mut gate, now) = (gate(), Instant::now());
        assert_eq!(
            gate.failed(Sent::Straggler, Cause::Configuration, now, 1.0),
            Some(Turn::Began(Cause::Configuration))
        );
        assert_eq!(
            gate.failed(Sent::Straggler, Cause::Configuration, now, 1.0),
            None
        );
        assert!(matches!(gate.permit(now), Permit::Wait(_)));
    }

    #[test]
    fn a_trial_that_fails_closes_the_gate_again() {
        let (mut gate, now) = (gate(), Instant::now());
        gate.failed(Sent::Straggler, Cause::Outage, now, 1.0);
        gate.permit(now);
        gate.probe_answered();
        gate.permit(now);
        assert_eq!(
            gate.failed(Sent::Trial, Cause::Outage, now, 1.0),
            Some(Turn::Began(Cause::Outage))
        );
        assert!(matches!(gate.permit(now), Permit::Wait(_)));
    }

    fn closed_for(cause: Cause, now: Instant) -> Gate {
        let mut gate = gate();
        gate.failed(Sent::Straggler, cause, now, 1.0);
        let later = now + Duration::from_mins(20);
        assert_eq!(gate.permit(later), Permit::Probe);
        gate.probe_answered();
        assert_eq!(gate.permit(later), Permit::Trial);
        gate
    }

    #[test]
    fn an_outage_is_over_when_the_probe_is_answered_and_nothing_waits() {
        let now = Instant::now();
        let mut gate = closed_for(Cause::Outage, now);
        gate.nothing_to_try(now);
        assert_eq!(gate.permit(now), Permit::Full);
    }

    #[test]
    fn what_a_probe_cannot_tell_waits_for_a_trial() {
        let now = Instant::now();
        for cause in [Cause::DailyLimit, Cause::Configuration] {
            let mut gate = closed_for(cause, now);
            gate.nothing_to_try(now);
            assert_eq!(gate.permit(now), Permit::Trial);
        }
    }

    #[test]
    fn a_straggler_ends_an_outage_and_nothing_else() {
        let now = Instant::now();
        for (cause, open) in [
            (Cause::Outage, true),
            (Cause::DailyLimit, false),
            (Cause::Configuration, false),
        ] {
            let mut gate = closed_for(cause, now);
            gate.succeeded(Sent::Straggler, now);
            assert_eq!(gate.is_open(), open, "{cause:?}");
        }
    }

    #[test]
    fn the_daily_limit_is_tried_at_most_once_in_ten_minutes() {
        let (mut gate, start) = (gate(), Instant::now());
        let (mut now, mut tries) = (start, 0);
        gate.failed(Sent::Straggler, Cause::DailyLimit, now, 0.0);
        while now < start + Duration::from_hours(6) {
            match gate.permit(now) {
                Permit::Probe => gate.probe_answered(),
                Permit::Trial => {
                    tries += 1;
                    gate.failed(Sent::Trial, Cause::DailyLimit, now, 0.0);
                }
                Permit::Wait(at) => now = at,
                other => panic!("{other:?} without calls"),
            }
        }
        assert!((18..=36).contains(&tries), "{tries} tries in six hours");
    }

    #[test]
    fn what_comes_and_goes_is_one_outage() {
        let (mut gate, start) = (gate(), Instant::now());
        let (mut now, mut turns, mut probes) = (start, Vec::new(), 0);
        let down =
            |now: Instant| (now - start).as_secs() % 4 < 2 && now - start < Duration::from_mins(5);
        while now < start + Duration::from_mins(6) {
            turns.extend(gate.settled(now));
            match gate.permit(now) {
                Permit::Full if down(now) => {
                    turns.extend(gate.failed(Sent::Straggler, Cause::Outage, now, 0.5));
                }
                Permit::Probe if down(now) => {
                    probes += 1;
                    turns.extend(gate.failed(Sent::Probe, Cause::Outage, now, 0.5));
                }
                Permit::Probe => gate.probe_answered(),
                Permit::Trial => gate.succeeded(Sent::Trial, now),
                _ => {}
            }
            now += Duration::from_millis(50);
        }

        assert!(gate.is_up() && probes < 300, "{probes} probes");
        assert!(
            matches!(
                turns[..],
                [Turn::Began(Cause::Outage), Turn::Ended(Cause::Outage, _)]
            ),
            "{turns:?}"
        );
    }

    #[test]
    fn a_trial_that_could_not_go_out_is_handed_out_again() {
        let now = Instant::now();
        let mut gate = closed_for(Cause::Outage, now);
        gate.trial_postponed();
        assert_eq!(gate.permit(now), Permit::Trial);
    }
}
