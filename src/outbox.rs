//! The outbox: the app's triggers fill it, capture empties it into the ads,
//! and commands put ads into it that are to be looked at again. From there all
//! take the same way, whether a daemon runs now or later.

use sqlx::{PgPool, PgTransaction, types::time::OffsetDateTime};

use crate::{
    failpoint::{self, Point},
    ledger::{self, Error},
    postgres::{self, BEGIN, BEGIN_DURABLE},
};

/// Changes a transaction: some milliseconds of work.
const BATCH: i64 = 2000;

type Ids = Option<Vec<String>>;

/// What one transaction moved.
#[derive(Debug)]
pub struct Moved {
    /// Rows of the outbox.
    pub changes: usize,
    /// The ads that are pending now.
    pub ad_ids: Vec<String>,
}

impl Moved {
    /// Whether the outbox was empty afterwards, as far as could be seen, but
    /// for truncations.
    pub fn is_last(&self) -> bool {
        i64::try_from(self.changes).unwrap_or(i64::MAX) < BATCH
    }
}

/// Moves one batch of changes of single ads.
pub async fn move_batch(pool: &PgPool) -> Result<Moved, Error> {
    let mut transaction = postgres::begin(pool, BEGIN).await?;
    failpoint::at(Point::MoveBegun).await;
    let (changes, ad_ids, _announced, too_long): (i64, Ids, i64, Ids) =
        postgres::query_as(include_str!("outbox/move.sql"))
            .bind(BATCH)
            .fetch_one(&mut *transaction)
            .await?;
    failpoint::at(Point::Moving).await;
    transaction.commit().await?;
    failpoint::at(Point::Moved).await;
    if let [key, more @ ..] = too_long.unwrap_or_default().as_slice() {
        tracing::warn!(
            ad.id = key,
            more = more.len(),
            "ad rejected: its id is too long to be reported"
        );
    }
    Ok(Moved {
        changes: usize::try_from(changes).unwrap_or(0),
        ad_ids: ad_ids.unwrap_or_default(),
    })
}

/// Changes that stand for every known ad: a watched table was truncated.
#[derive(Debug)]
pub struct Truncation {
    changes: Vec<i64>,
    changed_at: OffsetDateTime,
}

/// The truncations that wait.
pub async fn truncation(pool: &PgPool) -> Result<Option<Truncation>, Error> {
    let mut transaction = postgres::begin(pool, BEGIN).await?;
    let (changes, changed_at): (Vec<i64>, OffsetDateTime) =
        postgres::query_as(include_str!("outbox/truncation.sql"))
            .fetch_one(&mut *transaction)
            .await?;
    transaction.commit().await?;
    Ok((!changes.is_empty()).then_some(Truncation {
        changes,
        changed_at,
    }))
}

impl Truncation {
    /// How many they are.
    pub fn changes(&self) -> usize {
        self.changes.len()
    }

    /// Makes one page of the known ads pending; answers them, and where the
    /// next page begins: `None` after the last. A million ads are more than
    /// one transaction should hold.
    pub async fn move_page(
        &self,
        pool: &PgPool,
        after: Option<&str>,
    ) -> Result<(Option<String>, Vec<String>), Error> {
        let mut transaction = postgres::begin(pool, BEGIN).await?;
        let (last, ad_ids, _announced): (_, _, i64) =
            postgres::query_as(include_str!("outbox/move_known.sql"))
                .bind(after)
                .bind(BATCH)
                .bind(self.changed_at)
                .fetch_one(&mut *transaction)
                .await?;
        transaction.commit().await?;
        failpoint::at(Point::TruncationPage).await;
        Ok((last, ad_ids))
    }

    /// Takes them out of the outbox, after the last page. Until then a crash
    /// means that all pages are moved once more, which is harmless.
    pub async fn moved(self, pool: &PgPool) -> Result<(), Error> {
        failpoint::at(Point::TruncationMoved).await;
        let mut transaction = postgres::begin(pool, BEGIN).await?;
        postgres::query("delete from usage_sync.change where id = any ($1)")
            .bind(self.changes)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// Queues those of the ads that the app has or that were ever seen here;
/// answers them.
pub async fn renew(pool: &PgPool, ads: &[String]) -> Result<Vec<String>, Error> {
    let mut transaction = begin_reading(pool).await?;
    let queued = postgres::query_scalar(include_str!("outbox/renew.sql"))
        .bind(ads)
        .fetch_all(&mut *transaction)
        .await
        .map_err(Error::of_view)?;
    wake(&mut transaction).await?;
    transaction.commit().await?;
    Ok(queued)
}

/// Queues every rejected ad; answers how many there are.
pub async fn renew_rejected(pool: &PgPool) -> Result<u64, Error> {
    let mut transaction = postgres::begin(pool, BEGIN_DURABLE).await?;
    let queued = postgres::query(
        "insert into usage_sync.change (ad_id) \
         select ad_id from usage_sync.ad where state = 'rejected'",
    )
    .execute(&mut *transaction)
    .await?
    .rows_affected();
    wake(&mut transaction).await?;
    transaction.commit().await?;
    Ok(queued)
}

/// Queues every ad behind a cause; answers how many there are.
pub async fn renew_cause(pool: &PgPool, kind: &ledger::Kind) -> Result<u64, Error> {
    let mut transaction = postgres::begin(pool, BEGIN_DURABLE).await?;
    let queued = postgres::query(concat!(
        include_str!("ledger/causes/named.sql"),
        include_str!("outbox/renew_cause.sql")
    ))
    .bind(&kind.code)
    .bind(&kind.field)
    .bind(&kind.rule)
    .execute(&mut *transaction)
    .await?
    .rows_affected();
    wake(&mut transaction).await?;
    transaction.commit().await?;
    Ok(queued)
}

/// Queues ads.
pub async fn queue(pool: &PgPool, ads: &[String]) -> Result<(), Error> {
    let mut transaction = postgres::begin(pool, BEGIN_DURABLE).await?;
    postgres::query("insert into usage_sync.change (ad_id) select unnest($1::text[])")
        .bind(ads)
        .execute(&mut *transaction)
        .await?;
    wake(&mut transaction).await?;
    transaction.commit().await?;
    Ok(())
}

/// One page of the ads of the view, in the order of its own ids. An empty one
/// is the last.
pub async fn page_of_view(
    pool: &PgPool,
    after: Option<&str>,
    size: i32,
    since: Option<OffsetDateTime>,
) -> Result<Vec<String>, Error> {
    let mut transaction = begin_reading(pool).await?;
    let page = postgres::query_scalar("select ad_id from usage_sync.page($1, $2, $3)")
        .bind(after)
        .bind(size)
        .bind(since)
        .fetch_all(&mut *transaction)
        .await
        .map_err(Error::of_view)?;
    transaction.commit().await?;
    Ok(page)
}

/// Of one page of the ads that have records in Salesforce, those that the view
/// no longer has, and where the next page begins; `None` after the last.
pub async fn page_of_left_over(
    pool: &PgPool,
    after: Option<&str>,
    size: i32,
) -> Result<(Option<String>, Vec<String>), Error> {
    let mut transaction = begin_reading(pool).await?;
    let page = postgres::query_as(include_str!("outbox/left_over.sql"))
        .bind(after)
        .bind(size)
        .fetch_one(&mut *transaction)
        .await
        .map_err(Error::of_view)?;
    transaction.commit().await?;
    Ok(page)
}

/// How many ads the view has; `None` if that takes longer than it is worth: a
/// migration of the app waits for a read that goes on, and whoever comes next
/// waits for the migration.
pub async fn count_of_view(pool: &PgPool) -> Result<Option<u64>, Error> {
    let mut transaction = begin_reading(pool).await?;
    sqlx::raw_sql("set local statement_timeout to '3s'")
        .execute(&mut *transaction)
        .await?;
    let count: Result<i64, Error> =
        postgres::query_scalar("select count(distinct ad_id) from usage_sync.usage")
            .fetch_one(&mut *transaction)
            .await
            .map_err(Error::of_view);
    transaction.rollback().await?;
    match count {
        Ok(count) => Ok(Some(count.unsigned_abs())),
        Err(error) if error.is_too_slow() => Ok(None),
        Err(error) => Err(error),
    }
}

/// A transaction that may read the view, as the worker's: it never sees a table
/// that a migration rewrites as empty, and the app never waits behind it. Fails
/// with [`Error::is_locked`] while a migration has one of the tables.
pub(crate) async fn begin_reading(pool: &PgPool) -> Result<PgTransaction<'static>, Error> {
    let mut transaction = postgres::begin(pool, BEGIN_DURABLE).await?;
    ledger::hold(&mut transaction).await?;
    Ok(transaction)
}

/// Tells a listener that the outbox has something, once this is committed.
pub(crate) async fn wake(transaction: &mut PgTransaction<'_>) -> Result<(), Error> {
    postgres::query("notify usage_sync")
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
