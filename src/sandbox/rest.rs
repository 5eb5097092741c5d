//! The REST API below `/services/data`: from a path to what is done.
//!
//! A call comes in as plain data and goes out as plain data, so that a part
//! of a composite request goes the same way as a request of its own.

use std::str::FromStr;

use super::input::is_json;
use super::org::Session;
use super::refusal::Refusal;

mod collections;
mod composite;
mod describe;
mod query;
mod record;
mod route;
mod rows;

use route::Route;

/// Every version that this org answers to, with its season.
const VERSIONS: std::ops::RangeInclusive<u32> = 31..=67;

/// One request, without its transport.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Below the host, still percent-encoded.
    pub(crate) path: String,
    /// Decoded, in order.
    pub(crate) query: Vec<(String, String)>,
    pub(crate) body: String,
    /// `Sforce-Query-Options: batchSize`.
    pub(crate) batch_size: Option<usize>,
}

/// The verbs that Salesforce knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Method {
    Get,
    Post,
    Patch,
    Put,
    Delete,
}

impl FromStr for Method {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        match text {
            "GET" | "HEAD" => Ok(Self::Get),
            "POST" => Ok(Self::Post),
            "PATCH" => Ok(Self::Patch),
            "PUT" => Ok(Self::Put),
            "DELETE" => Ok(Self::Delete),
            other => Err(Refusal::method(other, "GET,POST,PATCH,DELETE")),
        }
    }
}

impl Method {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// One answer, without its transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// JSON; empty only where the status has no body.
    pub(crate) body: Vec<u8>,
    pub(crate) location: Option<String>,
}

impl Reply {
    pub(crate) fn ok(body: Vec<u8>) -> Self {
        Self {
            status: 200,
            body,
            location: None,
        }
    }

    fn no_content() -> Self {
        Self {
            status: 204,
            body: Vec::new(),
            location: None,
        }
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        Self {
            status: refusal.status,
            body: refusal.to_body(),
            location: None,
        }
    }
}

impl Call {
    /// The value of a parameter, its name in any case.
    fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// `v67.0`, as it was asked for, and where the rest leads.
    fn route(&self) -> Result<(&str, Route), Refusal> {
        let rest = self
            .path
            .strip_prefix("/services/data/")
            .ok_or_else(Refusal::not_found)?;
        let mut parts = rest.split('/');
        let version = parts.next().unwrap_or_default();
        route::check_version(version)?;
        let mut parts: Vec<String> = parts.map(route::decode).collect();
        if parts.last().is_some_and(String::is_empty) {
            parts.pop();
        }
        Ok((version, Route::find(&parts).ok_or_else(Refusal::not_found)?))
    }

    /// What the call is called in the statistics: its path without ids and
    /// values.
    pub(crate) fn resource(&self) -> String {
        match self.route() {
            Ok((_, route)) => route.resource(),
            Err(_) => "unknown".to_owned(),
        }
    }

    /// Whether it can change records.
    pub(crate) fn writes(&self) -> bool {
        let reads = matches!(self.route(), Ok((_, Route::CollectionOf(_))));
        self.method != Method::Get && !reads
    }
}

/// `GET /services/data`: needs no token and costs no call.
pub(crate) fn versions() -> Reply {
    let versions: Vec<serde_json::Value> = VERSIONS
        .map(|number| {
            // v66.0 is Spring '26, v67.0 Summer '26, v68.0 Winter '27.
            let season = ["Spring", "Summer", "Winter"][number as usize % 3];
            let year = (number + 1) / 3 + 4;
            serde_json::json!({
                "label": format!("{season} '{year:02}"),
                "url": format!("/services/data/v{number}.0"),
                "version": format!("{number}.0"),
            })
        })
        .collect();
    Reply::ok(serde_json::Value::from(versions).to_string().into_bytes())
}

/// Does what a call asks. What it changed is kept only if the caller commits.
pub(crate) fn perform(session: &mut Session<'_>, call: &Call) -> Reply {
    match call.route() {
        Ok((version, route)) => {
            dispatch(session, call, version, &route).unwrap_or_else(Reply::from)
        }
        Err(refusal) => refusal.into(),
    }
}

fn dispatch(
    session: &mut Session<'_>,
    call: &Call,
    version: &str,
    route: &Route,
) -> Result<Reply, Refusal> {
    use Method::{Delete, Get, Patch, Post};
    if matches!(call.method, Post | Patch) && !is_json(call.body.as_bytes()) {
        return Err(not_json(&call.body));
    }
    match (call.method, route) {
        (Get, Route::Version) => Ok(describe::version(version)),
        (Get, Route::RecordCount) => {
            Ok(describe::record_count(session, call.parameter("sObjects")))
        }
        (Get, Route::Global) => Ok(describe::global(session, version)),
        (Get, Route::Object(object)) => describe::basic(session, version, object),
        (Get, Route::Describe(object)) => describe::object(session, version, object),
        (Post, Route::Object(object)) => rows::create(session, version, object, &call.body),
        (Get, Route::Row(object, id)) => {
            rows::read(session, version, object, id, call.parameter("fields"))
        }
        (Patch, Route::Row(object, id)) => rows::update(session, object, id, &call.body),
        (Delete, Route::Row(object, id)) => rows::delete(session, object, id),
        (
            method,
            Route::RowByKey {
                object,
                field,
                value,
            },
        ) => {
            let key = rows::ByKey {
                object,
                field,
                value,
                version,
            };
            match method {
                Get => rows::read_by_key(session, key, call.parameter("fields")),
                Patch => rows::upsert(
                    session,
                    key,
                    &call.body,
                    call.parameter("updateOnly") == Some("true"),
                ),
                Delete => rows::delete_by_key(session, key),
                other => Err(Refusal::method(other.as_str(), route.allowed())),
            }
        }
        (Get, Route::Query { all }) => {
            let soql = call.parameter("q").ok_or_else(|| {
                Refusal::new(
                    "MALFORMED_QUERY",
                    "SOQL statement cannot be empty; the parameter q is missing",
                )
            })?;
            query::first_page(session, version, soql, *all, call.batch_size)
        }
        (Get, Route::MoreOfQuery(cursor)) => query::next_page(session, version, cursor),
        (Post, Route::Collection) => collections::create(session, &call.body),
        (Patch, Route::Collection) => collections::update(session, &call.body),
        (Delete, Route::Collection) => collections::delete(
            session,
            call.parameter("ids"),
            call.parameter("allOrNone") == Some("true"),
        ),
        (Patch, Route::CollectionByKey { object, field }) => {
            collections::upsert(session, object, field, &call.body)
        }
        (Get, Route::CollectionOf(object)) => collections::read(
            session,
            version,
            object,
            call.parameter("ids"),
            call.parameter("fields"),
        ),
        (Post, Route::CollectionOf(object)) => {
            collections::read_many(session, version, object, &call.body)
        }
        (Post, Route::Composite) => composite::composite(session, &call.body),
        (Post, Route::Graph) => composite::graph(session, &call.body),
        (method, route) => Err(Refusal::method(method.as_str(), route.allowed())),
    }
}

fn not_json(body: &str) -> Refusal {
    let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(body) else {
        return Refusal::bad_json("Unexpected content");
    };
    let (line, column) = (error.line().max(1), error.column());
    if error.is_eof() {
        return Refusal::bad_json(format!(
            "Unexpected end-of-input: was expecting closing quote or bracket at [line:{line}, column:{column}]"
        ));
    }
    let found = body
        .lines()
        .nth(line - 1)
        .and_then(|text| text.as_bytes().get(column.saturating_sub(1)));
    let found = found.copied().unwrap_or(b' ');
    Refusal::bad_json(format!(
        "Unexpected character ('{}' (code {found})) at [line:{line}, column:{column}]",
        char::from(found)
    ))
}
