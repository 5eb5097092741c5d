//! `usage-sync resume`: the daemons report again.

use std::io::Write as _;

use usage_sync::{place, settings::Settings};

use super::{Exit, Failure, connect};

/// Takes the wish to pause out of the database.
pub(super) async fn run(settings: &Settings) -> Result<Exit, Failure> {
    let pool = connect::postgres(settings).await?;
    let resumed = connect::step(place::resume(&pool)).await?;
    writeln!(
        std::io::stdout(),
        "{}",
        if resumed {
            "resumed: within 2 seconds what waited is reported"
        } else {
            "reporting was not paused"
        }
    )?;
    Ok(Exit::Done)
}
