//! Whether the app's changes are captured at all: an alarm for the day on which
//! a migration of the app drops a table with its triggers, or leaves them
//! disabled.
//!
//! It sees triggers, not loads: rows that were written under
//! `session_replication_role = replica` went past triggers that are all there,
//! and only `backfill` or `rebase` finds them.

use std::{fmt, time::Duration};

use sqlx::PgPool;
use tokio::time::interval;

use crate::{ledger, postgres, shutdown::Shutdown};

/// A look at a catalogue of some hundred rows.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What is wrong with the capture triggers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unwatched {
    /// There are none, though the app has its view.
    Everything,
    /// These tables have some that are missing or disabled.
    Partly(Vec<String>),
}

impl Unwatched {
    /// What a person does about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Everything => {
                "call usage_sync.watch(table, key) for each table that the view reads, in a migration of the app; \
                 then run `usage-sync backfill`"
            }
            Self::Partly(_) => {
                "call usage_sync.watch(table, key) for these tables again, then run `usage-sync backfill`"
            }
        }
    }
}

impl fmt::Display for Unwatched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => {
                f.write_str("no table is watched: no change of the app is captured")
            }
            Self::Partly(tables) => write!(
                f,
                "triggers are missing or disabled on {}: not every change is captured",
                tables.join(", ")
            ),
        }
    }
}

/// What is wrong now. Without the view the app is not set up, and nothing is.
pub async fn look(pool: &PgPool) -> Result<Option<Unwatched>, ledger::Error> {
    let mut transaction = postgres::begin(pool, "begin").await?;
    let (has_view, watched, broken): (bool, i64, Vec<String>) =
        postgres::query_as(include_str!("watched.sql"))
            .fetch_one(&mut *transaction)
            .await?;
    Ok(match (has_view, watched, broken) {
        (false, ..) => None,
        (true, 0, _) => Some(Unwatched::Everything),
        (true, _, broken) if broken.is_empty() => None,
        (true, _, broken) => Some(Unwatched::Partly(broken)),
    })
}

/// Looks until it is told to stop; says each turn once.
pub async fn watch(pool: PgPool, shutdown: Shutdown) {
    let mut said = None;
    let mut look_again = interval(LOOK_EVERY);
    loop {
        let found = async {
            look_again.tick().await;
            ledger::answered(look(&pool)).await
        };
        let found = tokio::select! {
            () = shutdown.wait() => return,
            found = found => found,
        };
        // A database that does not answer is said by those who need it more.
        let Ok(found) = found else { continue };
        match &found {
            Some(unwatched) if found != said => tracing::warn!(
                reason = %unwatched, remedy = unwatched.remedy(),
                "changes of the app are missed"
            ),
            None if said.is_some() => tracing::info!("changes of the app are captured again"),
            Some(_) | None => {}
        }
        said = found;
    }
}
