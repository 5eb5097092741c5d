//! Units that the app has committed and Salesforce has not been told of, product
//! by product: whoever books units needs them next to what Salesforce says.
//!
//! Promises that units to come are never too few, whatever is under way, if they
//! are asked for *before* Salesforce is: what is reported in between is counted
//! twice for a moment, never not at all. So units that go are told apart: they
//! can be booked anew once Salesforce has given them back, and may never be, where
//! it refuses the removal.
//!
//! Reads the rows of ads that are not settled and of no others. An ad whose rows
//! cannot be read brings nothing: the worker refuses it.

use std::{collections::HashMap, time::Duration};

use rust_decimal::Decimal;
use sqlx::PgPool;

use super::{Error, answered_within, fence};
use crate::postgres;

/// Asked for by a person who waits; reads of the view give way to a migration of
/// the app by themselves (`hold.sql`).
const BEGIN: &str = "begin read only; \
    set local jit to off; \
    set local statement_timeout to '10s'; \
    set local idle_in_transaction_session_timeout to '3s'";

/// The same for the list of ads, which may be long and so take its time to be
/// taken in; it holds no lock of the app's.
const BEGIN_LIST: &str = "begin read only; \
    set local jit to off; \
    set local statement_timeout to '10s'; \
    set local idle_in_transaction_session_timeout to '30s'";

/// Ads that are read at once, so that a bad one is found soon and no lock of the
/// view is held for long.
const PART: usize = 10_000;

/// So many ads that cannot be read are taken to be the fault of the view.
const UNREADABLE: usize = 8;

/// How often a view whose tables are locked is tried.
const LOCKED: Duration = Duration::from_millis(100);

/// How usage records name a contract product and its units; Salesforce's field
/// names.
#[derive(Debug, Clone)]
pub struct Booking {
    /// The reference to the product, `Contract_Product__c`.
    pub product: String,
    /// The same as an object, `Contract_Product__r`.
    pub relationship: String,
    /// The product's external id inside of that; none where it has none.
    pub external_id: Option<String>,
    /// The units.
    pub quantity: String,
}

/// Units of one product that Salesforce is still to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Units {
    /// That ads will use, beyond what Salesforce is known to hold.
    pub coming: Decimal,
    /// That ads use no more.
    pub going: Decimal,
}

/// The same for every product that ads on their way name.
#[derive(Debug, Default)]
pub struct Pending {
    /// By the first 15 characters of the product's id.
    by_id: HashMap<String, Units>,
    /// By its external id, without regard to case.
    by_external_id: HashMap<String, Units>,
}

#[derive(sqlx::FromRow)]
struct Row {
    product_id: Option<String>,
    external_id: Option<String>,
    coming: String,
    going: String,
}

impl Pending {
    /// Units of a product that has this id, and this external id if any.
    pub fn of(&self, id: &str, external_id: Option<&str>) -> Units {
        let by_id = id.get(..15).and_then(|id| self.by_id.get(id));
        let external_id = external_id.map(str::to_lowercase);
        let by_external_id = external_id.and_then(|id| self.by_external_id.get(&id));
        let mut units = by_id.copied().unwrap_or_default();
        units.add(by_external_id.copied().unwrap_or_default());
        units
    }

    fn extend(&mut self, rows: Vec<Row>) {
        for row in rows {
            let units = Units {
                coming: decimal(&row.coming),
                going: decimal(&row.going),
            };
            let external_id = row.external_id.map(|id| id.to_lowercase());
            let place = match (row.product_id, external_id) {
                (Some(id), _) => self.by_id.entry(id).or_default(),
                (None, Some(id)) => self.by_external_id.entry(id).or_default(),
                (None, None) => continue,
            };
            place.add(units);
        }
    }
}

impl Units {
    fn add(&mut self, other: Self) {
        self.coming = self.coming.saturating_add(other.coming);
        self.going = self.going.saturating_add(other.going);
    }
}

/// What is pending now, or why nobody knows, within `limit`.
pub async fn pending(pool: &PgPool, booking: &Booking, limit: Duration) -> Result<Pending, Error> {
    answered_within(limit, async {
        let ads = unsettled(pool).await?;
        let mut open: Vec<&[String]> = ads.chunks(PART).collect();
        let (mut pending, mut unreadable) = (Pending::default(), 0);
        while let Some(part) = open.pop() {
            match read(pool, booking, part).await {
                Ok(rows) => pending.extend(rows),
                Err(error) if error.is_locked() => {
                    open.push(part);
                    tokio::time::sleep(LOCKED).await;
                }
                Err(Error::Row(_)) if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    open.extend([second, first]);
                }
                Err(Error::Row(_)) if unreadable < UNREADABLE => unreadable += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(pending)
    })
    .await
}

async fn unsettled(pool: &PgPool) -> Result<Vec<String>, Error> {
    let mut transaction = postgres::begin(pool, BEGIN_LIST).await?;
    let ads = postgres::query_scalar(include_str!("unsettled.sql"))
        .fetch_all(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(ads)
}

async fn read(pool: &PgPool, booking: &Booking, ads: &[String]) -> Result<Vec<Row>, Error> {
    let mut transaction = postgres::begin(pool, BEGIN).await?;
    fence::hold(&mut transaction).await?;
    let rows = postgres::query_as(include_str!("pending.sql"))
        .bind(ads)
        .bind(&booking.product)
        .bind(&booking.relationship)
        .bind(&booking.external_id)
        .bind(&booking.quantity)
        .fetch_all(&mut *transaction)
        .await
        .map_err(Error::of_view)?;
    transaction.commit().await?;
    Ok(rows)
}

/// More units than 28 digits can tell are more than there are.
fn decimal(text: &str) -> Decimal {
    text.parse().unwrap_or(Decimal::MAX)
}
