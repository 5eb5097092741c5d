//! Up to 200 records in one call (REST API Developer Guide, "sObject
//! Collections"): the call succeeds or fails as a whole only when Salesforce
//! does not get as far as the records.

use bytes::Bytes;
use reqwest::Method;
use serde::Deserialize;

use super::client::{Client, Request};
use super::code::Purpose;
use super::error::{Entry, Error, RecordError};
use super::id::to_18;
use super::names::Names;
use super::record::{Record, Target};

/// A record that Salesforce took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// Its id in Salesforce, 18 characters.
    pub id: String,
    /// Whether an upsert created it, where Salesforce says so.
    pub created: Option<bool>,
}

/// What a call on a list of records answers: one result for each record, in order.
pub type Results = Vec<Result<Saved, RecordError>>;

impl Client {
    /// Creates records that are certainly new. Up to 200 in a call.
    ///
    /// A record whose `fields` are unusable (no object, or a field in them that
    /// is ours to set) is refused in its place and not sent.
    pub async fn create(&self, records: &[Record<'_>]) -> Result<Results, Error> {
        let target = self.path(&["composite", "sobjects"]);
        self.save(Method::POST, target, records).await
    }

    /// Creates or updates records by their external id; repeating it is
    /// harmless. Otherwise as [`Self::create`].
    pub async fn upsert(&self, records: &[Record<'_>]) -> Result<Results, Error> {
        let Names {
            object,
            external_id,
            ..
        } = self.names();
        let target = self.path(&["composite", "sobjects", object, external_id]);
        self.save(Method::PATCH, target, records).await
    }

    /// Deletes records by id, up to 200 in a call. A record that is gone
    /// already counts as deleted.
    pub async fn delete(&self, ids: &[&str]) -> Result<Results, Error> {
        let checked: Vec<Result<String, RecordError>> = ids
            .iter()
            .map(|id| to_18(id).ok_or_else(|| RecordError::unusable("this is no record id")))
            .collect();
        let sent: Vec<&str> = checked.iter().flatten().map(String::as_str).collect();
        let path = self.path(&["composite", "sobjects"]);
        let target = format!("{path}?ids={}&allOrNone=false", sent.join(","));
        let results = self
            .collection(Method::DELETE, target, None, sent.len())
            .await?;
        let deleted = sent.iter().zip(results).map(|(id, result)| match result {
            Err(error) if error.is_gone() => Ok(Saved {
                id: (*id).to_owned(),
                created: None,
            }),
            other => other,
        });
        let deleted = deleted.collect();
        Ok(in_order(checked, deleted))
    }

    async fn save(
        &self,
        method: Method,
        target: String,
        records: &[Record<'_>],
    ) -> Result<Results, Error> {
        let names = self.names();
        let checked: Vec<Result<String, RecordError>> = records
            .iter()
            .map(|record| record.to_json(names, Target::Collection))
            .collect();
        let sent: Vec<&str> = checked.iter().flatten().map(String::as_str).collect();
        let body = format!(r#"{{"allOrNone":false,"records":[{}]}}"#, sent.join(","));
        let results = self
            .collection(method, target, Some(body.into()), sent.len())
            .await?;
        Ok(in_order(checked, results))
    }

    /// Sends `sent` records and reads as many results; sends nothing for none.
    async fn collection(
        &self,
        method: Method,
        target: String,
        body: Option<Bytes>,
        sent: usize,
    ) -> Result<Results, Error> {
        if sent == 0 {
            return Ok(Vec::new());
        }
        let answer = self
            .call(Request {
                purpose: Purpose::Write,
                method,
                target,
                body,
            })
            .await?;
        let outcomes: Vec<Outcome> = answer.json()?;
        if outcomes.len() != sent {
            return Err(Error::Miscounted {
                sent,
                received: outcomes.len(),
            });
        }
        let ours = self.names();
        let results: Option<Results> = outcomes
            .into_iter()
            .map(|outcome| outcome.result(ours))
            .collect();
        results.ok_or_else(|| answer.unreadable("a success without a record id").into())
    }
}

/// One result, of a collection or of a single row.
#[derive(Debug, Deserialize)]
pub(super) struct Outcome {
    id: Option<String>,
    /// Alone says whether the record was taken: a refused one may carry an id
    /// or `"created":true` all the same.
    success: bool,
    #[serde(default)]
    errors: Option<Vec<Entry>>,
    created: Option<bool>,
}

impl Outcome {
    /// The result in our words; `None` for a success that names no record.
    pub(super) fn result(self, ours: &Names) -> Option<Result<Saved, RecordError>> {
        if self.success {
            let id = to_18(self.id.as_deref()?)?;
            return Some(Ok(Saved {
                id,
                created: self.created,
            }));
        }
        let errors = self.errors.unwrap_or_default();
        Some(Err(RecordError::of(errors, ours)))
    }
}

/// Puts the refusals of our own between the results of what was sent.
fn in_order(checked: Vec<Result<String, RecordError>>, results: Results) -> Results {
    let mut results = results.into_iter();
    checked
        .into_iter()
        .filter_map(|record| match record {
            Ok(_sent) => results.next(),
            Err(refused) => Some(Err(refused)),
        })
        .collect()
}
