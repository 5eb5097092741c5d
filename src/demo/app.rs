//! The service app: its tables, and a connection with no right but its own.
//!
//! It writes nothing but its own tables, and reads nothing of usage-sync but
//! the view `usage_sync.ad_status`.

use serde_json::value::RawValue;
use sqlx::postgres::{PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, Column as _, PgPool, Row as _};

use super::Error;
use super::compare::{Fields, Record};
use super::org::Contract;

/// The app's own tables.
pub(crate) const TABLES: &str = include_str!("tables.sql");
/// All that it does for usage-sync.
pub(crate) const VIEW: &str = include_str!("view.sql");

/// The app's way to its database.
pub(crate) struct App {
    pool: PgPool,
}

/// The answer to a query, as texts.
pub(crate) struct Answer {
    pub(crate) header: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl App {
    /// Connects in the app's role.
    pub(crate) async fn connect(url: &str) -> Result<Self, Error> {
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .connect(url)
            .await
            .map_err(Error::Sql)?;
        Ok(Self { pool })
    }

    /// Runs statements of this program's own making.
    pub(crate) async fn run(&self, sql: &str) -> Result<(), Error> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&self.pool)
            .await
            .map_err(Error::Sql)?;
        Ok(())
    }

    /// Asks for columns of type text.
    pub(crate) async fn ask(&self, sql: &str) -> Result<Answer, Error> {
        let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .fetch_all(&self.pool)
            .await
            .map_err(Error::Sql)?;
        let names = |row: &PgRow| {
            let columns = row.columns().iter();
            columns.map(|column| column.name().to_owned()).collect()
        };
        Ok(Answer {
            header: rows.first().map(names).unwrap_or_default(),
            rows: rows.iter().map(texts).collect::<Result<_, _>>()?,
        })
    }

    /// One number.
    pub(crate) async fn count(&self, sql: &'static str) -> Result<i64, Error> {
        sqlx::query_scalar(sql)
            .fetch_one(&self.pool)
            .await
            .map_err(Error::Sql)
    }

    /// Every usage record that the app's view asks for.
    pub(crate) async fn wanted(&self) -> Result<Vec<Record>, Error> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("select ad_id::text || ':' || line, fields::text from usage_sync.usage")
                .fetch_all(&self.pool)
                .await
                .map_err(Error::Sql)?;
        rows.into_iter().map(record).collect()
    }
}

/// The statement with which the app remembers what a contract's products are
/// called in Salesforce.
pub(crate) fn remember(contract: &Contract) -> String {
    let number = &contract.number;
    let rows: Vec<String> = contract
        .products
        .iter()
        .map(|(code, product)| format!("    ('{number}', '{code}', '{product}')"))
        .collect();
    format!("insert into contract_product values\n{};", rows.join(",\n"))
}

fn texts(row: &PgRow) -> Result<Vec<String>, Error> {
    let cells = (0..row.len()).map(|index| row.try_get::<Option<String>, _>(index));
    cells
        .map(|cell| cell.map(Option::unwrap_or_default).map_err(Error::Sql))
        .collect()
}

fn record((external_id, fields): (String, String)) -> Result<Record, Error> {
    let mut fields: Fields = serde_json::from_str(&fields).map_err(Error::Json)?;
    fields.retain(|_, value: &mut Box<RawValue>| value.get() != "null");
    Ok(Record {
        external_id,
        fields,
    })
}
