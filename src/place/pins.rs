//! The row of `usage_sync.place`: the ids that were written down, and the wish
//! to pause.

use sqlx::{PgPool, types::time::OffsetDateTime};

use crate::{ledger::Error, postgres};

/// One row, of which nobody holds the lock for long.
const BEGIN: &str = "begin; set local lock_timeout to '5s'; \
    set local idle_in_transaction_session_timeout to '3s'";

/// What the database says of its place.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Row {
    /// The org that was written down; none before the first report.
    pub org_id: Option<String>,
    /// The database that was written down.
    pub cluster_id: Option<String>,
    /// When they were.
    pub pinned_at: Option<OffsetDateTime>,
    /// Since when nothing is to be reported.
    pub paused_since: Option<OffsetDateTime>,
    /// Why, in a person's words.
    pub paused_because: Option<String>,
    /// The database that this is.
    pub cluster: String,
    /// The newest fencing token; 0 before the first.
    pub newest: i64,
}

/// Reads the row.
pub async fn look(pool: &PgPool) -> Result<Row, Error> {
    let mut transaction = postgres::begin(pool, BEGIN).await?;
    Ok(postgres::query_as(include_str!("look.sql"))
        .fetch_one(&mut *transaction)
        .await?)
}

/// Writes down where the first report goes to. Changes nothing where reports
/// went out already.
pub(super) async fn pin(pool: &PgPool, org_id: &str) -> Result<(), Error> {
    let mut transaction = postgres::begin(pool, BEGIN).await?;
    postgres::query(include_str!("pin.sql"))
        .bind(org_id)
        .execute(&mut *transaction)
        .await?;
    Ok(transaction.commit().await?)
}

/// Asks every daemon to report nothing; answers since when that holds, which
/// is earlier than now if it did already.
pub async fn pause(pool: &PgPool, because: Option<&str>) -> Result<OffsetDateTime, Error> {
    let mut transaction = postgres::begin(pool, BEGIN).await?;
    let since = postgres::query_scalar(
        "insert into usage_sync.place as place (paused_since, paused_because) \
         values (clock_timestamp(), $1) \
         on conflict (one) do update \
         set paused_since = coalesce(place.paused_since, excluded.paused_since), \
             paused_because = coalesce(excluded.paused_because, place.paused_because) \
         returning paused_since",
    )
    .bind(because)
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(since)
}

/// Lets the daemons report again; false if they were not asked to pause.
pub async fn resume(pool: &PgPool) -> Result<bool, Error> {
    let mut transaction = postgres::begin(pool, BEGIN).await?;
    let resumed = postgres::query(
        "update usage_sync.place set paused_since = null, paused_because = null \
         where paused_since is not null",
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(resumed.rows_affected() > 0)
}
