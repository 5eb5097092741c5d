//! `usage-sync history`: what was reported of an ad, or what was billed on a
//! contract at a moment, and so why.

use std::io::Write as _;

use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::{PgPool, types::time::OffsetDateTime};
use time::{UtcOffset, format_description::well_known::Rfc3339};
use usage_sync::{
    ledger::history::{self, Billed, Entry, Standing},
    salesforce::{self, Client, Fields, id::to_18, soql},
    settings::Settings,
};

use super::{Exit, Failure, args::HistoryArgs, connect, table::Table};

const ENTRY_COLUMNS: &[&str] = &[
    "at",
    "action",
    "ad",
    "line",
    "contract",
    "external_id",
    "salesforce_id",
    "version",
    "token",
    "fields",
    "code",
    "message",
];

const BILLED_COLUMNS: &[&str] = &[
    "ad",
    "line",
    "contract",
    "external_id",
    "salesforce_id",
    "since",
    "fields",
];

/// Prints the one or the other.
pub(super) async fn run(settings: &Settings, args: &HistoryArgs) -> Result<Exit, Failure> {
    let pool = connect::postgres(settings).await?;
    match (&args.ad, &args.contract) {
        (Some(ad), _) => of_ad(&pool, ad, args).await,
        (None, Some(contract)) => {
            let names = names(settings, &pool, contract).await?;
            let standing = history::billed(&pool, &names, args.at).await;
            billed(&standing.map_err(connect::failed)?, contract, args)
        }
        // The parser asks for one of the two.
        (None, None) => Err(Failure::new(Exit::Usage, "name an ad or a contract")),
    }
}

async fn of_ad(pool: &PgPool, ad: &str, args: &HistoryArgs) -> Result<Exit, Failure> {
    let entries = history::of_ad(pool, ad).await.map_err(connect::failed)?;
    let Some(entries) = entries else {
        return Err(Failure::new(Exit::Found, format!("no such ad: {ad}"))
            .remedy("give the id as it stands in the view usage_sync.usage"));
    };
    if args.json {
        return json(&AdHistory { ad, entries });
    }
    let table = Table {
        columns: ENTRY_COLUMNS,
        rows: entries.into_iter().map(entry_row).collect(),
    };
    if args.csv {
        table.print_csv()?;
    } else if table.rows.is_empty() {
        writeln!(std::io::stdout(), "nothing was reported or refused yet")?;
    } else {
        table.print()?;
    }
    Ok(Exit::Done)
}

fn billed(standing: &Standing, contract: &str, args: &HistoryArgs) -> Result<Exit, Failure> {
    if args.json {
        return json(&ContractHistory {
            contract,
            at: rfc3339(standing.at),
            records: standing.records.iter().map(Stood::from).collect(),
            totals: standing
                .totals
                .iter()
                .map(|(k, v)| (k.as_str(), raw(v)))
                .collect(),
        });
    }
    let table = Table {
        columns: BILLED_COLUMNS,
        rows: standing.records.iter().map(billed_row).collect(),
    };
    if args.csv {
        table.print_csv()?;
        return Ok(Exit::Done);
    }
    let mut out = std::io::stdout();
    if table.rows.is_empty() {
        writeln!(out, "nothing was billed at {}", rfc3339(standing.at))?;
        return Ok(Exit::Done);
    }
    table.print()?;
    for (field, total) in &standing.totals {
        writeln!(out, "total {field}\t{total}")?;
    }
    Ok(Exit::Done)
}

/// The names by which the journal may know a contract: the view has either its
/// id or its number, and a person may have the other one.
async fn names(settings: &Settings, pool: &PgPool, contract: &str) -> Result<Vec<String>, Failure> {
    let given = forms(contract);
    if history::knows(pool, &given)
        .await
        .map_err(connect::failed)?
    {
        return Ok(given);
    }
    let found = look_up(settings, contract).await.map_err(|error| {
        let what =
            format!("the journal knows no contract {contract}, and Salesforce cannot be asked");
        Failure::new(Exit::Unavailable, what)
            .because(&error)
            .remedy("give the contract as the column contract of usage_sync.usage has it")
    })?;
    found.ok_or_else(|| {
        Failure::new(Exit::Found, format!("no such contract: {contract}"))
            .remedy("give its id or its number")
    })
}

/// An id is one whether it has 15 characters or 18.
fn forms(contract: &str) -> Vec<String> {
    let full = to_18(contract).map(|id| vec![id[..15].to_owned(), id]);
    full.unwrap_or_else(|| vec![contract.to_owned()])
}

/// Id and number of a contract, as Salesforce has them.
async fn look_up(
    settings: &Settings,
    contract: &str,
) -> Result<Option<Vec<String>>, salesforce::Error> {
    let (object, number) = (&settings.contract.object, &settings.contract.number_field);
    let column = match to_18(contract) {
        Some(_) => "Id",
        None => number,
    };
    let value = soql::literal(contract);
    let query = format!("SELECT Id, {number} FROM {object} WHERE {column} = {value}");
    let client = Client::new(&settings.salesforce)?.impatient();
    let rows: Vec<Fields> = client.query(&query).await?;
    let texts = rows.into_iter().next().map(|row| {
        let text = |name: &String| serde_json::from_str(row.get(name)?.get()).ok();
        let texts = [String::from("Id"), number.clone()];
        texts
            .iter()
            .filter_map(text)
            .flat_map(|text: String| forms(&text))
            .collect()
    });
    Ok(texts)
}

#[derive(Serialize)]
struct AdHistory<'a> {
    ad: &'a str,
    entries: Vec<Entry>,
}

#[derive(Serialize)]
struct ContractHistory<'a> {
    contract: &'a str,
    at: String,
    records: Vec<Stood<'a>>,
    totals: std::collections::BTreeMap<&'a str, Option<Box<RawValue>>>,
}

#[derive(Serialize)]
struct Stood<'a> {
    ad: &'a str,
    line: &'a str,
    contract: &'a str,
    external_id: &'a str,
    salesforce_id: Option<&'a str>,
    since: String,
    fields: Option<Box<RawValue>>,
}

impl<'a> From<&'a Billed> for Stood<'a> {
    fn from(record: &'a Billed) -> Self {
        Self {
            ad: &record.ad_id,
            line: &record.line,
            contract: &record.contract,
            external_id: &record.external_id,
            salesforce_id: record.salesforce_id.as_deref(),
            since: rfc3339(record.since),
            fields: raw(&record.fields),
        }
    }
}

/// JSON as Postgres printed it, digit by digit.
pub(super) fn raw(json: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(json.to_owned()).ok()
}

fn entry_row(entry: Entry) -> Vec<String> {
    let known = Option::unwrap_or_default;
    vec![
        rfc3339(entry.at),
        entry.action,
        entry.ad_id,
        known(entry.line),
        known(entry.contract),
        known(entry.external_id),
        known(entry.salesforce_id),
        entry.version.to_string(),
        entry.token.to_string(),
        known(entry.fields),
        known(entry.code),
        known(entry.message),
    ]
}

fn billed_row(record: &Billed) -> Vec<String> {
    vec![
        record.ad_id.clone(),
        record.line.clone(),
        record.contract.clone(),
        record.external_id.clone(),
        record.salesforce_id.clone().unwrap_or_default(),
        rfc3339(record.since),
        record.fields.clone(),
    ]
}

pub(super) fn rfc3339(time: OffsetDateTime) -> String {
    let utc = time.to_offset(UtcOffset::UTC);
    utc.format(&Rfc3339).unwrap_or_else(|_| utc.to_string())
}

/// Prints one JSON object.
pub(super) fn json(answer: &impl Serialize) -> Result<Exit, Failure> {
    let text = serde_json::to_string(answer)
        .map_err(|error| Failure::new(Exit::Bug, "the answer has no JSON form").because(&error))?;
    writeln!(std::io::stdout(), "{text}")?;
    Ok(Exit::Done)
}
