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

impl Sent {
    /// Whether it was refused because something newer stands there.
    pub(super) fn is_superseded(&self) -> bool {
        match self {
            Self::Refused(refused) | Self::InDoubt(Some(refused)) => {
                refused.class == Class::Superseded
            }
            Self::Done(_) | Self::InDoubt(None) | Self::Not => false,
        }
    }
}

/// Salesforce's no to one operation.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    class: Class,
    code: String,
    message: String,
    /// It made a whole request fail.
    alone: bool,
}

impl Refused {
    /// The ad is known to be the cause, so the next request is its own.
    pub(super) fn alone(self) -> Self {
        Self {
            class: Class::Suspect,
            alone: true,
            ..self
        }
    }

    /// Whether the ad is the cause cannot be told, so it does not count
    /// against it.
    pub(super) fn uncounted(self) -> Self {
        Self {
            class: Class::Contention,
            ..self
        }
    }

    /// Salesforce has said what is wrong.
    pub(super) fn for_good(self) -> Self {
        Self {
            class: Class::Rejected,
            ..self
        }
    }
}

impl From<RecordError> for Refused {
    fn from(error: RecordError) -> Self {
        Self {
            class: error.class(),
            code: error.code,
            message: error.message,
            alone: false,
        }
    }
}

impl From<salesforce::Error> for Refused {
    fn from(error: salesforce::Error) -> Self {
        Self {
            class: error.class(),
            code: error.code().unwrap_or("NO_ANSWER").to_owned(),
            message: error.to_string(),
            alone: false,
        }
    }
}

/// What the ledger is to be told of an ad.
pub(super) fn answer(ad: PlannedAd, results: Vec<Sent>, in_steps: bool) -> Answer {
    let verdict = verdict(&results, ad.suspicions);
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
        in_steps,
    }
}

/// How often an ad may be to blame, at the pace of its backoff, before it is
/// rejected.
const MOST_SUSPICIONS: i32 = 6;

/// A lost answer weighs most: until it is known what Salesforce did, nothing
/// else about the ad is final. Next come the records in doubt whose reason is
/// known, then a refusal for good before one that may pass.
fn verdict(results: &[Sent], suspicions: i32) -> Verdict {
    let mut done = true;
    let mut decisive: Option<((bool, bool), &Refused)> = None;
    for sent in results {
        let (in_doubt, refused) = match sent {
            Sent::Done(_) => continue,
            Sent::InDoubt(None) => return Verdict::Postponed,
            Sent::InDoubt(Some(refused)) => (true, refused),
            Sent::Refused(refused) => (false, refused),
            Sent::Not => {
                done = false;
                continue;
            }
        };
        let weight = (in_doubt, is_final(refused.class));
        if decisive.is_none_or(|(heaviest, _)| weight > heaviest) {
            decisive = Some((weight, refused));
        }
    }
    match decisive {
        Some((_, refused)) => of_refusal(refused, suspicions),
        None if done => Verdict::Reported,
        None => Verdict::Postponed,
    }
}

fn of_refusal(refused: &Refused, suspicions: i32) -> Verdict {
    let Refused {
        class,
        code,
        message,
        alone,
    } = refused;
    let (code, alone) = (code.clone(), *alone);
    if *class == Class::Suspect && suspicions + 1 >= MOST_SUSPICIONS {
        let message = format!("given up after {MOST_SUSPICIONS} tries: {message}");
        return Verdict::Rejected { code, message };
    }
    let message = message.clone();
    match class {
        Class::Rejected | Class::Configuration => Verdict::Rejected { code, message },
        Class::Suspect => Verdict::Suspected {
            code,
            message,
            alone,
        },
        Class::Outage { .. } | Class::Expired | Class::Contention | Class::Superseded => {
            Verdict::Retry { code, message }
        }
    }
}

/// Whether trying again soon is pointless. A fault in the configuration that
/// shows in one record may be that record's own: the others go on, and the ad
/// is tried again at the slow pace.
fn is_final(class: Class) -> bool {
    matches!(class, Class::Rejected | Class::Configuration)
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
