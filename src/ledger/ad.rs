//! One ad, as the app's people see it: the row of `usage_sync.ad_status`.

use serde::Serialize;
use sqlx::{PgPool, types::time::OffsetDateTime};
use time::serde::rfc3339;

use super::{Error, answered, digits};
use crate::postgres::{self, BEGIN};

/// What became of an ad, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Ad {
    /// Its id in the app.
    pub id: String,
    /// `pending`, `reported` or `rejected`.
    pub state: String,
    /// Since when it is in that state.
    #[serde(with = "rfc3339")]
    pub since: OffsetDateTime,
    /// When the oldest change that is not settled was made, or the newest that is.
    #[serde(with = "rfc3339")]
    pub changed_at: OffsetDateTime,
    /// When it was last reported.
    #[serde(with = "rfc3339::option")]
    pub reported_at: Option<OffsetDateTime>,
    /// Tries since its last change that ended neither way.
    pub attempts: i32,
    /// Salesforce's code, or ours for rows of the app that cannot be sent.
    pub code: Option<String>,
    /// Salesforce's words.
    pub message: Option<String>,
    /// The same in words for whoever booked it.
    pub reason: Option<String>,
    /// What was refused, line by line, as JSON.
    #[serde(serialize_with = "digits::json")]
    pub refused: String,
    /// What Salesforce holds of it, as JSON.
    #[serde(serialize_with = "digits::json")]
    pub records: String,
}

/// Looks an ad up; `None` if nobody ever saw it.
pub async fn ad(pool: &PgPool, ad_id: &str) -> Result<Option<Ad>, Error> {
    answered(async {
        let mut transaction = postgres::begin(pool, BEGIN).await?;
        let ad = postgres::query_as(include_str!("ad.sql"))
            .bind(ad_id)
            .fetch_optional(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(ad)
    })
    .await
}

/// The ad that the record with this external id belongs to, as far as the ledger
/// knows.
pub async fn owner(pool: &PgPool, external_id: &str) -> Result<Option<String>, Error> {
    answered(async {
        let mut transaction = postgres::begin(pool, BEGIN).await?;
        let owner =
            postgres::query_scalar("select ad_id from usage_sync.record where external_id = $1")
                .bind(external_id)
                .fetch_optional(&mut *transaction)
                .await?;
        transaction.commit().await?;
        Ok(owner)
    })
    .await
}
