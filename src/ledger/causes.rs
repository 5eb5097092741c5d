//! The rejected ads by what they are rejected for: one cause, such as a contract
//! that is fulfilled, may have thousands of ads behind it.

use sqlx::{PgPool, types::time::OffsetDateTime};

use super::{Error, answered};
use crate::postgres::{self, BEGIN};

const CAUSES: &str = concat!(
    include_str!("causes/named.sql"),
    include_str!("causes/grouped.sql")
);
const ADS: &str = concat!(
    include_str!("causes/named.sql"),
    include_str!("causes/ads.sql")
);

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

/// What makes two ads have the same cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// Salesforce's code, or ours.
    pub code: String,
    /// The field that the error names, if it names one.
    pub field: Option<String>,
    /// The words, without what differs from ad to ad.
    pub rule: String,
}

/// A page of the ads behind a cause, by id.
#[derive(Debug)]
pub struct Behind {
    /// Each with the moment since when it is rejected.
    pub ads: Vec<(String, OffsetDateTime)>,
    /// Whether there are more after the last of them.
    pub goes_on: bool,
}

/// The causes, the one with most ads first.
pub async fn causes(pool: &PgPool) -> Result<Vec<Cause>, Error> {
    answered(async {
        let mut transaction = postgres::begin(pool, BEGIN).await?;
        let causes = postgres::query_as(CAUSES)
            .fetch_all(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(causes)
    })
    .await
}

/// The ads behind a cause after a given one.
pub async fn behind(
    pool: &PgPool,
    kind: &Kind,
    after: Option<&str>,
    size: u32,
) -> Result<Behind, Error> {
    answered(async {
        let mut transaction = postgres::begin(pool, BEGIN).await?;
        let mut ads: Vec<(String, OffsetDateTime)> = postgres::query_as(ADS)
            .bind(&kind.code)
            .bind(&kind.field)
            .bind(&kind.rule)
            .bind(after)
            .bind(i64::from(size))
            .fetch_all(&mut *transaction)
            .await?;
        transaction.commit().await?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let goes_on = ads.len() > size;
        ads.truncate(size);
        Ok(Behind { ads, goes_on })
    })
    .await
}
