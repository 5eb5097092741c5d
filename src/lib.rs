//! usage-sync keeps a service app (Postgres) and Salesforce in step.

pub mod backoff;
pub mod capture;
pub mod daemon;
#[cfg(feature = "sandbox")]
pub mod demo;
pub mod failpoint;
pub mod ledger;
#[cfg(feature = "sandbox")]
pub mod local;
pub mod metrics;
pub mod outbox;
pub mod plan;
pub mod postgres;
pub mod queue;
pub mod report;
pub mod salesforce;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod schema;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
pub mod trouble;
pub mod watchdog;
pub mod worker;
