//! Paths below `/services/data/vXX.0`: where they lead, which verbs they take.

use std::borrow::Cow;

use super::super::refusal::Refusal;
use super::VERSIONS;

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
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

/// One part of a path. The decoder is one for forms, so what means something
/// in a form only is protected first.
pub(super) fn decode(part: &str) -> String {
    let protected = part
        .replace('+', "%2B")
        .replace('&', "%26")
        .replace('=', "%3D");
    let decoded = url::form_urlencoded::parse(protected.as_bytes()).next();
    decoded.map_or_else(String::new, |(text, _)| text.into_owned())
}

impl Route {
    pub(super) fn find(parts: &[String]) -> Option<Self> {
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

    pub(super) fn resource(&self) -> String {
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

    pub(super) fn allowed(&self) -> &'static str {
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
pub(super) fn check_version(version: &str) -> Result<(), Refusal> {
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
