//! The rejected ads by what they are rejected for: one cause, such as a contract
//! that is fulfilled, may have thousands of ads behind it.

use sqlx::{PgPool, types::time::OffsetDateTime};

use super::{Error, answered};
use crate::postgres::{self, BEGIN};

/// A cause, and one of the ads behind it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Cause {
    /// Salesforce's code, or ours for rows of the app that cannot be sent.
    pub code: String,
    /// The field that the error names, if it names one.
    pub field: Option<String>,
    /// The words, without what differs from ad to ad.
    pub rule: String,
    /// Ads behind it.
    pub count: i64,
    /// Since when the oldest of them is rejected.
    pub since: OffsetDateTime,
    /// That oldest one.
    pub ad_id: String,
    /// Salesforce's own words to it.
    pub message: String,
    /// The same in words for whoever booked it.
    pub reason: Option<String>,
    /// What was refused, line by line, as JSON.
    pub refused: String,
}

/// The causes, the one with most ads first.
pub async fn causes(pool: &PgPool) -> Result<Vec<Cause>, Error> {
    answered(async {
        let mut transaction = postgres::begin(pool, BEGIN).await?;
        let causes = postgres::query_as(include_str!("causes.sql"))
            .fetch_all(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(causes)
    })
    .await
}
