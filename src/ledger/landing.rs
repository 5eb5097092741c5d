//! Requests that were given up on: what they may have done is looked at once
//! more when they can do nothing any more.
//!
//! A look is taken in three steps, so that no transaction is open while
//! Salesforce is asked: [`Ledger::landing_due`] says which records to read
//! back, somebody reads them, and [`Ledger::looked`] writes down what was found,
//! as far as nothing happened to the record meanwhile. A look only ever puts
//! records in doubt; making Salesforce right is left to the ordinary report.

use std::time::Duration;

use sqlx::types::time::OffsetDateTime;

use super::{Error, Ledger, announce};
use crate::postgres::{self, BEGIN};

/// A look takes no longer than this; afterwards another may be taken.
const LOOK: Duration = Duration::from_mins(1);

/// As [`LOOK`] where the window itself is short.
const SHORTEST_LOOK: Duration = Duration::from_secs(1);

/// A record about which a request was given up on, long enough ago.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Landing {
    /// Its name in Salesforce.
    pub external_id: String,
    /// Whose it is.
    pub ad_id: String,
    /// A JSON object of the fields that the request may have set.
    pub blank: String,
    /// What Salesforce was last told; nothing if the record is withdrawn.
    pub told: Option<String>,
    /// Salesforce's id, where the ledger has one.
    pub salesforce_id: Option<String>,
    /// Somebody has the ad in hand.
    pub in_hand: bool,
    state: Option<String>,
    until: OffsetDateTime,
}

impl Landing {
    /// Whether the record is to be sent again anyway, which makes it right
    /// whatever the request did.
    pub fn is_in_doubt(&self) -> bool {
        self.state.as_deref() == Some("sending")
    }
}

/// What a look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Salesforce holds the record as it was last told, or will be told again.
    AsTold,
    /// It does not; the id of what stands there.
    Otherwise(Option<String>),
}

impl Ledger {
    /// How long a request that was given up on may still take effect.
    pub fn landing_window(&self) -> Duration {
        self.landing_window
    }

    /// At most so many records that are to be read back now.
    pub async fn landing_due(&self, most: usize) -> Result<Vec<Landing>, Error> {
        let look = self.landing_window.clamp(SHORTEST_LOOK, LOOK);
        let mut transaction = self.begin(BEGIN).await?;
        let due = postgres::query_as(include_str!("landing/due.sql"))
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .bind(look.as_secs_f64())
            .fetch_all(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(due)
    }

    /// Writes down what was found. Answers the ads that are pending anew,
    /// because one of their records stands otherwise in Salesforce.
    pub async fn looked(&self, looks: &[(Landing, Found)]) -> Result<Vec<String>, Error> {
        let ads: Vec<&str> = looks.iter().map(|(l, _)| l.ad_id.as_str()).collect();
        let mut transaction = self.begin(BEGIN).await?;
        // A statement of its own ahead of the read, as everywhere: whoever
        // recorded before it is seen by the read.
        let free: Vec<String> = postgres::query_scalar(include_str!("landing/lock.sql"))
            .bind(&ads)
            .fetch_all(&mut *transaction)
            .await?;
        let still: Vec<String> = postgres::query_scalar(include_str!("landing/still.sql"))
            .bind(column(looks, |landing| landing.external_id.as_str()))
            .bind(column(looks, |landing| landing.until))
            .bind(column(looks, |landing| landing.told.as_deref()))
            .bind(column(looks, |landing| landing.state.as_deref()))
            .bind(free)
            .fetch_all(&mut *transaction)
            .await?;

        let late = |(landing, found): &'_ &(Landing, Found)| {
            matches!(found, Found::Otherwise(_)) && still.contains(&landing.external_id)
        };
        let (external_ids, salesforce_ids): (Vec<&str>, Vec<Option<&str>>) = looks
            .iter()
            .filter(late)
            .map(|(landing, found)| match found {
                Found::AsTold => (landing.external_id.as_str(), None),
                Found::Otherwise(id) => (landing.external_id.as_str(), id.as_deref()),
            })
            .unzip();
        let mut anew: Vec<String> = postgres::query_scalar(include_str!("landing/late.sql"))
            .bind(external_ids)
            .bind(salesforce_ids)
            .fetch_all(&mut *transaction)
            .await?;
        anew.sort();
        anew.dedup();
        postgres::query("delete from usage_sync.landing where external_id = any ($1)")
            .bind(&still)
            .execute(&mut *transaction)
            .await?;
        let changed: Vec<(String, bool)> = postgres::query_as(include_str!("anew.sql"))
            .bind(&anew)
            .fetch_all(&mut *transaction)
            .await?;
        announce(&mut transaction, &changed).await?;
        transaction.commit().await?;
        Ok(anew)
    }
}

fn column<'a, T>(looks: &'a [(Landing, Found)], of: impl Fn(&'a Landing) -> T) -> Vec<T> {
    looks.iter().map(|(landing, _)| of(landing)).collect()
}
