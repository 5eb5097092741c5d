//! What may be started now: sending what is ready, claiming more, asking
//! whether Salesforce is there.

use std::{sync::Arc, time::Instant};

use super::{
    Event, IDLE_LOOK, Worker, alone,
    gate::{Permit, Turn},
    pace, prepare, say,
    sending::STUCK,
    trial::Trial,
};
use crate::{place::Standing, watchdog};

impl Worker {
    /// Whether nothing is to be claimed before a request has landed, however
    /// long ago a look was due. With a backlog the next requests are made
    /// ready ahead. Without one an ad waits better in the queue, where it
    /// joins others, than in a request of its own behind those in flight.
    pub(super) fn is_full(&self) -> bool {
        let concurrency = self.context.options.concurrency;
        let enough = self.lanes.waiting() >= concurrency && !self.is_stuck();
        let busy = self.in_flight >= concurrency && !self.backlog;
        let alone = self.alone.keeps_others_out() && self.has_in_hand();
        self.gate.is_open() && (enough || busy || alone)
    }

    pub(super) fn is_fine(&self) -> bool {
        *self.standing.borrow() == Standing::Fine
    }

    pub(super) fn reads_back(&self) -> bool {
        self.gate.is_open() && self.is_fine() && self.reading.is_due(Instant::now())
    }

    pub(super) fn trial_size(&self) -> usize {
        Trial::size(self.gate.closed_for(), self.context.options.batch_size)
    }

    /// Starts whatever may be started now.
    pub(super) fn start(&mut self) {
        let now = Instant::now();
        if let Some(Turn::Ended(cause, lasted)) = self.gate.settled(now) {
            say::ended(cause, lasted);
        }
        if self.gate.is_open() {
            while self.in_flight < self.context.options.concurrency && self.send_one(false) {}
        }
        if self.preparing || now < self.next_look || self.is_full() {
            return;
        }
        let unasked = match *self.standing.borrow() {
            Standing::Fine => false,
            Standing::Unasked => true,
            Standing::Unknown | Standing::Paused | Standing::Elsewhere => {
                self.next_look = now + IDLE_LOOK.max;
                return;
            }
        };
        let rests_until = self.context.view.rests_until(now);
        match self.gate.permit(now) {
            Permit::Full if unasked => self.ask(false),
            Permit::Trial if unasked => {
                self.gate.all_taken();
                self.ask(true);
            }
            Permit::Full if rests_until.is_some() => self.next_look = rests_until.unwrap_or(now),
            Permit::Full if !self.has_in_hand() && self.alone.starts() => self.claim_suspect(),
            Permit::Full if self.context.view.is_blind() => self.claim(self.trial_size(), false),
            Permit::Full => {
                self.claim(
                    self.context.options.batch_size * self.context.options.concurrency,
                    false,
                );
            }
            Permit::Trial if self.send_one(true) => {}
            Permit::Trial if self.lanes.waiting() == 0 => match rests_until {
                None => {
                    self.gate.all_taken();
                    self.claim(self.trial_size(), true);
                }
                Some(until) => {
                    self.gate.trial_postponed();
                    self.next_look = until;
                }
            },
            Permit::Trial => {
                // All that waits has its contract in flight still.
                self.gate.trial_postponed();
                if self.moved.elapsed() >= STUCK {
                    self.put_back_beyond(0);
                }
                self.next_look = now + IDLE_LOOK.base;
            }
            Permit::Probe => {
                let client = self.context.salesforce.clone();
                self.spawn(self.context.options.silence, "the probe", async move {
                    Event::Probed(client.probe().await)
                });
            }
            Permit::Wait(at) => self.next_look = at,
            Permit::Pending => self.next_look = now + IDLE_LOOK.base,
        }
    }

    fn ask(&mut self, trial: bool) {
        self.preparing = true;
        let context = Arc::clone(&self.context);
        self.spawn(context.options.silence, "the place", async move {
            let result = context.place.ask().await;
            Event::Asked { trial, result }
        });
    }

    pub(super) fn describe(&mut self) {
        self.preparing = true;
        let client = self.context.salesforce.clone();
        self.spawn(self.context.options.silence, "the org's word", async move {
            Event::Described(client.may_report().await)
        });
    }

    fn claim(&mut self, most: usize, trial: bool) {
        self.preparing = true;
        self.look_again = false;
        let context = Arc::clone(&self.context);
        let doubtful = self.postgres.is_on();
        self.spawn(watchdog::PATIENCE, "a claim", async move {
            match pace::prepare(&context, most, trial).await {
                // No ad would ever tell that Postgres is back.
                Event::Prepared {
                    trial,
                    result: Ok(None),
                } if doubtful => Event::Prepared {
                    trial,
                    result: prepare::ask(&context).await,
                },
                event => event,
            }
        });
    }

    fn claim_suspect(&mut self) {
        self.preparing = true;
        self.look_again = false;
        let context = Arc::clone(&self.context);
        self.spawn(watchdog::PATIENCE, "a claim", async move {
            let result = alone::prepare(&context).await;
            Event::Prepared {
                trial: false,
                result,
            }
        });
    }
}
