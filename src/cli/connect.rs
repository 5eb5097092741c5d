//! What commands say when something that they need does not answer.

use std::time::Duration;

use sqlx::PgPool;
use usage_sync::{
    daemon, ledger, postgres,
    queue::{self, Queue},
    schema,
    settings::Settings,
};

use super::{Exit, Failure};

/// Long for one short question to a server that took the connection.
const ANSWER: Duration = Duration::from_secs(10);

/// The database, if it answers and has the schema.
pub(super) async fn postgres(settings: &Settings) -> Result<PgPool, Failure> {
    let (options, pool) = daemon::pool(&settings.database).map_err(|error| {
        Failure::new(Exit::Configuration, "no database to connect to").because(&error)
    })?;
    // Not from the pool, which says of a refused connection that time is over.
    let connection = postgres::connect(&options).await;
    let mut connection = connection.map_err(|error| {
        Failure::new(Exit::Unavailable, "postgres does not answer")
            .because(&error)
            .remedy(remedy(&error))
    })?;
    let current = tokio::time::timeout(ANSWER, schema::is_current(&mut connection)).await;
    match current {
        Ok(true) => Ok(pool),
        Ok(false) => {
            let what = "the schema usage_sync is missing or of another version";
            Err(Failure::new(Exit::Unavailable, what).remedy("run `usage-sync migrate`"))
        }
        Err(_) => {
            let what = "postgres took the connection and does not answer";
            Err(Failure::new(Exit::Unavailable, what).remedy("look at the server"))
        }
    }
}

/// What to do about a connection that there is not.
pub(super) fn remedy(error: &sqlx::Error) -> &'static str {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    match code.as_deref() {
        // PostgreSQL: Appendix A, Error Codes.
        Some("28P01" | "28000") => "correct user and password in DATABASE_URL",
        Some("3D000") => "correct the name of the database in DATABASE_URL",
        Some("53300") => {
            "end other programs' connections, raise max_connections, or lower DATABASE_MAX_CONNECTIONS"
        }
        Some(code) if code.starts_with("57P") => "wait until the server has started",
        _ => "start it, or correct DATABASE_URL",
    }
}

/// The queue, if Redis answers.
pub(super) async fn redis(settings: &Settings) -> Result<Queue, Failure> {
    Queue::connect(&settings.redis, &settings.queue)
        .await
        .map_err(|error| match error {
            queue::Error::Address(_) | queue::Error::TooOld { .. } => {
                Failure::new(Exit::Configuration, "redis cannot be used").because(&error)
            }
            queue::Error::Connect(_) | queue::Error::Command { .. } => {
                Failure::new(Exit::Unavailable, "redis does not answer")
                    .because(&error)
                    .remedy("start it, or correct REDIS_URL")
            }
        })
}

/// A failure of the database in the middle of a command.
#[expect(
    clippy::needless_pass_by_value,
    reason = "it serves as a function for map_err"
)]
pub(super) fn failed(error: ledger::Error) -> Failure {
    let (exit, remedy) = match &error {
        ledger::Error::Unavailable(_) => (Exit::Unavailable, "try again once it answers"),
        ledger::Error::View(_) | ledger::Error::Row(_) => (
            Exit::Configuration,
            "correct the view usage_sync.usage; `usage-sync check` looks at it closely",
        ),
        ledger::Error::Schema(_) => (Exit::Unavailable, "run `usage-sync migrate`"),
    };
    Failure::new(exit, "postgres did not do its part")
        .because(&error)
        .remedy(remedy)
}
