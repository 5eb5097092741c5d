//! Makes the ledger agree with the org, and the tokens with what was used, so
//! that reports go out from here on: after a backup was restored, the database
//! moved, or the org became another one.
//!
//! The org's records are read into a temporary table and compared with the
//! ledger by external id and revision. Whatever differs is in doubt from then
//! on: its ad is pending, and the worker sends it anew or withdraws it, as after
//! any lost answer. The place is written down last, so a rebase that was
//! interrupted is simply run again, and no daemon reports in between. It may
//! also run beside daemons that report: an ad in their hands is overtaken.

use sqlx::{PgConnection, PgPool, Postgres, pool::PoolConnection};

use crate::{
    ledger::{self, Error},
    salesforce::OwnRecord,
};

/// Ads a transaction: some milliseconds of work beside live traffic.
const PAGE: i64 = 1000;

/// A page of the view is read within the limits of every read of it: the app's
/// migrations wait for no longer.
const READ: &str = "begin; \
    set local statement_timeout to '15s'; \
    set local idle_in_transaction_session_timeout to '3s'";

/// How far the tokens are lifted above the highest that is known to have been
/// used: one may have been used for a record that is withdrawn by now, or for a
/// request that Salesforce still works on.
const MARGIN: i64 = 1_000_000;

/// How org and ledger differ, in records.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Difference {
    /// In the ledger, and not in the org.
    pub missing: i64,
    /// In both, and the org has another id or revision of it.
    pub other: i64,
    /// In the org, and not in the ledger.
    pub unknown: i64,
    /// Of those, the ones that the app does not want either: they will be
    /// withdrawn. Another installation's are among them if it reports to the
    /// same object without a prefix of its own.
    pub unwanted: i64,
    /// External ids of some of the unwanted.
    pub examples: Vec<String>,
    /// The ads that are looked at for it.
    pub ads: i64,
}

/// One rebase. The org's records live as long as this does.
pub struct Rebase {
    connection: PoolConnection<Postgres>,
    prefix: String,
    /// The newest token of the database before anything was done.
    newest: i64,
    /// The highest token that the org has seen.
    seen: i64,
}

impl Rebase {
    /// Begins with an org that has nothing.
    pub async fn begin(pool: &PgPool, prefix: &str, newest: i64) -> Result<Self, Error> {
        let mut connection = pool.acquire().await?;
        sqlx::raw_sql(include_str!("rebase/stage.sql"))
            .execute(&mut *connection)
            .await?;
        Ok(Self {
            connection,
            prefix: prefix.to_owned(),
            newest,
            seen: 0,
        })
    }

    /// Takes in some of the org's records.
    pub async fn take(&mut self, records: &[OwnRecord]) -> Result<(), Error> {
        let newest = records.iter().filter_map(|record| record.revision).max();
        self.seen = self.seen.max(newest.unwrap_or(0));
        let of = |field: fn(&OwnRecord) -> &str| records.iter().map(field).collect::<Vec<_>>();
        let revisions: Vec<Option<i64>> = records.iter().map(|record| record.revision).collect();
        sqlx::query(
            "insert into pg_temp.org_record (external_id, salesforce_id, revision) \
             select * from unnest($1::text[], $2::text[], $3::bigint[]) on conflict do nothing",
        )
        .bind(of(|record| &record.external_id))
        .bind(of(|record| &record.id))
        .bind(revisions)
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }

    /// Compares what was taken in with the ledger, and finds the records that
    /// it does not know. Reads nothing of the app's.
    pub async fn compare(&mut self) -> Result<(), Error> {
        let connection = &mut *self.connection;
        // Without statistics the planner takes the table for an empty one.
        sqlx::raw_sql(
            "truncate pg_temp.org_difference, pg_temp.org_stranger, pg_temp.org_wanted; \
             analyze pg_temp.org_record",
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query(include_str!("rebase/compare.sql"))
            .bind(self.newest)
            .execute(&mut *connection)
            .await?;
        sqlx::query(include_str!("rebase/split.sql"))
            .bind(&self.prefix)
            .execute(&mut *connection)
            .await?;
        sqlx::raw_sql("analyze pg_temp.org_stranger")
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Reads what the app wants of one page of the ads that the unknown records
    /// may belong to, as the worker reads the view; answers where the next page
    /// begins, `None` after the last.
    pub async fn want(&mut self, after: Option<&str>) -> Result<Option<String>, Error> {
        let mut transaction = sqlx::Connection::begin_with(&mut *self.connection, READ).await?;
        let ads: Vec<String> = sqlx::query_scalar(include_str!("rebase/page.sql"))
            .bind(after)
            .bind(PAGE)
            .fetch_one(&mut *transaction)
            .await?;
        if !ads.is_empty() {
            ledger::hold(&mut transaction).await?;
            sqlx::query(include_str!("rebase/wanted.sql"))
                .persistent(false)
                .bind(&ads)
                .execute(&mut *transaction)
                .await
                .map_err(Error::of_view)?;
        }
        transaction.commit().await?;
        // In the order of the database, not of the bytes.
        Ok(ads.into_iter().next_back())
    }

    /// How org and ledger differ, once everything has been compared and read.
    pub async fn difference(&mut self) -> Result<Difference, Error> {
        let connection = &mut *self.connection;
        sqlx::raw_sql("analyze pg_temp.org_wanted")
            .execute(&mut *connection)
            .await?;
        sqlx::query(include_str!("rebase/strangers.sql"))
            .execute(&mut *connection)
            .await?;
        Ok(sqlx::query_as(include_str!("rebase/difference.sql"))
            .fetch_one(connection)
            .await?)
    }

    /// Puts one page of what differs in doubt; answers the last ad of it,
    /// after which the next page begins, and how many ads it had. `None` after
    /// the last.
    pub async fn doubt(
        &mut self,
        after: Option<&str>,
        blank: &str,
    ) -> Result<Option<(String, usize)>, Error> {
        let mut transaction = sqlx::Connection::begin(&mut *self.connection).await?;
        let (ads, _announced): (Vec<String>, i64) = sqlx::query_as(include_str!("rebase/ads.sql"))
            .bind(after)
            .bind(PAGE)
            .fetch_one(&mut *transaction)
            .await?;
        sqlx::query(include_str!("rebase/doubt.sql"))
            .bind(&ads)
            .bind(blank)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        let count = ads.len();
        // In the order of the database, not of the bytes.
        Ok(ads.into_iter().next_back().map(|last| (last, count)))
    }

    /// Every field that the ledger says was ever reported, as null.
    pub async fn blank(&mut self) -> Result<String, Error> {
        Ok(sqlx::query_scalar(
            "select coalesce(jsonb_object_agg(name, null::text), '{}')::text \
             from (select distinct jsonb_object_keys(fields) from usage_sync.record) as field (name)",
        )
        .fetch_one(&mut *self.connection)
        .await?)
    }

    /// Writes down that reports go out from here to this org, and lifts the
    /// tokens above whatever was used. `remembered` is what Redis knows.
    pub async fn confirm(mut self, org_id: &str, remembered: i64) -> Result<(), Error> {
        let used = self.seen.max(remembered).max(self.newest);
        let mut transaction = sqlx::Connection::begin(&mut *self.connection).await?;
        lift(&mut transaction, used + MARGIN).await?;
        sqlx::query(include_str!("rebase/confirm.sql"))
            .bind(org_id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// A daemon beside may take tokens meanwhile: they are below this one, too.
async fn lift(connection: &mut PgConnection, token: i64) -> Result<(), Error> {
    sqlx::query("select setval('usage_sync.token', greatest($1, (select last_value from usage_sync.token)))")
        .bind(token)
        .execute(connection)
        .await?;
    Ok(())
}
