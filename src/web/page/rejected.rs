//! What Salesforce refuses, by cause, and the ads behind one cause.

use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;
use sqlx::types::time::OffsetDateTime;
use url::form_urlencoded;

use super::{
    Shown,
    overview::{Done, told},
    shell::{mark, page},
    visitor::Visitor,
    words::{counted, grouped, moment},
};
use crate::{
    ledger::{self, Behind, Cause, Kind, answered_within},
    web::{ANSWER, Shared},
};

/// Ads on one page.
const PAGE: u32 = 100;

/// Causes on one page: each ad has one of its own where the words differ from ad
/// to ad.
const CAUSES: usize = 100;

/// Which cause, and from where on.
#[derive(Deserialize)]
pub(super) struct Asked {
    code: Option<String>,
    field: Option<String>,
    rule: Option<String>,
    after: Option<String>,
    /// The place of the first cause.
    from: Option<usize>,
}

/// `GET /rejected`: all causes, or the ads behind one.
pub(super) async fn show(
    State(web): Shared,
    visitor: Visitor,
    Query(asked): Query<Asked>,
    Query(done): Query<Done>,
) -> Shown {
    let now = OffsetDateTime::now_utc();
    let Asked {
        code,
        field,
        rule,
        after,
        from,
    } = asked;
    let Some((code, rule)) = code.zip(rule) else {
        let causes = answered_within(ANSWER, ledger::causes(&web.pool)).await?;
        // Those that are tried again move up: behind the last there may be none.
        let from = from.filter(|from| *from < causes.len()).unwrap_or(0);
        let next = from.saturating_add(CAUSES);
        let page_of_them = &causes[from..next.min(causes.len())];
        let back = match from {
            0 => String::from("/rejected"),
            from => format!("/rejected?from={from}"),
        };
        let content = html! {
            (told(&done))
            h1 { "Rejected ads" }
            h2 class="hidden" { "Causes" }
            div id="causes" data-live="calm" {
                (self::causes(page_of_them, CAUSES, &back, &visitor, now))
                @if next < causes.len() {
                    p { a rel="next" href={ "/rejected?from=" (next) } { "The next causes" } " of " (grouped(causes.len() as u64)) }
                }
            }
        };
        return Ok(page(&visitor, "Rejected", &content));
    };
    let kind = Kind {
        code,
        field: field.filter(|field| !field.is_empty()),
        rule,
    };
    let behind = ledger::behind(&web.pool, &kind, after.as_deref(), PAGE);
    let behind = answered_within(ANSWER, behind).await?;
    let content = html! {
        (told(&done))
        h1 { "Rejected: " (kind.rule) }
        p { code { (kind.code) } @if let Some(field) = &kind.field { " on " code { (field) } } }
        (retry_cause(&kind, &visitor, &link(&kind, None)))
        (ads(&kind, &behind, &visitor, now))
    };
    Ok(page(&visitor, "Rejected", &content))
}

/// The causes, those with most ads first, `most` of them, on the page `back`.
pub(super) fn causes(
    causes: &[Cause],
    most: usize,
    back: &str,
    visitor: &Visitor,
    now: OffsetDateTime,
) -> Markup {
    if causes.is_empty() {
        return html! {
            p class="quiet" {
                "No ad is rejected. When Salesforce refuses one, it stands here with Salesforce's words, \
                 and is tried again by itself every few hours."
            }
        };
    }
    html! {
        p class="quiet" {
            "Correct the ad in the app, or in Salesforce what it refuses. An ad is tried again when it changes, \
             by itself every few hours, and by these buttons. Until then Salesforce keeps what it has."
        }
        ul class="causes" {
            @for cause in causes.iter().take(most) { (one(cause, back, visitor, now)) }
        }
        @if causes.len() > most {
            p { a href="/rejected" { "All " (counted(causes.len() as u64, "cause")) } }
        }
        form method="post" action="/retry" {
            (mark(visitor, back))
            input type="hidden" name="what" value="all";
            button { "Retry all rejected ads" }
        }
    }
}

fn one(cause: &Cause, back: &str, visitor: &Visitor, now: OffsetDateTime) -> Markup {
    let kind = Kind {
        code: cause.code.clone(),
        field: cause.field.clone(),
        rule: cause.rule.clone(),
    };
    let count = counted(cause.count.unsigned_abs(), "ad");
    html! {
        li class="card" {
            h3 { a href=(link(&kind, None)) { (count) } ": " (kind.rule) }
            p {
                code { (kind.code) }
                @if let Some(field) = &kind.field { " on " code { (field) } }
                ", the oldest " (moment(cause.since, now))
            }
            @if let Some(reason) = &cause.reason { p { (reason) } }
            p class="quiet" { "For example ad " a href=(super::ad::link(&cause.ad_id)) { (cause.ad_id) } ": " (cause.message) }
            (retry_cause(&kind, visitor, back))
        }
    }
}

fn retry_cause(kind: &Kind, visitor: &Visitor, back: &str) -> Markup {
    html! {
        form method="post" action="/retry" {
            (mark(visitor, back))
            input type="hidden" name="what" value="cause";
            input type="hidden" name="code" value=(kind.code);
            @if let Some(field) = &kind.field { input type="hidden" name="field" value=(field); }
            input type="hidden" name="rule" value=(kind.rule);
            button { "Retry all of this cause" }
        }
    }
}

fn ads(kind: &Kind, behind: &Behind, visitor: &Visitor, now: OffsetDateTime) -> Markup {
    if behind.ads.is_empty() {
        return html! {
            p class="quiet" { "No ad is rejected for this any more. " a href="/rejected" { "All causes" } }
        };
    }
    let last = behind.ads.last().map(|(ad_id, _)| ad_id.as_str());
    html! {
        table {
            thead { tr { th { "Ad" } th { "Rejected" } th { span class="hidden" { "Order" } } } }
            tbody {
                @for (ad_id, since) in &behind.ads {
                    tr {
                        td { a href=(super::ad::link(ad_id)) { (ad_id) } }
                        td { (moment(*since, now)) }
                        td { (super::ad::retry(ad_id, visitor, &link(kind, None))) }
                    }
                }
            }
        }
        @if behind.goes_on {
            p { a rel="next" href=(link(kind, last)) { "The next " (PAGE) } }
        }
    }
}

fn link(kind: &Kind, after: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("code", &kind.code);
    if let Some(field) = &kind.field {
        query.append_pair("field", field);
    }
    query.append_pair("rule", &kind.rule);
    if let Some(after) = after {
        query.append_pair("after", after);
    }
    format!("/rejected?{}", query.finish())
}
