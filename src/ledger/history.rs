//! Looking back: what was reported of an ad, and what was billed on a contract
//! at a moment. Reads the journal alone, so it answers while Salesforce is down;
//! `docs/journal.md` says what the journal cannot know.

use std::time::Duration;

use serde::Serialize;
use sqlx::{PgPool, types::time::OffsetDateTime};

use super::{Error, answered, answered_within, digits};
use crate::postgres;

/// A contract's question reads the whole journal, which may be years of it.
const BEGIN: &str = "begin read only; \
    set local jit to off; \
    set local statement_timeout to '5min'";

/// Longer than the statements may take.
const ANSWER: Duration = Duration::from_mins(6);

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Entry {
    /// Its number, which only grows.
    pub id: i64,
    /// When the answer was written down.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// `create`, `update`, `withdraw` or `reject`.
    pub action: String,
    /// The ad.
    #[serde(skip)]
    pub ad_id: String,
    /// Its line; none where the ad as a whole was rejected.
    pub line: Option<String>,
    /// The contract, as the app's view names it.
    pub contract: Option<String>,
    /// The record's name in Salesforce.
    pub external_id: Option<String>,
    /// Salesforce's id of the record.
    pub salesforce_id: Option<String>,
    /// The version of the ad.
    pub version: i64,
    /// The fencing token it went out with.
    pub token: i64,
    /// The fields as JSON; none for a withdrawal that was refused.
    #[serde(serialize_with = "digits::optional_json")]
    pub fields: Option<String>,
    /// Salesforce's code, if it was a no.
    pub code: Option<String>,
    /// Salesforce's words.
    pub message: Option<String>,
}

/// A page of the journal of an ad.
#[derive(Debug)]
pub struct Page {
    /// Oldest first.
    pub entries: Vec<Entry>,
    /// What to ask for to get the page before it; none where it is the first.
    pub before: Option<i64>,
}

/// A record that stood in Salesforce.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Billed {
    /// The ad.
    pub ad_id: String,
    /// Its line.
    pub line: String,
    /// The contract, as the app's view named it.
    pub contract: String,
    /// The record's name in Salesforce.
    pub external_id: String,
    /// Salesforce's id of the record.
    pub salesforce_id: Option<String>,
    /// The fields as JSON, in the digits they were sent with.
    pub fields: String,
    /// Since when it stood so.
    pub since: OffsetDateTime,
}

/// What stood on a contract at a moment.
#[derive(Debug)]
pub struct Standing {
    /// The moment.
    pub at: OffsetDateTime,
    /// The records, by ad and line.
    pub records: Vec<Billed>,
    /// The sum of each field that is a number, exactly.
    pub totals: Vec<(String, String)>,
}

/// The journal of one ad, oldest first; `None` if nobody ever saw such an ad.
pub async fn of_ad(pool: &PgPool, ad_id: &str) -> Result<Option<Vec<Entry>>, Error> {
    answered_within(ANSWER, async {
        let mut transaction = postgres::begin(pool, BEGIN).await?;
        let entries: Vec<Entry> = postgres::query_as(include_str!("history/ad.sql"))
            .bind(ad_id)
            .fetch_all(&mut *transaction)
            .await?;
        // What was pruned from the journal is still an ad that was seen.
        let seen: bool =
            postgres::query_scalar("select exists (select from usage_sync.ad where ad_id = $1)")
                .bind(ad_id)
                .fetch_one(&mut *transaction)
                .await?;
        transaction.commit().await?;
        Ok((seen || !entries.is_empty()).then_some(entries))
    })
    .await
}

/// The newest page of the journal of one ad, or the newest before an entry. An
/// ad that is tried for years has thousands of entries.
pub async fn page_of_ad(
    pool: &PgPool,
    ad_id: &str,
    before: Option<i64>,
    size: u32,
) -> Result<Page, Error> {
    answered(async {
        let mut transaction = postgres::begin(pool, postgres::BEGIN).await?;
        let mut entries: Vec<Entry> = postgres::query_as(include_str!("history/page.sql"))
            .bind(ad_id)
            .bind(before.unwrap_or(i64::MAX))
            .bind(i64::from(size))
            .fetch_all(&mut *transaction)
            .await?;
        transaction.commit().await?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let goes_on = entries.len() > size;
        entries.truncate(size);
        let before = entries.last().filter(|_| goes_on).map(|entry| entry.id);
        entries.reverse();
        Ok(Page { entries, before })
    })
    .await
}

/// How many records Salesforce took in each of the last `slots` times of this
/// length, the newest last. Given up soon: a day of a busy app has millions.
pub async fn rate(pool: &PgPool, slot: Duration, slots: u32) -> Result<Vec<u64>, Error> {
    answered(async {
        let mut transaction = postgres::begin(pool, postgres::BEGIN).await?;
        postgres::query("set local statement_timeout to '3s'")
            .execute(&mut *transaction)
            .await?;
        let counts: Vec<(i64, i64)> = postgres::query_as(include_str!("history/rate.sql"))
            .bind(slot.as_secs_f64())
            .bind(f64::from(slots))
            .fetch_all(&mut *transaction)
            .await?;
        transaction.commit().await?;
        let mut rate = vec![0; usize::try_from(slots).unwrap_or_default()];
        for (ago, count) in counts {
            // An entry may be a little ahead of the clock that asks.
            let place = usize::try_from(ago).unwrap_or_default();
            if let Some(slot) = rate.iter_mut().rev().nth(place) {
                *slot += count.unsigned_abs();
            }
        }
        Ok(rate)
    })
    .await
}

/// Whether the journal has heard of a contract by one of these names.
pub async fn knows(pool: &PgPool, contract: &[String]) -> Result<bool, Error> {
    answered_within(ANSWER, async {
        let mut transaction = postgres::begin(pool, BEGIN).await?;
        let known = postgres::query_scalar(
            "select exists (select from usage_sync.journal where contract = any ($1))",
        )
        .bind(contract)
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(known)
    })
    .await
}

/// What was billed on the contract that has these names, at a moment or now, by
/// the clock of the database.
pub async fn billed(
    pool: &PgPool,
    contract: &[String],
    at: Option<OffsetDateTime>,
) -> Result<Standing, Error> {
    answered_within(ANSWER, async {
        let mut transaction = postgres::begin(pool, BEGIN).await?;
        let at: OffsetDateTime = postgres::query_scalar("select coalesce($1, clock_timestamp())")
            .bind(at)
            .fetch_one(&mut *transaction)
            .await?;
        let records: Vec<Billed> = postgres::query_as(include_str!("history/billed.sql"))
            .bind(at)
            .bind(contract)
            .fetch_all(&mut *transaction)
            .await?;
        let fields: Vec<&str> = records.iter().map(|r| r.fields.as_str()).collect();
        let totals = postgres::query_as(include_str!("history/totals.sql"))
            .bind(fields)
            .fetch_all(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Standing {
            at,
            records,
            totals,
        })
    })
    .await
}
