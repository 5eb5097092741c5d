//! Why there is no answer, for each of those who share it.

use std::{sync::Arc, time::Duration};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{ledger, salesforce};

/// Why a contract cannot be shown.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// What was asked for cannot be the name of anything, or is that of several.
    #[error("{asked:?} does not name one contract or account: {why}")]
    Invalid {
        /// What was asked for.
        asked: String,
        /// What is wrong with it.
        why: &'static str,
        /// What would be right.
        instead: &'static str,
    },
    /// Salesforce is down, slow, or out of calls.
    #[error("salesforce is not available since {}", shown(*since))]
    Unavailable {
        /// Since when, as far as this process has asked.
        since: OffsetDateTime,
        /// What happened this time.
        #[source]
        source: Outage,
    },
    /// Salesforce refuses to be asked, until a person changes something.
    #[error("salesforce does not let contracts be read")]
    Refused(#[source] Arc<salesforce::Error>),
    /// What is pending cannot be told.
    #[error("what is pending cannot be read")]
    Ledger(#[source] Arc<ledger::Error>),
}

/// Why Salesforce has not answered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Outage {
    /// A call failed.
    #[error(transparent)]
    Failed(Arc<salesforce::Error>),
    /// Time was over first.
    #[error("no answer within {0:?}")]
    Slow(Duration),
}

impl Error {
    /// What a person can do about it, if anything.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Invalid { instead, .. } => Some(*instead),
            Self::Unavailable {
                source: Outage::Failed(error),
                ..
            } => error.remedy(),
            Self::Unavailable { .. } => None,
            Self::Refused(error) => match &**error {
                salesforce::Error::Refused(_) | salesforce::Error::Settings { .. } => Some(
                    "run `usage-sync check`: its line contracts says which field is missing or hidden, \
                     and which CONTRACT_ setting names it",
                ),
                other => other.remedy(),
            },
            Self::Ledger(_) => {
                Some("run `usage-sync check`: it looks at the database and the view")
            }
        }
    }
}

/// To the second.
fn shown(at: OffsetDateTime) -> String {
    let seconds = at.replace_nanosecond(0).unwrap_or(at);
    seconds.format(&Rfc3339).unwrap_or_default()
}
