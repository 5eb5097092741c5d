//! What a person may order: try ads again, pause, go on. Each answers with the
//! page that the order came from, so that a reload repeats nothing.

use axum::{
    extract::State,
    response::{IntoResponse as _, Redirect, Response},
};
use url::form_urlencoded;

use super::{Refused, visitor::Order};
use crate::{
    ledger::{Kind, answered_within},
    outbox, place,
    web::{ANSWER, Shared, problem::Problem},
};

/// `POST /retry`: one ad, those behind one cause, or all that are rejected.
pub(super) async fn retry(State(web): Shared, order: Order) -> Result<Response, Refused> {
    let pool = &web.pool;
    let queued = match (order.field("what"), order.verbatim("ad"), kind(&order)) {
        (Some("ad"), Some(ad), _) => {
            let ads = [ad.to_owned()];
            let queued = answered_within(ANSWER, outbox::renew(pool, &ads)).await?;
            u64::try_from(queued.len()).unwrap_or_default()
        }
        (Some("cause"), _, Some(kind)) => {
            answered_within(ANSWER, outbox::renew_cause(pool, &kind)).await?
        }
        (Some("all"), ..) => answered_within(ANSWER, outbox::renew_rejected(pool)).await?,
        _ => return Err(Problem::invalid("the form does not say what to try again").into()),
    };
    tracing::info!(count = queued, "ads queued again from the ops page");
    Ok(back(&order, "retried", queued))
}

/// `POST /pause`.
pub(super) async fn pause(State(web): Shared, order: Order) -> Result<Response, Refused> {
    let because = order.field("because");
    answered_within(ANSWER, place::pause(&web.pool, because)).await?;
    Ok(back(&order, "paused", 0))
}

/// `POST /resume`.
pub(super) async fn resume(State(web): Shared, order: Order) -> Result<Response, Refused> {
    answered_within(ANSWER, place::resume(&web.pool)).await?;
    Ok(back(&order, "resumed", 0))
}

fn kind(order: &Order) -> Option<Kind> {
    Some(Kind {
        code: order.field("code")?.to_owned(),
        field: order.field("field").map(ToOwned::to_owned),
        // Spaces at its ends are a part of it.
        rule: order.verbatim("rule")?.to_owned(),
    })
}

fn back(order: &Order, done: &str, count: u64) -> Response {
    let (path, query) = order.back().split_once('?').unwrap_or((order.back(), ""));
    let query = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name != "done" && name != "count");
    let mut link = form_urlencoded::Serializer::new(String::new());
    link.extend_pairs(query).append_pair("done", done);
    if count > 0 {
        link.append_pair("count", &count.to_string());
    }
    Redirect::to(&format!("{path}?{}", link.finish())).into_response()
}
