//! The service app: its tables, its view, and its transactions. An ad has two
//! lines of one contract; neighbouring ads have different contracts.

use std::collections::HashMap;

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::Error;

/// Records of an ad.
pub(crate) const LINES: u32 = 2;

/// An app's migration: tables, and the view that says what to report.
const TABLES: &str = "
create table product (number integer primary key, salesforce_id text not null);
create table ad (id bigint primary key, title text not null);
create table line (
    ad_id bigint not null references ad, number integer not null,
    product integer not null references product, quantity integer not null,
    primary key (ad_id, number)
);
create view usage_sync.usage as
select
    line.ad_id,
    line.number::text as line,
    product.number::text as contract,
    jsonb_build_object(
        'Contract_Product__c', product.salesforce_id,
        'Ad_Id__c', line.ad_id::text,
        'Quantity__c', line.quantity
    ) as fields
from line join product on product.number = line.product;
select usage_sync.watch('ad', 'id');
select usage_sync.watch('line', 'ad_id');
";

/// Ads from $1 to $2 in one statement.
const ADS: &str = "
with new as (
    insert into ad (id, title) select id, 'ad ' || id from generate_series($1::bigint, $2) as id
    returning id
)
insert into line (ad_id, number, product, quantity)
select id, number, id % (select count(*) from product), 1 + (id + number) % 9
from new, generate_series(1, $3) as number";

/// The app's database.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) pool: PgPool,
}

impl App {
    /// Connects, in a database that has the schema `usage_sync`, and creates the tables.
    pub(crate) async fn set_up(url: &str, products: &[String]) -> Result<Self, Error> {
        let pool = PgPoolOptions::new().max_connections(8).connect(url).await?;
        sqlx::raw_sql(TABLES).execute(&pool).await?;
        sqlx::query(
            "insert into product (number, salesforce_id) \
             select number - 1, id from unnest($1::text[]) with ordinality as given (id, number)",
        )
        .bind(products)
        .execute(&pool)
        .await?;
        sqlx::query("analyze product").execute(&pool).await?;
        Ok(Self { pool })
    }

    /// Commits these ads at once, the way an import does: one COPY a table.
    pub(crate) async fn import(&self, first: i64, last: i64) -> Result<(), Error> {
        let products: i64 = sqlx::query_scalar("select count(*) from product")
            .fetch_one(&self.pool)
            .await?;
        let mut transaction = self.pool.begin().await?;
        let ads: Vec<String> = (first..=last)
            .map(|id| format!("{id}\tad {id}\n"))
            .collect();
        let lines: Vec<String> = (first..=last)
            .flat_map(|id| (1..=i64::from(LINES)).map(move |number| (id, number)))
            .map(|(id, number)| {
                let quantity = 1 + (id + number) % 9;
                format!("{id}\t{number}\t{}\t{quantity}\n", id % products)
            })
            .collect();
        for (statement, rows) in [
            ("copy ad (id, title) from stdin", ads),
            (
                "copy line (ad_id, number, product, quantity) from stdin",
                lines,
            ),
        ] {
            let mut copy = transaction.copy_in_raw(statement).await?;
            copy.send(rows.concat().into_bytes()).await?;
            copy.finish().await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Commits one ad.
    pub(crate) async fn commit(&self, id: i64) -> Result<(), Error> {
        sqlx::query(ADS)
            .bind(id)
            .bind(id)
            .bind(LINES.cast_signed())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Corrects one line of each of these ads, five hundred in a transaction.
    pub(crate) async fn edit(&self, first: i64, last: i64) -> Result<(), Error> {
        for from in (first..=last).step_by(500) {
            sqlx::query(
                "update line set quantity = quantity % 9 + 1 \
                 where number = 1 and ad_id between $1 and $2",
            )
            .bind(from)
            .bind(last.min(from + 499))
            .execute(&self.pool)
            .await?;
        }
        Ok(())
    }

    /// Whether the app sees every one of these ads as reported.
    pub(crate) async fn reported(&self, ads: &[i64]) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar(
            "select not exists (select from unnest($1::bigint[]) as ad (id) where not exists \
             (select from usage_sync.ad as seen \
             where seen.ad_id = ad.id::text and seen.state = 'reported'))",
        )
        .bind(ads)
        .fetch_one(&self.pool)
        .await
    }

    /// Ads that the daemon is not done with.
    pub(crate) async fn pending(&self) -> Result<i64, Error> {
        Ok(sqlx::query_scalar(
            "select (select count(*) from usage_sync.ad where state <> 'reported') \
             + (select count(*) from usage_sync.change)",
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Lines, and what each product should have been used.
    pub(crate) async fn wanted(&self) -> Result<(i64, HashMap<String, i64>), Error> {
        let sums: Vec<(String, i64, i64)> = sqlx::query_as(
            "select salesforce_id, count(line.ad_id), coalesce(sum(quantity), 0)::bigint \
             from product left join line on line.product = product.number group by salesforce_id",
        )
        .fetch_all(&self.pool)
        .await?;
        let lines = sums.iter().map(|(_, lines, _)| lines).sum();
        let sums = sums.into_iter().map(|(id, _, sum)| (id, sum)).collect();
        Ok((lines, sums))
    }

    /// Records that the daemon's ledger has as reported.
    pub(crate) async fn ledger(&self) -> Result<i64, Error> {
        Ok(
            sqlx::query_scalar("select count(*) from usage_sync.record where state = 'reported'")
                .fetch_one(&self.pool)
                .await?,
        )
    }
}
