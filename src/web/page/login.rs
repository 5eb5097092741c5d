//! The form that asks for the token, and the way out.

use std::{sync::Arc, time::Instant};

use axum::{
    Form,
    extract::{Query, Request, State},
    http::{
        HeaderMap, HeaderValue,
        header::{LOCATION, SET_COOKIE},
    },
    response::{IntoResponse as _, Redirect, Response},
};
use maud::html;
use serde::Deserialize;
use sqlx::types::time::OffsetDateTime;

use super::{
    session::{LASTS, Session},
    shell,
    visitor::{NAME, Order, caller, is_foreign, local},
};
use crate::web::{Shared, Web, access::Denied, problem::Problem};

/// Where to go afterwards.
#[derive(Deserialize)]
pub(super) struct Next {
    next: Option<String>,
}

#[derive(Deserialize)]
struct Given {
    token: String,
    next: Option<String>,
}

/// `GET /login`.
pub(super) async fn form(Query(Next { next }): Query<Next>) -> Response {
    ask(next.as_deref(), false)
}

/// `POST /login`.
pub(super) async fn enter(State(web): Shared, request: Request) -> Response {
    use axum::extract::FromRequest as _;

    let (parts, body) = request.into_parts();
    if is_foreign(&parts.headers) {
        return shell::refuse(&Problem::forged());
    }
    let (from, headers) = (caller(&parts), parts.headers.clone());
    let Ok(Form(given)) = Form::<Given>::from_request(Request::from_parts(parts, body), &web).await
    else {
        return ask(None, true);
    };
    let now = Instant::now();
    match web
        .access
        .enter(Some(given.token.trim().as_bytes()), from, now)
    {
        Ok(()) => opened(&web, &headers, local(given.next.as_deref())),
        Err(Denied::Stranger) => ask(given.next.as_deref(), true),
        Err(Denied::TooOften(wait)) => shell::refuse(&Problem::too_many(wait)),
    }
}

/// `POST /logout`.
pub(super) async fn leave(headers: HeaderMap, _order: Order) -> Response {
    let mut response = Redirect::to("/login").into_response();
    put(&mut response, &headers, "", 0);
    response
}

fn opened(web: &Arc<Web>, headers: &HeaderMap, next: &str) -> Response {
    let session = Session::begin(OffsetDateTime::now_utc());
    let mut response = Redirect::to("/").into_response();
    // It is local, but may hold what no header does.
    if let Ok(next) = HeaderValue::from_str(next) {
        response.headers_mut().insert(LOCATION, next);
    }
    put(
        &mut response,
        headers,
        &web.signer.cookie(&session),
        LASTS.as_secs(),
    );
    response
}

/// Sets the cookie: no script reads it, no other site has it sent, and it goes
/// through TLS only where TLS is: a proxy says so, on the own machine there is none.
fn put(response: &mut Response, request: &HeaderMap, value: &str, seconds: u64) {
    let proto = request.get("x-forwarded-proto");
    let secure = if proto.is_some_and(|proto| proto == "https") {
        "; Secure"
    } else {
        ""
    };
    let cookie =
        format!("{NAME}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    // Ours has nothing that a header could not hold.
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
}

fn ask(next: Option<&str>, refused: bool) -> Response {
    let content = html! {
        h1 { "Log in" }
        form method="post" action="/login" class="card" {
            @if refused {
                p id="wrong" class="bad" role="alert" { "That is not the token." }
            }
            label for="token" { "Token" }
            input id="token" name="token" type="password" required autofocus
                autocomplete="current-password" aria-describedby="hint";
            p id="hint" class="quiet" { "The value of WEB_TOKEN of this installation." }
            input type="hidden" name="next" value=(local(next));
            button { "Log in" }
        }
    };
    let mut response = shell::bare("Log in", &content).into_response();
    if refused {
        *response.status_mut() = axum::http::StatusCode::FORBIDDEN;
    }
    response
}
