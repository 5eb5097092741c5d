//! The connection that LISTENs. It only wakes capture; losing it loses nothing.
//!
//! A connection that is dead without anybody having said so is noticed by a
//! heartbeat: a notification to itself, sent over another connection. Behind a
//! pooler it does not listen at all, and capture lives by its poll alone: LISTEN
//! would stay behind in a session that is another client's a moment later.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::{
    Acquire as _, PgPool,
    postgres::{PgConnectOptions, PgListener},
};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::{interval, timeout},
};

use crate::{
    failpoint::{self, Point},
    ledger, postgres,
    shutdown::Shutdown,
    trouble::Trouble,
};

/// With [`DEAF`] a half-open connection is noticed within 15 s.
const HEARTBEAT: Duration = Duration::from_secs(4);
const DEAF: Duration = Duration::from_secs(9);
const CONNECT: Duration = Duration::from_secs(5);

/// Whether a pooler stands between still is looked at this often.
const POOLER_LOOK: Duration = Duration::from_secs(30);

/// Past this the trigger and capture notify no more.
const CRITICAL: f64 = 0.5;

/// Listens, and starts over whenever that fails.
pub struct Listener {
    /// For the listening connection; it has a pool of its own, so that it
    /// never waits for one of the others.
    connect: PgConnectOptions,
    /// For the heartbeat.
    pool: PgPool,
    changed: Arc<Notify>,
    /// A channel of this process alone.
    heartbeat: String,
    trouble: Trouble,
    queue: NotificationQueue,
}

impl Listener {
    /// A listener that wakes `changed`.
    pub fn new(connect: PgConnectOptions, pool: PgPool, changed: Arc<Notify>) -> Self {
        Self {
            connect,
            pool,
            changed,
            heartbeat: format!("usage_sync_{}", uuid::Uuid::new_v4().simple()),
            trouble: Trouble::with("postgres listener"),
            queue: NotificationQueue::default(),
        }
    }

    /// Listens until it is told to stop.
    pub async fn run(mut self, shutdown: Shutdown) {
        while !shutdown.is_stopping() {
            let pause = match self.listen().await {
                Ok(ears) => self.watch_over(ears, &shutdown).await,
                Err(Deaf::Pooler) => {
                    self.trouble.met(&Deaf::Pooler);
                    POOLER_LOOK
                }
                Err(error) => self.trouble.met(&error),
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shutdown.wait() => {}
            }
        }
    }

    async fn listen(&self) -> Result<Ears, Deaf> {
        let open = async {
            let pool = postgres::closing_the_dead()
                .max_connections(1)
                .connect_with(postgres::session_mark(self.connect.clone()))
                .await?;
            let mut listener = PgListener::connect_with(&pool).await?;
            if !postgres::is_direct(listener.acquire().await?).await? {
                return Err(Deaf::Pooler);
            }
            // A connection that broke is replaced here, not behind our back.
            listener.eager_reconnect(false);
            listener.listen_all(["usage_sync", &self.heartbeat]).await?;
            Ok(listener)
        };
        let listener = match timeout(CONNECT, open).await {
            Ok(listener) => listener?,
            Err(_) => return Err(postgres::cause(&self.pool).await.into()),
        };
        // From here on the trigger notifies. If this fails the next heartbeat
        // tries again, and changes are found by polling meanwhile.
        let _unheard = timeout(HEARTBEAT, self.notify()).await;
        failpoint::at(Point::Listening).await;
        // Only now: a change between the last look and LISTEN woke nobody.
        self.changed.notify_one();
        let (heard, last_heard) = watch::channel(Instant::now());
        let task = tokio::spawn(hear(
            listener,
            self.heartbeat.clone(),
            Arc::clone(&self.changed),
            heard,
        ));
        Ok(Ears { task, last_heard })
    }

    /// Sends the heartbeat, and tells the trigger that somebody listens; answers
    /// how full the notification queue is.
    async fn notify(&self) -> Result<f64, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let usage = postgres::query_scalar(include_str!("heartbeat.sql"))
            .bind(&self.heartbeat)
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(usage)
    }

    /// Until the connection ends or goes deaf. Answers how long to wait before
    /// the next one.
    async fn watch_over(&mut self, mut ears: Ears, shutdown: &Shutdown) -> Duration {
        let started = Instant::now();
        let mut beat = interval(HEARTBEAT);
        loop {
            tokio::select! {
                () = shutdown.wait() => return Duration::ZERO,
                _ = &mut ears.task => return self.trouble.met(&Deaf::Ended),
                _ = beat.tick() => {
                    failpoint::at(Point::ListenerLoop).await;
                    let last_heard = *ears.last_heard.borrow();
                    if last_heard.elapsed() > DEAF {
                        return self.trouble.met(&Deaf::HalfOpen);
                    }
                    if last_heard > started {
                        self.trouble.over();
                    }
                    // Whether it got out shows in whether it is heard.
                    if let Ok(Ok(usage)) = timeout(HEARTBEAT, self.notify()).await {
                        self.queue.is_at(usage);
                    }
                }
            }
        }
    }
}

/// How full Postgres' notification queue is, said once when it gets critical
/// and once when it has room again.
#[derive(Debug, Default)]
struct NotificationQueue {
    filling: bool,
}

impl NotificationQueue {
    fn is_at(&mut self, usage: f64) {
        let filling = usage > CRITICAL;
        if filling && !self.filling {
            tracing::warn!(
                usage,
                "the notification queue of postgres fills up: some session listens and never ends its \
                 transaction; end it, since notifications of the app fail once the queue is full"
            );
        } else if self.filling && !filling {
            tracing::info!(usage, "the notification queue of postgres has room again");
        }
        self.filling = filling;
    }
}

/// Why a connection is given up.
#[derive(Debug, thiserror::Error)]
enum Deaf {
    #[error(transparent)]
    Postgres(ledger::Error),
    #[error("the listening connection ended; changes are found by polling meanwhile")]
    Ended,
    #[error("the listening connection is dead; changes are found by polling meanwhile")]
    HalfOpen,
    #[error(
        "a connection pooler stands in front of the database, so no notification arrives; \
         changes are found by polling: point DATABASE_URL at the database itself to be quicker"
    )]
    Pooler,
}

impl From<sqlx::Error> for Deaf {
    fn from(error: sqlx::Error) -> Self {
        if postgres::is_pooler(&error) {
            return Self::Pooler;
        }
        Self::Postgres(error.into())
    }
}

/// A listening connection; it is closed with this.
struct Ears {
    task: JoinHandle<()>,
    last_heard: watch::Receiver<Instant>,
}

impl Drop for Ears {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Runs until the connection ends. Never cancelled but by its end: a receive
/// that is cancelled may lose what it has read.
async fn hear(
    mut listener: PgListener,
    heartbeat: String,
    changed: Arc<Notify>,
    heard: watch::Sender<Instant>,
) {
    while let Ok(Some(notification)) = listener.try_recv().await {
        heard.send_replace(Instant::now());
        if notification.channel() != heartbeat {
            changed.notify_one();
        }
    }
}
