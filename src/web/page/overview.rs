//! The first page: one sentence that says how things are, what is wrong with what
//! to do, the figures, the causes of what is stuck, and what the last day was like.

use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;
use sqlx::types::time::OffsetDateTime;

use super::{
    Shown, rejected,
    shell::{mark, page, wide},
    trend::charts,
    verdict::{alarms, verdict},
    visitor::Visitor,
    words::{counted, grouped, lasting, lasting_since, moment, moment_of},
};
use crate::{
    ledger::{self, answered_within},
    pace::Budget,
    queue::Depth,
    status::Status,
    web::{ANSWER, Shared, status},
};

/// Causes on this page; the others are one page further.
const CAUSES: usize = 10;

/// What was just done here.
#[derive(Deserialize)]
pub(super) struct Done {
    done: Option<String>,
    count: Option<u64>,
}

/// `GET /`.
pub(super) async fn show(State(web): Shared, visitor: Visitor, Query(done): Query<Done>) -> Shown {
    let now = OffsetDateTime::now_utc();
    let status = status::read(&web).await?;
    let causes = answered_within(ANSWER, ledger::causes(&web.pool)).await?;
    let charts = charts(&web).await?;
    let content = html! {
        (told(&done))
        div id="now" data-live {
            h1 { (verdict(&status)) }
            (alarms(&status))
            (tiles(&status, now))
        }
        section aria-labelledby="rejected" {
            h2 id="rejected" { "Rejected" }
            div id="causes" data-live="calm" { (rejected::causes(&causes, CAUSES, "/", &visitor, now)) }
        }
        section aria-labelledby="reporting" {
            h2 id="reporting" { "Reporting" }
            div id="switch" data-live="calm" { (switch(&status, &visitor, now)) }
        }
        section aria-labelledby="daemons" {
            h2 id="daemons" { "Daemons" }
            div id="crew" data-live { (daemons(&status, now)) }
        }
        section aria-labelledby="trend" {
            h2 id="trend" { "The last hour and day" }
            div id="charts" data-live { (charts) }
        }
    };
    Ok(page(&visitor, "Overview", &content))
}

/// What an order came to.
pub(super) fn told(done: &Done) -> Markup {
    let text = match (done.done.as_deref(), done.count) {
        (Some("retried"), Some(count)) => {
            format!(
                "{} will be reported again, at once if a daemon runs.",
                counted(count, "ad")
            )
        }
        (Some("retried"), None) => String::from("No ad is left to be tried again."),
        (Some("paused"), _) => String::from("Within 2 seconds nothing is reported any more."),
        (Some("resumed"), _) => String::from("Within 2 seconds what waited is reported."),
        _ => return html! {},
    };
    html! { p class="done" role="status" { (text) } }
}

fn tiles(status: &Status, now: OffsetDateTime) -> Markup {
    let salesforce = match status.salesforce.up {
        Some(true) => ("up", "good"),
        Some(false) => ("down", "bad"),
        None => ("unknown", "unsure"),
    };
    let reporting = if status.paused {
        ("paused", "unsure")
    } else {
        ("on", "good")
    };
    let since = status.salesforce.since.as_deref();
    let queue = match status.queue {
        Some(depth) => grouped(depth.total() as u64),
        None => String::from("unknown"),
    };
    let daemons = grouped(status.daemons.len() as u64);
    let calls = match status.salesforce.api_calls_left {
        Some(calls) => grouped(u64::try_from(calls).unwrap_or_default()),
        None => String::from("unknown"),
    };
    html! {
        dl class="tiles" {
            (tile("Salesforce", salesforce.0, salesforce.1, &html! {
                @if let Some(since) = since { "for " (lasting_since(since, now)) }
                @else { "only a daemon knows" }
                @match &status.place.org {
                    Some(org) => { br; "org " code { (org) } },
                    None => { br; "no org yet: nothing was reported" },
                }
            }))
            (tile("Reporting", reporting.0, reporting.1, &html! {
                @match &status.paused_since {
                    Some(since) => { "for " (lasting_since(since, now)) },
                    None => { "changes go out as they come" },
                }
            }))
            (tile("Lag", &lag(status), "", &html! { "age of the oldest change" }))
            (tile("Pending", &count(status.pending), "", &html! {
                "changes not yet reported"
                @if status.landing > 0 { ", " (counted(status.landing.unsigned_abs(), "record")) " to be read back" }
            }))
            (tile("Queue", &queue, "", &html! { (depth(status.queue)) }))
            (tile("Rejected", &count(status.rejected), if status.rejected > 0 { "bad" } else { "good" }, &html! { "ads that Salesforce refuses" }))
            (tile("API calls left", &calls, "", &html! { (budget(status.budget)) }))
            (tile("Daemons", &daemons, if status.daemons.is_empty() { "unsure" } else { "good" }, &html! { (at_work(status)) }))
        }
    }
}

fn tile(name: &str, value: &str, class: &str, more: &Markup) -> Markup {
    html! {
        div class="tile" {
            dt { (name) }
            dd { span class={ "value " (class) } { (value) } span class="quiet" { (more) } }
        }
    }
}

fn lag(status: &Status) -> String {
    if status.pending == 0 {
        return String::from("none");
    }
    lasting(status.lag_seconds)
}

fn count(number: i64) -> String {
    grouped(number.unsigned_abs())
}

fn at_work(status: &Status) -> String {
    if status.queue.is_none() {
        return String::from("Redis does not answer");
    }
    let in_hand: usize = status.daemons.iter().map(|daemon| daemon.in_hand).sum();
    let mut versions: Vec<&str> = Vec::new();
    for daemon in &status.daemons {
        if !versions.contains(&daemon.version.as_str()) {
            versions.push(&daemon.version);
        }
    }
    match versions.as_slice() {
        [] => String::from("none has given a sign of life"),
        [version] => format!(
            "version {version}, {} in hand",
            counted(in_hand as u64, "ad")
        ),
        several => format!(
            "versions {}, {} in hand",
            several.join(" and "),
            counted(in_hand as u64, "ad")
        ),
    }
}

fn depth(depth: Option<Depth>) -> String {
    match depth {
        None => String::from("Redis does not answer"),
        Some(depth) => {
            let known = format!(
                "{} ready, {} in hand, {} waiting",
                depth.ready, depth.claimed, depth.retry
            );
            match depth.suspects {
                0 => known,
                suspects => format!("{known}, {suspects} suspect"),
            }
        }
    }
}

fn budget(budget: Option<Budget>) -> String {
    match budget {
        Some(Budget { calls, left }) => {
            format!("{} of {} for reports", grouped(left), grouped(calls))
        }
        None => String::from("told by the next answer"),
    }
}

/// The daemons that live, and what each has in hand.
fn daemons(status: &Status, now: OffsetDateTime) -> Markup {
    if status.daemons.is_empty() {
        return html! {
            p class="quiet" {
                "None has given a sign of life in the last quarter of a minute. Each that runs stands here with its version and what it has in hand."
            }
        };
    }
    html! {
        (wide("What each daemon has in hand", &html! { table {
            thead { tr { th { "Daemon" } th { "Version" } th { "Started" } th { "In hand" } } }
            tbody {
                @for daemon in &status.daemons {
                    tr {
                        td { code { (daemon.id.chars().take(8).collect::<String>()) } }
                        td { (daemon.version) }
                        td { @if let Ok(since) = OffsetDateTime::from_unix_timestamp(daemon.since) { (moment(since, now)) } }
                        td { (counted(daemon.in_hand as u64, "ad")) }
                    }
                }
            }
        } }))
    }
}

/// Pause, or go on.
fn switch(status: &Status, visitor: &Visitor, now: OffsetDateTime) -> Markup {
    if !status.paused {
        return html! {
            p { "Changes are reported as they come." }
            form method="post" action="/pause" class="row" {
                (mark(visitor, "/"))
                label for="because" { "Why pause" }
                input id="because" name="because" maxlength="200" autocomplete="off";
                button { "Pause reporting" }
            }
        };
    }
    html! {
        p {
            "Paused"
            @if let Some(since) = &status.paused_since { " " (moment_of(since, now)) }
            @if let Some(because) = &status.paused_because { ": " q { (because) } }
            ". Changes are kept in the database and go out afterwards."
        }
        form method="post" action="/resume" {
            (mark(visitor, "/"))
            button { "Resume reporting" }
        }
    }
}
