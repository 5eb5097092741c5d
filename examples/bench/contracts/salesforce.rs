//! The same question, put to Salesforce without anything in between.

use std::sync::Arc;

use usage_sync::salesforce::{Client, Fields};

use super::readers::Readers;
use super::{Asked, Expected};
use crate::Error;

/// As the library asks it with the names of the default settings.
fn soql(contracts: &[&str]) -> String {
    let ids: Vec<String> = contracts.iter().map(|id| format!("'{id}'")).collect();
    format!(
        "SELECT Id, ContractNumber, Status, Account.Id, Account.Name, (SELECT Id, Product_Code__c, \
         Name, Units__c, Price__c, Consumed__c, Available__c, External_Id__c FROM \
         Contract_Products__r ORDER BY Name, Id) FROM Contract WHERE Id IN ({}) \
         ORDER BY ContractNumber, Id",
        ids.join(",")
    )
}

/// All contracts at once, as one query of the library's asks for them.
pub(super) fn all(
    client: &Client,
    readers: &Readers,
) -> impl Fn(Arc<Expected>) -> Asked + Clone + use<> {
    let ids: Vec<&str> = readers
        .expected
        .iter()
        .map(|expected| expected.contract.as_str())
        .collect();
    let (client, soql, count) = (client.clone(), soql(&ids), ids.len());
    move |_| Box::pin(ask(client.clone(), soql.clone(), count))
}

/// One contract.
pub(super) fn each(client: &Client) -> impl Fn(Arc<Expected>) -> Asked + Clone + use<> {
    let client = client.clone();
    move |expected| Box::pin(ask(client.clone(), soql(&[&expected.contract]), 1))
}

async fn ask(client: Client, soql: String, count: usize) -> Result<(), Error> {
    let rows: Vec<Fields> = client.query(&soql).await?;
    if rows.len() == count {
        return Ok(());
    }
    Err(Error::Inexact(format!(
        "{} of {count} contracts were found",
        rows.len()
    )))
}
