//! What stands in the org under this installation's names: all records whose
//! external id begins with its prefix.

use std::collections::HashMap;

use serde_json::Value;

use super::client::Client;
use super::error::Error;
use super::id::to_18;
use super::names::Names;
use super::query::Pages;
use super::soql;

/// One record of this installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnRecord {
    /// Its name.
    pub external_id: String,
    /// Salesforce's id, 18 characters.
    pub id: String,
    /// The fencing token of its last write; `None` if it has none, or the org
    /// no such field.
    pub revision: Option<i64>,
}

/// All records of this installation, page by page.
#[derive(Debug)]
pub struct OwnRecords<'a> {
    pages: Pages<'a>,
    client: &'a Client,
    prefix: &'a str,
}

type Row = HashMap<String, Value>;

/// `LIKE` minds neither case nor that `_` stands for itself, so the newest of
/// these rows that is truly ours is looked for here.
const CANDIDATES: usize = 200;

impl Client {
    /// The highest revision of this installation's records: the newest fencing
    /// token that Salesforce has seen. One call, none where the org has no
    /// field for it.
    pub async fn newest_revision(&self, prefix: &str) -> Result<Option<i64>, Error> {
        let Names {
            object,
            external_id,
            revision: Some(revision),
        } = self.names()
        else {
            return Ok(None);
        };
        let ours = ours(external_id, prefix);
        let limit = if prefix.is_empty() { 1 } else { CANDIDATES };
        let soql = format!(
            "SELECT {external_id}, {revision} FROM {object} WHERE {ours} AND {revision} != null \
             ORDER BY {revision} DESC NULLS LAST LIMIT {limit}"
        );
        let rows: Vec<Row> = self.query(&soql).await?;
        let ours = |row: &&Row| {
            let name = row.get(external_id).and_then(Value::as_str);
            name.is_some_and(|name| name.starts_with(prefix))
        };
        Ok(rows
            .iter()
            .find(ours)
            .and_then(|row| row.get(revision).and_then(number)))
    }

    /// All records of this installation; nothing is sent yet.
    pub fn own_records<'a>(&'a self, prefix: &'a str) -> OwnRecords<'a> {
        let Names {
            object,
            external_id,
            revision,
        } = self.names();
        let ours = ours(external_id, prefix);
        let revision = revision.as_ref().map(|name| format!(", {name}"));
        let revision = revision.unwrap_or_default();
        let soql = format!("SELECT Id, {external_id}{revision} FROM {object} WHERE {ours}");
        OwnRecords {
            pages: self.pages(&soql),
            client: self,
            prefix,
        }
    }
}

impl OwnRecords<'_> {
    /// The next page; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Vec<OwnRecord>>, Error> {
        let Some(rows) = self.pages.next::<Row>().await? else {
            return Ok(None);
        };
        let names = self.client.names();
        let records = rows.iter().filter_map(|row| read(row, names));
        let ours = |record: &OwnRecord| record.external_id.starts_with(self.prefix);
        Ok(Some(records.filter(ours).collect()))
    }

    /// How many there are on all pages, once the first is there.
    pub fn total(&self) -> Option<u64> {
        self.pages.total()
    }
}

fn read(row: &Row, names: &Names) -> Option<OwnRecord> {
    let revision = names.revision.as_ref().and_then(|name| row.get(name));
    Some(OwnRecord {
        external_id: row.get(&names.external_id)?.as_str()?.to_owned(),
        id: to_18(row.get("Id")?.as_str()?)?,
        revision: revision.and_then(number),
    })
}

/// The condition that a record is ours, as far as SOQL can tell.
fn ours(external_id: &str, prefix: &str) -> String {
    if prefix.is_empty() {
        return format!("{external_id} != null");
    }
    format!(
        "{external_id} LIKE {}",
        soql::literal(&format!("{prefix}%"))
    )
}

/// Salesforce prints a number field as a double, `7.0` or `1.0E8`; a double
/// holds every token below 2^53 exactly.
fn number(value: &Value) -> Option<i64> {
    let number = value.as_f64().filter(|number| number.is_finite())?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float becomes the nearest integer that there is"
    )]
    Some(number as i64)
}
