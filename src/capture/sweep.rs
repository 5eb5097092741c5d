//! The sweep: whatever is pending in Postgres must be known to Redis.

use sqlx::types::time::OffsetDateTime;

use super::Context;
use crate::{ledger, queue};

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

/// How far a sweep has come: the newest change that Redis was offered, and
/// its ad.
#[derive(Debug, Clone)]
pub(super) struct Place(OffsetDateTime, String);

impl Place {
    /// Before the oldest change.
    pub(super) fn start() -> Self {
        Self(OffsetDateTime::UNIX_EPOCH, String::new())
    }
}

/// Offers Redis the pending ads from a place on, oldest change first, and the
/// rejected ones whose time has come. Answers the place from which on Redis
/// had no room for them.
pub(super) async fn sweep(context: &Context, from: Place) -> Result<Option<Place>, Error> {
    let mut after = from;
    loop {
        let page = sqlx::query_as(include_str!("pending.sql"))
            .bind(after.0)
            .bind(&after.1)
            .bind(PAGE)
            .fetch_all(&context.pool);
        let page: Vec<(String, OffsetDateTime)> = read(page).await?;
        let Some((ad_id, changed_at)) = page.last().cloned() else {
            break;
        };
        let ids: Vec<String> = page.into_iter().map(|(ad_id, _)| ad_id).collect();
        if context.queue.offer(&ids).await? > 0 {
            return Ok(Some(after));
        }
        after = Place(changed_at, ad_id);
        context.pushed.notify_one();
    }
    let due = sqlx::query_scalar(include_str!("due.sql"))
        .bind(PAGE)
        .fetch_all(&context.pool);
    let due: Vec<String> = read(due).await?;
    let refused = context.queue.offer(&due).await?;
    Ok((refused > 0).then_some(after))
}

async fn read<T>(rows: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, ledger::Error> {
    ledger::answered(async { rows.await.map_err(ledger::Error::from) }).await
}
