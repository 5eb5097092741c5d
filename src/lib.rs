//! usage-sync keeps a service app (Postgres) and Salesforce in step.

pub mod ledger;
pub mod plan;
pub mod queue;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
