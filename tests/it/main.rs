//! The integration tests: real Postgres, real Redis and the Salesforce
//! sandbox over HTTP, one module for each promise.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "helpers of tests panic with a message when the machine is not as they need it"
)]

mod capture;
mod commands;
mod contracts;
mod correction;
mod delivery;
mod demo;
mod deployment;
mod django;
mod end_to_end;
mod faults;
mod history;
mod integrating;
mod ledger;
mod local;
mod model;
mod packaging;
mod queue;
mod salesforce;
mod sandbox;
mod schema;
mod settings;
mod stalls;
mod support;
mod trouble;
mod web;
