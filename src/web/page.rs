//! The ops page: where the person on call looks first. Is it working, how late
//! are we, what is stuck and why, what do I do?
//!
//! Rendered here, whole; the script only fetches the same page again and puts its
//! live parts in place, so everything works without it. What a person orders goes
//! the same ways as the commands: `retry`, `pause`, `resume`.

mod actions;
mod ad;
mod assets;
mod chart;
mod contract;
mod login;
mod overview;
mod rates;
mod rejected;
mod search;
mod session;
mod shell;
mod trend;
mod verdict;
mod visitor;
mod words;

use axum::{
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};

pub(super) use rates::Rates;
pub(super) use session::Signer;

use super::{Route, problem::Problem};
use crate::ledger;

/// What people may open. Each of them asks for a login, but for the form of the
/// login itself and what makes it look as it should.
pub(super) const PAGES: &[Route] = &[
    ("/", || get(overview::show)),
    ("/rejected", || get(rejected::show)),
    ("/ad/{id}", || get(ad::show)),
    ("/contract/{key}", || get(contract::show)),
    ("/search", || get(search::show)),
    ("/login", || get(login::form).post(login::enter)),
    ("/logout", || post(login::leave)),
    ("/retry", || post(actions::retry)),
    ("/pause", || post(actions::pause)),
    ("/resume", || post(actions::resume)),
    ("/ops.css", || get(assets::style)),
    ("/ops.js", || get(assets::script)),
    ("/ops.svg", || get(assets::icon)),
];

/// A no of a page, shown as one.
struct Refused(Problem);

type Shown = Result<Html<String>, Refused>;

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<ledger::Error> for Refused {
    fn from(error: ledger::Error) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        shell::refuse(&self.0)
    }
}
