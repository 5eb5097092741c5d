//! Opens the clients, runs the loops, and ends them under a deadline.

use std::{collections::HashMap, sync::Arc, time::Duration};

use sqlx::{PgPool, postgres::PgConnectOptions};
use tokio::{
    sync::Notify,
    task::{Id, JoinError, JoinSet},
};

use crate::{
    backoff::Backoff,
    capture::{self, Capture, Listener},
    failpoint::{self, Point},
    ledger::Ledger,
    metrics::Metrics,
    place::Place,
    plan::Names,
    postgres,
    queue::{self, Queue},
    report::Reporter,
    salesforce::{self, Client},
    settings::{self, Settings},
    shutdown::Shutdown,
    telemetry::Chain,
    trouble::Trouble,
    watchdog::{self, Alarm, Watchdog},
    watched,
    worker::{self, Worker},
};

/// The journal is shortened this often.
const PRUNE_EVERY: Duration = Duration::from_hours(1);

/// A loop that has nothing to do shows that it lives.
const BEAT: Duration = Duration::from_secs(15);

/// What keeps the daemon from running. A service that is down does not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting that only shows when it is used.
    #[error("DATABASE_URL cannot be used")]
    Database(#[source] sqlx::Error),
    /// The same, of Salesforce.
    #[error("the salesforce settings cannot be used")]
    Salesforce(#[source] salesforce::Error),
    /// The same, of Redis.
    #[error("the redis settings cannot be used")]
    Redis(#[source] queue::Error),
    /// One of the loops ended, which none of them does by itself.
    #[error("the {0} loop ended by itself")]
    LoopEnded(&'static str),
    /// One of the loops panicked: a bug.
    #[error("the {0} loop panicked")]
    LoopPanicked(&'static str),
    /// One of them, or what it waits for, does not go on: a bug.
    #[error("{0} hangs")]
    Hangs(&'static str),
    /// The machine has no thread left.
    #[error("the watchdog has no thread")]
    Thread(#[source] std::io::Error),
}

/// A pool that connects when it is used, and says who it is.
pub fn pool(settings: &settings::Database) -> Result<(PgConnectOptions, PgPool), Error> {
    postgres::pool(settings).map_err(Error::Database)
}

/// How the records are named.
pub fn names(settings: &settings::Salesforce) -> Names {
    let reserved = [
        Some(&settings.external_id_field),
        settings.revision_field.as_ref(),
    ];
    Names {
        prefix: settings.external_id_prefix.clone(),
        reserved: reserved.into_iter().flatten().cloned().collect(),
    }
}

/// Runs the daemon until it is told to stop. What is in flight then has
/// `shutdown_timeout` to end; the rest is given back.
pub async fn run(settings: &Settings, shutdown: Shutdown) -> Result<(), Error> {
    let (connect, pool) = pool(&settings.database)?;
    let client = Client::new(&settings.salesforce).map_err(Error::Salesforce)?;
    let Some(queue) = connect_queue(settings, &shutdown).await? else {
        return Ok(());
    };
    let (watchdog, alarm) = Watchdog::start().map_err(Error::Thread)?;
    let metrics = Arc::new(Metrics::default());
    let (pushed, sweep, changed) = (
        Arc::new(Notify::new()),
        Arc::new(Notify::new()),
        Arc::new(Notify::new()),
    );
    let ledger = Ledger::new(pool.clone(), names(&settings.salesforce))
        .with_landing_window(settings.salesforce.landing_window);

    // An outage of Postgres is said once for the loops that read and write there.
    let trouble = Trouble::with("postgres");
    let listener = Listener::new(connect, pool.clone(), Arc::clone(&changed));
    let capture = Capture::new(capture::Context {
        pool: pool.clone(),
        postgres: trouble.clone(),
        queue: queue.clone(),
        queue_max: settings.queue.max,
        pace: settings.capture.clone(),
        metrics: Arc::clone(&metrics),
        pushed: Arc::clone(&pushed),
        sweep: Arc::clone(&sweep),
        changed,
    });
    let place = Place::new(
        pool.clone(),
        queue.clone(),
        client.clone(),
        settings.salesforce.external_id_prefix.clone(),
    );
    let worker = Worker::new(worker::Context {
        ledger: ledger.clone(),
        postgres: trouble,
        queue: queue.clone(),
        salesforce: client.clone(),
        place: place.clone(),
        view: worker::View::new(outage(settings)),
        options: worker_options(settings),
        metrics: Arc::clone(&metrics),
        pushed,
        sweep,
        watchdog: watchdog.clone(),
    });

    let reporter = Reporter {
        api_budget: settings.salesforce.api_budget,
        every: settings.metrics_interval,
        metrics,
        queue,
        ledger: ledger.clone(),
        client,
    };

    let mut loops = Loops::new(watchdog);
    loops.start("place", place.watch(shutdown.clone()));
    loops.start("worker", worker.run(shutdown.clone()));
    loops.start("watched", watched::watch(pool.clone(), shutdown.clone()));
    loops.start("capture", capture.run(shutdown.clone()));
    loops.start("listener", listener.run(shutdown.clone()));
    loops.start("metrics", reporter.run(shutdown.clone()));
    loops.start(
        "journal",
        prune(ledger, settings.journal_retention, shutdown.clone()),
    );
    let ended = loops.run(&shutdown, settings.shutdown_timeout, alarm).await;
    if matches!(ended, Err(Error::Hangs(_))) {
        // Nor would anything else that waits for the executor come to an end.
        return ended;
    }
    // A connection that hangs must not keep the process from ending.
    let _closed = tokio::time::timeout(Duration::from_secs(1), pool.close()).await;
    ended
}

/// The Redis queue, as soon as Redis answers; `None` if a stop came first.
async fn connect_queue(settings: &Settings, shutdown: &Shutdown) -> Result<Option<Queue>, Error> {
    let mut trouble = Trouble::with("redis");
    loop {
        let connected = tokio::select! {
            connected = Queue::connect(&settings.redis, &settings.queue) => connected,
            () = shutdown.wait() => return Ok(None),
        };
        let pause = match connected {
            Ok(queue) => {
                trouble.over();
                return Ok(Some(queue));
            }
            Err(error) if error.is_permanent() => return Err(Error::Redis(error)),
            Err(error) => trouble.met(&error),
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.wait() => return Ok(None),
        }
    }
}

fn outage(settings: &Settings) -> Backoff {
    Backoff {
        base: settings.outage.base,
        max: settings.outage.max,
    }
}

fn worker_options(settings: &Settings) -> worker::Options {
    worker::Options {
        batch_size: settings.worker.batch_size,
        concurrency: settings.salesforce.max_concurrency,
        lease: settings.queue.claim_lasts(),
        retry: Backoff {
            base: settings.retry.base,
            max: settings.retry.max,
        },
        retry_rejected: settings.retry.rejected,
        outage: outage(settings),
        // Its own call, and before it that of the task that renews the token.
        silence: settings.salesforce.timeout * 2 + watchdog::PATIENCE,
        api_budget: settings.salesforce.api_budget,
        // What is left of the time to stop is for giving back and closing.
        patience: settings.shutdown_timeout.mul_f64(0.8),
    }
}

/// The loops of the daemon. None of them ends before it is told to.
struct Loops {
    watchdog: Watchdog,
    tasks: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

impl Loops {
    fn new(watchdog: Watchdog) -> Self {
        Self {
            watchdog,
            tasks: JoinSet::new(),
            names: HashMap::new(),
        }
    }

    /// Starts a loop. One that does not wake up at least every
    /// [`watchdog::PATIENCE`] is taken to hang.
    fn start(&mut self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let work = self.watchdog.watch(name, watchdog::PATIENCE, work);
        let id = self.tasks.spawn(work).id();
        self.names.insert(id, name);
    }

    /// Until a stop is asked for and all loops have ended, or one of them ends
    /// by itself.
    async fn run(
        mut self,
        shutdown: &Shutdown,
        patience: Duration,
        mut alarm: Alarm,
    ) -> Result<(), Error> {
        tokio::select! {
            () = shutdown.wait() => {}
            Ok(hanging) = &mut alarm => return Err(Error::Hangs(hanging)),
            Some(ended) = self.tasks.join_next_with_id() => {
                // A loop that was told to end may have done so by now.
                if !shutdown.is_stopping() {
                    return Err(self.early_end(ended));
                }
            }
        }
        tracing::info!("stopping: what is in flight is finished, the rest is given back");
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        tokio::select! {
            () = all_ended => tracing::info!("stopped"),
            Ok(hanging) = &mut alarm => return Err(Error::Hangs(hanging)),
            () = tokio::time::sleep(patience) => {
                tracing::warn!("stopped before everything was finished; another daemon takes it up");
            }
            () = shutdown.wait_for_end() => tracing::warn!("stopped at once"),
        }
        Ok(())
    }

    fn early_end(&self, ended: Result<(Id, ()), JoinError>) -> Error {
        let name = |id| self.names.get(&id).copied().unwrap_or("unknown");
        match ended {
            Ok((id, ())) => Error::LoopEnded(name(id)),
            Err(error) => Error::LoopPanicked(name(error.id())),
        }
    }
}

async fn prune(ledger: Ledger, retention: Duration, shutdown: Shutdown) {
    let mut tick = tokio::time::interval(PRUNE_EVERY);
    let mut beat = tokio::time::interval(BEAT);
    loop {
        failpoint::at(Point::JournalLoop).await;
        tokio::select! {
            () = shutdown.wait() => return,
            _ = beat.tick() => {}
            _ = tick.tick() => match ledger.prune(retention).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "journal entries past their retention removed"),
                Err(error) => tracing::debug!(error = %Chain(&error), "journal not pruned"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_loop_that_ends_because_it_was_told_to_is_no_failure() {
        // Once could be luck.
        for _ in 0..50 {
            let (trigger, shutdown) = Shutdown::manual();
            let (watchdog, alarm) = Watchdog::start().unwrap();
            let mut loops = Loops::new(watchdog);
            let told = shutdown.clone();
            loops.start("obedient", async move { told.wait().await });
            trigger.stop();
            // It ends before anybody looks.
            tokio::task::yield_now().await;

            loops.run(&shutdown, PATIENCE, alarm).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_loop_that_ends_by_itself_is_a_failure() {
        let (_trigger, shutdown) = Shutdown::manual();
        let (watchdog, alarm) = Watchdog::start().unwrap();
        let mut loops = Loops::new(watchdog);
        loops.start("lazy", async {});

        let error = loops.run(&shutdown, PATIENCE, alarm).await.unwrap_err();

        assert!(matches!(error, Error::LoopEnded("lazy")), "{error}");
    }
}
