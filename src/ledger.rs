//! What Salesforce was told, and what became of each ad.
//!
//! The ledger is the daemon's memory, in the app's database. Before anything
//! is sent, [`Ledger::fence`] takes a fencing token for each ad, reads what the
//! app wants and what Salesforce holds in one snapshot, and notes durably what
//! is about to be sent. Afterwards [`Ledger::record`] writes the answers, only
//! where the token is still the worker's own. A request whose outcome nobody
//! knows leaves its records *in doubt*, in the ledger as `sending`, and they are
//! read back once it can take effect no more.
//!
//! Lock order, everywhere: ads by id, then intents, then records, then landings.

mod ad;
mod causes;
mod digits;
mod doubt;
mod error;
mod fence;
pub mod history;
mod journal;
mod landing;
mod pending;
mod record;
mod sight;

use std::{io, time::Duration};

use sqlx::{PgPool, Postgres, Transaction};

pub use ad::{Ad, ad, owner};
pub use causes::{Behind, Cause, Kind, behind, causes};
pub use error::Error;
pub(crate) use fence::hold;
pub use fence::{AdInHand, Fence, Intent};
pub use landing::{Found, Landing};
pub use pending::{Booking, Pending, Units, pending};
pub use record::{Answer, Outcome, Recorded, Verdict};
pub use sight::read_one;

use crate::{
    plan::Names,
    postgres::{self, BEGIN},
};

/// Salesforce lets a request run for ten minutes (Salesforce Developer Limits,
/// "API Requests: Total Limits and Allocations"); one more for clocks and
/// networks.
const LANDING_WINDOW: Duration = Duration::from_mins(11);

/// Journal entries that a transaction of the retention job looks at.
const PRUNE_PAGE: i64 = 10_000;

/// What became of a page of the journal.
#[derive(Debug, sqlx::FromRow)]
struct Pruned {
    removed: i64,
    /// Entries past the retention.
    looked_at: i64,
    last: Option<i64>,
}

/// Longer than any of the transactions takes. A connection whose other end
/// vanished without a word never answers, and no time-out of the server's ends
/// that.
const ANSWER: Duration = Duration::from_secs(30);

/// Work with the database, given up once no answer can be expected any more.
/// What it had committed by then is found again, as after a crash.
pub(crate) fn answered<T, E: From<Error>>(
    work: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, E>> {
    answered_within(ANSWER, work)
}

/// The same, for who has a limit of its own.
pub fn answered_within<T, E: From<Error>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, E>> {
    let work = Box::pin(work);
    let silent = |_| Error::Unavailable(io::Error::from(io::ErrorKind::TimedOut).into());
    async move { tokio::time::timeout(limit, work).await.map_err(silent)? }
}

type Pg = Transaction<'static, Postgres>;

/// How things stand.
#[derive(Debug, Clone, Copy, PartialEq, sqlx::FromRow)]
pub struct Overview {
    /// Ads that are not settled, and changes that wait in the outbox.
    pub pending: i64,
    /// Ads that Salesforce refused.
    pub rejected: i64,
    /// Age of the oldest change that is not settled.
    pub lag_seconds: f64,
    /// Records that a request given up on may still change.
    pub landing: i64,
}

/// The ledger. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger {
    pool: PgPool,
    names: Names,
    landing_window: Duration,
}

impl Ledger {
    /// The ledger in this database.
    pub fn new(pool: PgPool, names: Names) -> Self {
        Self {
            pool,
            names,
            landing_window: LANDING_WINDOW,
        }
    }

    /// The same, where a request that was given up on may take effect for so
    /// long.
    #[must_use]
    pub fn with_landing_window(self, landing_window: Duration) -> Self {
        Self {
            landing_window,
            ..self
        }
    }

    /// How the records are named.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// How things stand.
    pub async fn overview(&self) -> Result<Overview, Error> {
        answered(async {
            let mut transaction = self.begin(BEGIN).await?;
            let overview = postgres::query_as(include_str!("ledger/overview.sql"))
                .fetch_one(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(overview)
        })
        .await
    }

    /// Removes journal entries that are older than this, except what still stood
    /// when this began; answers how many.
    pub async fn prune(&self, retention: Duration) -> Result<u64, Error> {
        let (mut removed, mut after) = (0, 0);
        loop {
            let page = answered(self.prune_page(retention, after)).await?;
            removed += page.removed.unsigned_abs();
            if page.looked_at < PRUNE_PAGE {
                return Ok(removed);
            }
            after = page.last.unwrap_or(i64::MAX);
        }
    }

    /// Notes until when ads that are to be tried again wait, for which Redis
    /// has no room. One that changed meanwhile waits for nothing.
    pub async fn wait(&self, ads: &[(String, Duration)]) -> Result<(), Error> {
        let (ad_ids, pauses): (Vec<&str>, Vec<f64>) = ads
            .iter()
            .map(|(ad_id, pause)| (ad_id.as_str(), pause.as_secs_f64()))
            .unzip();
        let mut transaction = self.begin(BEGIN).await?;
        postgres::query(include_str!("ledger/wait.sql"))
            .bind(ad_ids)
            .bind(pauses)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn prune_page(&self, retention: Duration, after: i64) -> Result<Pruned, Error> {
        let mut transaction = self.begin(BEGIN).await?;
        // The journal refuses it to everybody else.
        postgres::query("set local usage_sync.retention to 'on'")
            .execute(&mut *transaction)
            .await?;
        let page = postgres::query_as(include_str!("ledger/prune.sql"))
            .bind(retention.as_secs_f64())
            .bind(PRUNE_PAGE)
            .bind(after)
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(page)
    }

    async fn begin(&self, how: &'static str) -> Result<Pg, Error> {
        postgres::begin(&self.pool, how).await.map_err(Error::from)
    }

    /// Takes in ads that somebody queued by hand: answers those that the app
    /// has.
    pub async fn adopt(&self, strangers: &[String]) -> Result<Vec<String>, Error> {
        let mut transaction = self.begin(BEGIN).await?;
        fence::hold(&mut transaction).await?;
        let adopted = postgres::query_scalar(include_str!("ledger/adopt.sql"))
            .bind(strangers)
            .fetch_all(&mut *transaction)
            .await
            .map_err(Error::of_view)?;
        transaction.commit().await?;
        Ok(adopted)
    }
}

/// Tells the app of those ads whose state is another one now.
async fn announce(transaction: &mut Pg, settled: &[(String, bool)]) -> Result<(), Error> {
    let changed: Vec<&str> = settled
        .iter()
        .filter(|(_, changed)| *changed)
        .map(|(ad_id, _)| ad_id.as_str())
        .collect();
    if !changed.is_empty() {
        postgres::query(include_str!("ledger/announce.sql"))
            .bind(changed)
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}
