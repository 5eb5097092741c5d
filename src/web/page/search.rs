//! Finds what a person has a name for: an ad, the record of an external id, a
//! contract.

use axum::{
    extract::{Query, State},
    response::{IntoResponse as _, Redirect, Response},
};
use maud::html;
use serde::Deserialize;

use super::{Refused, ad, contract, shell::page, visitor::Visitor};
use crate::{
    ledger::{self, answered_within},
    web::{ANSWER, Shared, problem::Problem},
};

/// What is looked for.
#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    q: String,
}

/// `GET /search?q=…`: where there is one answer, it is shown at once.
pub(super) async fn show(
    State(web): Shared,
    visitor: Visitor,
    Query(Asked { q }): Query<Asked>,
) -> Result<Response, Refused> {
    let name = q.trim();
    if name.is_empty() || name.contains('\0') {
        return Err(Problem::invalid("give the id of an ad, an external id or a contract").into());
    }
    let (known, owner, found) = tokio::join!(
        answered_within(ANSWER, ledger::ad(&web.pool, name)),
        answered_within(ANSWER, ledger::owner(&web.pool, name)),
        // Salesforce may be away, and then the rest is found all the same.
        web.contracts.one(name),
    );
    let (known, owner) = (known?, owner?);
    let mut links = Vec::new();
    if known.is_some() {
        links.push((format!("Ad {name}"), ad::link(name)));
    }
    if let Some(owner) = &owner {
        links.push((format!("Ad {owner}, by its record {name}"), ad::link(owner)));
    }
    if let Ok(Some(found)) = &found {
        links.push((
            format!("Contract {}", found.number),
            contract::link(&found.id),
        ));
    }
    if let ([(_, link)], Ok(_)) = (links.as_slice(), &found) {
        return Ok(Redirect::to(link).into_response());
    }
    let unasked = found.err().map(Problem::from);
    let content = html! {
        h1 { "Found for " q { (name) } }
        @if links.is_empty() {
            p { "Nothing of this name. Give an ad's id as the app has it, an external id, or a contract's id or number." }
        } @else {
            ul { @for (text, link) in &links { li { a href=(link) { (text) } } } }
        }
        @if let Some(problem) = &unasked {
            p class="quiet" { "Contracts could not be looked at: " (problem.message()) "." }
        }
    };
    Ok(page(&visitor, "Search", &content).into_response())
}
