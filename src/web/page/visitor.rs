//! Lets people in: by the cookie of a session, or by Basic with the token as the
//! password. Whoever has neither is led to the form; an order that does not come
//! from a form of the session is refused.

use std::{collections::HashMap, sync::Arc, time::Instant};

use axum::{
    Form,
    extract::{FromRequest, FromRequestParts, Request},
    http::{
        HeaderMap, HeaderValue, Method,
        header::{AUTHORIZATION, COOKIE, WWW_AUTHENTICATE},
        request::Parts,
    },
    response::{IntoResponse as _, Redirect, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sqlx::types::time::OffsetDateTime;
use url::form_urlencoded;

use super::{session::Session, shell};
use crate::web::{
    Web,
    access::Denied,
    caller::{Peer, address},
    problem::Problem,
};

/// The session's cookie. Lax and None would let other sites send it.
pub(super) const NAME: &str = "usage_sync_session";

/// Somebody who may see the page, with the mark for its forms.
pub(super) struct Visitor {
    pub(super) session: Session,
    pub(super) form_mark: String,
}

/// A form of the page, sent by a visitor.
pub(super) struct Order {
    fields: HashMap<String, String>,
}

impl Order {
    /// A field as it was sent.
    pub(super) fn verbatim(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// A field, if it holds something.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let text = self.verbatim(name)?.trim();
        (!text.is_empty()).then_some(text)
    }

    /// Where the form was, to go back to.
    pub(super) fn back(&self) -> &str {
        local(self.field("back"))
    }
}

impl FromRequestParts<Arc<Web>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Response> {
        let session = match cookie(&parts.headers) {
            Some(cookie) => web.signer.read(cookie, OffsetDateTime::now_utc()),
            None => None,
        };
        let session = match (session, password(&parts.headers)) {
            (Some(session), _) => {
                let taken = web.access.look(Instant::now());
                taken.map_err(|wait| shell::refuse(&Problem::too_many(wait)))?;
                session
            }
            (None, Some(password)) => {
                let from = caller(parts);
                let entered = web
                    .access
                    .enter(Some(password.as_slice()), from, Instant::now());
                entered.map_err(|denied| turned_away(&denied))?;
                Session::of_token()
            }
            (None, None) => return Err(to_login(parts)),
        };
        let form_mark = web.signer.form_mark(&session);
        Ok(Self { session, form_mark })
    }
}

impl FromRequest<Arc<Web>> for Order {
    type Rejection = Response;

    async fn from_request(request: Request, web: &Arc<Web>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, web).await?;
        let foreign = is_foreign(&parts.headers);
        let form = Form::from_request(Request::from_parts(parts, body), web).await;
        let Ok(Form(fields)) = form else {
            return Err(shell::refuse(&Problem::invalid("the form cannot be read")));
        };
        let order = Self { fields };
        let mark = order.field("mark").unwrap_or_default();
        if foreign || !web.signer.is_form_of(&visitor.session, mark) {
            return Err(shell::refuse(&Problem::forged()));
        }
        Ok(order)
    }
}

/// The address that limits are kept for.
pub(super) fn caller(parts: &Parts) -> std::net::IpAddr {
    let peer = parts.extensions.get::<Peer>().copied();
    // Every connection has one.
    let peer = peer.unwrap_or(Peer(([0, 0, 0, 0], 0).into()));
    address(peer, &parts.headers)
}

/// Whether a browser says that another site sends this (W3C, "Fetch Metadata
/// Request Headers").
pub(super) fn is_foreign(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    site.is_some_and(|site| site != "same-origin" && site != "none")
}

/// A path of this server and nothing else. Browsers take a backslash for a slash,
/// and leave tabs and line feeds out: to them `/<tab>/elsewhere` is `//elsewhere`
/// (WHATWG, "URL Standard").
pub(super) fn local(path: Option<&str>) -> &str {
    let leads_astray = |character: char| character == '\\' || character.is_control();
    let is_local = |path: &&str| {
        path.starts_with('/') && !path.starts_with("//") && !path.contains(leads_astray)
    };
    path.filter(is_local).unwrap_or("/")
}

fn turned_away(denied: &Denied) -> Response {
    match denied {
        Denied::TooOften(wait) => shell::refuse(&Problem::too_many(*wait)),
        Denied::Stranger => {
            let mut response = shell::refuse(&Problem::unauthorized());
            let scheme = HeaderValue::from_static("Basic realm=\"usage-sync\", charset=\"UTF-8\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
            response
        }
    }
}

fn to_login(parts: &Parts) -> Response {
    // An order is not repeated after the login.
    if parts.method != Method::GET && parts.method != Method::HEAD {
        return Redirect::to("/login").into_response();
    }
    let here = parts.uri.path_and_query().map_or("/", |here| here.as_str());
    if here == "/" {
        return Redirect::to("/login").into_response();
    }
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("next", here)
        .finish();
    Redirect::to(&format!("/login?{query}")).into_response()
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(COOKIE).into_iter();
    all.filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == NAME)
        .map(|(_, value)| value)
}

/// The password of the scheme `Basic` (RFC 7617); the name before it is anyone's.
fn password(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(credentials.trim()).unwrap_or_default();
    let password = decoded.splitn(2, |byte| *byte == b':').nth(1);
    Some(password.unwrap_or_default().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_elsewhere() {
        for (given, led_to) in [
            (None, "/"),
            (Some(""), "/"),
            (Some("/ad/4%2F2?x=1"), "/ad/4%2F2?x=1"),
            (Some("//evil.example"), "/"),
            (Some("/\\evil.example"), "/"),
            (Some("https://evil.example"), "/"),
            (Some("evil"), "/"),
            (Some("/\r\nx: y"), "/"),
            (Some("/\t/evil.example"), "/"),
            (Some("/\u{1}/evil.example"), "/"),
        ] {
            assert_eq!(local(given), led_to, "{given:?}");
        }
    }

    #[test]
    fn only_the_password_of_basic_counts() {
        for (value, found) in [
            ("Basic YTpi", Some("b")),
            ("basic YTpiOmM=", Some("b:c")),
            ("Basic OmI=", Some("b")),
            ("Basic YWI=", Some("")),
            ("Basic !", Some("")),
            ("Bearer b", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));

            let found = found.map(|found| found.as_bytes().to_vec());
            assert_eq!(password(&headers), found, "{value}");
        }
    }

    #[test]
    fn our_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(
            COOKIE,
            HeaderValue::from_static("a=b; usage_sync_sessions=x"),
        );
        assert_eq!(cookie(&headers), None);

        headers.append(
            COOKIE,
            HeaderValue::from_static("c=d;usage_sync_session=1.2=3"),
        );
        assert_eq!(cookie(&headers), Some("1.2=3"));
    }
}
