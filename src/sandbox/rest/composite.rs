//! `/composite` and `/composite/graph`: several calls in one, each able to
//! use what an earlier one answered.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::org::Session;
use super::super::refusal::Refusal;
use super::super::value;
use super::{Call, Method, Reply, Route, perform};

/// Composite resources guide: subrequests a call.
const MAX_PARTS: usize = 25;
/// Composite graph limits: graphs a payload, nodes a payload.
const MAX_GRAPHS: usize = 75;
const MAX_NODES: usize = 500;
/// Different nodes a graph: another method or another object counts anew.
const MAX_KINDS: usize = 15;
/// Once this many graphs have failed, the rest is not run.
const MAX_FAILED: usize = 14;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Composite<'a> {
    #[serde(default)]
    all_or_none: bool,
    #[serde(borrow)]
    composite_request: Vec<Part<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    url: Cow<'a, str>,
    #[serde(borrow)]
    reference_id: Cow<'a, str>,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    graphs: Vec<Graph<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Graph<'a> {
    #[serde(borrow)]
    graph_id: Cow<'a, str>,
    #[serde(borrow)]
    composite_request: Vec<Part<'a>>,
}

pub(super) fn composite(session: &mut Session<'_>, body: &str) -> Result<Reply, Refusal> {
    let request: Composite<'_> = serde_json::from_str(body).map_err(|error| form(&error))?;
    if request.composite_request.len() > MAX_PARTS {
        return Err(limit(format!(
            "You can only have a maximum of {MAX_PARTS} subrequests"
        )));
    }
    check_references(&request.composite_request)?;
    let replies = run(session, &request.composite_request, request.all_or_none);
    let mut out = Vec::new();
    print(&request.composite_request, &replies, &mut out);
    Ok(Reply::ok(out))
}

pub(super) fn graph(session: &mut Session<'_>, body: &str) -> Result<Reply, Refusal> {
    let payload: Payload<'_> = serde_json::from_str(body).map_err(|error| form(&error))?;
    check_payload(&payload)?;
    let mut failed = 0;
    let mut out = b"{\"graphs\":[".to_vec();
    for (place, graph) in payload.graphs.iter().enumerate() {
        let parts = &graph.composite_request;
        let replies = if failed > MAX_FAILED {
            parts.iter().map(|_| halted()).collect()
        } else {
            run(session, parts, true)
        };
        let successful = replies.iter().all(|reply| reply.status < 300);
        failed += usize::from(!successful);
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"graphId\":");
        value::write_string(&graph.graph_id, &mut out);
        out.extend_from_slice(b",\"graphResponse\":");
        print(parts, &replies, &mut out);
        out.extend_from_slice(format!(",\"isSuccessful\":{successful}}}").as_bytes());
    }
    out.extend_from_slice(b"]}");
    Ok(Reply::ok(out))
}

fn check_payload(payload: &Payload<'_>) -> Result<(), Refusal> {
    let nodes: usize = payload
        .graphs
        .iter()
        .map(|graph| graph.composite_request.len())
        .sum();
    if payload.graphs.len() > MAX_GRAPHS {
        return Err(limit(format!(
            "The payload has more than {MAX_GRAPHS} graphs"
        )));
    }
    if nodes > MAX_NODES {
        return Err(limit(format!(
            "The payload has more than {MAX_NODES} nodes"
        )));
    }
    let mut seen = HashSet::new();
    for graph in &payload.graphs {
        if !seen.insert(&graph.graph_id) {
            return Err(input(format!("Duplicate graphId: {}", graph.graph_id)));
        }
        check_references(&graph.composite_request)?;
        let mut kinds = HashSet::new();
        for part in &graph.composite_request {
            let call = to_call(part, String::new())?;
            let Ok((
                version,
                Route::Object(object) | Route::Row(object, _) | Route::RowByKey { object, .. },
            )) = call.route()
            else {
                return Err(input(format!(
                    "The URL is not allowed in a graph: {}",
                    part.url
                )));
            };
            kinds.insert((call.method, version.to_owned(), object.to_lowercase()));
        }
        if kinds.len() > MAX_KINDS {
            return Err(limit(format!(
                "The graph has more than {MAX_KINDS} different nodes"
            )));
        }
    }
    Ok(())
}

fn check_references(parts: &[Part<'_>]) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    for part in parts {
        let legal = part
            .reference_id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !legal || part.reference_id.is_empty() {
            return Err(input(format!(
                "The referenceId is not valid: {}",
                part.reference_id
            )));
        }
        if !seen.insert(&part.reference_id) {
            return Err(input(format!(
                "Duplicate referenceId: {}",
                part.reference_id
            )));
        }
    }
    Ok(())
}

/// Runs the parts in order. With `all_or_none`, the first failure ends the
/// transaction and takes back what went before.
fn run(session: &mut Session<'_>, parts: &[Part<'_>], all_or_none: bool) -> Vec<Reply> {
    let start = session.savepoint();
    let mut known: HashMap<String, serde_json::Value> = HashMap::new();
    let mut replies: Vec<Reply> = Vec::with_capacity(parts.len());
    for part in parts {
        let reply = one(session, part, &known).unwrap_or_else(Reply::from);
        if reply.status >= 300 && all_or_none {
            session.roll_back(start);
            let culprit = replies.len();
            replies.push(reply);
            replies.resize_with(parts.len(), halted);
            replies[..culprit].fill_with(halted);
            return replies;
        }
        if let Ok(body) = serde_json::from_slice(&reply.body)
            && reply.status < 300
        {
            known.insert(part.reference_id.to_string(), body);
        }
        replies.push(reply);
    }
    replies
}

fn one(
    session: &mut Session<'_>,
    part: &Part<'_>,
    known: &HashMap<String, serde_json::Value>,
) -> Result<Reply, Refusal> {
    let body = part.body.map_or("", RawValue::get);
    let body = resolve(body, known, |text| {
        serde_json::Value::from(text)
            .to_string()
            .trim_matches('"')
            .to_owned()
    })?;
    let url = resolve(&part.url, known, str::to_owned)?;
    let part = Part {
        method: part.method.clone(),
        url: url.into(),
        reference_id: Cow::Borrowed(""),
        body: None,
    };
    Ok(perform(session, &to_call(&part, body)?))
}

/// Puts the values of earlier answers in the place of `@{ref.field}`.
fn resolve(
    text: &str,
    known: &HashMap<String, serde_json::Value>,
    escape: impl Fn(&str) -> String,
) -> Result<String, Refusal> {
    let mut resolved = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("@{") {
        let Some(end) = rest[start..].find('}').map(|end| start + end) else {
            break;
        };
        let path = &rest[start + 2..end];
        let (reference, field) = path.split_once('.').unwrap_or((path, ""));
        let pointer = format!("/{}", field.replace(['.', '['], "/").replace(']', ""));
        let found = known
            .get(reference)
            .and_then(|answer| answer.pointer(&pointer));
        let value = match found {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(other) if !other.is_object() && !other.is_array() => other.to_string(),
            _ => {
                return Err(input(format!(
                    "Invalid reference specified. No value for {path} found in {reference}"
                )));
            }
        };
        resolved.push_str(&rest[..start]);
        resolved.push_str(&escape(&value));
        rest = &rest[end + 1..];
    }
    resolved.push_str(rest);
    Ok(resolved)
}

fn to_call(part: &Part<'_>, body: String) -> Result<Call, Refusal> {
    let (path, query) = part.url.split_once('?').unwrap_or((&part.url, ""));
    let query = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let method: Method = part.method.parse()?;
    Ok(Call {
        method,
        path: path.to_owned(),
        query,
        body,
        batch_size: None,
    })
}

fn print(parts: &[Part<'_>], replies: &[Reply], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"compositeResponse\":[");
    for (place, (part, reply)) in parts.iter().zip(replies).enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"body\":");
        out.extend_from_slice(if reply.body.is_empty() {
            b"null"
        } else {
            &reply.body
        });
        out.extend_from_slice(b",\"httpHeaders\":{");
        if let Some(location) = &reply.location {
            out.extend_from_slice(b"\"Location\":");
            value::write_string(location, out);
        }
        out.extend_from_slice(
            format!("}},\"httpStatusCode\":{},\"referenceId\":", reply.status).as_bytes(),
        );
        value::write_string(&part.reference_id, out);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
}

/// What the innocent parts of a failed transaction say, code first as where
/// it was read (REST guide, allOrNone in Composite).
fn halted() -> Reply {
    let body = "[{\"errorCode\":\"PROCESSING_HALTED\",\"message\":\"The transaction was rolled back since another \
                operation in the same transaction failed.\"}]";
    Reply {
        status: 400,
        body: body.as_bytes().to_vec(),
        location: None,
    }
}

fn form(error: &serde_json::Error) -> Refusal {
    Refusal::bad_json(format!(
        "Cannot deserialize the composite request at [line:{}, column:{}]",
        error.line(),
        error.column()
    ))
}

fn limit(message: String) -> Refusal {
    Refusal::new("LIMIT_EXCEEDED", message)
}

fn input(message: String) -> Refusal {
    Refusal::new("INVALID_INPUT", message)
}
