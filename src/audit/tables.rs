//! What an audit asks of the app's database, and how a repair is ordered there.

use std::collections::HashMap;

use sqlx::PgPool;

use super::Difference;
use crate::{
    ledger::Error,
    outbox::{self, begin_reading},
    postgres::{self, BEGIN_DURABLE},
};

/// Ads a page.
const PAGE: i32 = 500;

/// A record that the app wants.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Line {
    /// The ad.
    pub ad_id: String,
    /// Its line.
    pub line: String,
    /// The contract that it is booked on.
    pub contract: Option<String>,
    /// Its fields as JSON.
    pub fields: String,
}

/// How an ad stands.
#[derive(Debug, sqlx::FromRow)]
pub struct Standing {
    /// The ad.
    pub ad_id: String,
    /// Whether a change of it is still to be reported.
    pub is_pending: bool,
    /// Why it is rejected, if it is.
    pub code: Option<String>,
    /// The same in words.
    pub message: Option<String>,
}

/// A record that the ledger has.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Told {
    external_id: String,
    pub(super) ad_id: String,
    pub(super) line: String,
    pub(super) contract: Option<String>,
}

/// The records that the app wants of one page of its ads, with the last ad of
/// the page and how many it had; `None` after the last page.
pub async fn page(
    pool: &PgPool,
    after: Option<&str>,
) -> Result<Option<(String, usize, Vec<Line>)>, Error> {
    let ads = outbox::page_of_view(pool, after, PAGE, None).await?;
    let Some(last) = ads.last().cloned() else {
        return Ok(None);
    };
    Ok(Some((last, ads.len(), wanted(pool, &ads).await?)))
}

/// The records that the app wants of these ads now. Rows that no report can be
/// made of are not among them: their ads are rejected for it.
pub async fn wanted(pool: &PgPool, ads: &[String]) -> Result<Vec<Line>, Error> {
    let mut transaction = begin_reading(pool).await?;
    let lines = postgres::query_as(
        "select ad_id, line, contract, fields from usage_sync.wanted($1) \
         where line <> '' and fields is not null",
    )
    .bind(ads)
    .fetch_all(&mut *transaction)
    .await
    .map_err(Error::of_view)?;
    transaction.commit().await?;
    Ok(lines)
}

/// How those of the ads stand that were ever seen here, or are about to be.
pub async fn standing(pool: &PgPool, ads: &[String]) -> Result<Vec<Standing>, Error> {
    let mut transaction = postgres::begin(pool, BEGIN_DURABLE).await?;
    let standings = postgres::query_as(include_str!("standing.sql"))
        .bind(ads)
        .fetch_all(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(standings)
}

pub(super) async fn told(pool: &PgPool, names: &[&str]) -> Result<HashMap<String, Told>, Error> {
    let mut transaction = postgres::begin(pool, BEGIN_DURABLE).await?;
    let told: Vec<Told> = postgres::query_as(
        "select external_id, ad_id, line, contract from usage_sync.record \
         where external_id = any ($1)",
    )
    .bind(names)
    .fetch_all(&mut *transaction)
    .await?;
    transaction.commit().await?;
    let by_name = |told: Told| (told.external_id.clone(), told);
    Ok(told.into_iter().map(by_name).collect())
}

/// Lets the daemons set some records right: each is doubtful from now on, and
/// its ad is queued. Whoever has one in hand meanwhile finds itself overtaken.
pub async fn repair(pool: &PgPool, records: &[&Difference]) -> Result<(), Error> {
    let text = |of: for<'d> fn(&'d Difference) -> &'d str| -> Vec<&str> {
        records.iter().map(|record| of(record)).collect()
    };
    let optional = |of: for<'d> fn(&'d Difference) -> Option<&'d str>| -> Vec<Option<&str>> {
        records.iter().map(|record| of(record)).collect()
    };
    let mut transaction = postgres::begin(pool, BEGIN_DURABLE).await?;
    postgres::query(include_str!("overtake.sql"))
        .bind(text(|record| &record.ad_id))
        .execute(&mut *transaction)
        .await?;
    postgres::query(include_str!("repair.sql"))
        .bind(text(|record| &record.external_id))
        .bind(text(|record| &record.ad_id))
        .bind(text(|record| &record.line))
        .bind(optional(|record| record.contract.as_deref()))
        .bind(optional(|record| record.salesforce_id.as_deref()))
        .execute(&mut *transaction)
        .await?;
    outbox::wake(&mut transaction).await?;
    transaction.commit().await?;
    Ok(())
}
