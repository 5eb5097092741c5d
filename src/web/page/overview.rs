//! The first page: one sentence that says how things are, what is wrong with what
//! to do, the figures, and the causes of what is stuck.

use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;
use sqlx::types::time::OffsetDateTime;

use super::{
    Shown, chart,
    rates::{DAY, HOUR},
    rejected,
    shell::{mark, page, sentence, wide},
    visitor::Visitor,
    words::{counted, grouped, lasting, moment, moment_of},
};
use crate::{
    ledger::{self, answered_within},
    pace::Budget,
    queue::Depth,
    status::Status,
    web::{ANSWER, Shared, Web, status},
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
            (daemons(&status, now))
            (charts)
        }
        section aria-labelledby="reporting" {
            h2 id="reporting" { "Reporting" }
            div id="switch" data-live="calm" { (switch(&status, &visitor, now)) }
        }
        section aria-labelledby="rejected" {
            h2 id="rejected" { "Rejected" }
            div id="causes" data-live="calm" { (rejected::causes(&causes, CAUSES, "/", &visitor, now)) }
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

/// One sentence for whoever was woken up.
fn verdict(status: &Status) -> String {
    if status.elsewhere.is_some() {
        return String::from("Nothing is reported from here");
    }
    if status.paused {
        return String::from("Reporting is paused");
    }
    if status.salesforce.up == Some(false) {
        return String::from("Salesforce is down: changes wait, nothing is lost");
    }
    if status.salesforce.up.is_none() {
        return String::from(if status.queue.is_some() {
            "No daemon is running: changes wait, nothing is lost"
        } else {
            "Redis does not answer: changes wait, nothing is lost"
        });
    }
    if status.view.is_some() {
        return String::from("The view cannot be read: changes wait, nothing is lost");
    }
    if status.pending > 0 {
        let count = counted(status.pending.unsigned_abs(), "change");
        return format!(
            "{count} on the way, the oldest for {}",
            lasting(status.lag_seconds)
        );
    }
    match status.rejected {
        0 => String::from("Everything is reported"),
        1 => String::from("Everything is reported but for 1 rejected ad"),
        count => {
            let count = grouped(count.unsigned_abs());
            format!("Everything is reported but for {count} rejected ads")
        }
    }
}

/// What a person has to see to, with what to do.
fn alarms(status: &Status) -> Markup {
    let down = (status.salesforce.up == Some(false)).then_some((
        "Salesforce does not take reports",
        "The daemons try by themselves. If this lasts, look at status.salesforce.com, and run usage-sync check: it tells a refused login from an outage",
    ));
    let no_daemon = (status.salesforce.up.is_none() && status.queue.is_some()).then_some((
        "No daemon has given a sign of life",
        "Start one: heroku ps:scale worker=1",
    ));
    let no_redis = status.queue.is_none().then_some((
        "Redis does not answer",
        "Start it, or correct REDIS_URL. What is pending is in Postgres and goes out afterwards",
    ));
    let used_up = status.budget.is_some_and(|budget| budget.left == 0).then_some((
        "The budget of API calls is used up",
        "Reports go on as calls become free again. Raise SALESFORCE_API_BUDGET, or find out what else spends them",
    ));
    let told = [
        (&status.elsewhere, "usage-sync check says what to do"),
        (&status.view, "usage-sync check shows Postgres' words"),
        (
            &status.unwatched,
            "Call usage_sync.watch for the tables that the view reads, then run usage-sync backfill",
        ),
    ];
    let told = told
        .iter()
        .filter_map(|(what, remedy)| Some((what.as_deref()?, *remedy)));
    let alarms = [down, no_daemon, no_redis, used_up]
        .into_iter()
        .flatten()
        .chain(told);
    html! {
        @for (what, remedy) in alarms {
            div class="alarm" { strong { (sentence(what)) } p { (sentence(remedy)) } }
        }
    }
}

fn tiles(status: &Status, now: OffsetDateTime) -> Markup {
    let salesforce = match status.salesforce.up {
        Some(true) => ("up", "good"),
        Some(false) => ("down", "bad"),
        None => ("unknown", "unsure"),
    };
    let since = status.salesforce.since.as_deref();
    let queue = match status.queue {
        Some(depth) => grouped(depth.total() as u64),
        None => String::from("unknown"),
    };
    let calls = match status.salesforce.api_calls_left {
        Some(calls) => grouped(u64::try_from(calls).unwrap_or_default()),
        None => String::from("unknown"),
    };
    html! {
        dl class="tiles" {
            (tile("Salesforce", salesforce.0, salesforce.1, &html! {
                @if let Some(since) = since { "changed " (moment_of(since, now)) }
                @else { "only a daemon knows" }
                @match &status.place.org {
                    Some(org) => { br; "org " code { (org) } },
                    None => { br; "no org yet: nothing was reported" },
                }
            }))
            (tile("Lag", &lag(status), "", &html! { "age of the oldest change" }))
            (tile("Pending", &count(status.pending), "", &html! { "changes not yet reported" }))
            (tile("Queue", &queue, "", &html! { (depth(status.queue)) }))
            (tile("Rejected", &count(status.rejected), if status.rejected > 0 { "bad" } else { "good" }, &html! { "ads that Salesforce refuses" }))
            (tile("API calls left", &calls, "", &html! { (budget(status.budget)) }))
            (tile("In doubt", &count(status.landing), "", &html! { "records to be read back" }))
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
        return html! {};
    }
    html! {
        (wide("Daemons", &html! { table {
            caption { "Daemons" }
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

async fn charts(web: &Web) -> Result<Markup, ledger::Error> {
    let hour = web.rates.hour(&web.pool).await?;
    let day = web.rates.day(&web.pool).await?;
    let samples = web.redis.samples().await;
    let spans = [
        (hour, &HOUR, "last hour", "a minute", "1 hour ago"),
        (day, &DAY, "last day", "a quarter of an hour", "1 day ago"),
    ];
    Ok(html! {
        div class="charts" {
            @for (rate, span, name, every, from) in &spans {
                (records(rate.as_deref(), every, name, from))
                (lags(&span.lags(&samples), name, from))
                (calls(&span.calls(&samples), name, from))
            }
        }
    })
}

fn lags(lags: &[u64], span: &str, from: &str) -> Markup {
    #[allow(
        clippy::cast_precision_loss,
        reason = "seconds of a lag are far below 2^52"
    )]
    let most = lasting(lags.iter().copied().max().unwrap_or_default() as f64);
    let label = format!("Lag in the {span}: at most {most}");
    html! {
        figure {
            figcaption { "Lag of the " (span) ": " strong { "at most " (most) } }
            (chart::columns(lags, &label, from, "now"))
        }
    }
}

fn calls(calls: &[u64], span: &str, from: &str) -> Markup {
    let total = counted(calls.iter().sum(), "API call");
    let label = format!("{total} in the {span}");
    html! {
        figure {
            figcaption { "API calls of the " (span) ": " strong { (grouped(calls.iter().sum())) } }
            (chart::columns(calls, &label, from, "now"))
        }
    }
}

fn records(rate: Option<&[u64]>, every: &str, span: &str, from: &str) -> Markup {
    let Some(rate) = rate else {
        return html! {
            figure {
                figcaption { "Records of the " (span) }
                p class="quiet" { "The journal of this time is too large to draw." }
            }
        };
    };
    let total: u64 = rate.iter().sum();
    let most = rate.iter().copied().max().unwrap_or_default();
    let label = format!(
        "{} taken by Salesforce in the {span}, at most {} {every}",
        counted(total, "record"),
        grouped(most)
    );
    html! {
        figure {
            figcaption {
                "Records of the " (span) ": " strong { (grouped(total)) }
                span class="quiet" { ", at most " (grouped(most)) " " (every) }
            }
            (chart::columns(rate, &label, from, "now"))
        }
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
