//! `usage-sync run`: the daemon.

use usage_sync::{daemon, settings::Settings, shutdown::Shutdown};

use super::{Exit, Failure};

/// Runs until a stop is asked for. Only a fault in the settings, or one of the
/// program's own, ends it before that.
pub(super) async fn run(settings: &Settings, shutdown: Shutdown) -> Result<Exit, Failure> {
    let summary = settings.summary();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        database = summary.database,
        redis = summary.redis,
        salesforce = summary.salesforce,
        login = summary.login,
        object = summary.object,
        "usage-sync starts"
    );
    match daemon::run(settings, shutdown).await {
        Ok(()) => Ok(Exit::Done),
        Err(error) => {
            let (exit, what) = match &error {
                daemon::Error::LoopEnded(_)
                | daemon::Error::LoopPanicked(_)
                | daemon::Error::Hangs(_) => (Exit::Bug, "the daemon cannot go on"),
                daemon::Error::Thread(_) => (Exit::Unavailable, "the daemon cannot start"),
                daemon::Error::Database(_)
                | daemon::Error::Redis(_)
                | daemon::Error::Salesforce(_) => (Exit::Configuration, "the daemon cannot start"),
            };
            Err(Failure::new(exit, what).because(&error))
        }
    }
}
