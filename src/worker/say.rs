//! What the log says when reporting pauses and when it goes on: once each.

use std::time::Duration;

use super::gate::Cause;
use crate::{
    salesforce::{Certainty, Class, Error, Pause},
    telemetry::Chain,
};

/// Why the gate closes for this failure.
pub(super) fn cause(error: &Error) -> Cause {
    match error.class() {
        Class::Outage { pause: Pause::Long } => Cause::DailyLimit,
        Class::Configuration | Class::Expired => Cause::Configuration,
        // Salesforce looks at every request and refuses it.
        Class::Suspect if error.certainty() == Certainty::Answered => Cause::Configuration,
        // What is left is not known to be anyone's fault in particular.
        Class::Outage {
            pause: Pause::Short,
        }
        | Class::Contention
        | Class::Rejected
        | Class::Superseded
        | Class::Suspect => Cause::Outage,
    }
}

/// Reporting pauses from here on.
pub(super) fn began(cause: Cause, error: &Error) {
    let remedy = error.remedy().unwrap_or_default();
    let error = Chain(error);
    match cause {
        Cause::Outage => {
            tracing::warn!(%error, "salesforce is down: reporting pauses, nothing is lost");
        }
        Cause::DailyLimit => {
            tracing::warn!(%error, "the org's daily calls are used up: reporting pauses");
        }
        Cause::Configuration => {
            tracing::error!(%error, remedy, "salesforce refuses every report: reporting pauses until this is mended");
        }
    }
}

/// Reporting goes on.
pub(super) fn ended(cause: Cause, lasted: Duration) {
    let message = match cause {
        Cause::Outage => "salesforce is back: reporting goes on",
        Cause::DailyLimit => "the org has calls again: reporting goes on",
        Cause::Configuration => "salesforce takes reports again: reporting goes on",
    };
    let duration_ms = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(duration_ms, "{message}");
}
