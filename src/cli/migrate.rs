//! `usage-sync migrate`: the schema in the app's database.

use std::io::Write as _;

use usage_sync::{daemon, schema, settings};

use super::{Exit, Failure};

/// Creates or updates the schema.
pub(super) async fn run(database: &settings::Database) -> Result<Exit, Failure> {
    let (connect, _pool) = daemon::pool(database).map_err(|error| {
        Failure::new(Exit::Configuration, "no database to migrate").because(&error)
    })?;
    let migrated = schema::migrate(&connect).await.map_err(|error| {
        let remedy = match &error {
            schema::Error::Connect(_) => "start it, or correct DATABASE_URL",
            schema::Error::Standby => "point DATABASE_URL at the primary",
            schema::Error::TooOld(_) => "upgrade the server",
            schema::Error::Migrate(_) => {
                "the role of DATABASE_URL needs CREATE on the database; nothing was changed"
            }
        };
        Failure::new(
            Exit::Unavailable,
            "the schema usage_sync was not brought up to date",
        )
        .because(&error)
        .remedy(remedy)
    })?;
    let new = migrated.now - migrated.before;
    let text = match new {
        0 => String::from("schema usage_sync is up to date"),
        1 => String::from("schema usage_sync: 1 migration run"),
        new => format!("schema usage_sync: {new} migrations run"),
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(Exit::Done)
}
