//! The delivery loop: claim → fence → plan → intent → deliver → record → settle.
//!
//! Level-triggered: whoever has an ad in hand reads what the app wants now and
//! what Salesforce was last told, and sends the difference. One loop owns all
//! state and only ever waits; claiming and delivering run as tasks, which are
//! never cancelled while the process lives, so no id is dropped on the floor.

mod alone;
mod deliver;
mod gate;
mod hand;
mod pace;
mod parcel;
mod prepare;
mod say;
mod settle;
mod verify;

use std::{
    collections::HashSet,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

pub use deliver::{Delivered, Terms, Witness, deliver};
pub use gate::{Cause, Gate, Permit, Sent, Turn};
pub use hand::Hand;
pub use parcel::{Lanes, PlannedAd, contracts, pack};

use crate::{
    backoff::{Backoff, chance},
    failpoint::{self, Point},
    ledger::Ledger,
    metrics::Metrics,
    place::{Place, Standing},
    queue::{Error as QueueError, Queue},
    salesforce::{Client, Error as SalesforceError},
    shutdown::Shutdown,
    telemetry::Chain,
    trouble::Trouble,
    watchdog::{self, Watchdog},
};
use alone::Alone;
use prepare::Parcel;

/// An empty queue is looked at this often at first, and ever less often while
/// it stays empty; a push by the same process wakes the worker at once.
const IDLE_LOOK: Backoff = Backoff {
    base: Duration::from_millis(100),
    max: Duration::from_secs(1),
};

/// Expired leases and due retries are brought back this often.
const RECOVER_EVERY: Duration = Duration::from_millis(250);

/// Ads that are tried while the gate is closed: enough that one of them which
/// is to blame itself does not hide that Salesforce takes the others.
const TRIAL: usize = 10;

/// If nothing was sent and nothing landed for so long, though there is room,
/// all that waits stands behind a slow contract: then others are looked for.
const STUCK: Duration = Duration::from_secs(1);

/// What then waits beyond this many parcels for each request is put back.
const AHEAD: usize = 2;

/// How the worker works.
#[derive(Debug, Clone)]
pub struct Options {
    /// Records a call.
    pub batch_size: usize,
    /// Calls in flight.
    pub concurrency: usize,
    /// How long a claim lasts unless renewed.
    pub lease: Duration,
    /// Pace of an ad that is tried again.
    pub retry: Backoff,
    /// Pace of a rejected ad.
    pub retry_rejected: Duration,
    /// Pace of the probes.
    pub outage: Backoff,
    /// How long a task that calls Salesforce may wait for one thing.
    pub silence: Duration,
    /// Share of the org's daily calls that all daemons together may spend.
    pub api_budget: f64,
    /// How long what is in flight may take to finish when the worker stops.
    pub patience: Duration,
}

/// What the tasks of the worker share.
#[derive(Clone)]
pub struct Context {
    /// Postgres.
    pub ledger: Ledger,
    /// Whether it answers.
    pub postgres: Trouble,
    /// Redis.
    pub queue: Queue,
    /// Salesforce.
    pub salesforce: Client,
    /// Whether to report.
    pub place: Place,
    /// How the worker works.
    pub options: Options,
    /// What the worker did.
    pub metrics: Arc<Metrics>,
    /// Somebody pushed.
    pub pushed: Arc<Notify>,
    /// Redis has forgotten everything, or has room again: sweep.
    pub sweep: Arc<Notify>,
    /// Watches the tasks.
    pub watchdog: Watchdog,
}

/// The delivery loop.
pub struct Worker {
    context: Arc<Context>,
    tasks: JoinSet<Event>,
    lanes: Lanes<Parcel>,
    /// Every claim that is not wholly put down.
    hands: Vec<Weak<Hand>>,
    gate: Gate,
    alone: Alone,
    standing: watch::Receiver<Standing>,
    witness: Arc<Witness>,
    redis: Trouble,
    /// That of recovery, which asks Redis also while nothing is claimed.
    redis_recovery: Trouble,
    postgres: Trouble,
    in_flight: usize,
    preparing: bool,
    /// When something was sent or landed last.
    moved: Instant,
    empty_looks: u32,
    next_look: Instant,
    /// There was reason to look while a claim was under way, which may have
    /// looked too early to see what it was.
    look_again: bool,
    /// The newest claim filled more than one request.
    backlog: bool,
}

/// How a task of the worker ended.
enum Event {
    /// Salesforce was asked which org it is, ahead of the first claim.
    Asked {
        trial: bool,
        result: Result<(), SalesforceError>,
    },
    Prepared {
        trial: bool,
        result: Result<Option<Vec<Parcel>>, prepare::Error>,
    },
    /// The budget permits no claim yet.
    Held(Duration),
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
    Verified(Option<SalesforceError>),
}

impl Worker {
    /// A worker that has nothing in hand.
    pub fn new(context: Context) -> Self {
        Self {
            gate: Gate::new(context.options.outage),
            standing: context.place.standing(),
            redis: context.queue.trouble(),
            redis_recovery: context.queue.trouble(),
            postgres: context.postgres.clone(),
            witness: Arc::default(),
            context: Arc::new(context),
            tasks: JoinSet::new(),
            lanes: Lanes::default(),
            hands: Vec::new(),
            alone: Alone::default(),
            in_flight: 0,
            preparing: false,
            moved: Instant::now(),
            empty_looks: 0,
            next_look: Instant::now(),
            look_again: false,
            backlog: false,
        }
    }

    /// Works until it is told to stop, then finishes what is in flight and
    /// gives the rest back.
    pub async fn run(mut self, shutdown: Shutdown) {
        let context = Arc::clone(&self.context);
        let mut recover = tokio::time::interval(RECOVER_EVERY);
        recover.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut recovering = false;
        let mut verify = tokio::time::interval(verify::pace(&context));
        verify.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut verifying = false;
        loop {
            failpoint::at(Point::WorkerLoop).await;
            if self.standing.borrow().is_barred() {
                self.give_back().await;
                // Whoever may not report needs nothing from there.
                self.postgres.over();
            }
            self.start();
            let look = self.next_look;
            tokio::select! {
                () = shutdown.wait() => break,
                Some(ended) = self.tasks.join_next() => {
                    recovering &= !matches!(ended, Ok(Event::Recovered(_)));
                    verifying &= !matches!(ended, Ok(Event::Verified(_)));
                    self.ended(ended).await;
                }
                () = context.pushed.notified() => self.look_now(),
                Ok(()) = self.standing.changed() => self.look_now(),
                _ = recover.tick(), if !recovering => {
                    recovering = true;
                    let context = Arc::clone(&context);
                    self.spawn(watchdog::PATIENCE, "recovery", async move {
                        Event::Recovered(recover_ids(&context).await)
                    });
                }
                _ = verify.tick(), if !verifying && self.gate.is_open() && self.is_fine() => {
                    verifying = true;
                    let (context, shutdown) = (Arc::clone(&context), shutdown.clone());
                    self.spawn(context.options.silence, "reading back", async move {
                        Event::Verified(verify::verify_until(&context, &shutdown).await)
                    });
                }
                () = tokio::time::sleep_until(look.into()), if !self.preparing && !self.is_full() => {}
            }
        }
        self.stop().await;
    }

    /// Finishes what is in flight, as far as there is time, and gives the rest
    /// back, so that another daemon need not wait for the leases to end.
    async fn stop(mut self) {
        let deadline = tokio::time::Instant::now() + self.context.options.patience;
        self.give_back().await;
        while let Ok(Some(ended)) = tokio::time::timeout_at(deadline, self.tasks.join_next()).await
        {
            self.ended(ended).await;
            self.give_back().await;
        }
        let unfinished: Vec<Arc<Hand>> = self.hands.iter().filter_map(Weak::upgrade).collect();
        self.tasks.shutdown().await;
        for hand in unfinished {
            // If Redis does not take them back, the end of the lease does.
            let _untaken = hand.release_all().await;
        }
    }

    /// Whether nothing is to be claimed before a request has landed, however
    /// long ago a look was due. With a backlog the next requests are made
    /// ready ahead. Without one an ad waits better in the queue, where it
    /// joins others, than in a request of its own behind those in flight.
    fn is_full(&self) -> bool {
        let concurrency = self.context.options.concurrency;
        let enough = self.lanes.waiting() >= concurrency && !self.is_stuck();
        let busy = self.in_flight >= concurrency && !self.backlog;
        let alone = self.alone.keeps_others_out() && self.has_in_hand();
        self.gate.is_open() && (enough || busy || alone)
    }

    fn is_fine(&self) -> bool {
        *self.standing.borrow() == Standing::Fine
    }

    fn has_in_hand(&self) -> bool {
        self.in_flight + self.lanes.waiting() > 0
    }

    fn is_stuck(&self) -> bool {
        self.gate.is_open()
            && self.lanes.waiting() > 0
            && self.in_flight < self.context.options.concurrency
            && self.moved.elapsed() >= STUCK
    }

    /// Starts whatever may be started now.
    fn start(&mut self) {
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
        match self.gate.permit(now) {
            Permit::Full if unasked => self.ask(false),
            Permit::Trial if unasked => self.ask(true),
            Permit::Full if !self.has_in_hand() && self.alone.starts() => self.claim_suspect(),
            Permit::Full => {
                self.claim(
                    self.context.options.batch_size * self.context.options.concurrency,
                    false,
                );
            }
            Permit::Trial if self.send_one(true) => {}
            Permit::Trial if self.lanes.waiting() == 0 => self.claim(TRIAL, true),
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

    /// Starts a task. Whoever waits for it waits for ever if it hangs, so it is
    /// watched, too.
    fn spawn(
        &mut self,
        patience: Duration,
        name: &'static str,
        task: impl Future<Output = Event> + Send + 'static,
    ) {
        let task = self.context.watchdog.watch(name, patience, task);
        self.tasks.spawn(task);
    }

    fn ask(&mut self, trial: bool) {
        self.preparing = true;
        let context = Arc::clone(&self.context);
        self.spawn(context.options.silence, "the place", async move {
            let result = context.place.ask().await;
            Event::Asked { trial, result }
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

    /// Sends the next parcel whose contracts are free, if there is one.
    fn send_one(&mut self, trial: bool) -> bool {
        if self.standing.borrow().is_barred() {
            return false;
        }
        let Some((contracts, parcel)) = self.startable() else {
            return false;
        };
        self.in_flight += 1;
        self.moved = Instant::now();
        let (context, witness) = (Arc::clone(&self.context), Arc::clone(&self.witness));
        let refused_before = trial && self.gate.closed_for() == Some(Cause::Configuration);
        self.spawn(context.options.silence, "a delivery", async move {
            let landed =
                settle::deliver_and_settle(&context, &witness, parcel, refused_before).await;
            Event::Landed {
                trial,
                contracts,
                landed,
            }
        });
        true
    }

    /// The next parcel whose contracts are free. Where this process was frozen,
    /// or Redis away, for longer than the lease, another hand may have the ads
    /// and knows better what to send.
    fn startable(&mut self) -> Option<(HashSet<String>, Parcel)> {
        while let Some((contracts, parcel)) = self.lanes.start() {
            if parcel.hand.holds(&parcel.ids()) {
                return Some((contracts, parcel));
            }
            self.lanes.finish(&contracts);
            let context = Arc::clone(&self.context);
            self.spawn(watchdog::PATIENCE, "putting back", async move {
                settle::abandon(&context, parcel).await;
                Event::PutBack
            });
        }
        None
    }

    async fn ended(&mut self, ended: Result<Event, tokio::task::JoinError>) {
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
            Event::Prepared { trial, result } => self.prepared(trial, result),
            Event::Held(pause) => {
                self.preparing = false;
                // Sooner, too: what waits may have become a full call.
                self.next_look = Instant::now() + pause.min(IDLE_LOOK.max);
                self.redis.over();
            }
            Event::Landed {
                trial,
                contracts,
                landed,
            } => {
                self.in_flight -= 1;
                self.moved = Instant::now();
                self.lanes.finish(&contracts);
                let what = if trial { Sent::Trial } else { Sent::Straggler };
                if landed.taken || landed.trouble.is_some() {
                    self.answered(what, landed.trouble).await;
                } else {
                    // One ad that is to blame itself says nothing about others.
                    self.untold(trial);
                }
            }
            Event::Probed(Ok(())) => {
                self.gate.probe_answered();
                self.look_now();
            }
            Event::Probed(Err(error)) => self.answered(Sent::Probe, Some(error)).await,
            Event::Verified(Some(trouble)) => {
                self.answered(Sent::Straggler, Some(trouble)).await;
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
            Ok(Some(parcels)) => {
                let stuck = self.is_stuck();
                self.empty_looks = 0;
                self.next_look = now;
                self.backlog = parcels.len() > 1;
                self.hands.retain(|hand| hand.strong_count() > 0);
                self.hands
                    .extend(parcels.first().map(|parcel| Arc::downgrade(&parcel.hand)));
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

    /// Starts what can be started, and puts back what would only lengthen the
    /// line behind a slow contract.
    fn put_back_surplus(&mut self) {
        let concurrency = self.context.options.concurrency;
        while self.in_flight < concurrency && self.send_one(false) {}
        self.put_back_beyond(AHEAD * concurrency);
    }

    fn put_back_beyond(&mut self, most: usize) {
        for parcel in self.lanes.surplus(most) {
            let context = Arc::clone(&self.context);
            self.spawn(watchdog::PATIENCE, "putting back", async move {
                settle::put_back(&context, parcel).await;
                Event::PutBack
            });
        }
    }

    fn nothing_to_try(&mut self, trial: bool, now: Instant) {
        if trial {
            self.gate.nothing_to_try(now);
            self.context.metrics.salesforce.set(self.gate.is_up());
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
        tracing::debug!(error = %Chain(&error), "salesforce call failed");
        self.context.metrics.salesforce.set(self.gate.is_up());
        if let Some(Turn::Began(cause)) = turn {
            say::began(cause, &error);
        }
        // What waits beside a trial that failed is tried next: one ad that is to
        // blame itself must not come before the same others again and again.
        if !self.gate.is_up() && what != Sent::Trial {
            self.give_back().await;
        }
    }

    /// Gives back what waits: nothing of it was sent.
    async fn give_back(&mut self) {
        for parcel in self.lanes.clear() {
            settle::abandon(&self.context, parcel).await;
        }
    }

    fn look_now(&mut self) {
        self.empty_looks = 0;
        self.next_look = Instant::now();
        self.look_again = self.preparing;
    }
}

/// Brings back what waits for nobody; answers how many ads wait to be handled
/// alone.
async fn recover_ids(context: &Context) -> Result<usize, QueueError> {
    let recovered = context.queue.recover().await?;
    failpoint::at(Point::Recovered).await;
    if recovered.expired > 0 {
        tracing::warn!(
            count = recovered.expired,
            "took over ads whose worker gave no sign of life"
        );
    }
    if recovered.lost > 0 {
        tracing::warn!(
            count = recovered.lost,
            "queued ads anew that redis had lost"
        );
    }
    // Who died may have made ads pending without telling Redis of them, and what
    // Redis had lost may have found no room.
    if recovered.emptied || recovered.expired + recovered.lost > 0 {
        context.sweep.notify_one();
    }
    if recovered.expired + recovered.due + recovered.lost > 0 {
        context.pushed.notify_one();
    }
    Ok(recovered.suspects)
}

/// An id for the log: whatever somebody pushed, not more than a line of it.
fn shown(id: &str) -> String {
    id.chars().take(100).collect()
}
