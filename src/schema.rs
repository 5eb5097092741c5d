//! The schema `usage_sync` in the app's database.

use std::time::Duration;

use sqlx::{Connection, PgConnection, Row as _, migrate::Migrator, postgres::PgConnectOptions};

/// In our schema, so that it collides with nothing of the app's.
const TABLE: &str = "usage_sync._migrations";

/// Long for a connection and one short question. The migrations themselves may
/// take as long as they need, or wait for another run.
const ANSWER: Duration = Duration::from_secs(15);

/// The schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection.
    #[error("postgres cannot be reached")]
    Connect(#[source] sqlx::Error),
    /// The server is a standby; its data cannot be changed.
    #[error("the database is a read-only standby")]
    Standby,
    /// Older than what the triggers need.
    #[error("PostgreSQL {0} is too old: version 13 or newer is needed")]
    TooOld(String),
    /// A migration failed; it was rolled back.
    #[error("a migration failed and was rolled back")]
    Migrate(#[source] sqlx::migrate::MigrateError),
}

fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("./migrations");
    migrator.create_schema("usage_sync");
    migrator.dangerous_set_table_name(TABLE);
    migrator
}

/// What a migration run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// Migrations that were there before.
    pub before: usize,
    /// Migrations that are there now.
    pub now: usize,
}

/// Creates the schema or brings it up to date. It touches nothing of the
/// app's, so it may run while the app writes; running it again does nothing,
/// and two at once wait for each other.
pub async fn migrate(connect: &PgConnectOptions) -> Result<Migrated, Error> {
    let opened = tokio::time::timeout(ANSWER, open(connect)).await;
    let silent = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    let (mut connection, (standby, version, number)) =
        opened.map_err(silent).flatten().map_err(Error::Connect)?;
    if standby {
        return Err(Error::Standby);
    }
    if number < 130_000 {
        return Err(Error::TooOld(version));
    }
    let before = applied(&mut connection).await;
    migrator()
        .run(&mut connection)
        .await
        .map_err(Error::Migrate)?;
    let now = applied(&mut connection).await;
    Ok(Migrated { before, now })
}

/// A connection, and what the server is: a standby, its version in two forms.
async fn open(
    connect: &PgConnectOptions,
) -> Result<(PgConnection, (bool, String, i32)), sqlx::Error> {
    let mut connection = PgConnection::connect_with(connect).await?;
    let server = sqlx::query_as(
        "select pg_is_in_recovery(), current_setting('server_version'), \
         current_setting('server_version_num')::int",
    )
    .fetch_one(&mut connection)
    .await?;
    Ok((connection, server))
}

/// Whether the schema is what this program expects, older, newer or absent.
pub async fn is_current(connection: &mut PgConnection) -> bool {
    applied(connection).await == migrator().iter().count()
}

async fn applied(connection: &mut PgConnection) -> usize {
    // In one message, and so behind a transaction pooler, too.
    let count: Result<i64, sqlx::Error> =
        sqlx::raw_sql("select count(*) from usage_sync._migrations where success")
            .fetch_one(connection)
            .await
            .and_then(|row| row.try_get(0));
    // Before the first run there is no such table.
    count.map_or(0, |count| usize::try_from(count).unwrap_or(0))
}
