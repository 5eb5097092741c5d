//! Records in doubt: a request was made and nobody knows what came of it.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value};

use super::{Error, Pg};
use crate::{
    plan::{Operation, members},
    postgres,
};

/// A record that a request was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Doubt {
    external_id: String,
    ad_id: String,
    line: String,
    contract: Option<String>,
    salesforce_id: Option<String>,
    /// The fields that the request may set, with null as every value.
    blank: Map<String, Value>,
}

/// A row of an intent: external id, ad, line, contract, blank.
pub(super) type Intended = (String, String, String, Option<String>, String);

impl Doubt {
    pub(super) fn of_operation(ad_id: &str, operation: &Operation) -> Self {
        Self {
            external_id: operation.external_id.clone(),
            ad_id: ad_id.to_owned(),
            line: operation.line.clone(),
            contract: operation.contract.clone(),
            salesforce_id: operation.salesforce_id.clone(),
            blank: blank(&operation.body),
        }
    }

    pub(super) fn of_intent((external_id, ad_id, line, contract, body): Intended) -> Self {
        Self {
            external_id,
            ad_id,
            line,
            contract,
            salesforce_id: None,
            blank: blank(&body),
        }
    }
}

/// The fields of a JSON object, with null as every value. The plan has seen
/// that it is one.
fn blank(body: &str) -> Map<String, Value> {
    let names = members(body).unwrap_or_default().into_keys();
    names.map(|name| (name, Value::Null)).collect()
}

/// Notes in the ledger that these records are in doubt.
pub(super) async fn note(transaction: &mut Pg, doubts: &[Doubt]) -> Result<(), Error> {
    let doubts = folded(doubts);
    if doubts.is_empty() {
        return Ok(());
    }
    let salesforce_ids: Vec<Option<&str>> = doubts
        .iter()
        .map(|doubt| doubt.salesforce_id.as_deref())
        .collect();
    postgres::query(include_str!("doubt.sql"))
        .bind(text(&doubts, |doubt| &doubt.external_id))
        .bind(text(&doubts, |doubt| &doubt.ad_id))
        .bind(text(&doubts, |doubt| &doubt.line))
        .bind(contracts(&doubts))
        .bind(salesforce_ids)
        .bind(blanks(&doubts))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Notes that the requests about these records may take effect until the
/// window is over.
pub(super) async fn expect(
    transaction: &mut Pg,
    doubts: &[Doubt],
    window: Duration,
) -> Result<(), Error> {
    let doubts = folded(doubts);
    if doubts.is_empty() {
        return Ok(());
    }
    postgres::query(include_str!("expect.sql"))
        .bind(text(&doubts, |doubt| &doubt.external_id))
        .bind(text(&doubts, |doubt| &doubt.ad_id))
        .bind(text(&doubts, |doubt| &doubt.line))
        .bind(contracts(&doubts))
        .bind(blanks(&doubts))
        .bind(window.as_secs_f64())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// One for each record, in the order of their names, with the fields of all
/// requests that were about it.
fn folded(doubts: &[Doubt]) -> Vec<Doubt> {
    let mut records: BTreeMap<&str, Doubt> = BTreeMap::new();
    for doubt in doubts {
        let record = records
            .entry(&doubt.external_id)
            .or_insert_with(|| doubt.clone());
        record.blank.extend(doubt.blank.clone());
        if record.salesforce_id.is_none() {
            record.salesforce_id.clone_from(&doubt.salesforce_id);
        }
    }
    records.into_values().collect()
}

fn text(doubts: &[Doubt], of: for<'a> fn(&'a Doubt) -> &'a str) -> Vec<&str> {
    doubts.iter().map(of).collect()
}

fn contracts(doubts: &[Doubt]) -> Vec<Option<&str>> {
    doubts
        .iter()
        .map(|doubt| doubt.contract.as_deref())
        .collect()
}

fn blanks(doubts: &[Doubt]) -> Vec<String> {
    doubts
        .iter()
        .map(|doubt| Value::from(doubt.blank.clone()).to_string())
        .collect()
}
