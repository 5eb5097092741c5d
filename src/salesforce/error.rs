//! What can go wrong with a request, and with one record of it.
//!
//! An error never holds a token, a key or the body of an answer: only what
//! Salesforce's own error entries say, cut to 512 bytes, and what kind of thing
//! came back where there are none.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::class::{Certainty, Class, Pause};
use super::code::{self, Code, Purpose};
use super::names::Names;
use super::wire::{self, cut};
use super::{login, remedy};

/// Why a request as a whole did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client cannot be built from these settings.
    #[error("{variable} cannot be used: {why}")]
    Settings {
        /// The variable to look at.
        variable: &'static str,
        /// What is wrong with it, without its value.
        why: &'static str,
    },
    /// There is no token, so the request was not sent.
    #[error("no login at {host}")]
    Login {
        /// Where the token was asked for.
        host: String,
        /// What the token endpoint said; shared by all who waited for it.
        #[source]
        source: Arc<login::Error>,
    },
    /// The time of the call was over before there was a token to send it with.
    #[error("no token from {host} within {limit:?}")]
    LoginTimeout {
        /// Where the token was asked for.
        host: String,
        /// How long the whole call may take.
        limit: Duration,
    },
    /// No answer, or none that Salesforce's documentation promises.
    #[error(transparent)]
    Wire(#[from] wire::Error),
    /// Salesforce refused the request as a whole.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// Every record was refused for the same reason, which is then hardly the
    /// fault of each.
    #[error("each of {count} records was refused for the same reason")]
    EveryRecord {
        /// Records of the request.
        count: usize,
        /// What Salesforce said to one of them.
        #[source]
        source: RecordError,
    },
    /// The number of results is not the number of records, so no result can be
    /// told to belong to a record.
    #[error("{sent} records were sent and {received} results came back")]
    Miscounted {
        /// Records in the request.
        sent: usize,
        /// Results in the answer.
        received: usize,
    },
}

/// Salesforce's refusal of a whole request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// Salesforce's code, as it was sent.
    pub code: String,
    /// Salesforce's words, at most 512 bytes.
    pub message: String,
    /// The fields it names.
    pub fields: Vec<String>,
    class: Class,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {} {}: {}", self.status, self.code, self.message)
    }
}

impl Error {
    /// What the failure means.
    pub fn class(&self) -> Class {
        match self {
            // Wrong until the settings or the org are changed.
            Self::Settings { .. } | Self::EveryRecord { .. } => Class::Configuration,
            Self::Login { source, .. } => source.class(),
            // The network or the other side is down or slow.
            Self::LoginTimeout { .. } => Class::Outage {
                pause: Pause::Short,
            },
            Self::Wire(error) => error.class(),
            // Salesforce works and answers; something in the batch confuses it.
            Self::Miscounted { .. } => Class::Suspect,
            Self::Refused(refusal) => refusal.class,
        }
    }

    /// Whether Salesforce may have done what was asked.
    pub fn certainty(&self) -> Certainty {
        match self {
            Self::Settings { .. } | Self::Login { .. } | Self::LoginTimeout { .. } => {
                Certainty::NotSent
            }
            Self::Wire(error) => error.certainty(),
            Self::Miscounted { .. } => Certainty::Unknown,
            // A 5xx may stand for a request that goes on running.
            Self::Refused(refusal) if refusal.status >= 500 => Certainty::Unknown,
            Self::Refused(_) | Self::EveryRecord { .. } => Certainty::Answered,
        }
    }

    /// Salesforce's code, where the failure has one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(&refusal.code),
            Self::EveryRecord { source, .. } => Some(&source.code),
            Self::Login { source, .. } => source.code(),
            _ => None,
        }
    }

    /// What a person can do about it, if anything.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Refused(refusal) => remedy::of_code(Code::parse(&refusal.code)),
            Self::EveryRecord { source, .. } => source.remedy(),
            Self::Login { source, .. } => source.remedy(),
            _ => None,
        }
    }
}

/// Why one record was refused while the request as a whole was taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct RecordError {
    /// Salesforce's code, as it was sent.
    pub code: String,
    /// Salesforce's words, at most 512 bytes.
    pub message: String,
    /// The fields it names.
    pub fields: Vec<String>,
    class: Class,
}

impl RecordError {
    /// What the failure means. [`Class::Configuration`] is a hint here: whether
    /// it holds for every record is for the caller to find out.
    pub fn class(&self) -> Class {
        self.class
    }

    /// What a person can do about it, if anything.
    pub fn remedy(&self) -> Option<&'static str> {
        remedy::of_code(Code::parse(&self.code))
    }

    /// Whether the same refusal of every record would mean that the org has
    /// changed: what no record of the kind will pass, or a rule on values that
    /// was made stricter for all of them alike.
    pub fn is_the_orgs(&self, other: &Self) -> bool {
        let alike = self.code == other.code;
        let stricter = matches!(
            Code::parse(&self.code),
            Code::RequiredFieldMissing | Code::InvalidOrNullForRestrictedPicklist
        );
        alike && (self.class == Class::Configuration || stricter && self.message == other.message)
    }

    /// A refusal of our own, ahead of sending: what Salesforce could not take.
    pub(super) fn unusable(message: &str) -> Self {
        Self {
            code: "UNUSABLE_FIELDS".to_owned(),
            message: message.to_owned(),
            fields: Vec::new(),
            class: Class::Rejected,
        }
    }

    /// The error among a record's entries that decides. Several rules may have
    /// fired at once; that something newer is in Salesforce outweighs the rest.
    pub(super) fn of(entries: Vec<Entry>, ours: &Names) -> Self {
        let mut errors: Vec<Self> = entries
            .into_iter()
            .map(|entry| entry.record_error(ours))
            .collect();
        if errors.is_empty() {
            let unexplained =
                Entry::new("UNKNOWN_EXCEPTION", "refused without a reason".to_owned());
            errors.push(unexplained.record_error(ours));
        }
        let superseded = errors
            .iter()
            .position(|error| error.class == Class::Superseded);
        errors.swap_remove(superseded.unwrap_or(0))
    }

    /// Whether a record may not be moved to another master (REST API Developer
    /// Guide, "Insert or Update (Upsert) a Record Using an External ID"; SOAP API
    /// Developer Guide, `StatusCode`).
    pub fn forbids_a_move(&self) -> bool {
        matches!(
            self.code.as_str(),
            "INVALID_FIELD_FOR_INSERT_UPDATE" | "CANNOT_REPARENT_RECORD"
        )
    }

    /// Whether the record was fine and another one stopped it.
    pub fn is_halted(&self) -> bool {
        Code::parse(&self.code) == Code::ProcessingHalted
    }

    /// Said of a deletion: that there is no such record, or no longer.
    pub fn is_gone(&self) -> bool {
        match Code::parse(&self.code) {
            Code::EntityIsDeleted | Code::InvalidCrossReferenceKey => true,
            Code::NotFound => is_empty_address(&self.message),
            _ => false,
        }
    }
}

/// One error entry of an answer. Collections say `statusCode` where everything
/// else says `errorCode`; `fields` may be absent or null. (REST API Developer
/// Guide, "Status Codes and Error Responses" and "Create Multiple Records".)
#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    #[serde(rename = "errorCode", alias = "statusCode")]
    code: String,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    fields: Option<Vec<String>>,
}

impl Entry {
    /// The entries of an error body: an array, or one bare object.
    pub(super) fn read(body: &[u8]) -> Option<Vec<Self>> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Body {
            Many(Vec<Entry>),
            One(Entry),
        }
        let entries = match serde_json::from_slice(body).ok()? {
            Body::Many(entries) => entries,
            Body::One(entry) => vec![entry],
        };
        (!entries.is_empty()).then_some(entries)
    }

    /// Whether a new token would help.
    pub(super) fn is_expired_session(&self) -> bool {
        let message = self.message.as_deref().unwrap_or_default();
        Code::parse(&self.code) == Code::InvalidSessionId && code::is_renewable(message)
    }

    /// Stands for what Salesforce says without an entry.
    pub(super) fn new(code: &str, message: String) -> Self {
        Self {
            code: code.to_owned(),
            message: Some(message),
            fields: None,
        }
    }

    /// As the refusal of a request.
    pub(super) fn refusal(self, status: u16, purpose: Purpose) -> Error {
        let message = self.message.unwrap_or_default();
        let class = code::of_request(Code::parse(&self.code), status, &message, purpose);
        Error::Refused(Box::new(Refusal {
            status,
            code: cut(self.code),
            message: cut(message),
            fields: self.fields.unwrap_or_default(),
            class,
        }))
    }

    /// As the refusal of one record.
    pub(super) fn record_error(self, ours: &Names) -> RecordError {
        let message = self.message.unwrap_or_default();
        let fields = self.fields.unwrap_or_default();
        let class = code::of_record(Code::parse(&self.code), &message, &fields, ours);
        RecordError {
            code: cut(self.code),
            message: cut(message),
            fields,
            class,
        }
    }
}

/// `NOT_FOUND` is said of a record that is not there in these words, and of an
/// external id field that does not exist in others ("Provided external ID field
/// does not exist or is not accessible").
fn is_empty_address(message: &str) -> bool {
    message.contains("requested resource does not exist")
}
