//! One ad: its state with the reason, what Salesforce holds of it, what was
//! refused, and its journal.

use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Map, value::RawValue};
use sqlx::types::time::OffsetDateTime;
use url::form_urlencoded::byte_serialize;

use super::{
    Refused, Shown,
    overview::{Done, told},
    shell::{mark, page, wide},
    visitor::Visitor,
    words::moment,
};
use crate::{
    ledger::{
        self, Ad, answered_within,
        history::{self, Entry, Page},
    },
    web::{ANSWER, Shared, path::Key, problem::Problem},
};

/// Entries of the journal on one page.
const PAGE: u32 = 50;

/// From where on backwards.
#[derive(Deserialize)]
pub(super) struct Before {
    before: Option<i64>,
}

/// What Salesforce holds of a line.
#[derive(Deserialize)]
struct Record {
    line: String,
    external_id: String,
    salesforce_id: Option<String>,
    fields: Box<RawValue>,
}

/// What it would not take.
#[derive(Deserialize)]
struct Refusal {
    line: String,
    contract: Option<String>,
    wanted: Option<Box<RawValue>>,
    held: Option<Box<RawValue>>,
    #[serde(default)]
    in_doubt: bool,
    message: Option<String>,
}

/// `GET /ad/{id}`.
pub(super) async fn show(
    State(web): Shared,
    visitor: Visitor,
    Key(id): Key,
    Query(Before { before }): Query<Before>,
    Query(done): Query<Done>,
) -> Shown {
    let now = OffsetDateTime::now_utc();
    let ad = answered_within(ANSWER, ledger::ad(&web.pool, &id)).await?;
    let ad = ad.ok_or_else(|| {
        let message = format!(
            "nobody ever saw an ad {id}: give the id as it stands in the view usage_sync.usage"
        );
        Refused(Problem::not_found(message))
    })?;
    let journal = history::page_of_ad(&web.pool, &id, before, PAGE);
    let journal = answered_within(ANSWER, journal).await?;
    let content = html! {
        (told(&done))
        h1 { "Ad " (ad.id) }
        div id="ad" data-live {
            (state(&ad, now))
            (refused(&ad))
            (records(&ad))
        }
        (retry(&ad.id, &visitor, &link(&ad.id)))
        section aria-labelledby="journal" {
            h2 id="journal" { "Journal" }
            div id="entries" data-live { (entries(&ad.id, &journal, now)) }
        }
    };
    Ok(page(&visitor, &format!("Ad {}", ad.id), &content))
}

/// The page of an ad, whatever its id is made of.
pub(super) fn link(ad_id: &str) -> String {
    format!("/ad/{}", segment(ad_id))
}

/// A text as one segment of a path.
pub(super) fn segment(text: &str) -> String {
    let encoded: String = byte_serialize(text.as_bytes()).collect();
    // Browsers take dots for themselves.
    match encoded.as_str() {
        "." => String::from("%2E"),
        ".." => String::from("%2E%2E"),
        _ => encoded.replace('+', "%20"),
    }
}

/// The order to try one ad again.
pub(super) fn retry(ad_id: &str, visitor: &Visitor, back: &str) -> Markup {
    html! {
        form method="post" action="/retry" {
            (mark(visitor, back))
            input type="hidden" name="what" value="ad";
            input type="hidden" name="ad" value=(ad_id);
            button aria-label={ "Retry ad " (ad_id) } { "Retry" }
        }
    }
}

fn state(ad: &Ad, now: OffsetDateTime) -> Markup {
    let class = match ad.state.as_str() {
        "reported" => "good",
        "rejected" => "bad",
        _ => "unsure",
    };
    html! {
        p { strong class=(class) { (ad.state) } ", " (moment(ad.since, now)) }
        @if let Some(reason) = &ad.reason { p class="reason" { (reason) } }
        @if let (Some(code), Some(message)) = (&ad.code, &ad.message) {
            p class="quiet" { code { (code) } " " (message) }
        }
        dl class="facts" {
            dt { "Changed" } dd { (moment(ad.changed_at, now)) }
            dt { "Last reported" }
            dd { @match ad.reported_at { Some(at) => (moment(at, now)), None => "never" } }
            dt { "Tries in vain since" } dd { (ad.attempts) }
        }
    }
}

fn refused(ad: &Ad) -> Markup {
    let refusals: Vec<Refusal> = serde_json::from_str(&ad.refused).unwrap_or_default();
    if refusals.is_empty() {
        return html! {};
    }
    html! {
        h2 { "Refused" }
        (wide("Lines that were refused", &html! { table {
            thead { tr { th { "Line" } th { "Contract" } th { "Wanted" } th { "Held by Salesforce" } th { "Salesforce's words" } } }
            tbody {
                @for refusal in &refusals {
                    tr {
                        td { (refusal.line) }
                        td { (contract(refusal.contract.as_deref())) }
                        td { @match &refusal.wanted { Some(wanted) => (fields(wanted)), None => "to be withdrawn" } }
                        td {
                            @match &refusal.held {
                                Some(held) => (fields(held)),
                                None if refusal.in_doubt => "nobody knows",
                                None => "nothing",
                            }
                        }
                        td { (refusal.message.as_deref().unwrap_or_default()) }
                    }
                }
            }
        } }))
    }
}

fn records(ad: &Ad) -> Markup {
    let records: Vec<Record> = serde_json::from_str(&ad.records).unwrap_or_default();
    html! {
        h2 { "Held by Salesforce" }
        @if records.is_empty() {
            p class="quiet" { "No record. Once the ad uses a product and was reported, its records stand here." }
        } @else {
            (wide("Records in Salesforce", &html! { table {
                thead { tr { th { "Line" } th { "External id" } th { "Salesforce's id" } th { "Fields" } } }
                tbody {
                    @for record in &records {
                        tr {
                            td { (record.line) }
                            td { code { (record.external_id) } }
                            td { code { (record.salesforce_id.as_deref().unwrap_or_default()) } }
                            td { (fields(&record.fields)) }
                        }
                    }
                }
            } }))
        }
    }
}

fn entries(ad_id: &str, journal: &Page, now: OffsetDateTime) -> Markup {
    if journal.entries.is_empty() {
        return html! { p class="quiet" { "Nothing was reported or refused yet." } };
    }
    html! {
        (wide("Entries of the journal", &html! { table {
            caption { "The newest first" }
            thead { tr { th { "When" } th { "What" } th { "Line" } th { "Contract" } th { "Fields" } th { "Answer" } } }
            tbody { @for entry in journal.entries.iter().rev() { (row(entry, now)) } }
        } }))
        @if let Some(before) = journal.before {
            p { a rel="next" href={ (link(ad_id)) "?before=" (before) } { "Earlier entries" } }
        }
    }
}

fn row(entry: &Entry, now: OffsetDateTime) -> Markup {
    let class = if entry.action == "reject" { "bad" } else { "" };
    html! {
        tr {
            td { (moment(entry.at, now)) }
            td class=(class) { (entry.action) }
            td { (entry.line.as_deref().unwrap_or_default()) }
            td { (contract(entry.contract.as_deref())) }
            td {
                @if let Some(text) = &entry.fields
                    && let Ok(raw) = serde_json::from_str::<Box<RawValue>>(text) { (fields(&raw)) }
            }
            td {
                @match (&entry.code, &entry.message) {
                    (Some(code), message) => { code { (code) } " " (message.as_deref().unwrap_or_default()) },
                    (None, _) => code { (entry.salesforce_id.as_deref().unwrap_or_default()) },
                }
            }
        }
    }
}

fn contract(name: Option<&str>) -> Markup {
    html! {
        @if let Some(name) = name { a href=(super::contract::link(name)) { (name) } }
    }
}

/// The fields of a record, in the digits they were sent with.
fn fields(fields: &RawValue) -> Markup {
    let known: Map<String, serde_json::Value> =
        serde_json::from_str(fields.get()).unwrap_or_default();
    let exact: std::collections::HashMap<String, &RawValue> =
        serde_json::from_str(fields.get()).unwrap_or_default();
    html! {
        dl class="fields" {
            @for (name, value) in &known {
                dt { (name) }
                dd {
                    @match value.as_str() {
                        Some(text) => (text),
                        None => (exact.get(name).map_or("", |raw| raw.get())),
                    }
                }
            }
        }
    }
}
