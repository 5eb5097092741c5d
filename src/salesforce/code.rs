//! Salesforce's error codes, and what each of them means for us.
//!
//! One table for the two places where a code may stand: in the answer to a
//! whole request ([`of_request`]) and beside one record of it ([`of_record`]).
//! Both are one exhaustive match, so a code that is added here has to be
//! thought about twice. Meanings are those of the SOAP API Developer Guide,
//! "Core Data Types Used in API Calls" (`ExceptionCode`, `StatusCode`) and of the
//! REST API Developer Guide, "Status Codes and Error Responses", unless an arm
//! names another source. What the table decides rests on the code; the message
//! is read only where one code has two meanings.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error as ValueError;

use super::class::{Class, Pause};
use super::names::Names;

/// A code that we treat in some way of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Code {
    AllOrNoneOperationRolledBack,
    ApexError,
    ApiCurrentlyDisabled,
    ApiDisabledForOrg,
    BatchProcessingHalted,
    CannotExecuteFlowTrigger,
    CannotInsertUpdateActivateEntity,
    ClientNotAccessibleForUser,
    DeleteRequiredOnCascade,
    DuplicateExternalId,
    DuplicateValue,
    EntityIsDeleted,
    EntityIsLocked,
    ExceededIdLimit,
    ExceededMaxSizeRequest,
    ExceededQuota,
    FieldCustomValidationException,
    FlowException,
    Forbidden,
    FunctionalityNotEnabled,
    Gone,
    InactiveOwnerOrUser,
    InsertUpdateDeleteNotAllowedDuringMaintenance,
    InsufficientAccess,
    InsufficientAccessOnCrossReferenceEntity,
    InsufficientAccessOrReadonly,
    InternalError,
    InvalidAuthHeader,
    InvalidCrossReferenceKey,
    InvalidField,
    InvalidFieldForInsertUpdate,
    InvalidOrNullForRestrictedPicklist,
    InvalidQueryLocator,
    InvalidReadOnlyUserDml,
    InvalidSessionId,
    InvalidType,
    JsonParserError,
    LimitExceeded,
    LoginDuringRestrictedDomain,
    LoginDuringRestrictedTime,
    MethodNotAllowed,
    NotFound,
    OperationTooLarge,
    OrgLocked,
    ProcessingHalted,
    QueryTimeout,
    RecordInUseByWorkflow,
    RequestLimitExceeded,
    RequestRunningTooLong,
    RequiredFieldMissing,
    ServerUnavailable,
    StorageLimitExceeded,
    TooManyApexRequests,
    TransferRequiresRead,
    TrialExpired,
    TxnSecurityNoAccess,
    UnableToLockRow,
    UnknownException,
    UnsupportedApiVersion,
    /// Every code that needs no treatment of its own.
    #[serde(skip)]
    Other,
}

impl Code {
    /// Reads a code as Salesforce writes it.
    pub(super) fn parse(code: &str) -> Self {
        // The derived table of names fails on what it does not know.
        Self::deserialize(IntoDeserializer::<ValueError>::into_deserializer(code))
            .unwrap_or(Self::Other)
    }
}

/// What a request wanted: a read has no record that could be the culprit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Changes records.
    Write,
    /// Changes nothing.
    Read,
}

/// The class of a request that was answered with an error as a whole.
#[expect(
    clippy::match_same_arms,
    reason = "an arm is a meaning, not an outcome"
)]
pub(super) fn of_request(code: Code, status: u16, message: &str, purpose: Purpose) -> Class {
    match code {
        // The token is dead, unless the message says that no token will do:
        // a fresh one would be refused alike, at the cost of a login each time.
        Code::InvalidSessionId if is_renewable(message) => Class::Expired,
        Code::InvalidSessionId => Class::Configuration,
        // "TotalRequests Limit exceeded.": the calls of 24 hours are used up.
        // "ConcurrentPerOrgLongTxn Limit exceeded.": too many long ones at once.
        Code::RequestLimitExceeded if message.contains("TotalRequests") => long_outage(),
        Code::RequestLimitExceeded
        // Down, overloaded, or read-only while the instance is upgraded.
        | Code::ServerUnavailable
        | Code::TooManyApexRequests
        | Code::InsertUpdateDeleteNotAllowedDuringMaintenance
        | Code::InvalidReadOnlyUserDml => short_outage(),
        // Someone else holds the record or its parent; the wait was 10 s.
        Code::UnableToLockRow | Code::RecordInUseByWorkflow => Class::Contention,
        // A part of the request failed and took the others along.
        Code::AllOrNoneOperationRolledBack
        | Code::ProcessingHalted
        | Code::BatchProcessingHalted => Class::Contention,
        // What fails for every ad until a person changes the org, its
        // permissions or our settings.
        Code::ApiCurrentlyDisabled
        | Code::ApiDisabledForOrg
        | Code::ClientNotAccessibleForUser
        | Code::Forbidden
        | Code::FunctionalityNotEnabled
        | Code::Gone
        | Code::InactiveOwnerOrUser
        | Code::InsufficientAccess
        | Code::InvalidAuthHeader
        | Code::InvalidType
        | Code::LoginDuringRestrictedDomain
        | Code::LoginDuringRestrictedTime
        | Code::MethodNotAllowed
        | Code::NotFound
        | Code::OrgLocked
        | Code::TrialExpired
        | Code::TxnSecurityNoAccess
        | Code::UnsupportedApiVersion
        // No room for records: every create fails until someone makes some.
        | Code::ExceededQuota
        | Code::StorageLimitExceeded => Class::Configuration,
        // A page of a query that took longer than the cursor lives (two days),
        // or whose cursor another query pushed out: ask anew.
        Code::InvalidQueryLocator => short_outage(),
        // Platform bugs and ceilings that one record may have run into.
        Code::InternalError
        | Code::LimitExceeded
        | Code::OperationTooLarge
        | Code::QueryTimeout
        | Code::RequestRunningTooLong
        | Code::UnknownException
        // Too much for one request: less of it may pass.
        | Code::ExceededIdLimit
        | Code::ExceededMaxSizeRequest => of_culprit(purpose, short_outage()),
        // One bad value may make Salesforce refuse the whole call before any
        // record is looked at. What follows these is a record's own trouble,
        // which no source shows at this level.
        Code::JsonParserError
        | Code::InvalidField
        | Code::InvalidFieldForInsertUpdate
        | Code::ApexError
        | Code::CannotExecuteFlowTrigger
        | Code::CannotInsertUpdateActivateEntity
        | Code::DeleteRequiredOnCascade
        | Code::DuplicateExternalId
        | Code::DuplicateValue
        | Code::EntityIsDeleted
        | Code::EntityIsLocked
        | Code::FieldCustomValidationException
        | Code::FlowException
        | Code::InsufficientAccessOnCrossReferenceEntity
        | Code::InsufficientAccessOrReadonly
        | Code::InvalidCrossReferenceKey
        | Code::InvalidOrNullForRestrictedPicklist
        | Code::RequiredFieldMissing
        | Code::TransferRequiresRead => of_culprit(purpose, Class::Configuration),
        Code::Other => of_status(status, purpose),
    }
}

/// The class of one record that was refused while the request was taken.
///
/// `ours` names the fields that we own: the rule on the revision fences old
/// requests off, and the external id is nobody else's to repeat.
#[expect(
    clippy::match_same_arms,
    reason = "an arm is a meaning, not an outcome"
)]
pub(super) fn of_record(code: Code, message: &str, fields: &[String], ours: &Names) -> Class {
    match code {
        // A validation rule or a trigger's `addError`. Only the rule on the
        // revision means that something newer has been written already.
        Code::FieldCustomValidationException if ours.revision.as_deref().is_some_and(|name| names(name, message, fields)) =>
        {
            Class::Superseded
        }
        // Another request writes below the same parent; the wait was 10 s.
        Code::UnableToLockRow | Code::RecordInUseByWorkflow => Class::Contention,
        // A trigger that ran into such a lock reports its own code, with the
        // lock's in the text.
        Code::CannotInsertUpdateActivateEntity | Code::ApexError | Code::FlowException
            if message.contains("UNABLE_TO_LOCK_ROW") =>
        {
            Class::Contention
        }
        // Two requests created the same record; the later one failed. The next
        // try is an upsert and finds it. Not so if another field is the one
        // that repeats, or "<unknown>" stands for it: then we may not see the
        // other record, and an upsert never will.
        Code::DuplicateValue
            if message.contains("duplicates value on record with id")
                && names(&ours.external_id, message, fields) =>
        {
            Class::Contention
        }
        // Transient by Salesforce's own words, or a bystander of a failure.
        Code::AllOrNoneOperationRolledBack
        | Code::BatchProcessingHalted
        | Code::ProcessingHalted
        | Code::TooManyApexRequests => Class::Contention,
        // Bugs and ceilings of the platform, and triggers and flows that crash:
        // most pass, some strike at the same record for ever.
        Code::ApexError
        | Code::CannotExecuteFlowTrigger
        | Code::CannotInsertUpdateActivateEntity
        | Code::FlowException
        | Code::InternalError
        | Code::LimitExceeded
        | Code::OperationTooLarge
        | Code::QueryTimeout
        | Code::RequestRunningTooLong
        | Code::UnknownException => Class::Suspect,
        // The org as a whole takes nothing at the moment.
        Code::InsertUpdateDeleteNotAllowedDuringMaintenance
        | Code::InvalidReadOnlyUserDml
        | Code::RequestLimitExceeded
        | Code::ServerUnavailable => short_outage(),
        // The parent that the record names by external id is not there (yet);
        // it may arrive with a contract.
        Code::InvalidField if message.contains("Foreign key external ID") => Class::Suspect,
        // A field that the org does not have or that is hidden from us, and
        // whatever else no ad of this kind will pass.
        Code::InvalidField
        | Code::InvalidFieldForInsertUpdate
        | Code::ApiCurrentlyDisabled
        | Code::ApiDisabledForOrg
        | Code::ClientNotAccessibleForUser
        | Code::DeleteRequiredOnCascade
        | Code::Forbidden
        | Code::FunctionalityNotEnabled
        | Code::Gone
        | Code::InactiveOwnerOrUser
        | Code::InsufficientAccess
        | Code::InsufficientAccessOrReadonly
        | Code::InvalidAuthHeader
        | Code::InvalidSessionId
        | Code::InvalidType
        | Code::LoginDuringRestrictedDomain
        | Code::LoginDuringRestrictedTime
        | Code::MethodNotAllowed
        | Code::OrgLocked
        | Code::TransferRequiresRead
        | Code::TrialExpired
        | Code::TxnSecurityNoAccess
        | Code::UnsupportedApiVersion
        | Code::ExceededQuota
        | Code::StorageLimitExceeded => Class::Configuration,
        // This record, as it is, in this state of Salesforce: time alone does
        // not cure it. A locked contract, a broken rule, a missing parent.
        Code::DuplicateExternalId
        | Code::DuplicateValue
        | Code::EntityIsDeleted
        | Code::EntityIsLocked
        | Code::ExceededIdLimit
        | Code::ExceededMaxSizeRequest
        | Code::FieldCustomValidationException
        | Code::InsufficientAccessOnCrossReferenceEntity
        | Code::InvalidCrossReferenceKey
        | Code::InvalidOrNullForRestrictedPicklist
        | Code::InvalidQueryLocator
        | Code::JsonParserError
        | Code::NotFound
        | Code::RequiredFieldMissing
        // Tried again slowly by itself, so a code that nobody knows is safe here.
        | Code::Other => Class::Rejected,
    }
}

/// The class of an answer that carries no code we know, by its HTTP status.
pub(super) fn of_status(status: u16, purpose: Purpose) -> Class {
    match status {
        // Too large or too long: less of it may pass.
        400 | 413 | 414 | 431 => of_culprit(purpose, Class::Configuration),
        // 420 is Salesforce Edge without a route to the org; 429 stands in no
        // table of Salesforce's, but proxies send it.
        408 | 420 | 429 => short_outage(),
        401..=499 => Class::Configuration,
        _ => short_outage(),
    }
}

/// Whether a new token can cure `INVALID_SESSION_ID`. The two messages are those
/// for which jsforce (`src/http-api.ts`) does not ask for one either.
pub(super) fn is_renewable(message: &str) -> bool {
    !message.contains("not valid for use with the REST API")
        && !message.contains("Connected app is not attached")
}

/// Whether a field is named by the error, as its field or in its text.
fn names(field: &str, message: &str, fields: &[String]) -> bool {
    fields.iter().any(|named| named.eq_ignore_ascii_case(field))
        || message
            .to_ascii_lowercase()
            .contains(&field.to_ascii_lowercase())
}

/// A write may have one culprit among its records; a read has none.
fn of_culprit(purpose: Purpose, without_records: Class) -> Class {
    match purpose {
        Purpose::Write => Class::Suspect,
        Purpose::Read => without_records,
    }
}

fn short_outage() -> Class {
    Class::Outage {
        pause: Pause::Short,
    }
}

fn long_outage() -> Class {
    Class::Outage { pause: Pause::Long }
}
