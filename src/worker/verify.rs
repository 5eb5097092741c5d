//! Reads back what requests that were given up on may have done, once they can
//! do nothing any more.
//!
//! Reading comes first, and nothing is sent blindly: a record that is right
//! needs no report, which Salesforce might refuse by now because the contract
//! has been fulfilled. What stands otherwise than it should goes the ordinary
//! way of a report. What cannot be looked at stays noted until it can be.

mod reading;

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

pub(super) use reading::Reading;

use super::{Context, pace, shown};
use crate::{
    compare::Expectation,
    ledger::{self, Found, Landing},
    salesforce::{Certainty, Class, Error, Row},
    shutdown::Shutdown,
    telemetry::Chain,
};

/// Records a look: their names fit into one query, unless they are long.
const BATCH: usize = 200;

/// Due records are looked for this often.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// As [`LOOK_EVERY`] where the window itself is short.
const LOOK_SOONEST: Duration = Duration::from_millis(100);

/// How often to look: a small part of the time that was waited for anyway.
pub(super) fn pace(context: &Context) -> Duration {
    (context.ledger.landing_window() / 10).clamp(LOOK_SOONEST, LOOK_EVERY)
}

/// Looks at all that is due, unless it is told to stop. Answers whether
/// Salesforce let itself be asked; nothing if there was nothing to ask.
pub(super) async fn verify_until(
    context: &Context,
    shutdown: &Shutdown,
) -> Option<Result<(), Error>> {
    tokio::select! {
        // What it leaves behind is due again in a minute.
        () = shutdown.wait() => None,
        verified = verify(context) => verified.unwrap_or_else(|error| {
            // A Postgres that does not answer is said where changes are captured.
            tracing::debug!(error = %Chain(&error), "nothing could be read back");
            None
        }),
    }
}

async fn verify(context: &Context) -> Result<Option<Result<(), Error>>, ledger::Error> {
    let mut asked = None;
    loop {
        let due = ledger::answered(context.ledger.landing_due(BATCH)).await?;
        let is_last = due.len() < BATCH;
        let (looks, answer) = look(context, due).await;
        asked = answer.or(asked);
        let late = ledger::answered(context.ledger.looked(&looks)).await?;
        if let Some(first) = late.first() {
            tracing::warn!(
                ad.id = %shown(first), more = late.len() - 1,
                "a request given up on took effect late: its ads are reported again"
            );
            // If Redis does not take them, the sweep offers them.
            let _unpushed = context.queue.enqueue(&late).await;
            context.pushed.notify_one();
        }
        if is_last || matches!(asked, Some(Err(_))) {
            return Ok(asked);
        }
    }
}

type Looks = Vec<(Landing, Found)>;

/// Compares records with the ledger; also answers whether Salesforce let itself
/// be asked about all of them, if it was.
async fn look(context: &Context, due: Vec<Landing>) -> (Looks, Option<Result<(), Error>>) {
    let (mut looks, mut asked) = (Looks::new(), None);
    // Records that hold the same fields go together. If their query is refused
    // for one of the fields, it would be for each of the records.
    let mut groups: BTreeMap<Vec<String>, Vec<(Landing, Option<Expectation>)>> = BTreeMap::new();
    for landing in due {
        if landing.in_hand {
            continue;
        }
        if landing.is_in_doubt() {
            looks.push((landing, Found::AsTold));
            continue;
        }
        let told = landing.told.as_deref();
        match told.map(|told| Expectation::new(told, &landing.blank)) {
            Some(None) => looks.push(unknown(landing)),
            expected => {
                let expected = expected.flatten();
                let columns = expected.as_ref().map(Expectation::columns);
                let group = groups.entry(columns.unwrap_or_default()).or_default();
                group.push((landing, expected));
            }
        }
    }
    for (columns, group) in groups {
        let names: Vec<&str> = group
            .iter()
            .map(|(landing, _)| landing.external_id.as_str())
            .collect();
        match read(context, &names, &columns).await {
            Ok(rows) => looks.extend(group.into_iter().map(|(landing, expected)| {
                let found = compare(&landing, expected.as_ref(), &rows);
                (landing, found)
            })),
            Err(error) if refuses_the_question(&error) && !columns.is_empty() => {
                // Because of one of the fields, or of any record?
                match read(context, &names, &[]).await {
                    Ok(_) => looks.extend(group.into_iter().map(|(landing, _)| unknown(landing))),
                    Err(error) => return (looks, Some(Err(error))),
                }
            }
            Err(error) => return (looks, Some(Err(error))),
        }
        asked = Some(Ok(()));
    }
    (looks, asked)
}

async fn read(
    context: &Context,
    names: &[&str],
    columns: &[String],
) -> Result<HashMap<String, Row>, Error> {
    let rows = context.salesforce.read_back(names, columns).await;
    context.metrics.calls.add(1);
    pace::read_back(context).await;
    rows
}

fn compare(
    landing: &Landing,
    expected: Option<&Expectation>,
    rows: &HashMap<String, Row>,
) -> Found {
    match (expected, rows.get(&landing.external_id)) {
        (None, None) => Found::AsTold,
        (Some(expected), Some(row))
            if landing.salesforce_id.as_ref() == Some(&row.id)
                && expected.is_met_by(&row.fields) =>
        {
            Found::AsTold
        }
        (_, row) => Found::Otherwise(row.map(|row| row.id.clone())),
    }
}

/// What cannot be read may be anything.
fn unknown(landing: Landing) -> (Landing, Found) {
    let id = landing.salesforce_id.clone();
    (landing, Found::Otherwise(id))
}

/// Whether Salesforce was asked and refused the question.
pub(super) fn refuses_the_question(error: &Error) -> bool {
    error.class() == Class::Configuration && error.certainty() == Certainty::Answered
}
