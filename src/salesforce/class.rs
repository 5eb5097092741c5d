//! What an answer means for the one who asked: the words on which the worker
//! and the outage gate decide. Nothing outside this module tree looks at a
//! status or a code.

/// What a failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Salesforce as a whole does not take requests; no record is to blame.
    Outage {
        /// How long it is likely to last.
        pause: Pause,
    },
    /// The token is dead. The client has asked for a new one already, so
    /// whoever sees this had a fresh token refused.
    Expired,
    /// Someone else was at the record or its parent: soon again, with jitter.
    Contention,
    /// Salesforce refused this record for a reason that time alone does not cure.
    Rejected,
    /// A newer revision is in Salesforce already: not an error, look again.
    Superseded,
    /// Fails for every record until a person changes the org or the settings.
    Configuration,
    /// It may pass by itself, or never for this one. Of a whole request: one of
    /// its records may be the cause, so divide it to find out. Of a record: try
    /// it again a few times, then treat it as rejected.
    Suspect,
}

/// How long an outage is likely to last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pause {
    /// Seconds to minutes.
    Short,
    /// The org's daily calls are used up: minutes to hours, until the window
    /// of 24 hours has moved on.
    Long,
}

/// How much is known about whether Salesforce did what a failed request asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Certainty {
    /// Nothing was sent: nothing was done.
    NotSent,
    /// Sent, and the answer is missing or cannot be relied on: Salesforce may
    /// have done it, all of it or part of it, or may still do it.
    Unknown,
    /// Salesforce refused the request as a whole: nothing was done.
    Answered,
}
