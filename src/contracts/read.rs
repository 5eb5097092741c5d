//! One reading: what is pending, then what Salesforce says, put together.

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use time::OffsetDateTime;

use super::{Contract, Error, key::Question, row, soql::Template};
use crate::{
    ledger::{self, Booking},
    salesforce::{self, Client, Fields},
    settings,
};

/// Reads contracts.
#[derive(Debug)]
pub(super) struct Reader {
    client: Client,
    pool: PgPool,
    names: settings::Contract,
    template: Template,
    booking: Booking,
    /// How long the database may take.
    patience: Duration,
}

/// Why a reading failed.
pub(super) enum Failure {
    Salesforce(salesforce::Error),
    Ledger(ledger::Error),
}

impl Reader {
    /// Whoever asks waits for `limit` at most. Two readings after one another that
    /// the database lets wait end before that, so that it is not Salesforce who is
    /// taken to be away.
    pub(super) fn new(
        client: &Client,
        pool: PgPool,
        names: &settings::Contract,
        limit: Duration,
    ) -> Result<Self, Error> {
        let no_name = |variable| {
            let why = "it is no API name";
            Error::Refused(Arc::new(salesforce::Error::Settings { variable, why }))
        };
        Ok(Self {
            client: client.impatient(),
            pool,
            template: Template::new(names).map_err(no_name)?,
            booking: Booking {
                product: names.usage_product_field.clone(),
                relationship: relationship(&names.usage_product_field),
                external_id: names.product_external_id_field.clone(),
                quantity: names.usage_quantity_field.clone(),
            },
            names: names.clone(),
            patience: limit * 2 / 5,
        })
    }

    /// How many of these questions one query answers.
    pub(super) fn room(&self, questions: &[Question]) -> usize {
        self.template.room(questions)
    }

    /// All contracts that these questions ask for. What is pending comes first: an
    /// ad that is reported between the two is then counted twice for a moment, and
    /// never not at all.
    pub(super) async fn read(&self, questions: &[Question]) -> Result<Vec<Contract>, Failure> {
        let as_of = to_the_millisecond(OffsetDateTime::now_utc());
        let pending = ledger::pending(&self.pool, &self.booking, self.patience).await?;
        let rows: Vec<Fields> = self.client.query(&self.template.query(questions)).await?;
        let mut contracts = Vec::with_capacity(rows.len());
        for found in &rows {
            let mut contract = row::contract(found, &self.names, as_of)
                .ok_or_else(|| self.client.unreadable("a contract without its id"))?;
            let relationship = &self.names.products_relationship;
            let products: Vec<Fields> = self.client.children(found, relationship).await?;
            contract.products = products
                .iter()
                .map(|found| row::product(found, &self.names, &pending))
                .collect::<Option<_>>()
                .ok_or_else(|| self.client.unreadable("a product without its id"))?;
            contracts.push(contract);
        }
        Ok(contracts)
    }
}

impl From<salesforce::Error> for Failure {
    fn from(error: salesforce::Error) -> Self {
        Self::Salesforce(error)
    }
}

impl From<ledger::Error> for Failure {
    fn from(error: ledger::Error) -> Self {
        Self::Ledger(error)
    }
}

/// How a reference is followed: `Contract_Product__c` as `Contract_Product__r`,
/// `AccountId` as `Account` (SOQL and SOSL Reference, "Relationship Queries").
fn relationship(field: &str) -> String {
    match (field.strip_suffix("__c"), field.strip_suffix("Id")) {
        (Some(stem), _) => format!("{stem}__r"),
        (None, Some(stem)) => stem.to_owned(),
        (None, None) => field.to_owned(),
    }
}

/// Down to it, so that it is no later than it was.
fn to_the_millisecond(at: OffsetDateTime) -> OffsetDateTime {
    at.replace_millisecond(at.millisecond()).unwrap_or(at)
}
