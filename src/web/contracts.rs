//! Contracts, read live: nothing is kept, so an answer is never an old one.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};

use super::{
    Shared,
    path::{Key, Parameters},
    problem::Problem,
};
use crate::contracts::Contract;

/// What contracts are asked for by.
#[derive(Deserialize)]
pub(super) struct Of {
    account: String,
}

/// The contracts of an account.
#[derive(Serialize)]
pub(super) struct Contracts {
    contracts: Vec<Contract>,
}

/// `GET /contracts/{key}`: by id, 15 or 18 characters, or by number.
pub(super) async fn one(State(web): Shared, Key(key): Key) -> Result<Json<Contract>, Problem> {
    let contract = web.contracts.one(&key).await?;
    let contract = contract.ok_or_else(|| {
        Problem::not_found("salesforce has no such contract; give its id or its number")
    })?;
    Ok(Json(contract))
}

/// `GET /contracts?account=…`.
pub(super) async fn of_account(
    State(web): Shared,
    Parameters(Of { account }): Parameters<Of>,
) -> Result<Json<Contracts>, Problem> {
    let contracts = web.contracts.of_account(&account).await?;
    Ok(Json(Contracts { contracts }))
}
