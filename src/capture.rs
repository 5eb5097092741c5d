//! Capture: from the outbox to the queue.
//!
//! The outbox is the truth. A notification, a (re)connected listener and a
//! slow poll only say when to look at it; looking moves all changes into the
//! ads as pending, in one short transaction a batch, and pushes their ids. The
//! sweep walks the pending ads and offers Redis those that it does not know:
//! it heals whatever broke between the two steps, and refills a queue that had
//! no room. It comes from time to time, and when another daemon died. Several
//! daemons may do this at once. No transaction is open while this waits for
//! anything.

mod awake;
mod listener;
mod survivor;
mod sweep;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::PgPool;
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval},
};

use crate::{
    failpoint::{self, Point},
    ledger,
    metrics::Metrics,
    outbox,
    queue::Queue,
    settings,
    shutdown::Shutdown,
    telemetry::Chain,
    trouble::Trouble,
};
use awake::{Awake, Rush};
pub use listener::Listener;
use survivor::Survivor;
use sweep::Place;

/// A queue without room is looked at this often.
const ROOM_LOOK: Duration = Duration::from_millis(200);

/// What capture needs.
#[derive(Clone)]
pub struct Context {
    /// Postgres.
    pub pool: PgPool,
    /// Whether Postgres answers.
    pub postgres: Trouble,
    /// Redis.
    pub queue: Queue,
    /// Ids in Redis at most.
    pub queue_max: usize,
    /// How often to look unasked.
    pub pace: settings::Capture,
    /// What was captured.
    pub metrics: Arc<Metrics>,
    /// Woken when ids were pushed.
    pub pushed: Arc<Notify>,
    /// Wakes a sweep.
    pub sweep: Arc<Notify>,
    /// Woken by the listener: the outbox has something.
    pub changed: Arc<Notify>,
}

/// The loop that empties the outbox and fills the queue.
pub struct Capture {
    context: Context,
    postgres: Trouble,
    redis: Trouble,
    rush: Rush,
    /// Held while changes rush in, so that the trigger does not notify.
    awake: Option<Awake>,
    /// When a change came last while awake.
    last_rush: Instant,
    /// From here on pending ads wait in Postgres for room in Redis. A refill
    /// goes on there: before it stand a million ads that are settled by now,
    /// in an index that has not forgotten them yet.
    backlog: Option<Place>,
    /// Ads were moved that Redis was not told of.
    untold: bool,
}

impl Capture {
    /// A capture that has seen nothing yet.
    pub fn new(context: Context) -> Self {
        Self {
            postgres: context.postgres.clone(),
            redis: context.queue.trouble(),
            rush: Rush::default(),
            awake: None,
            last_rush: Instant::now(),
            backlog: None,
            untold: false,
            context,
        }
    }

    /// Works until it is told to stop.
    pub async fn run(mut self, shutdown: Shutdown) {
        let context = self.context.clone();
        let mut poll = interval(context.pace.poll_interval);
        let mut sweep = interval(context.pace.sweep_interval);
        let mut room = interval(ROOM_LOOK);
        let mut rushed = interval(awake::POLL);
        rushed.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let survivor = Survivor::new(context.queue.clone());
        let mut beat = interval(survivor::BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !shutdown.is_stopping() {
            tokio::select! {
                () = shutdown.wait() => break,
                () = context.changed.notified() => self.look().await,
                _ = poll.tick() => self.look().await,
                _ = rushed.tick(), if self.awake.is_some() => self.look_awake().await,
                () = context.sweep.notified() => self.sweep().await,
                _ = sweep.tick() => self.sweep().await,
                _ = beat.tick() => {
                    if survivor.beat().await {
                        self.sweep().await;
                    }
                }
                _ = room.tick(), if self.backlog.is_some() || self.untold => self.refill().await,
            }
        }
        if let Some(awake) = self.awake.take() {
            awake.sleep().await;
        }
        survivor.leave().await;
    }

    /// Empties the outbox; wakes up while changes rush in.
    async fn look(&mut self) {
        let began = Instant::now();
        let moved = self.drain().await;
        if self.awake.is_none() && self.rush.is_on(moved, began, Instant::now()) {
            self.awake = awake::stay(&self.context.pool).await;
            self.last_rush = Instant::now();
            // Nobody was notified while the lock was waited for.
            self.drain().await;
        }
    }

    /// Empties the outbox unasked; falls asleep once nothing comes any more.
    async fn look_awake(&mut self) {
        if self.drain().await > 0 {
            self.last_rush = Instant::now();
        } else if self.last_rush.elapsed() >= awake::QUIET
            && let Some(awake) = self.awake.take()
        {
            awake.sleep().await;
            // A change that saw the listener awake may have been committed since.
            self.drain().await;
        }
    }

    /// Moves whatever is in the outbox; answers how many changes that were.
    async fn drain(&mut self) -> usize {
        failpoint::at(Point::CaptureLoop).await;
        match self.move_all().await {
            Ok(moved) => {
                self.postgres.over();
                moved
            }
            Err(error) => {
                let pause = self.postgres.met(&error);
                tokio::time::sleep(pause).await;
                // Whoever woke it will not do so again.
                self.context.changed.notify_one();
                0
            }
        }
    }

    async fn move_all(&mut self) -> Result<usize, ledger::Error> {
        let mut total = 0;
        loop {
            let moved = ledger::answered(outbox::move_batch(&self.context.pool)).await?;
            total += moved.changes;
            self.context.metrics.changes_captured.add(moved.changes);
            self.push(&moved.ad_ids).await;
            if moved.is_last() {
                break;
            }
        }
        if let Some(truncation) = ledger::answered(outbox::truncation(&self.context.pool)).await? {
            let mut after: Option<String> = None;
            loop {
                let page = truncation.move_page(&self.context.pool, after.as_deref());
                let (last, ad_ids) = ledger::answered(page).await?;
                self.push(&ad_ids).await;
                if last.is_none() {
                    break;
                }
                after = last;
            }
            total += truncation.changes();
            self.context
                .metrics
                .changes_captured
                .add(truncation.changes());
            ledger::answered(truncation.moved(&self.context.pool)).await?;
        }
        Ok(total)
    }

    async fn push(&mut self, ad_ids: &[String]) {
        if ad_ids.is_empty() {
            return;
        }
        match self.context.queue.enqueue(ad_ids).await {
            Ok(refused) => {
                if refused > 0 {
                    self.backlog.get_or_insert_with(Place::start);
                }
                self.redis.over();
                self.context.pushed.notify_one();
                failpoint::at(Point::Pushed).await;
            }
            // They are pending in Postgres: the sweep offers them.
            Err(error) => {
                self.untold = true;
                self.redis.met(&error);
            }
        }
    }

    /// Refills once the list runs low and there is room for a good part of it:
    /// what waits out a backoff takes up room, too.
    async fn refill(&mut self) {
        let max = self.context.queue_max;
        match self.context.queue.depth().await {
            Ok(depth) if self.untold || depth.ready < max / 2 && depth.total() < max - max / 10 => {
                let from = self.backlog.take().filter(|_| !self.untold);
                self.sweep_from(from.unwrap_or_else(Place::start)).await;
            }
            Ok(_) => {}
            Err(error) => {
                let pause = self.redis.met(&error);
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Offers Redis every ad that should be in it.
    async fn sweep(&mut self) {
        self.sweep_from(Place::start()).await;
    }

    async fn sweep_from(&mut self, from: Place) {
        match sweep::sweep(&self.context, from).await {
            Ok(backlog) => {
                self.backlog = backlog;
                self.untold = false;
                self.redis.over();
            }
            Err(sweep::Error::Queue(error)) => {
                self.untold = true;
                self.redis.met(&error);
            }
            Err(sweep::Error::Ledger(error)) => {
                tracing::debug!(error = %Chain(&error), "sweep cut short");
                self.untold = true;
                self.postgres.met(&error);
            }
        }
    }
}
