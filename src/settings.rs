//! Every setting of the daemon, read once at start.
//!
//! `config/default.toml` is compiled in, `USAGE_SYNC_CONFIG` may name a file
//! laid over it, environment variables win. Nothing else in the crate reads
//! the environment.
//!
//! [`Source`] finds the values, its methods check them: all of them for the
//! daemon, the database alone for `migrate`. Whatever is wrong is reported at
//! once, by the variable's name and never with its value.

mod check;
mod fault;
mod key;
mod login;
mod org;
mod reader;
mod source;
mod summary;
#[cfg(test)]
mod tests;

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

pub use fault::{Fault, Faults};
pub use source::Source;
pub use summary::Summary;

/// All settings, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the app's database is.
    pub database: Database,
    /// Where the queue lives.
    pub redis: Redis,
    /// How Salesforce is reached and what its objects are called.
    pub salesforce: Salesforce,
    /// The Redis list.
    pub queue: Queue,
    /// The delivery loop.
    pub worker: Worker,
    /// When one ad is tried again.
    pub retry: Retry,
    /// How an outage is probed.
    pub outage: Outage,
    /// How changes are collected.
    pub capture: Capture,
    /// What contracts and their products are called.
    pub contract: Contract,
    /// How long the audit trail is kept.
    pub journal_retention: Duration,
    /// How long a stop may take.
    pub shutdown_timeout: Duration,
    /// Level and form of the log.
    pub log: Log,
    /// How often metric lines are written.
    pub metrics_interval: Duration,
}

/// The app's database.
#[derive(Debug, Clone)]
pub struct Database {
    /// `DATABASE_URL`, with its password.
    pub url: SecretString,
    /// Connections of the pool; the listener's own comes on top.
    pub max_connections: u32,
}

/// The queue's server.
#[derive(Debug, Clone)]
pub struct Redis {
    /// `REDIS_URL`, with its password.
    pub url: SecretString,
    /// Whether the server's certificate is verified.
    pub tls_verify: bool,
}

/// How the daemon proves who it is.
#[derive(Debug, Clone)]
pub enum Login {
    /// OAuth 2.0 JWT bearer flow.
    JwtBearer {
        /// The integration user.
        username: String,
        /// RSA private key as PEM, whatever form it was given in.
        private_key: SecretString,
        /// The `aud` claim.
        audience: String,
    },
    /// OAuth 2.0 client credentials flow.
    ClientCredentials {
        /// The app's secret.
        client_secret: SecretString,
    },
    /// OAuth 2.0 refresh token flow.
    RefreshToken {
        /// The app's secret, unless the app does without.
        client_secret: Option<SecretString>,
        /// The long-lived token.
        refresh_token: SecretString,
    },
}

/// Salesforce's address, names and limits.
#[derive(Debug, Clone)]
pub struct Salesforce {
    /// Where tokens are asked for.
    pub login_url: Url,
    /// Consumer key of the app.
    pub client_id: String,
    /// Which flow, with its secrets.
    pub login: Login,
    /// `67.0`.
    pub api_version: String,
    /// API name of the usage object.
    pub object: String,
    /// Its unique external id.
    pub external_id_field: String,
    /// Put before every external id.
    pub external_id_prefix: String,
    /// The field that holds the fencing token; `None` where the org has none.
    pub revision_field: Option<String>,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for a live read of a contract.
    pub read_timeout: Duration,
    /// Requests in flight at most.
    pub max_concurrency: usize,
    /// How long a request that was given up on may still take effect.
    pub landing_window: Duration,
    /// Share of the org's daily calls that may be spent, 0.0 to 1.0.
    pub api_budget: f64,
}

/// The Redis list.
#[derive(Debug, Clone)]
pub struct Queue {
    /// Separates installations that share a Redis.
    pub name: String,
    /// Ids in Redis at most.
    pub max: usize,
    /// When another worker has reported the ads of a dead one.
    pub lease: Duration,
}

impl Queue {
    /// How long a claim lasts unless renewed: a fifteenth of the lease is left to
    /// notice its end and to report.
    pub fn claim_lasts(&self) -> Duration {
        self.lease.mul_f64(14.0 / 15.0)
    }
}

/// The delivery loop.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Records a call, 1 to 200.
    pub batch_size: usize,
}

/// When one ad is tried again.
#[derive(Debug, Clone)]
pub struct Retry {
    /// First pause.
    pub base: Duration,
    /// Longest pause.
    pub max: Duration,
    /// Pace of a rejected ad.
    pub rejected: Duration,
}

/// How an outage is probed.
#[derive(Debug, Clone)]
pub struct Outage {
    /// First pause.
    pub base: Duration,
    /// Longest pause.
    pub max: Duration,
}

/// How changes are collected.
#[derive(Debug, Clone)]
pub struct Capture {
    /// The outbox is looked at this often even when nobody notifies.
    pub poll_interval: Duration,
    /// Pending ads are compared with Redis this often.
    pub sweep_interval: Duration,
}

/// What contracts and their products are called in Salesforce, for live reads.
/// All are API names that are safe to put into a query, but for
/// `locked_status`, which is data.
#[derive(Debug, Clone)]
pub struct Contract {
    /// The contract's object.
    pub object: String,
    /// The number that people know a contract by.
    pub number_field: String,
    /// Relationship from a contract to its account.
    pub account_relationship: String,
    /// Where the contract's status stands.
    pub status_field: String,
    /// The status in which usage records are locked.
    pub locked_status: String,
    /// Relationship from a contract to its products.
    pub products_relationship: String,
    /// The object of a contract product.
    pub product_object: String,
    /// The product's code.
    pub product_code_field: String,
    /// The product's name.
    pub product_name_field: String,
    /// The external id by which the app's view may name a product; `None` where
    /// the org has none.
    pub product_external_id_field: Option<String>,
    /// Units closed.
    pub units_field: String,
    /// Price of one unit.
    pub price_field: String,
    /// Units used, as Salesforce adds them up.
    pub consumed_field: String,
    /// Units left.
    pub available_field: String,
    /// Which field of a usage record names the product.
    pub usage_product_field: String,
    /// Which field of a usage record holds the units.
    pub usage_quantity_field: String,
}

/// The contract gateway and the ops page.
#[derive(Debug, Clone)]
pub struct Web {
    /// 0 is any free one.
    pub port: u16,
    /// Bearer token of the gateway, password of the ops page.
    pub token: SecretString,
    /// Requests a second with the token.
    pub rate_limit: u32,
}

/// Level and form of the log.
#[derive(Debug, Clone)]
pub struct Log {
    /// A level for this crate, or directives such as `info,sqlx=debug`.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
    /// Whether colour may be used: `NO_COLOR` is not set (no-color.org).
    pub color: bool,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, logfmt elsewhere.
    Auto,
    /// For people.
    Human,
    /// `key=value`.
    Logfmt,
    /// One JSON object a line.
    Json,
}
