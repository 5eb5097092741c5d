//! What commands say when something that they need does not answer.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use sqlx::PgPool;
use usage_sync::{
    backoff::{Backoff, chance},
    daemon, ledger, postgres,
    queue::{self, Queue},
    schema,
    settings::Settings,
};

use super::{Exit, Failure};

/// Long for one short question to a server that took the connection.
const ANSWER: Duration = Duration::from_secs(10);

/// Longer than one step of a command takes: its statements end by themselves
/// after 15 s, and a connection is had within 5 s. A server that is frozen says
/// nothing at all.
const STEP: Duration = Duration::from_secs(21);

/// A migration of the app may have the tables of the view for this long before a
/// command gives up.
const LOCKED: Duration = Duration::from_mins(5);

/// How often it is tried meanwhile.
const LOCKED_LOOK: Backoff = Backoff {
    base: Duration::from_millis(200),
    max: Duration::from_secs(2),
};

/// One step of a command, which ends whatever becomes of the server.
pub(super) async fn step<T>(
    work: impl Future<Output = Result<T, ledger::Error>>,
) -> Result<T, Failure> {
    ledger::answered_within(STEP, work).await.map_err(failed)
}

/// A step that reads the view. While a migration of the app has one of its
/// tables the read gives way and is tried again, so that nothing of the app's
/// waits behind it.
pub(super) async fn read<T>(
    mut work: impl AsyncFnMut() -> Result<T, ledger::Error>,
) -> Result<T, ledger::Error> {
    let (began, mut tries) = (Instant::now(), 0);
    loop {
        let done = ledger::answered_within(STEP, work()).await;
        let locked = done.as_ref().is_err_and(ledger::Error::is_locked);
        if !locked || began.elapsed() > LOCKED {
            return done;
        }
        tries += 1;
        if tries == 1 {
            // A closed stream has nobody left to read it.
            writeln!(
                std::io::stderr(),
                "waiting: a table that the view usage_sync.usage reads is locked, as by a migration of the app"
            )
            .ok();
        }
        tokio::time::sleep(LOCKED_LOOK.pause(tries, chance())).await;
    }
}

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
    failure_of(&error)
}

/// The same for an error that somebody else has, too.
pub(super) fn failure_of(error: &ledger::Error) -> Failure {
    let (exit, remedy) = match error {
        error if error.is_locked() => (
            Exit::Unavailable,
            "run it again once the app's migration is done: a table stays locked",
        ),
        ledger::Error::Row(_) if error.is_too_slow() => (
            Exit::Configuration,
            "it took more than 15 s: create an index on the column behind ad_id; `usage-sync check` looks at it",
        ),
        ledger::Error::Unavailable(_) => (Exit::Unavailable, "try again once it answers"),
        ledger::Error::View(_) | ledger::Error::Row(_) => (
            Exit::Configuration,
            "correct the view usage_sync.usage; `usage-sync check` looks at it closely",
        ),
        ledger::Error::Schema(_) => (Exit::Unavailable, "run `usage-sync migrate`"),
    };
    Failure::new(exit, "postgres did not do its part")
        .because(error)
        .remedy(remedy)
}
