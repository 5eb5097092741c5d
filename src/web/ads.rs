//! What became of an ad, and one more try.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};

use super::{
    Shared,
    path::{Key, Parameters},
    problem::Problem,
};
use crate::{
    ledger::{
        self, Ad,
        history::{self, Entry, Page},
    },
    outbox,
};

/// Entries of the journal in one answer.
const PAGE: u32 = 100;

/// Which page of the history.
#[derive(Deserialize)]
pub(super) struct Before {
    before: Option<i64>,
}

/// An ad with a page of its journal.
#[derive(Serialize)]
pub(super) struct Told {
    ad: Ad,
    history: Vec<Entry>,
    /// Asks for the page before; null on the first.
    before: Option<i64>,
}

/// An ad that is tried again.
#[derive(Serialize)]
pub(super) struct Queued {
    ad: String,
    queued: bool,
}

/// `GET /ads/{id}`.
pub(super) async fn one(
    State(web): Shared,
    Key(id): Key,
    Parameters(Before { before }): Parameters<Before>,
) -> Result<Json<Told>, Problem> {
    let ad = ledger::ad(&web.pool, &id).await?.ok_or_else(unknown)?;
    let page = history::page_of_ad(&web.pool, &id, before, PAGE).await?;
    let Page { entries, before } = page;
    Ok(Json(Told {
        ad,
        history: entries,
        before,
    }))
}

/// `POST /ads/{id}/retry`: the way that every change takes, so a daemon reports
/// it now or when one runs again.
pub(super) async fn retry(
    State(web): Shared,
    Key(id): Key,
) -> Result<(StatusCode, Json<Queued>), Problem> {
    let queued = outbox::renew(&web.pool, std::slice::from_ref(&id));
    let queued = ledger::answered_within(super::ANSWER, queued).await?;
    if queued.is_empty() {
        return Err(unknown());
    }
    tracing::info!(ad.id = id, "ad queued again by a request");
    let queued = Queued {
        ad: id,
        queued: true,
    };
    Ok((StatusCode::ACCEPTED, Json(queued)))
}

fn unknown() -> Problem {
    Problem::not_found("no such ad; give the id as it stands in the view usage_sync.usage")
}
