//! How the worker's tasks ended, and what follows from it.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    IDLE_LOOK, Worker,
    gate::{Sent, Turn},
    parcel::contracts,
    prepare::{self, Parcel},
    say, settle,
};
use crate::{
    backoff::chance, metrics::Trouble, queue::Error as QueueError,
    salesforce::Error as SalesforceError, telemetry::Chain,
};

/// How a task of the worker ended.
pub(super) enum Event {
    /// Salesforce was asked which org it is, ahead of the first claim.
    Asked {
        trial: bool,
        result: Result<(), SalesforceError>,
    },
    /// The org was asked whether it takes reports, since there is none to try.
    Described(Result<bool, SalesforceError>),
    Prepared {
        trial: bool,
        result: Result<Option<Vec<Parcel>>, prepare::Error>,
    },
    /// The budget permits no claim yet.
    Held {
        trial: bool,
        pause: Duration,
    },
    Landed {
        trial: bool,
        contracts: HashSet<String>,
        landed: settle::Landed,
    },
    Probed(Result<(), SalesforceError>),
    /// So many ads wait to be handled alone.
    Recovered(Result<usize, QueueError>),
    /// A parcel was given back unsent.
    PutBack,
    /// Whether Salesforce let itself be asked about records, if it was.
    Verified(Option<Result<(), SalesforceError>>),
}

impl Worker {
    pub(super) async fn ended(&mut self, ended: Result<Event, tokio::task::JoinError>) {
        let event = match ended {
            Ok(event) => event,
            // A panic in one task would leave its contracts busy for ever.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        match event {
            Event::Asked { trial, result } => {
                self.preparing = false;
                let what = if trial { Sent::Trial } else { Sent::Straggler };
                self.answered(what, result.err()).await;
            }
            Event::Described(result) => {
                self.preparing = false;
                self.described(result).await;
            }
            Event::Prepared { trial, result } => self.prepared(trial, result),
            Event::Held { trial, pause } => {
                self.preparing = false;
                if trial {
                    self.gate.trial_postponed();
                }
                // Sooner, too: what waits may have become a full call.
                self.next_look = Instant::now() + pause.min(IDLE_LOOK.max);
                self.redis.over();
            }
            Event::Landed {
                trial,
                contracts,
                landed,
            } => self.landed(trial, &contracts, landed).await,
            Event::Probed(Ok(())) => {
                self.gate.probe_answered();
                self.look_now();
            }
            Event::Probed(Err(error)) => self.answered(Sent::Probe, Some(error)).await,
            Event::Verified(Some(asked)) => {
                let trouble = self.reading.asked(asked, Instant::now(), chance());
                if trouble.is_some() {
                    self.answered(Sent::Straggler, trouble).await;
                }
            }
            Event::PutBack | Event::Verified(None) => {}
            Event::Recovered(Ok(suspects)) => {
                if self.redis_recovery.over() {
                    self.context.sweep.notify_one();
                }
                self.alone.wait(suspects);
                if suspects > 0 {
                    self.look_now();
                }
            }
            // The next tick comes soon enough.
            Event::Recovered(Err(error)) => {
                self.redis_recovery.met(&error);
            }
        }
    }

    async fn landed(&mut self, trial: bool, contracts: &HashSet<String>, landed: settle::Landed) {
        self.in_flight -= 1;
        self.moved = Instant::now();
        self.lanes.finish(contracts);
        let what = if trial { Sent::Trial } else { Sent::Straggler };
        if landed.taken || landed.trouble.is_some() {
            self.answered(what, landed.trouble).await;
        } else {
            // One ad that is to blame itself says nothing about others.
            self.untold(trial);
        }
    }

    fn prepared(&mut self, trial: bool, result: Result<Option<Vec<Parcel>>, prepare::Error>) {
        self.preparing = false;
        let now = Instant::now();
        match result {
            Ok(None) if self.look_again => {
                self.next_look = now;
                if trial {
                    self.gate.trial_postponed();
                }
            }
            Ok(None) => {
                self.redis_answers();
                self.postgres.over();
                self.empty_looks += 1;
                self.next_look = now + IDLE_LOOK.pause(self.empty_looks, chance());
                self.nothing_to_try(trial, now);
            }
            Ok(Some(mut parcels)) => {
                let stuck = self.is_stuck();
                self.empty_looks = 0;
                self.next_look = now;
                self.backlog = parcels.len() > 1;
                self.hands.retain(|hand| hand.strong_count() > 0);
                self.hands
                    .extend(parcels.first().map(|parcel| Arc::downgrade(&parcel.hand)));
                if trial {
                    self.trial.sort(&mut parcels);
                    let ads: usize = parcels.iter().map(|parcel| parcel.ads.len()).sum();
                    if ads >= self.trial_size() {
                        // There may be more behind them.
                        self.gate.news(now);
                    }
                }
                for parcel in parcels {
                    self.lanes.push(contracts(&parcel.ads), parcel);
                }
                self.redis_answers();
                self.postgres.over();
                if stuck {
                    self.put_back_surplus();
                }
                if trial && !self.send_one(true) {
                    // Nothing of what was claimed had to be sent.
                    self.gate.trial_postponed();
                }
            }
            Err(error) => {
                self.next_look = now
                    + match error {
                        prepare::Error::Queue(error) => self.redis.met(&error),
                        prepare::Error::Ledger(error) => self.postgres.met(&error),
                        // Said where the place is watched.
                        prepare::Error::OldToken => IDLE_LOOK.max,
                    };
                if trial {
                    self.gate.trial_postponed();
                }
            }
        }
    }

    /// A Redis that was away may have lost what it was told last.
    fn redis_answers(&mut self) {
        if self.redis.over() {
            self.context.sweep.notify_one();
        }
    }

    /// Where the probe cannot tell whether it is over, and another daemon has
    /// reported what waited, the org itself is asked.
    fn nothing_to_try(&mut self, trial: bool, now: Instant) {
        if !trial {
            return;
        }
        if self.gate.nothing_to_try(now) {
            self.describe();
        } else {
            self.context.metrics.salesforce.set(self.gate.is_up());
        }
    }

    async fn described(&mut self, result: Result<bool, SalesforceError>) {
        match (result, self.gate.closed_for()) {
            (Ok(false), Some(cause)) => {
                self.gate
                    .failed(Sent::Trial, cause, Instant::now(), chance());
            }
            (result, _) => self.answered(Sent::Trial, result.err()).await,
        }
    }

    /// A parcel that landed told nothing about Salesforce.
    fn untold(&mut self, trial: bool) {
        self.look_now();
        if trial {
            self.gate.trial_postponed();
        }
    }

    /// Tells the gate how a request ended, and the log what that means.
    async fn answered(&mut self, what: Sent, trouble: Option<SalesforceError>) {
        let now = Instant::now();
        self.look_now();
        let Some(error) = trouble else {
            self.gate.succeeded(what, now);
            self.context.metrics.salesforce.set(self.gate.is_up());
            return;
        };
        self.context.metrics.failed_calls.add(1);
        let cause = say::cause(&error);
        let turn = self.gate.failed(what, cause, now, chance());
        if what == Sent::Trial && self.lanes.waiting() > 0 {
            self.gate.news(now);
        }
        tracing::debug!(error = %Chain(&error), "salesforce call failed");
        let standing = &self.context.metrics.salesforce;
        standing.set(self.gate.is_up());
        standing.explain(Trouble::of(&error));
        if let Some(Turn::Began(cause)) = turn {
            say::began(cause, &error);
        }
        // What waits beside a trial that failed is tried next: one ad that is to
        // blame itself must not come before the same others again and again.
        if !self.gate.is_up() && what != Sent::Trial {
            self.give_back().await;
        }
    }

    pub(super) fn look_now(&mut self) {
        self.empty_looks = 0;
        self.next_look = Instant::now();
        self.look_again = self.preparing;
    }
}
