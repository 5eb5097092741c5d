//! The sweep: whatever is pending in Postgres must be known to Redis.

use sqlx::{PgConnection, types::time::OffsetDateTime};

use super::Context;
use crate::{
    failpoint::{self, Point},
    ledger, postgres, queue,
};

/// Ads a page: one query, one call to Redis.
const PAGE: i64 = 1000;

/// What cut a sweep short.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Queue(#[from] queue::Error),
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
}

/// How far a sweep has come: the newest time that Redis was offered, and its
/// ad.
#[derive(Debug, Clone)]
pub(super) struct Place(OffsetDateTime, String);

impl Place {
    /// Before the oldest.
    pub(super) fn start() -> Self {
        Self(OffsetDateTime::UNIX_EPOCH, String::new())
    }
}

/// Offers Redis the pending ads from a place on, oldest change first, and then
/// those whose time to be tried again has come: what was never tried goes
/// first, so that what fails again and again holds up nothing. Answers the
/// place from which on Redis had no room for them.
pub(super) async fn sweep(context: &Context, from: Place) -> Result<Option<Place>, Error> {
    let (end, full) = offer_all(context, include_str!("pending.sql"), from).await?;
    if full {
        return Ok(Some(end));
    }
    let (_, full) = offer_all(context, include_str!("due.sql"), Place::start()).await?;
    Ok(full.then_some(end))
}

/// Offers Redis what a query finds, page by page from a place on. Answers the
/// place that was reached, and whether that is so because Redis is full.
async fn offer_all(
    context: &Context,
    query: &'static str,
    from: Place,
) -> Result<(Place, bool), Error> {
    let mut after = from;
    loop {
        let page = postgres::query_as(query)
            .bind(after.0)
            .bind(&after.1)
            .bind(PAGE);
        let page = read(context, async |connection| page.fetch_all(connection).await);
        let page: Vec<(String, OffsetDateTime)> = page.await?;
        failpoint::at(Point::SweepRead).await;
        let Some((ad_id, at)) = page.last().cloned() else {
            return Ok((after, false));
        };
        let ids: Vec<String> = page.into_iter().map(|(ad_id, _)| ad_id).collect();
        let offered = context.queue.offer(&ids).await?;
        // What Redis knew already is nothing new to the worker.
        if offered.queued > 0 {
            context.pushed.notify_one();
        }
        if offered.refused > 0 {
            return Ok((after, true));
        }
        failpoint::at(Point::SweepOffered).await;
        after = Place(at, ad_id);
    }
}

async fn read<T>(
    context: &Context,
    rows: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
) -> Result<T, ledger::Error> {
    ledger::answered(async {
        let mut transaction = postgres::begin(&context.pool, "begin").await?;
        let rows = rows(&mut transaction).await?;
        transaction.commit().await?;
        Ok(rows)
    })
    .await
}
