//! The results of a collection: kept or taken back together, and printed.

use super::super::super::id::Id;
use super::super::super::org::Session;
use super::super::super::refusal::Refusal;
use super::super::Reply;

/// What became of one record.
pub(super) struct Outcome {
    /// What the answer calls the record, also when it failed.
    pub(super) id: Option<Id>,
    /// Only an upsert tells.
    pub(super) created: Option<bool>,
    pub(super) result: Result<(), Refusal>,
}

impl Outcome {
    pub(super) fn refused(refusal: Refusal) -> Self {
        Self {
            id: None,
            created: None,
            result: Err(refusal),
        }
    }
}

/// Runs each record, takes all back if one failed and none may, and prints.
pub(super) fn run(
    session: &mut Session<'_>,
    all_or_none: bool,
    count: usize,
    mut write: impl FnMut(&mut Session<'_>, usize) -> Outcome,
) -> Result<Reply, Refusal> {
    let start = session.savepoint();
    let mut outcomes: Vec<Outcome> = (0..count).map(|place| write(session, place)).collect();
    if session.org.strict_collections
        && let Some(refusal) = outcomes
            .iter()
            .filter_map(|outcome| outcome.result.as_ref().err())
            .find(|refusal| is_form(refusal))
    {
        let refusal = refusal.clone();
        session.roll_back(start);
        return Err(refusal);
    }
    if all_or_none && outcomes.iter().any(|outcome| outcome.result.is_err()) {
        session.roll_back(start);
        for outcome in outcomes.iter_mut().filter(|outcome| outcome.result.is_ok()) {
            // What existed before keeps its id in the answer; what was to be
            // created has none (REST guide, the examples of create and update).
            outcome.id = outcome.id.filter(|id| is_stored(session, *id));
            outcome.result = Err(rolled_back());
        }
    }
    Ok(Reply::ok(print_outcomes(&outcomes)))
}

fn is_stored(session: &Session<'_>, id: Id) -> bool {
    session
        .schema
        .object_of(id)
        .is_some_and(|object| session.by_id(object, id).is_ok())
}

/// Whether a record was refused for its form and not for its content.
fn is_form(refusal: &Refusal) -> bool {
    match refusal.code.as_ref() {
        "INVALID_FIELD" => refusal.message.starts_with("No such column"),
        "INVALID_TYPE_ON_FIELD_IN_RECORD" | "JSON_PARSER_ERROR" => true,
        _ => false,
    }
}

fn print_outcomes(outcomes: &[Outcome]) -> Vec<u8> {
    let mut body = Vec::with_capacity(outcomes.len() * 80 + 2);
    body.push(b'[');
    for (place, outcome) in outcomes.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        let id = outcome.id.as_ref().map(Id::as_str);
        match &outcome.result {
            Ok(()) => {
                body.extend_from_slice(b"{\"id\":\"");
                body.extend_from_slice(id.unwrap_or_default().as_bytes());
                body.extend_from_slice(b"\",\"success\":true,\"errors\":[]");
                body.extend_from_slice(match outcome.created {
                    Some(true) => b",\"created\":true}",
                    Some(false) => b",\"created\":false}",
                    None => b"}",
                });
            }
            // A record that failed by itself is printed without its id.
            Err(refusal) if refusal.code == "ALL_OR_NONE_OPERATION_ROLLED_BACK" => {
                refusal.write_result(id, &mut body);
            }
            Err(refusal) => refusal.write_result(None, &mut body),
        }
    }
    body.push(b']');
    body
}

fn rolled_back() -> Refusal {
    Refusal::new(
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "Record rolled back because not all records were valid and the request was using AllOrNone header",
    )
    .fields([])
}
