//! usage-sync keeps a service app (Postgres) and Salesforce in step.

pub mod settings;
