//! What Salesforce, its edge and the network before it do to the daemon.

mod alike;
mod audit;
mod by_hand;
mod configuration;
mod contention;
mod culprit;
mod login;
mod network;
mod outage;
mod reading;

use usage_sync::sandbox::{Effect, Plan};

/// A fault that strikes requests with this method (any, if empty), whose path
/// and body hold these.
fn fault(method: &str, path: &str, body: &str, effect: Effect) -> Plan {
    Plan {
        method: (!method.is_empty()).then(|| method.to_owned()),
        path: Some(path.to_owned()),
        body: Some(body.to_owned()),
        ..Plan::always(effect)
    }
}

/// One record that is refused with this code.
fn refusal(code: &str, message: &str, external_ids: &[&str]) -> Effect {
    Effect::RecordError {
        code: code.to_owned(),
        message: message.to_owned(),
        fields: Vec::new(),
        external_ids: external_ids.iter().map(|id| (*id).to_owned()).collect(),
        every_row: 0,
    }
}

/// Warnings and errors, but for a first login that a busy machine makes late.
pub(super) fn complaints(log: &str) -> usize {
    let complains = |line: &&str| line.contains("level=warn") || line.contains("level=error");
    let at_the_start = |line: &&str| line.contains("no login to salesforce yet");
    log.lines()
        .filter(|line| complains(line) && !at_the_start(line))
        .count()
}
