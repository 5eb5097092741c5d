//! One record by its external id, in one call (REST API Developer Guide,
//! "sObject Rows by External ID").
//!
//! The external id stands in the address here. Salesforce answers 404 for one
//! that ends like the name of a file or a host (`x@y.inc`), so what must work
//! for every external id goes through the collections.

use reqwest::Method;
use serde::de::DeserializeOwned;

use super::class::Class;
use super::client::{Client, Request, encoded, refusal};
use super::code::Purpose;
use super::collections::{Outcome, Saved};
use super::error::{Entry, Error, RecordError};
use super::names::Names;
use super::record::{Record, Target};
use super::wire::Answer;

impl Client {
    /// Creates or updates one record by its external id.
    pub async fn upsert_one(
        &self,
        record: Record<'_>,
    ) -> Result<Result<Saved, RecordError>, Error> {
        let body = match record.to_json(self.names(), Target::Row) {
            Ok(body) => body,
            Err(refused) => return Ok(Err(refused)),
        };
        let request = Request {
            purpose: Purpose::Write,
            method: Method::PATCH,
            target: self.row(record.external_id),
            body: Some(body.into()),
        };
        let answer = self.answer(&request).await?;
        if answer.status == 300 {
            return Ok(Err(ambiguous(&answer, self.names())?));
        }
        if !answer.is_success() {
            return self.refused(&answer).map(Err);
        }
        let outcome: Outcome = answer.json()?;
        let result = outcome.result(self.names());
        result.ok_or_else(|| answer.unreadable("a success without a record id").into())
    }

    /// Some fields of one record; `None` if Salesforce has no such record.
    pub async fn get_one<T: DeserializeOwned>(
        &self,
        external_id: &str,
        fields: &[&str],
    ) -> Result<Option<T>, Error> {
        let fields: Vec<String> = fields.iter().map(|field| encoded(field)).collect();
        let request = Request {
            purpose: Purpose::Read,
            method: Method::GET,
            target: format!("{}?fields={}", self.row(external_id), fields.join(",")),
            body: None,
        };
        let answer = self.answer(&request).await?;
        if answer.is_success() {
            return Ok(Some(answer.json()?));
        }
        if self
            .record_error(&answer)
            .is_some_and(|error| error.is_gone())
        {
            return Ok(None);
        }
        Err(refusal(&answer, Purpose::Read))
    }

    /// Deletes one record by its external id; true if it was there.
    pub async fn delete_one(&self, external_id: &str) -> Result<Result<bool, RecordError>, Error> {
        let request = Request {
            purpose: Purpose::Write,
            method: Method::DELETE,
            target: self.row(external_id),
            body: None,
        };
        let answer = self.answer(&request).await?;
        if answer.is_success() {
            return Ok(Ok(true));
        }
        if self
            .record_error(&answer)
            .is_some_and(|error| error.is_gone())
        {
            return Ok(Ok(false));
        }
        self.refused(&answer).map(Err)
    }

    fn row(&self, external_id: &str) -> String {
        let Names {
            object,
            external_id: field,
            ..
        } = self.names();
        self.path(&["sobjects", object, field, external_id])
    }

    /// Whose fault a refusal is, if there is only one record: what would send
    /// us looking for a culprit in a batch is the record's own here.
    fn refused(&self, answer: &Answer) -> Result<RecordError, Error> {
        let error = refusal(answer, Purpose::Write);
        match (error.class(), self.record_error(answer)) {
            (Class::Suspect | Class::Contention, Some(record)) if answer.status < 500 => Ok(record),
            _ => Err(error),
        }
    }

    fn record_error(&self, answer: &Answer) -> Option<RecordError> {
        let entries = Entry::read(&answer.body)?;
        Some(RecordError::of(entries, self.names()))
    }
}

/// 300: more than one record has the external id. The body lists their
/// addresses instead of an error.
fn ambiguous(answer: &Answer, ours: &Names) -> Result<RecordError, Error> {
    let records: Vec<serde::de::IgnoredAny> = answer.json()?;
    let message = format!("{} records have this external id", records.len());
    Ok(RecordError::of(
        vec![Entry::new("DUPLICATE_EXTERNAL_ID", message)],
        ours,
    ))
}
