//! A no, as RFC 9457 writes it ("Problem Details for HTTP APIs"): programs read
//! `error`, people read `message`, which says what to do where there is
//! something.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use axum::{
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sqlx::types::time::OffsetDateTime;

use crate::{contracts, ledger, seldom::Seldom, telemetry::Chain};

/// A refusal or a failure.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    /// No page of its own explains it.
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    #[serde(serialize_with = "number")]
    status: StatusCode,
    detail: String,
    error: &'static str,
    message: String,
    /// Since when a service does not answer.
    #[serde(
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    since: Option<OffsetDateTime>,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

/// How long whoever asks is to wait for a service that does not answer.
const SOON: Duration = Duration::from_secs(5);

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands a field over by reference"
)]
fn number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    fn new(status: StatusCode, error: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status,
            detail: message.clone(),
            error,
            message,
            since: None,
            retry_after: None,
        }
    }

    /// The question itself makes no sense.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message)
    }

    /// There is no such thing.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// No token, or another one.
    pub(super) fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "send the header `Authorization: Bearer` with the token that WEB_TOKEN holds",
        )
    }

    /// An order that did not come from our own form.
    pub(super) fn forged() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "this did not come from a form of this session: load the page again and repeat it there",
        )
    }

    /// More than anybody needs to send.
    pub(super) fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "the request has a body of more than 64 KiB; send none",
        )
    }

    /// Too many requests; in so long there is room for one again.
    pub(super) fn too_many(wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                "too many requests: wait as long as the header Retry-After says, or raise WEB_RATE_LIMIT",
            )
        }
    }

    /// What the answer needs does not answer.
    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self {
            retry_after: Some(SOON),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
        }
    }

    /// Its status in words.
    pub(super) fn title(&self) -> &'static str {
        self.title
    }

    /// Its status.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// What is wrong, for a person.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// Tells when to ask again, if asking again helps.
    pub(super) fn put_retry_after(&self, headers: &mut HeaderMap) {
        let seconds = self
            .retry_after
            .map(|wait| wait.as_secs_f64().ceil().max(1.0));
        let value = seconds.and_then(|seconds| format!("{seconds:.0}").parse().ok());
        if let Some(value) = value {
            headers.insert(RETRY_AFTER, value);
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        self.put_retry_after(headers);
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"usage-sync\"");
            headers.insert(WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

impl From<ledger::Error> for Problem {
    fn from(error: ledger::Error) -> Self {
        Self::of_ledger(&error)
    }
}

impl Problem {
    fn of_ledger(error: &ledger::Error) -> Self {
        let message = match error {
            error if error.is_locked() => {
                "a table that the view usage_sync.usage reads is locked, as by a migration of the app: try again"
            }
            ledger::Error::Unavailable(_) => {
                "the app's database does not answer in time, as when it is away or very many changes wait: try again"
            }
            ledger::Error::View(_) | ledger::Error::Row(_) => {
                "the view usage_sync.usage cannot be read: `usage-sync check` says why"
            }
            ledger::Error::Schema(_) => {
                "the schema usage_sync is missing or of another version: run `usage-sync migrate`"
            }
        };
        say("postgres", error);
        Self::unavailable(message)
    }
}

impl From<contracts::Error> for Problem {
    fn from(error: contracts::Error) -> Self {
        let remedy = error.remedy();
        let with_remedy = |text: String| match remedy {
            Some(remedy) => format!("{text}: {remedy}"),
            None => text,
        };
        match &error {
            contracts::Error::Invalid { .. } => Self::invalid(with_remedy(error.to_string())),
            contracts::Error::Unavailable { since, .. } => {
                say("salesforce", &error);
                // Used-up calls and a wrong address need a person, a slow answer none.
                let message = with_remedy(format!(
                    "{}; contracts are read live and never kept, so nothing is known until it answers",
                    Chain(&error)
                ));
                Self {
                    since: Some(*since),
                    ..Self::unavailable(message)
                }
            }
            contracts::Error::Refused(_) => {
                say("salesforce", &error);
                let message = with_remedy(Chain(&error).to_string());
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "refused", message)
            }
            contracts::Error::Ledger(error) => Self::of_ledger(error),
        }
    }
}

/// A request that is not carried out is the business of whoever runs the gateway.
fn say(dependency: &'static str, error: &(dyn std::error::Error + 'static)) {
    // Neither is to hide that the other is away, too.
    static POSTGRES: LazyLock<Seldom> = LazyLock::new(Seldom::default);
    static SALESFORCE: LazyLock<Seldom> = LazyLock::new(Seldom::default);
    let said = if dependency == "postgres" {
        &POSTGRES
    } else {
        &SALESFORCE
    };
    if let Some(count) = said.add(1, Instant::now()) {
        tracing::warn!(dependency, count, error = %Chain(error), "requests could not be answered");
    }
}

/// Nothing is found at this address.
pub(super) async fn no_such_path() -> Problem {
    Problem::not_found("no such path; /openapi.json lists them")
}

/// The address is right, and the method is not; the header Allow tells which are.
pub(super) async fn no_such_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "use a method that the header Allow names",
    )
}

/// The program is wrong. The log has the rest.
pub(super) fn bug() -> Response {
    let message = "a bug: the log says more";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "bug", message).into_response()
}
