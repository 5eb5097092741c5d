//! `usage-sync pause`: every daemon stops reporting.

use std::io::Write as _;

use time::format_description::well_known::Rfc3339;
use usage_sync::{place, settings::Settings};

use super::{Exit, Failure, args::PauseArgs, connect};

/// Notes the wish in the database, where every daemon sees it, whichever
/// machine it runs on and whenever it starts.
pub(super) async fn run(settings: &Settings, args: &PauseArgs) -> Result<Exit, Failure> {
    let pool = connect::postgres(settings).await?;
    let since = connect::step(place::pause(&pool, args.because.as_deref())).await?;
    let since = since.format(&Rfc3339).unwrap_or_default();
    writeln!(
        std::io::stdout(),
        "paused since {since}: within 2 seconds nothing is reported any more; \
         changes wait in the database until `usage-sync resume`"
    )?;
    Ok(Exit::Done)
}
