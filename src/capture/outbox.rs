//! Moving changes from the outbox into the ads.

use sqlx::PgPool;

use crate::ledger::Error;

/// Changes a transaction: some milliseconds of work.
const BATCH: i64 = 2000;

/// Moving may be lost in a crash of the server, since the changes are then
/// back in the outbox: it need not wait for the disk.
const BEGIN: &str = "begin; \
    set local synchronous_commit to off; \
    set local statement_timeout to '15s'; \
    set local lock_timeout to '5s'";

/// What one transaction moved.
#[derive(Debug)]
pub(super) struct Moved {
    /// Rows of the outbox.
    pub(super) changes: usize,
    /// The ads that are pending now.
    pub(super) ad_ids: Vec<String>,
}

impl Moved {
    /// Whether the outbox was empty afterwards, as far as could be seen.
    pub(super) fn is_last(&self) -> bool {
        i64::try_from(self.changes).unwrap_or(i64::MAX) < BATCH
    }
}

/// Moves one batch.
pub(super) async fn move_batch(pool: &PgPool) -> Result<Moved, Error> {
    let mut transaction = pool.begin_with(BEGIN).await?;
    let (changes, ad_ids): (i64, Option<Vec<String>>) = sqlx::query_as(include_str!("move.sql"))
        .bind(BATCH)
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(Moved {
        changes: usize::try_from(changes).unwrap_or(0),
        ad_ids: ad_ids.unwrap_or_default(),
    })
}
