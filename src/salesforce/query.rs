//! Reading rows by SOQL (REST API Developer Guide, "Query").

use std::collections::{HashMap, HashSet};

use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::client::{Client, Request, encoded};
use super::code::Purpose;
use super::error::Error;
use super::id::to_18;
use super::names::Names;
use super::soql;

/// How long the encoded list of a query may get. The address with all headers
/// may have 16,384 bytes (REST API Developer Guide, "Status Codes and Error
/// Responses", 414 and 431); the rest is for the token, which may be long.
const LIST_LIMIT: usize = 12_000;

/// The rows of a query, page by page: up to 2,000 at a time, however many there are.
#[derive(Debug)]
pub struct Pages<'a> {
    client: &'a Client,
    /// Where the next page is; nowhere after the last.
    target: Option<String>,
    total: Option<u64>,
}

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

    /// The record ids of those external ids that Salesforce has, as many calls
    /// as their length asks for.
    pub async fn find(&self, external_ids: &[&str]) -> Result<HashMap<String, String>, Error> {
        let Names {
            object,
            external_id,
            ..
        } = self.names();
        let mut found = HashMap::with_capacity(external_ids.len());
        for list in lists(external_ids) {
            let soql =
                format!("SELECT Id, {external_id} FROM {object} WHERE {external_id} IN ({list})");
            let rows: Vec<HashMap<String, serde_json::Value>> = self.query(&soql).await?;
            found.extend(rows.iter().filter_map(|row| {
                let id = to_18(row.get("Id")?.as_str()?)?;
                Some((row.get(external_id)?.as_str()?.to_owned(), id))
            }));
        }
        // SOQL does not mind case; a field that does not either would give the
        // record of another ad.
        let asked: HashSet<&str> = external_ids.iter().copied().collect();
        found.retain(|found, _| asked.contains(found.as_str()));
        Ok(found)
    }
}

impl Pages<'_> {
    /// The next page; `None` after the last.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<Vec<T>>, Error> {
        let Some(target) = self.target.take() else {
            return Ok(None);
        };
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
            // A path below the API, and not the same one for ever.
            if !next.starts_with("/services/data/") || next == target {
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

/// The external ids as SOQL lists, each short enough for an address.
fn lists(external_ids: &[&str]) -> Vec<String> {
    let mut lists = Vec::new();
    let mut list = String::new();
    let mut length = 0;
    for literal in external_ids.iter().map(|id| soql::literal(id)) {
        let cost = encoded(&literal).len() + encoded(",").len();
        if length + cost > LIST_LIMIT && !list.is_empty() {
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
