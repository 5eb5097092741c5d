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
    let returned = &product.pending_return;
    html! {
        section class="card" {
            h2 { (product.name) @if let Some(code) = &product.code { " " code { (code) } } }
            (chart::bar(&[("consumed", share(consumed)), ("pending", share(Some(pending)))], &label))
            @if let Some(words) = overbooked(product) { p class="bad" { (words) } }
            dl class="facts" {
                dt { span class="key consumed" aria-hidden="true" {} "Consumed" } dd { (shown(consumed)) }
                dt { span class="key pending" aria-hidden="true" {} "Pending, not yet told to Salesforce" } dd { (words::amount(pending)) }
                @if returned.approximate() > 0.0 {
                    dt { "Given back, not yet told to Salesforce" } dd { (words::amount(returned)) }
                }
                dt { span class="key rest" aria-hidden="true" {} "Available, pending ones among it" } dd { (shown(product.available.as_ref())) }
                dt { "Units" } dd { (shown(product.units.as_ref())) }
                dt { "Price" } dd { (shown(product.price.as_ref())) }
            }
        }
    }
}

/// What to say of a product of which more is taken than was sold. What is pending
/// may be counted twice for a while, so of that nothing is said for certain.
fn overbooked(product: &Product) -> Option<&'static str> {
    let units = product.units.as_ref()?.approximate();
    // Sums of such numbers differ in their last digits.
    let is_more = |taken: f64| taken - units > units.abs().max(1.0) * 1e-12;
    let consumed = product.consumed.as_ref().map_or(0.0, Amount::approximate);
    let pending = product.pending.approximate() - product.pending_return.approximate();
    if is_more(consumed) {
        Some("More is used than was sold.")
    } else if is_more(consumed + pending) {
        Some("More may be used than was sold, once Salesforce has been told of everything.")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::*;

    /// Units in tenths: sold, consumed, pending, and what comes back.
    fn of(tenths: [i64; 4]) -> Product {
        let [units, consumed, pending, pending_return] =
            tenths.map(|tenths| Amount::from(Decimal::new(tenths, 1)));
        Product {
            id: String::new(),
            code: None,
            name: String::new(),
            units: Some(units),
            price: None,
            consumed: Some(consumed),
            available: None,
            pending,
            pending_return,
        }
    }

    #[test]
    fn more_than_was_sold_is_said_only_of_what_is_certain() {
        for (tenths, said) in [
            ([3, 1, 2, 0], None),
            ([100, 100, 0, 0], None),
            ([100, 100, 50, 50], None),
            ([100, 100, 50, 0], Some("More may be used")),
            ([100, 101, 0, 50], Some("More is used")),
            ([0, 1, 0, 0], Some("More is used")),
        ] {
            let words = overbooked(&of(tenths));

            let is_right = match (words, said) {
                (Some(words), Some(said)) => words.starts_with(said),
                (words, said) => words == said,
            };
            assert!(is_right, "{tenths:?}: {words:?}");
        }
        let mut unknown = of([0, 1, 0, 0]);
        unknown.units = None;
        assert_eq!(overbooked(&unknown), None);
    }
}
