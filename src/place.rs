//! Whether this is the place to report from: the database and the org that were
//! written down at the first report, at the time that they have come to, and
//! nobody asked to pause.
//!
//! A copy of the database with production's credentials, a sandbox's
//! credentials on production's database, or a database that was restored to an
//! earlier state would each bill wrongly. So the worker claims nothing before
//! this module has found the place fine, and it looks again every two seconds.
//! An older database is told by its fencing tokens, which only ever grow: one
//! that was used, and that Redis, Salesforce or this process remembers, cannot be
//! ahead of the sequence. Only tokens whose transaction is on disk count, so a
//! server that crashed is not taken for a restored one.
//!
//! Not noticed: a physical fork, which is the same database to the byte,
//! until the one that it was forked from has reported something more. Nor a
//! state that is older only by what was never reported.

mod judge;
mod pins;
pub mod rebase;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::PgPool;
use tokio::sync::{Notify, watch};

pub use judge::{Elsewhere, judge};
pub use pins::{Row, look, pause, resume};

use crate::{
    ledger,
    queue::Queue,
    salesforce::{self, Class, Client, Pause},
    shutdown::Shutdown,
    telemetry::Chain,
    trouble::Trouble,
};

/// How often the database is asked: a pause holds for all within this time.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The same while it does not answer.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// A Redis that hangs must not hold up a stop.
const LAST_WORD: Duration = Duration::from_secs(1);

/// So often the org may leave its newest revision untold before reports go out
/// all the same: with a million records the query may take longer than
/// Salesforce lets it, and Redis remembers the newest token too.
const REVISION_TRIES: u32 = 3;

/// Salesforce is asked anew at most this often: if its answer explains nothing,
/// the ads that it refuses would have it asked at each of their tries.
const ASK_AGAIN: Duration = Duration::from_mins(1);

/// Whether to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The database has not said yet, or does not answer.
    Unknown,
    /// Salesforce has to be asked first, by [`Place::ask`].
    Unasked,
    /// Report.
    Fine,
    /// A person asked for a pause.
    Paused,
    /// This is not where, or when, reports went out from.
    Elsewhere,
}

impl Standing {
    /// Whether not even what was made ready may be sent.
    pub fn is_barred(self) -> bool {
        matches!(self, Self::Paused | Self::Elsewhere)
    }
}

/// The place of one daemon. Cheap to clone.
#[derive(Clone)]
pub struct Place {
    pool: PgPool,
    queue: Queue,
    client: Client,
    prefix: String,
    shared: Arc<Shared>,
}

struct Shared {
    standing: watch::Sender<Standing>,
    /// The highest fencing token that is known to have been used.
    used: AtomicI64,
    /// Salesforce has told its org and its newest revision.
    asked: AtomicBool,
    revision_tries: AtomicU32,
    /// When it last had to be asked anew.
    asked_again: Mutex<Option<Instant>>,
    look: Notify,
}

impl Place {
    /// A place that nobody has looked at yet.
    pub fn new(pool: PgPool, queue: Queue, client: Client, prefix: String) -> Self {
        Self {
            pool,
            queue,
            client,
            prefix,
            shared: Arc::new(Shared {
                standing: watch::Sender::new(Standing::Unknown),
                used: AtomicI64::new(0),
                asked: AtomicBool::new(false),
                revision_tries: AtomicU32::new(0),
                asked_again: Mutex::new(None),
                look: Notify::new(),
            }),
        }
    }

    /// Whether to report, now and whenever it changes.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.shared.standing.subscribe()
    }

    /// Asks Salesforce which org it is and which token it has seen last.
    pub async fn ask(&self) -> Result<(), salesforce::Error> {
        self.client.login().await?;
        match self.client.newest_revision(&self.prefix).await {
            Ok(newest) => self.used(newest.unwrap_or(0)),
            Err(error) if self.is_worth_another_try(&error) => return Err(error),
            Err(error) => tracing::warn!(
                error = %Chain(&error),
                "salesforce does not tell its newest revision: an older database shows by redis only"
            ),
        }
        self.shared.asked.store(true, Ordering::Relaxed);
        self.look_now();
        Ok(())
    }

    /// Salesforce says that it holds something newer than the newest that this
    /// database knows of, as after the org got the records of another one, or
    /// while a fork of the database reports. Nothing is claimed until it has told
    /// what it has seen.
    pub fn ask_again(&self) {
        let last = self.shared.asked_again.lock();
        let mut last = last.unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < ASK_AGAIN) {
            return;
        }
        *last = Some(Instant::now());
        self.shared.revision_tries.store(0, Ordering::Relaxed);
        self.shared.asked.store(false, Ordering::Relaxed);
        self.look_now();
    }

    /// A fault that would stop every report waits to be mended; any other may
    /// be the query's own.
    fn is_worth_another_try(&self, error: &salesforce::Error) -> bool {
        match error.class() {
            Class::Configuration | Class::Expired | Class::Outage { pause: Pause::Long } => true,
            Class::Outage {
                pause: Pause::Short,
            }
            | Class::Contention
            | Class::Rejected
            | Class::Superseded
            | Class::Suspect => {
                let tries = self.shared.revision_tries.fetch_add(1, Ordering::Relaxed) + 1;
                tries < REVISION_TRIES
            }
        }
    }

    /// The highest fencing token that is known to have been used. Whoever asks
    /// the sequence afterwards must get a higher one.
    pub fn highest_used(&self) -> i64 {
        self.shared.used.load(Ordering::Relaxed)
    }

    /// This token was used: its transaction is on disk.
    pub fn used(&self, token: i64) {
        self.shared.used.fetch_max(token, Ordering::Relaxed);
    }

    /// What was found no longer holds: looks at once, and until then nothing is
    /// claimed.
    pub fn look_now(&self) {
        self.shared.standing.send_if_modified(|standing| {
            let held = !standing.is_barred() && *standing != Standing::Unknown;
            if held {
                *standing = Standing::Unknown;
            }
            held
        });
        self.shared.look.notify_one();
    }

    /// Looks until it is told to stop.
    pub async fn watch(self, shutdown: Shutdown) {
        let mut told = Told::default();
        let mut trouble = Trouble::with("the place");
        loop {
            let found = tokio::select! {
                found = ledger::answered(self.look()) => found,
                () = shutdown.wait() => break,
            };
            let pause = match found {
                Ok((row, elsewhere)) => {
                    trouble.over();
                    self.publish(self.standing_of(&row, elsewhere.as_ref()));
                    self.leave_word(elsewhere.as_ref(), told.elsewhere.is_some())
                        .await;
                    told.tell(&row, elsewhere);
                    LOOK_EVERY
                }
                Err(error) => {
                    // What comes back may be another database.
                    self.publish(Standing::Unknown);
                    // That Postgres is down is said by those who need it more.
                    if !matches!(error, ledger::Error::Unavailable(_)) {
                        trouble.met(&error);
                    }
                    LOOK_AGAIN
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.shared.look.notified() => {}
                () = shutdown.wait() => break,
            }
        }
        // Another daemon of the installation may need what this one used.
        let last = self.queue.used_token(self.highest_used());
        let _unremembered = tokio::time::timeout(LAST_WORD, last).await;
    }

    /// What was written down, and whether it is so. The tokens that were used
    /// are asked for ahead of the newest, so a report in between looks like
    /// nothing.
    async fn look(&self) -> Result<(Row, Option<Elsewhere>), ledger::Error> {
        // Without Redis nothing is claimed.
        if let Ok(used) = self.queue.used_token(self.highest_used()).await {
            self.used(used);
        }
        let used = self.highest_used();
        let org = self.org();
        let mut row = pins::look(&self.pool).await?;
        let elsewhere = judge(&row, org.as_deref(), used);
        if let (None, Some(org)) = (&elsewhere, &org) {
            let pinned =
                row.org_id.as_ref() == Some(org) && row.cluster_id == Some(row.cluster.clone());
            if !pinned {
                pins::pin(&self.pool, org).await?;
                row = pins::look(&self.pool).await?;
            }
        }
        let elsewhere = elsewhere.or_else(|| judge(&row, org.as_deref(), used));
        Ok((row, elsewhere))
    }

    /// The org that the login leads to. It counts once Salesforce was asked, so
    /// that nothing is written down for a login alone.
    fn org(&self) -> Option<String> {
        let asked = self.shared.asked.load(Ordering::Relaxed);
        let identity = asked.then(|| self.client.identity()).flatten();
        identity.map(|identity| identity.org_id)
    }

    fn standing_of(&self, row: &Row, elsewhere: Option<&Elsewhere>) -> Standing {
        match elsewhere {
            Some(_) => Standing::Elsewhere,
            None if row.paused_since.is_some() => Standing::Paused,
            None if self.shared.asked.load(Ordering::Relaxed) => Standing::Fine,
            None => Standing::Unasked,
        }
    }

    fn publish(&self, now: Standing) {
        self.shared.standing.send_if_modified(|standing| {
            let changed = *standing != now;
            *standing = now;
            changed
        });
    }

    /// For `status`, which does not log in. The word is taken back by whoever
    /// left it.
    async fn leave_word(&self, elsewhere: Option<&Elsewhere>, was_left: bool) {
        // A Redis that does not answer is said by those who need it.
        if let Some(elsewhere) = elsewhere {
            let why = elsewhere.to_string();
            let _unsaid = self.queue.say_elsewhere(&why, LOOK_EVERY * 3).await;
        } else if was_left {
            let _said_still = self.queue.unsay_elsewhere().await;
        }
    }
}

/// What the log was told last: each turn is said once.
#[derive(Default)]
struct Told {
    elsewhere: Option<Elsewhere>,
    paused: bool,
}

impl Told {
    fn tell(&mut self, row: &Row, elsewhere: Option<Elsewhere>) {
        // A token that grows is no other reason.
        let same =
            |a: &Elsewhere, b: &Elsewhere| std::mem::discriminant(a) == std::mem::discriminant(b);
        match (&self.elsewhere, &elsewhere) {
            (Some(said), Some(now)) if same(said, now) => {}
            (_, Some(now)) => tracing::error!(
                reason = %now, remedy = now.remedy(),
                "this is not where reports went out from: nothing is reported until a person says so"
            ),
            (Some(_), None) => {
                tracing::info!("this is where reports go out from: reporting goes on");
            }
            (None, None) => {}
        }
        self.elsewhere = elsewhere;
        let paused = row.paused_since.is_some();
        if paused && !self.paused {
            tracing::warn!(
                reason = row.paused_because,
                "reporting is paused by `usage-sync pause`: changes wait until `usage-sync resume`"
            );
        } else if !paused && self.paused {
            tracing::info!("reporting was resumed by `usage-sync resume`");
        }
        self.paused = paused;
    }
}
