//! One contract, read live: what of each product is used, on the way, and left.

use axum::extract::State;
use maud::{Markup, html};
use sqlx::types::time::OffsetDateTime;

use super::{
    Refused, Shown, chart,
    shell::page,
    visitor::Visitor,
    words::{self, moment},
};
use crate::{
    contracts::{Amount, Contract, Product},
    web::{Shared, path::Key, problem::Problem},
};

/// `GET /contract/{key}`: by id or by number.
pub(super) async fn show(State(web): Shared, visitor: Visitor, Key(key): Key) -> Shown {
    let now = OffsetDateTime::now_utc();
    let found = web.contracts.one(&key).await;
    let contract = found
        .map_err(|error| Refused(error.into()))?
        .ok_or_else(|| {
            let message = format!("salesforce has no contract {key}: give its id or its number");
            Refused(Problem::not_found(message))
        })?;
    let content = html! {
        h1 { "Contract " (contract.number) }
        div id="contract" data-live data-seconds="60" {
            (facts(&contract, now))
            @if contract.products.is_empty() {
                p class="quiet" { "It has no product yet. The sales team adds them in Salesforce." }
            }
            @for product in &contract.products { (self::product(product)) }
        }
    };
    Ok(page(
        &visitor,
        &format!("Contract {}", contract.number),
        &content,
    ))
}

/// The page of a contract.
pub(super) fn link(key: &str) -> String {
    format!("/contract/{}", super::ad::segment(key))
}

fn facts(contract: &Contract, now: OffsetDateTime) -> Markup {
    html! {
        dl class="facts" {
            dt { "Account" } dd { (contract.account.as_deref().unwrap_or("none")) }
            dt { "Status" }
            dd {
                (contract.status)
                @if contract.locked { ": " strong class="bad" { "locked" } ", its usage cannot be changed" }
            }
            dt { "As of" } dd { (moment(contract.as_of, now)) ", read anew every minute" }
            dt { "Id" } dd { code { (contract.id) } }
        }
    }
}

fn product(product: &Product) -> Markup {
    let units = product.units.as_ref().map_or(0.0, Amount::approximate);
    let share = |amount: Option<&Amount>| {
        let amount = amount.map_or(0.0, Amount::approximate);
        if units > 0.0 { amount / units } else { 0.0 }
    };
    let shown =
        |amount: Option<&Amount>| amount.map_or_else(|| String::from("unknown"), words::amount);
    let (consumed, pending) = (product.consumed.as_ref(), &product.pending);
    let label = format!(
        "{} units: {} consumed, {} pending, {} available",
        shown(product.units.as_ref()),
        shown(consumed),
        words::amount(pending),
        shown(product.available.as_ref())
    );
    let overbooked = share(consumed) + share(Some(pending)) > 1.0;
    html! {
        section class="card" {
            h2 { (product.name) @if let Some(code) = &product.code { " " code { (code) } } }
            (chart::bar(&[("consumed", share(consumed)), ("pending", share(Some(pending)))], &label))
            @if overbooked { p class="bad" { "More is used than was sold." } }
            dl class="facts" {
                dt { span class="key consumed" aria-hidden="true" {} "Consumed" } dd { (shown(consumed)) }
                dt { span class="key pending" aria-hidden="true" {} "Pending, not yet told to Salesforce" } dd { (words::amount(pending)) }
                dt { span class="key rest" aria-hidden="true" {} "Available, pending ones among it" } dd { (shown(product.available.as_ref())) }
                dt { "Units" } dd { (shown(product.units.as_ref())) }
                dt { "Price" } dd { (shown(product.price.as_ref())) }
            }
        }
    }
}
