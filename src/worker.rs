//! The delivery loop: claim → fence → plan → intent → deliver → record → settle.
//!
//! Level-triggered: whoever has an ad in hand reads what the app wants now and
//! what Salesforce was last told, and sends the difference. One loop owns all
//! state and only ever waits; claiming and delivering run as tasks, which are
//! never cancelled while the process lives, so no id is dropped on the floor.
//! What it starts stands in `claiming` and `sending`, how that ends in `events`.

mod alone;
mod claiming;
mod deliver;
mod events;
mod gate;
mod hand;
mod pace;
mod parcel;
mod prepare;
mod recovery;
mod say;
mod sending;
mod settle;
mod trial;
mod verify;
mod view;

use std::{
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
pub use view::View;

use crate::{
    backoff::Backoff,
    failpoint::{self, Point},
    ledger::Ledger,
    metrics::Metrics,
    place::{Place, Standing},
    queue::Queue,
    salesforce::Client,
    shutdown::Shutdown,
    trouble::Trouble,
    watchdog::{self, Watchdog},
};
use alone::Alone;
use events::Event;
use prepare::Parcel;
use trial::Trial;
use verify::Reading;

/// An empty queue is looked at this often at first, and ever less often while
/// it stays empty; a push by the same process wakes the worker at once.
const IDLE_LOOK: Backoff = Backoff {
    base: Duration::from_millis(100),
    max: Duration::from_secs(1),
};

/// Expired leases and due retries are brought back this often.
const RECOVER_EVERY: Duration = Duration::from_millis(250);

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
    /// Whether the app's view can be read.
    pub view: View,
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
    trial: Trial,
    reading: Reading,
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

impl Worker {
    /// A worker that has nothing in hand.
    pub fn new(context: Context) -> Self {
        Self {
            gate: Gate::new(context.options.outage),
            reading: Reading::new(context.options.outage),
            standing: context.place.standing(),
            redis: context.queue.trouble(),
            redis_recovery: context.queue.trouble(),
            postgres: context.postgres.clone(),
            witness: Arc::default(),
            context: Arc::new(context),
            tasks: JoinSet::new(),
            lanes: Lanes::default(),
            hands: Vec::new(),
            trial: Trial::default(),
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
                () = context.pushed.notified() => {
                    self.gate.news(Instant::now());
                    self.look_now();
                }
                Ok(()) = self.standing.changed() => self.look_now(),
                _ = recover.tick(), if !recovering => {
                    recovering = true;
                    let context = Arc::clone(&context);
                    self.spawn(watchdog::PATIENCE, "recovery", async move {
                        Event::Recovered(recovery::recover(&context).await)
                    });
                }
                _ = verify.tick(), if !verifying && self.reads_back() => {
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
}

/// An id for the log: whatever somebody pushed, not more than a line of it.
fn shown(id: &str) -> String {
    id.chars().take(100).collect()
}
