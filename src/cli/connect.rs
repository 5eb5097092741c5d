//! What commands say when something that they need does not answer.

use sqlx::PgPool;
use usage_sync::{
    daemon, ledger,
    queue::{self, Queue},
    schema,
    settings::Settings,
};

use super::{Exit, Failure};

/// The database, if it answers and has the schema.
pub(super) async fn postgres(settings: &Settings) -> Result<PgPool, Failure> {
    let (_, pool) = daemon::pool(&settings.database).map_err(|error| {
        Failure::new(Exit::Configuration, "no database to connect to").because(&error)
    })?;
    let mut connection = pool.acquire().await.map_err(|error| {
        Failure::new(Exit::Unavailable, "postgres does not answer")
            .because(&error)
            .remedy("start it, or correct DATABASE_URL")
    })?;
    if !schema::is_current(&mut connection).await {
        let what = "the schema usage_sync is missing or of another version";
        return Err(Failure::new(Exit::Unavailable, what).remedy("run `usage-sync migrate`"));
    }
    Ok(pool)
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
