//! Whether the view can be read at all, asked ad by ad.
//!
//! Takes no token and notes nothing: it only looks, with the locks and the
//! limits of every other read of the view.

use sqlx::{Connection as _, PgConnection};

use super::{Error, Ledger, fence};
use crate::postgres::{self, BEGIN};

/// Enough to choose from by chance, so that a few bad ones among them are not
/// asked again and again.
const CHOICE: i64 = 100;

/// Reads some row of the view, all columns that are needed.
pub async fn read_one(connection: &mut PgConnection) -> Result<(), Error> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    fence::hold(&mut transaction).await?;
    postgres::query("select ad_id, line, contract, fields from usage_sync.usage limit 1")
        .execute(&mut *transaction)
        .await
        .map_err(Error::of_view)?;
    transaction.commit().await?;
    Ok(())
}

impl Ledger {
    /// Ads other than these: some that Salesforce was told of, else some that
    /// the view lists.
    pub async fn others(&self, than: &[String]) -> Result<Vec<String>, Error> {
        let mut transaction = self.begin(BEGIN).await?;
        let told: Vec<String> = postgres::query_scalar(include_str!("compare.sql"))
            .bind(than)
            .bind(CHOICE)
            .fetch_all(&mut *transaction)
            .await?;
        if !told.is_empty() {
            transaction.commit().await?;
            return Ok(told);
        }
        fence::hold(&mut transaction).await?;
        let listed = postgres::query_scalar(include_str!("listed.sql"))
            .bind(than)
            .bind(CHOICE)
            .fetch_all(&mut *transaction)
            .await
            .map_err(Error::of_view)?;
        transaction.commit().await?;
        Ok(listed)
    }

    /// Reads one ad and nothing else. False if the view has no row of it, which
    /// says nothing about the view: one that fails in every row is silent then.
    pub async fn has_rows(&self, ad_id: &str) -> Result<bool, Error> {
        let mut transaction = self.begin(BEGIN).await?;
        fence::hold(&mut transaction).await?;
        let rows =
            postgres::query("select ad_id, line, contract, fields from usage_sync.wanted($1)")
                .bind(vec![ad_id])
                .fetch_all(&mut *transaction)
                .await
                .map_err(Error::of_view)?;
        transaction.commit().await?;
        Ok(!rows.is_empty())
    }
}
