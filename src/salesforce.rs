//! The Salesforce client: logs in, sends one request, says what the answer means.
//!
//! Promises:
//! - A record's fields go onto the wire byte for byte as Postgres printed them.
//! - Every failure tells its [`Class`] and, by [`Certainty`], whether Salesforce
//!   may have done what was asked.
//! - Nothing is sent twice, but for one case: a request that Salesforce refused
//!   with 401 `INVALID_SESSION_ID` goes out once more with a new token, which is
//!   asked for once for all requests that wait.
//! - Secrets leave the machine over TLS only and appear in no error and no log.
//!
//! It does not wait, retry, count or batch: that is for those who call it. It
//! does not know that Postgres or Redis exist.

mod class;
mod client;
mod code;
mod collections;
mod error;
mod graph;
pub mod id;
mod jwt;
mod login;
mod names;
mod org;
mod own;
mod query;
mod record;
mod remedy;
mod rows;
mod session;
pub mod soql;
mod usage;
mod wire;

pub use class::{Certainty, Class, Pause};
pub use client::Client;
pub use collections::{Results, Saved};
pub use error::{Error, RecordError, Refusal};
pub use graph::{GraphError, GraphResult, MAX_GRAPHS, MAX_STEPS, Step};
pub use login::{Error as LoginError, Identity};
pub use org::{Children, Choice, Describe, Field, Limit};
pub use own::{OwnRecord, OwnRecords};
pub use query::{Fields, LIST_LIMIT, Pages, Row};
pub use record::Record;
pub use usage::ApiUsage;
pub use wire::Error as WireError;
