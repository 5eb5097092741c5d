//! What every request passes through: the token, the size, the time, and the
//! headers of the answer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Extension,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue,
        header::{
            AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY,
            STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::{
    Web,
    access::Denied,
    caller::{Peer, address},
    problem::Problem,
};

/// A request has nothing to say that would need more.
const LARGEST: usize = 64 * 1024;

/// On every answer. Nothing is taken from elsewhere, framed, guessed or kept;
/// there are no headers for CORS, so no page of another site reads anything.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "same-origin"),
    (CACHE_CONTROL, "no-store"),
];

/// Lets only those pass who have the bearer token.
pub(super) async fn with_token(
    State(web): State<Arc<Web>>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let from = address(peer, headers);
    match web.access.enter(bearer(headers), from, Instant::now()) {
        Ok(()) => next.run(request).await,
        Err(Denied::Stranger) => Problem::unauthorized().into_response(),
        Err(Denied::TooOften(wait)) => Problem::too_many(wait).into_response(),
    }
}

/// The credentials of the scheme `Bearer` (RFC 6750), if there are any.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, credentials) = value.split_at_checked(b"Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| credentials.trim_ascii())
}

/// Reads the body, unless it is too large.
pub(super) async fn small(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match to_bytes(body, LARGEST).await {
        Ok(body) => next.run(Request::from_parts(parts, Body::from(body))).await,
        // Or the client went away, and nobody reads this.
        Err(_too_large) => Problem::too_large().into_response(),
    }
}

/// Answers in time, whatever hangs.
pub(super) async fn in_time(
    State(patience): State<Duration>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let late = |_elapsed| {
        Problem::unavailable("a service that the answer needs hangs: try again").into_response()
    };
    let response = tokio::time::timeout(patience, next.run(request)).await;
    let response = response.unwrap_or_else(late);
    tracing::debug!(
        http.method = %method,
        http.path = path,
        http.status = response.status().as_u16(),
        duration_ms = started.elapsed().as_millis(),
        "answered"
    );
    response
}

/// Puts the headers on that keep a browser from doing more than it should.
pub(super) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_scheme_bearer_has_a_token() {
        for (value, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer   abc ", Some("abc")),
            ("Bearer ", Some("")),
            ("Bearer", None),
            ("Basic abc", None),
            ("Bearers abc", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());

            assert_eq!(bearer(&headers), token.map(str::as_bytes), "{value:?}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
