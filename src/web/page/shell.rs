//! What every page has around it: the head, the way to the others, the search.

use axum::{
    http::StatusCode,
    response::{Html, IntoResponse as _, Response},
};
use maud::{DOCTYPE, Markup, html};

use super::visitor::Visitor;
use crate::web::problem::Problem;

/// A page for somebody who is logged in.
pub(super) fn page(visitor: &Visitor, title: &str, content: &Markup) -> Html<String> {
    let header = html! {
        nav aria-label="Pages" {
            a href="/" { strong { "usage-sync" } }
            a href="/rejected" { "Rejected" }
        }
        form role="search" action="/search" {
            label for="q" class="quiet" { "Ad, contract or record" }
            input id="q" name="q" type="search" required autocomplete="off" spellcheck="false";
            button { "Find" }
        }
        form method="post" action="/logout" {
            (mark(visitor, "/"))
            button class="plain" { "Log out" }
        }
    };
    Html(frame(title, &header, content).into_string())
}

/// What makes a form one of this session's, and where it leads back to.
pub(super) fn mark(visitor: &Visitor, back: &str) -> Markup {
    html! {
        input type="hidden" name="mark" value=(visitor.form_mark);
        input type="hidden" name="back" value=(back);
    }
}

/// A table that may be wider than a phone: it is moved by finger or by key.
pub(super) fn wide(label: &str, table: &Markup) -> Markup {
    html! { div class="wide" role="region" aria-label=(label) tabindex="0" { (table) } }
}

/// A page for anybody.
pub(super) fn bare(title: &str, content: &Markup) -> Html<String> {
    let header = html! { nav { strong { "usage-sync" } } };
    Html(frame(title, &header, content).into_string())
}

/// A no, with what to do.
pub(super) fn refuse(problem: &Problem) -> Response {
    let title = match problem.status() {
        StatusCode::SERVICE_UNAVAILABLE => "Not available now",
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::UNPROCESSABLE_ENTITY => "That cannot be",
        _ => problem.title(),
    };
    let content = html! {
        h1 { (title) }
        p { (sentence(problem.message())) }
        p { a href="/" { "To the first page" } }
    };
    let mut response = bare(title, &content).into_response();
    *response.status_mut() = problem.status();
    problem.put_retry_after(response.headers_mut());
    response
}

/// With a capital and a full stop.
pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    let stop = if text.ends_with(['.', '!', '?', '…']) {
        ""
    } else {
        "."
    };
    format!("{first}{}{stop}", chars.as_str())
}

fn frame(title: &str, header: &Markup, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · usage-sync" }
                link rel="icon" href="/ops.svg" type="image/svg+xml";
                link rel="stylesheet" href="/ops.css";
                script src="/ops.js" defer {}
            }
            body {
                a class="skip" href="#main" { "Skip to the content" }
                header { (header) }
                p id="stale" role="status" hidden {}
                main id="main" tabindex="-1" { (content) }
            }
        }
    }
}
