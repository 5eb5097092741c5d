//! What the gate is asked and told, and what it answers.

use std::time::{Duration, Instant};

/// Why nothing is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Salesforce does not answer, or not now.
    Outage,
    /// The day's calls are used up: a cheap probe cannot tell when that ends.
    DailyLimit,
    /// What would fail for every ad: login, object, field, rights.
    Configuration,
}

/// What may be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// Send as much as there is.
    Full,
    /// Send one small batch and see.
    Trial,
    /// Ask Salesforce whether it is there.
    Probe,
    /// Nothing until then.
    Wait(Instant),
    /// Nothing until the probe or the trial has its answer.
    Pending,
}

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The probe that [`super::Gate::permit`] handed out.
    Probe,
    /// The trial that it handed out.
    Trial,
    /// Any other request.
    Straggler,
}

/// What an event made of the gate, if it is worth a line in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is an outage from here on.
    Began(Cause),
    /// It lasted this long.
    Ended(Cause, Duration),
}
