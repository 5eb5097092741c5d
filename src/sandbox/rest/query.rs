//! `/query`, `/queryAll` and their further pages.

use std::sync::Arc;

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
    let page = session.org.page_size.unwrap_or(asked).max(1);
    let next = if rows.len() > page {
        let (plan, rows): (Arc<Plan>, Arc<[Key]>) = (Arc::new(plan), rows.into());
        let locator =
            session
                .org
                .cursors
                .open(session.user, Arc::clone(&plan), Arc::clone(&rows), page);
        return Ok(print_page(
            session,
            version,
            &plan,
            &rows,
            0..page,
            Some((locator.as_str(), page)),
        ));
    } else {
        None
    };
    Ok(print_page(
        session,
        version,
        &plan,
        &rows,
        0..rows.len(),
        next,
    ))
}

pub(super) fn next_page(
    session: &Session<'_>,
    version: &str,
    cursor: &str,
) -> Result<Reply, Refusal> {
    let dead = || Refusal::new("INVALID_QUERY_LOCATOR", "invalid query locator");
    let (locator, offset) = cursor.rsplit_once('-').ok_or_else(dead)?;
    let offset: usize = offset.parse().map_err(|_no_number| dead())?;
    let cursor = session
        .org
        .cursors
        .find(session.user, locator)
        .ok_or_else(dead)?;
    if offset >= cursor.rows.len() {
        return Err(dead());
    }
    let end = (offset + cursor.page).min(cursor.rows.len());
    let next = (end < cursor.rows.len()).then_some((locator, end));
    Ok(print_page(
        session,
        version,
        &cursor.plan,
        &cursor.rows,
        offset..end,
        next,
    ))
}

fn print_page(
    session: &Session<'_>,
    version: &str,
    plan: &Plan,
    rows: &[Key],
    page: std::ops::Range<usize>,
    next: Option<(&str, usize)>,
) -> Reply {
    let mut body =
        format!("{{\"totalSize\":{},\"done\":{}", rows.len(), next.is_none()).into_bytes();
    if let Some((locator, offset)) = next {
        let url =
            format!(",\"nextRecordsUrl\":\"/services/data/{version}/query/{locator}-{offset}\"");
        body.extend_from_slice(url.as_bytes());
    }
    body.extend_from_slice(b",\"records\":[");
    print_rows(session, version, plan, &rows[page], &mut body);
    body.extend_from_slice(b"]}");
    Reply::ok(body)
}

fn print_rows(session: &Session<'_>, version: &str, plan: &Plan, rows: &[Key], out: &mut Vec<u8>) {
    for (place, key) in rows.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        print_row(session, version, *key, &plan.output, out);
    }
}

fn print_row(session: &Session<'_>, version: &str, key: Key, output: &[Output], out: &mut Vec<u8>) {
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
                        print_row(
                            session,
                            version,
                            Key {
                                object: *target,
                                row,
                            },
                            output,
                            out,
                        );
                    }
                    _ => out.extend_from_slice(b"null"),
                }
            }
            Output::Children {
                name, field, plan, ..
            } => {
                value::write_string(name, out);
                out.push(b':');
                print_children(session, version, plan, *field, key.row, out);
            }
        }
    }
    out.push(b'}');
}

/// No children at all are null, not an empty list (recorded).
fn print_children(
    session: &Session<'_>,
    version: &str,
    plan: &Plan,
    field: usize,
    parent: u32,
    out: &mut Vec<u8>,
) {
    let rows = session.search_children(plan, field, parent);
    if rows.is_empty() {
        return out.extend_from_slice(b"null");
    }
    let start = format!("{{\"totalSize\":{},\"done\":true,\"records\":[", rows.len());
    out.extend_from_slice(start.as_bytes());
    print_rows(session, version, plan, &rows, out);
    out.extend_from_slice(b"]}");
}
