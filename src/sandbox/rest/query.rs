//! `/query`, `/queryAll` and their further pages.
//!
//! A page has room for so many records, and those of child queries count (REST
//! guide, Query Options Header). Children that do not fit come with a
//! `nextRecordsUrl` of their own, beside the parent that they belong to: one
//! parent was seen with 499 of its 1,200 children and a locator that ends in
//! `-499`, another with 199 of 257.

use std::sync::Arc;

use super::super::cursors::Found;
use super::super::id::Id;
use super::super::org::Session;
use super::super::refusal::Refusal;
use super::super::search::{Counting, Output, Plan, bind};
use super::super::soql;
use super::super::store::Key;
use super::super::value;
use super::Reply;

/// Rows a page: default and most, and least (REST guide, Query Options Header).
const MAX_PAGE: usize = 2000;
const MIN_PAGE: usize = 200;

pub(super) fn first_page(
    session: &mut Session<'_>,
    version: &str,
    text: &str,
    deleted_too: bool,
    batch_size: Option<usize>,
) -> Result<Reply, Refusal> {
    let query = soql::parse(text)?;
    let plan = bind(session, text, &query)?;
    let rows = session.search(&plan, deleted_too);
    match &plan.counting {
        Some(Counting::Rows) => {
            let body = format!(
                "{{\"totalSize\":{},\"done\":true,\"records\":[]}}",
                rows.len()
            );
            return Ok(Reply::ok(body.into_bytes()));
        }
        Some(Counting::Values { path, alias }) => {
            let count = session.count_values(&rows, path);
            let body = format!(
                "{{\"totalSize\":1,\"done\":true,\"records\":[{{\"attributes\":{{\"type\":\"AggregateResult\"}},\
                 \"{alias}\":{count}}}]}}"
            );
            return Ok(Reply::ok(body.into_bytes()));
        }
        None => {}
    }
    let asked = batch_size.map_or(MAX_PAGE, |size| size.clamp(MIN_PAGE, MAX_PAGE));
    let found = Found {
        plan: Arc::new(plan),
        rows: rows.into(),
        page: session.org.page_size.unwrap_or(asked).max(1),
    };
    Ok(print_page(session, version, &found, 0, None))
}

pub(super) fn next_page(
    session: &mut Session<'_>,
    version: &str,
    cursor: &str,
) -> Result<Reply, Refusal> {
    let dead = || Refusal::new("INVALID_QUERY_LOCATOR", "invalid query locator");
    let (locator, offset) = cursor.rsplit_once('-').ok_or_else(dead)?;
    let offset: usize = offset.parse().map_err(|_no_number| dead())?;
    let (locator, found) = session
        .org
        .cursors
        .find(session.user, locator)
        .ok_or_else(dead)?;
    if offset >= found.rows.len() {
        return Err(dead());
    }
    Ok(print_page(session, version, &found, offset, Some(locator)))
}

/// Records that still fit into a page, and into each that follows it.
struct Room {
    left: usize,
    page: usize,
}

/// The rows from one on, as many as there is room for.
fn print_page(
    session: &mut Session<'_>,
    version: &str,
    found: &Found,
    from: usize,
    locator: Option<Id>,
) -> Reply {
    let mut room = Room {
        left: found.page,
        page: found.page,
    };
    let mut next = from;
    let mut records = Vec::new();
    while room.left > 0
        && let Some(key) = found.rows.get(next)
    {
        if next > from {
            records.push(b',');
        }
        room.left -= 1;
        next += 1;
        print_row(
            session,
            version,
            *key,
            &found.plan.output,
            &mut room,
            &mut records,
        );
    }
    let mut body = Vec::with_capacity(records.len() + 128);
    print_result(
        session,
        version,
        found,
        (next, locator),
        &records,
        &mut body,
    );
    Reply::ok(body)
}

/// What a query found: the records that have been printed, and where the rest is
/// from `next` on.
fn print_result(
    session: &mut Session<'_>,
    version: &str,
    found: &Found,
    (next, locator): (usize, Option<Id>),
    records: &[u8],
    out: &mut Vec<u8>,
) {
    let (total, user) = (found.rows.len(), session.user);
    let more = (next < total)
        .then(|| locator.unwrap_or_else(|| session.org.cursors.open(user, found.clone())));
    let head = format!("{{\"totalSize\":{total},\"done\":{}", more.is_none());
    out.extend_from_slice(head.as_bytes());
    if let Some(locator) = more {
        let locator = locator.as_str();
        let url =
            format!(",\"nextRecordsUrl\":\"/services/data/{version}/query/{locator}-{next}\"");
        out.extend_from_slice(url.as_bytes());
    }
    out.extend_from_slice(b",\"records\":[");
    out.extend_from_slice(records);
    out.extend_from_slice(b"]}");
}

fn print_row(
    session: &mut Session<'_>,
    version: &str,
    key: Key,
    output: &[Output],
    room: &mut Room,
    out: &mut Vec<u8>,
) {
    out.push(b'{');
    session.write_attributes(version, key, out);
    for item in output {
        out.push(b',');
        match item {
            Output::Column(column) => {
                value::write_string(session.schema.objects[key.object].column_name(*column), out);
                out.push(b':');
                session.write_column(key, *column, out);
            }
            Output::Parent {
                name,
                field,
                target,
                output,
            } => {
                value::write_string(name, out);
                out.push(b':');
                match *session.org.store.value(key, *field) {
                    value::Value::Reference(row) => {
                        let parent = Key {
                            object: *target,
                            row,
                        };
                        print_row(session, version, parent, output, room, out);
                    }
                    _ => out.extend_from_slice(b"null"),
                }
            }
            Output::Children { name, field, plan } => {
                value::write_string(name, out);
                out.push(b':');
                print_children(session, version, plan, (*field, key.row), room, out);
            }
        }
    }
    out.push(b'}');
}

/// The children of one row, as many as there is room for, at least one of them.
/// None at all are null, not an empty list (recorded).
fn print_children(
    session: &mut Session<'_>,
    version: &str,
    plan: &Arc<Plan>,
    (field, parent): (usize, u32),
    room: &mut Room,
    out: &mut Vec<u8>,
) {
    let found = Found {
        plan: Arc::clone(plan),
        rows: session.search_children(plan, field, parent).into(),
        page: room.page,
    };
    if found.rows.is_empty() {
        return out.extend_from_slice(b"null");
    }
    let fitting = found.rows.len().min(room.left.max(1));
    room.left = room.left.saturating_sub(fitting);
    let mut records = Vec::new();
    for (place, key) in found.rows[..fitting].iter().enumerate() {
        if place > 0 {
            records.push(b',');
        }
        print_row(session, version, *key, &plan.output, room, &mut records);
    }
    print_result(session, version, &found, (fitting, None), &records, out);
}
