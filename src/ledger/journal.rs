//! The audit trail: what was created, changed, withdrawn and refused, and what
//! Salesforce said to it.
//!
//! All that Salesforce is known to have taken is here, also from a hand that was
//! overtaken. Such an entry comes late, possibly after one of the newer hand, and
//! is marked: of two entries about one record the one with the higher token
//! counts, as it does in Salesforce. `docs/journal.md` has the query that tells
//! what was billed at a moment.

use sqlx::{Postgres, Transaction};

use super::{Answer, Error, Outcome, Verdict};
use crate::{
    plan::{Action, Operation},
    postgres,
};

/// One line of the journal.
struct Line<'a> {
    action: &'static str,
    answer: &'a Answer,
    operation: Option<&'a Operation>,
    /// None where a withdrawal was refused: nothing was wanted there.
    fields: Option<&'a str>,
    salesforce_id: Option<&'a str>,
    reason: Option<(&'a str, &'a str)>,
}

const REJECT: &str = "reject";

/// The mark of what came from an overtaken hand; `journal.sql` knows it.
const OVERTAKEN: (&str, &str) = (
    "OVERTAKEN",
    "done by a worker that another one had overtaken: the entry with the highest token says what stands",
);

/// The mark of what was done apart from the rest of its correction.
const IN_STEPS: (&str, &str) = (
    "IN_STEPS",
    "the correction did not fit into one request: for moments Salesforce showed a part of it",
);

/// Adds what these answers say.
pub(super) async fn write(
    transaction: &mut Transaction<'_, Postgres>,
    answers: &[&Answer],
) -> Result<(), Error> {
    let lines = answers.iter().flat_map(|answer| lines(answer)).collect();
    insert(transaction, lines).await
}

/// Adds what Salesforce did for hands that had been overtaken by then. What it
/// refused them changed nothing, and is the newer hand's to tell.
pub(super) async fn write_overtaken(
    transaction: &mut Transaction<'_, Postgres>,
    answers: &[&Answer],
) -> Result<(), Error> {
    let lines = answers.iter().flat_map(|answer| lines(answer));
    let done = lines.filter(|line| line.action != REJECT);
    let marked = done.map(|line| Line {
        reason: Some(OVERTAKEN),
        ..line
    });
    insert(transaction, marked.collect()).await
}

async fn insert(
    transaction: &mut Transaction<'_, Postgres>,
    lines: Vec<Line<'_>>,
) -> Result<(), Error> {
    if lines.is_empty() {
        return Ok(());
    }
    let required =
        |of: for<'a> fn(&'a Line<'a>) -> &'a str| -> Vec<&str> { lines.iter().map(of).collect() };
    let optional = |of: for<'a> fn(&'a Line<'a>) -> Option<&'a str>| -> Vec<Option<&str>> {
        lines.iter().map(of).collect()
    };
    let number =
        |of: for<'a> fn(&'a Line<'a>) -> i64| -> Vec<i64> { lines.iter().map(of).collect() };
    postgres::query(include_str!("journal.sql"))
        .bind(required(|line| line.action))
        .bind(required(|line| &line.answer.ad_id))
        .bind(optional(|line| line.operation.map(|o| o.line.as_str())))
        .bind(optional(|line| {
            line.operation.map(|o| o.external_id.as_str())
        }))
        .bind(optional(|line| {
            line.operation.and_then(|o| o.contract.as_deref())
        }))
        .bind(optional(|line| line.salesforce_id))
        .bind(number(|line| line.answer.version))
        .bind(number(|line| line.answer.token))
        .bind(optional(|line| line.fields))
        .bind(optional(|line| line.reason.map(|(code, _)| code)))
        .bind(optional(|line| line.reason.map(|(_, message)| message)))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

fn lines(answer: &Answer) -> Vec<Line<'_>> {
    let rejected = match &answer.verdict {
        Verdict::Rejected { code, message } => Some((code.as_str(), message.as_str())),
        Verdict::Reported
        | Verdict::Retry { .. }
        | Verdict::Suspected { .. }
        | Verdict::Postponed => None,
    };
    let mut lines: Vec<Line<'_>> = answer
        .operations
        .iter()
        .filter_map(|(operation, outcome)| match outcome {
            Outcome::Done(id) => Some(Line {
                action: match operation.action {
                    Action::Create => "create",
                    Action::Update => "update",
                    Action::Withdraw => "withdraw",
                },
                answer,
                operation: Some(operation),
                fields: Some(&operation.fields),
                salesforce_id: id.as_deref(),
                reason: answer.in_steps.then_some(IN_STEPS),
            }),
            Outcome::Refused { code, message } if rejected.is_some() => Some(Line {
                action: REJECT,
                answer,
                operation: Some(operation),
                fields: Some(operation.fields.as_str())
                    .filter(|_| operation.action != Action::Withdraw),
                salesforce_id: operation.salesforce_id.as_deref(),
                reason: Some((code, message)),
            }),
            Outcome::Refused { .. } | Outcome::InDoubt | Outcome::NotSent => None,
        })
        .collect();
    if rejected.is_some() && lines.iter().all(|line| line.action != REJECT) {
        lines.push(Line {
            action: REJECT,
            answer,
            operation: None,
            fields: None,
            salesforce_id: None,
            reason: rejected,
        });
    }
    lines
}
