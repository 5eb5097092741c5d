//! `usage-sync retry`: report ads again, now.

use std::io::Write as _;

use usage_sync::{outbox, settings::Settings};

use super::{Exit, Failure, args::RetryArgs, connect};

/// Puts ads into the outbox, as if the app had changed them: whichever daemon
/// runs takes them up at once, also while Redis is down.
pub(super) async fn run(settings: &Settings, args: &RetryArgs) -> Result<Exit, Failure> {
    let pool = connect::postgres(settings).await?;
    let mut out = std::io::stdout();
    if args.rejected {
        match connect::step(outbox::renew_rejected(&pool)).await? {
            0 => writeln!(out, "no ad is rejected")?,
            1 => writeln!(out, "1 ad will be reported again")?,
            count => writeln!(out, "{count} ads will be reported again")?,
        }
        return Ok(Exit::Done);
    }
    let queued = connect::read(async || outbox::renew(&pool, &args.ads).await)
        .await
        .map_err(connect::failed)?;
    match queued.len() {
        1 => writeln!(out, "1 ad will be reported again")?,
        count => writeln!(out, "{count} ads will be reported again")?,
    }
    let unknown: Vec<&str> = args
        .ads
        .iter()
        .filter(|ad| !queued.contains(ad))
        .map(String::as_str)
        .collect();
    if unknown.is_empty() {
        return Ok(Exit::Done);
    }
    let what = format!("no such ad: {}", unknown.join(", "));
    Err(Failure::new(Exit::Found, what)
        .remedy("give the id as it stands in the view usage_sync.usage"))
}
