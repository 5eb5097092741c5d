//! The REST API below `/services/data`: from a path to what is done.
//!
//! A call comes in as plain data and goes out as plain data, so that a part
//! of a composite request goes the same way as a request of its own.

use std::borrow::Cow;
use std::str::FromStr;

use super::input::is_json;
use super::org::Session;
use super::refusal::Refusal;

mod collections;
mod composite;
mod describe;
mod query;
mod record;
mod rows;

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

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Route {
    Version,
    Limits,
    RecordCount,
    Global,
    Object(String),
    Describe(String),
    Row(String, String),
    RowByKey {
        object: String,
        field: String,
        value: String,
    },
    Query {
        all: bool,
    },
    MoreOfQuery(String),
    Collection,
    CollectionOf(String),
    CollectionByKey {
        object: String,
        field: String,
    },
    Composite,
    Graph,
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
        check_version(version)?;
        let mut parts: Vec<String> = parts.map(decode).collect();
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

/// One part of a path. The decoder is one for forms, so what means something
/// in a form only is protected first.
fn decode(part: &str) -> String {
    let protected = part
        .replace('+', "%2B")
        .replace('&', "%26")
        .replace('=', "%3D");
    let decoded = url::form_urlencoded::parse(protected.as_bytes()).next();
    decoded.map_or_else(String::new, |(text, _)| text.into_owned())
}

impl Route {
    fn find(parts: &[String]) -> Option<Self> {
        let own = |part: &String| part.clone();
        let words: Vec<Cow<'_, str>> = parts
            .iter()
            .take(3)
            .map(|part| part.to_lowercase().into())
            .collect();
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        Some(match (words.as_slice(), parts) {
            ([], _) => Self::Version,
            (["limits"], _) => Self::Limits,
            (["limits", "recordcount"], _) => Self::RecordCount,
            (["query"], _) => Self::Query { all: false },
            (["queryall"], _) => Self::Query { all: true },
            (["query" | "queryall", _], [_, cursor]) => Self::MoreOfQuery(own(cursor)),
            (["sobjects"], _) => Self::Global,
            (["sobjects", _], [_, object]) => Self::Object(own(object)),
            (["sobjects", _, "describe"], [_, object, _]) => Self::Describe(own(object)),
            (["sobjects", _, _], [_, object, id]) => Self::Row(own(object), own(id)),
            (["sobjects", ..], [_, object, field, value]) => Self::RowByKey {
                object: own(object),
                field: own(field),
                value: own(value),
            },
            (["composite"], _) => Self::Composite,
            (["composite", "graph"], _) => Self::Graph,
            (["composite", "sobjects"], _) => Self::Collection,
            (["composite", "sobjects", _], [_, _, object]) => Self::CollectionOf(own(object)),
            (["composite", "sobjects", _], [_, _, object, field]) => Self::CollectionByKey {
                object: own(object),
                field: own(field),
            },
            _ => return None,
        })
    }

    fn resource(&self) -> String {
        match self {
            Self::Version => "version".to_owned(),
            Self::Limits => "limits".to_owned(),
            Self::RecordCount => "limits/recordCount".to_owned(),
            Self::Global => "sobjects".to_owned(),
            Self::Object(object) => format!("sobjects/{object}"),
            Self::Describe(object) => format!("sobjects/{object}/describe"),
            Self::Row(object, _) => format!("sobjects/{object}/{{id}}"),
            Self::RowByKey { object, field, .. } => format!("sobjects/{object}/{field}/{{value}}"),
            Self::Query { all: false } => "query".to_owned(),
            Self::Query { all: true } => "queryAll".to_owned(),
            Self::MoreOfQuery(_) => "query/{cursor}".to_owned(),
            Self::Collection => "composite/sobjects".to_owned(),
            Self::CollectionOf(object) => format!("composite/sobjects/{object}"),
            Self::CollectionByKey { object, field } => {
                format!("composite/sobjects/{object}/{field}")
            }
            Self::Composite => "composite".to_owned(),
            Self::Graph => "composite/graph".to_owned(),
        }
    }

    fn allowed(&self) -> &'static str {
        match self {
            Self::Version
            | Self::Limits
            | Self::RecordCount
            | Self::Global
            | Self::Describe(_)
            | Self::Query { .. }
            | Self::MoreOfQuery(_) => "GET,HEAD",
            Self::Row(..) | Self::RowByKey { .. } => "GET,HEAD,PATCH,DELETE",
            Self::Collection => "DELETE,PATCH,POST",
            Self::Object(_) | Self::CollectionOf(_) => "GET,HEAD,POST",
            Self::CollectionByKey { .. } => "PATCH",
            Self::Composite | Self::Graph => "POST",
        }
    }
}

/// Versions are numbers, not texts: 9.0 is older than 60.0. Those below 31.0
/// are gone (EOL table of the API), those that do not exist are not found.
fn check_version(version: &str) -> Result<(), Refusal> {
    let number = version
        .strip_prefix('v')
        .and_then(|number| number.strip_suffix(".0"));
    match number.and_then(|number| number.parse::<u32>().ok()) {
        Some(number) if VERSIONS.contains(&number) => Ok(()),
        Some(number) if (1..*VERSIONS.start()).contains(&number) => {
            Err(Refusal::new("GONE", "The requested resource is no longer available").status(410))
        }
        _ => Err(Refusal::not_found()),
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
