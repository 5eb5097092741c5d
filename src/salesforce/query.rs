//! Reading rows by SOQL (REST API Developer Guide, "Query").

use std::collections::{HashMap, HashSet};

use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::client::{Client, Request, encoded};
use super::code::Purpose;
use super::error::Error;
use super::id::to_18;
use super::names::Names;
use super::soql;

/// How long the encoded list of a query may get, with the fields that it asks for. The address with all headers
/// may have 16,384 bytes (REST API Developer Guide, "Status Codes and Error
/// Responses", 414 and 431); the rest is for the token, which may be long.
pub const LIST_LIMIT: usize = 12_000;

/// The rows of a query, page by page: up to 2,000 at a time, however many there are.
#[derive(Debug)]
pub struct Pages<'a> {
    client: &'a Client,
    /// Where the next page is; nowhere after the last.
    target: Option<String>,
    total: Option<u64>,
}

/// The fields of a record by name, in the digits that Salesforce wrote.
pub type Fields = HashMap<String, Box<RawValue>>;

/// A record that was read.
#[derive(Debug)]
pub struct Row {
    /// Its id, 18 characters.
    pub id: String,
    /// What was asked for.
    pub fields: Fields,
}

/// What a query found, as far as it fitted into one page. A child query's stands
/// inside the row of the parent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound = "T: DeserializeOwned")]
struct Page<T> {
    total_size: u64,
    records: Vec<T>,
    /// Opaque: the path of the next page, absent on the last.
    next_records_url: Option<String>,
}

impl Client {
    /// All rows of a query.
    pub async fn query<T: DeserializeOwned>(&self, soql: &str) -> Result<Vec<T>, Error> {
        let mut pages = self.pages(soql);
        let mut rows = Vec::new();
        while let Some(page) = pages.next().await? {
            rows.extend(page);
        }
        Ok(rows)
    }

    /// The rows of a query, page by page; nothing is sent yet.
    pub fn pages(&self, soql: &str) -> Pages<'_> {
        Pages {
            client: self,
            target: Some(format!("{}?q={}", self.path(&["query"]), encoded(soql))),
            total: None,
        }
    }

    /// All children that a row has by a relationship: those that came with it, and
    /// those for which there was no room beside it. Nobody is told how many fit
    /// (REST API Developer Guide, "Query Options Header": child objects count
    /// toward the batch size, which is not guaranteed).
    pub async fn children<T: DeserializeOwned>(
        &self,
        row: &Fields,
        relationship: &str,
    ) -> Result<Vec<T>, Error> {
        let found = row
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(relationship));
        // No children are null, not an empty page.
        let first: Option<Page<T>> = found
            .and_then(|(_, children)| serde_json::from_str(children.get()).ok())
            .ok_or_else(|| self.unreadable("a row without its children"))?;
        let Some(first) = first else {
            return Ok(Vec::new());
        };
        let mut rows = first.records;
        let mut pages = Pages {
            client: self,
            target: first.next_records_url,
            total: None,
        };
        while let Some(page) = pages.next().await? {
            rows.extend(page);
        }
        if u64::try_from(rows.len()) != Ok(first.total_size) {
            return Err(self.unreadable("children that are not all there"));
        }
        Ok(rows)
    }

    /// The record ids of those external ids that Salesforce has, as many calls
    /// as their length asks for.
    pub async fn find(&self, external_ids: &[&str]) -> Result<HashMap<String, String>, Error> {
        let rows = self.read_back(external_ids, &[]).await?;
        Ok(rows
            .into_iter()
            .map(|(external_id, row)| (external_id, row.id))
            .collect())
    }

    /// The records of those external ids that Salesforce has, with these fields
    /// of them, which may be paths to fields of a parent. Names cannot be
    /// quoted, so whoever asks has seen that they are names.
    pub async fn read_back(
        &self,
        external_ids: &[&str],
        fields: &[String],
    ) -> Result<HashMap<String, Row>, Error> {
        let Names {
            object,
            external_id,
            ..
        } = self.names();
        let columns = ["Id", external_id]
            .into_iter()
            .chain(fields.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join(", ");
        let room = LIST_LIMIT.saturating_sub(encoded(&columns).len());
        let mut found = HashMap::with_capacity(external_ids.len());
        for list in lists(external_ids, room) {
            let soql = format!("SELECT {columns} FROM {object} WHERE {external_id} IN ({list})");
            let rows: Vec<Fields> = self.query(&soql).await?;
            found.extend(rows.into_iter().filter_map(|fields| {
                let id = to_18(&text(&fields, "Id")?)?;
                Some((text(&fields, external_id)?, Row { id, fields }))
            }));
        }
        // SOQL does not mind case; a field that does not either would give the
        // record of another ad.
        let asked: HashSet<&str> = external_ids.iter().copied().collect();
        found.retain(|found, _| asked.contains(found.as_str()));
        Ok(found)
    }
}

/// The text of a field, whose name Salesforce answers in its own spelling.
fn text(fields: &Fields, name: &str) -> Option<String> {
    let (_, value) = fields
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    serde_json::from_str(value.get()).ok()
}

impl Pages<'_> {
    /// The next page; `None` after the last.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<Vec<T>>, Error> {
        let Some(target) = self.target.take() else {
            return Ok(None);
        };
        // A path below the API: the token goes nowhere else.
        if !target.starts_with("/services/data/") {
            return Err(self.client.unreadable("a next page that is none"));
        }
        let request = Request {
            purpose: Purpose::Read,
            method: Method::GET,
            target: target.clone(),
            body: None,
        };
        let answer = self.client.call(request).await?;
        let page: Page<T> = answer.json()?;
        self.total = Some(page.total_size);
        if let Some(next) = page.next_records_url {
            // Not the same one for ever.
            if next == target {
                return Err(answer.unreadable("a next page that is none").into());
            }
            self.target = Some(next);
        }
        Ok(Some(page.records))
    }

    /// How many rows there are on all pages, once the first is there.
    pub fn total(&self) -> Option<u64> {
        self.total
    }
}

/// The external ids as SOQL lists of at most this encoded length, so that each
/// is short enough for an address.
fn lists(external_ids: &[&str], limit: usize) -> Vec<String> {
    let mut lists = Vec::new();
    let mut list = String::new();
    let mut length = 0;
    for literal in external_ids.iter().map(|id| soql::literal(id)) {
        let cost = encoded(&literal).len() + encoded(",").len();
        if length + cost > limit && !list.is_empty() {
            lists.push(std::mem::take(&mut list));
            length = 0;
        }
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(&literal);
        length += cost;
    }
    if !list.is_empty() {
        lists.push(list);
    }
    lists
}
