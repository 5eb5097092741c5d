//! How things stand, whether the process lives, and what can be asked.

use axum::{Json, extract::State, http::header::CONTENT_TYPE, response::IntoResponse};
use serde::Serialize;

use super::{Shared, Web, problem::Problem};
use crate::{
    ledger,
    status::{self, Status},
};

/// Every route with every answer, for programs.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

/// The process answers.
#[derive(Serialize)]
pub(super) struct Health {
    ok: bool,
}

/// `GET /status`: what `usage-sync status --json` prints.
pub(super) async fn status(State(web): Shared) -> Result<Json<Status>, Problem> {
    Ok(Json(read(&web).await?))
}

/// How things stand, as far as can be told.
pub(super) async fn read(web: &Web) -> Result<Status, ledger::Error> {
    let engine = web.redis.engine().await.unwrap_or_default();
    let status = status::read(&web.pool, &web.ledger, engine, web.share);
    ledger::answered_within(super::ANSWER, status).await
}

/// `GET /healthz`: for whoever watches the process. It asks nobody, so a service
/// that is down does not have the gateway restarted.
pub(super) async fn health() -> Json<Health> {
    Json(Health { ok: true })
}

/// `GET /openapi.json`.
pub(super) async fn openapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], OPENAPI)
}
