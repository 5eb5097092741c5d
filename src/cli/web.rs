//! `usage-sync web`: the contract gateway and the ops page.

use usage_sync::{
    settings::{self, Settings},
    shutdown::Shutdown,
    web::{self, Error},
};

use super::{Exit, Failure};

/// Runs until a stop is asked for.
pub(super) async fn run(
    settings: &Settings,
    web: &settings::Web,
    shutdown: &Shutdown,
) -> Result<Exit, Failure> {
    let summary = settings.summary();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        database = summary.database,
        redis = summary.redis,
        salesforce = summary.salesforce,
        login = summary.login,
        "usage-sync web starts"
    );
    match web::run(settings, web, shutdown).await {
        Ok(()) => Ok(Exit::Done),
        Err(error) => {
            let failure = |exit| Failure::new(exit, "web cannot start").because(&error);
            Err(match &error {
                Error::Listen { .. } => {
                    failure(Exit::Unavailable).remedy("set PORT to one that is free")
                }
                Error::Database(_) | Error::Salesforce(_) | Error::Contracts(_) => {
                    failure(Exit::Configuration)
                }
            })
        }
    }
}
