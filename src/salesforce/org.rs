//! What the org says about itself: its objects and its limits.

use std::collections::HashMap;

use reqwest::Method;
use serde::Deserialize;

use super::client::{Client, Request};
use super::code::Purpose;
use super::error::Error;

/// What the org says about an object (REST API Developer Guide, "sObject
/// Describe"). Fields that are hidden from us are missing from it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "the flags are Salesforce's")]
pub struct Describe {
    /// Its API name.
    pub name: String,
    /// Whether we may create records of it.
    pub createable: bool,
    /// Whether we may change them.
    pub updateable: bool,
    /// Whether we may delete them.
    pub deletable: bool,
    /// Whether we may read them.
    pub queryable: bool,
    /// The fields that we may see.
    pub fields: Vec<Field>,
    /// The objects whose records may hang below one of it.
    #[serde(default)]
    pub child_relationships: Vec<Children>,
}

/// What the org says about the children of an object.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Children {
    /// Their object.
    #[serde(rename = "childSObject")]
    pub object: String,
    /// How they are named in SOQL, `Contract_Products__r`; some have no name.
    #[serde(default)]
    pub relationship_name: Option<String>,
}

/// What the org says about a field.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "the flags are Salesforce's")]
pub struct Field {
    /// Its API name.
    pub name: String,
    /// Its type in Salesforce's words: `double`, `string`, `reference`, ...
    #[serde(rename = "type")]
    pub kind: String,
    /// Longest text; zero for what is no text.
    #[serde(default)]
    pub length: u32,
    /// Whether we may set it on a new record.
    pub createable: bool,
    /// Whether we may change it.
    pub updateable: bool,
    /// Whether it may be empty.
    #[serde(default)]
    pub nillable: bool,
    /// Whether it is an external id.
    #[serde(default)]
    pub external_id: bool,
    /// Whether no two records may share a value.
    #[serde(default)]
    pub unique: bool,
    /// Whether its values differ by case.
    #[serde(default)]
    pub case_sensitive: bool,
    /// The objects that a reference may point to.
    #[serde(default)]
    pub reference_to: Vec<String>,
    /// How a reference is followed in SOQL: `Contract__r`.
    #[serde(default)]
    pub relationship_name: Option<String>,
    /// The values that a picklist offers.
    #[serde(default)]
    pub picklist_values: Vec<Choice>,
}

/// A value of a picklist.
#[derive(Debug, Clone, Deserialize)]
pub struct Choice {
    /// As it stands in records.
    pub value: String,
}

impl Describe {
    /// A field by its API name, whose case does not matter to Salesforce.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// The object of the children that are named so in SOQL.
    pub fn children(&self, relationship: &str) -> Option<&str> {
        let is_named = |children: &&Children| {
            let name = children.relationship_name.as_deref();
            name.is_some_and(|name| name.eq_ignore_ascii_case(relationship))
        };
        let found = self.child_relationships.iter().find(is_named);
        found.map(|children| children.object.as_str())
    }
}

/// One of the org's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Limit {
    /// What the org is entitled to.
    pub max: i64,
    /// What is left of it; below zero when it was overshot.
    pub remaining: i64,
}

impl Client {
    /// What the org says about an object.
    pub async fn describe(&self, object: &str) -> Result<Describe, Error> {
        self.read(self.path(&["sobjects", object, "describe"]))
            .await
    }

    /// Whether records of ours may be written, as far as the org says so without
    /// being sent one.
    pub async fn may_report(&self) -> Result<bool, Error> {
        let names = self.names();
        let describe = self.describe(&names.object).await?;
        let is_ours = |name: &String| describe.field(name).is_some_and(|field| field.createable);
        Ok(describe.createable
            && describe.updateable
            && describe.deletable
            && is_ours(&names.external_id)
            && names.revision.as_ref().is_none_or(is_ours))
    }

    /// The org's limits by name, such as `DailyApiRequests`; up to five
    /// minutes old (REST API Developer Guide, "Limits"). Needs the permission
    /// "View Setup and Configuration".
    pub async fn limits(&self) -> Result<HashMap<String, Limit>, Error> {
        self.read(self.path(&["limits"])).await
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, target: String) -> Result<T, Error> {
        let request = Request {
            purpose: Purpose::Read,
            method: Method::GET,
            target,
            body: None,
        };
        Ok(self.call(request).await?.json()?)
    }
}
