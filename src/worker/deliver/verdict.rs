//! What the answers to an ad's operations make of the ad. Pure.

use super::super::parcel::PlannedAd;
use crate::{
    ledger::{Answer, Outcome, Verdict},
    plan::Operation,
    salesforce::{self, Class, RecordError},
};

/// Salesforce's code for a record that is there already.
const DUPLICATE_VALUE: &str = "DUPLICATE_VALUE";

/// What became of one operation.
#[derive(Debug, Clone)]
pub(super) enum Sent {
    Done(Option<String>),
    Refused(Refused),
    /// Nobody knows; why, where it is not the whole call's fault.
    InDoubt(Option<Refused>),
    Not,
}

/// Salesforce's no to one operation.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    class: Class,
    code: String,
    message: String,
}

impl From<RecordError> for Refused {
    fn from(error: RecordError) -> Self {
        Self {
            class: error.class(),
            code: error.code,
            message: error.message,
        }
    }
}

impl From<salesforce::Error> for Refused {
    fn from(error: salesforce::Error) -> Self {
        Self {
            class: error.class(),
            code: error.code().unwrap_or("NO_ANSWER").to_owned(),
            message: error.to_string(),
        }
    }
}

/// What the ledger is to be told of an ad.
pub(super) fn answer(ad: PlannedAd, results: Vec<Sent>) -> Answer {
    let verdict = verdict(&results);
    let operations = ad
        .operations
        .into_iter()
        .zip(results)
        .map(|(operation, sent)| {
            let outcome = outcome(&operation, sent);
            (operation, outcome)
        })
        .collect();
    Answer {
        ad_id: ad.ad_id,
        version: ad.version,
        token: ad.token,
        verdict,
        operations,
    }
}

/// A lost answer weighs most: until it is known what Salesforce did, nothing
/// else about the ad is final.
fn verdict(results: &[Sent]) -> Verdict {
    if results.iter().all(|sent| matches!(sent, Sent::Done(_))) {
        return Verdict::Reported;
    }
    if results
        .iter()
        .any(|sent| matches!(sent, Sent::InDoubt(None)))
    {
        return Verdict::Postponed;
    }
    let text = |refused: &Refused| (refused.code.clone(), refused.message.clone());
    let retry = |(code, message)| Verdict::Retry { code, message };
    let doubtful = results.iter().find_map(|sent| match sent {
        Sent::InDoubt(reason) => reason.as_ref(),
        Sent::Done(_) | Sent::Refused(_) | Sent::Not => None,
    });
    if let Some(reason) = doubtful {
        return retry(text(reason));
    }
    let refused: Vec<&Refused> = results
        .iter()
        .filter_map(|sent| match sent {
            Sent::Refused(refused) => Some(refused),
            Sent::Done(_) | Sent::InDoubt(_) | Sent::Not => None,
        })
        .collect();
    if let Some(refused) = refused.iter().find(|refused| is_final(refused.class)) {
        let (code, message) = text(refused);
        return Verdict::Rejected { code, message };
    }
    refused
        .first()
        .map_or(Verdict::Postponed, |refused| retry(text(refused)))
}

/// Whether trying again soon is pointless. A fault in the configuration that
/// shows in one record may be that record's own: the others go on, and the ad
/// is tried again at the slow pace.
fn is_final(class: Class) -> bool {
    match class {
        Class::Rejected | Class::Configuration | Class::Suspect => true,
        Class::Outage { .. } | Class::Expired | Class::Contention | Class::Superseded => false,
    }
}

/// A newer report stands there, or a record that the ledger has no memory of:
/// what it holds is not known, so the next try is an update, whatever the
/// ledger says.
pub(super) fn refused_or_doubtful(refused: Refused) -> Sent {
    let duplicate = refused.code == DUPLICATE_VALUE && refused.class == Class::Contention;
    if duplicate || refused.class == Class::Superseded {
        Sent::InDoubt(Some(refused))
    } else {
        Sent::Refused(refused)
    }
}

fn outcome(operation: &Operation, sent: Sent) -> Outcome {
    match sent {
        Sent::Done(id) => Outcome::Done(id.or_else(|| operation.salesforce_id.clone())),
        Sent::InDoubt(_) => Outcome::InDoubt,
        Sent::Not => Outcome::NotSent,
        Sent::Refused(refused) => Outcome::Refused {
            code: refused.code,
            message: refused.message,
        },
    }
}
