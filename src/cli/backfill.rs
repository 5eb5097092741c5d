//! `usage-sync backfill`: every ad of the view is looked at again.

use std::io::Write as _;

use sqlx::{PgPool, types::time::OffsetDateTime};
use usage_sync::{outbox, settings::Settings, shutdown::Shutdown};

use super::{Exit, Failure, args::BackfillArgs, connect, progress::Progress};

/// Ads a page: one short transaction beside live traffic.
const PAGE: i32 = 1000;

/// Enqueues the ads of the view in pages, then those that have records in
/// Salesforce and are no longer in the view. Looking at an ad twice costs
/// nothing: what Salesforce holds already is not sent again.
pub(super) async fn run(
    settings: &Settings,
    args: &BackfillArgs,
    shutdown: &Shutdown,
) -> Result<Exit, Failure> {
    let pool = connect::postgres(settings).await?;
    let total = connect::read(async || outbox::count_of_view(&pool).await)
        .await
        .map_err(connect::failed)?;
    let mut progress = Progress::of("backfill", "ads", total);
    let since = args.since.map(|day| day.midnight().assume_utc());

    let mut after = args.after.clone();
    loop {
        let page = connect::read(async || {
            outbox::page_of_view(&pool, after.as_deref(), PAGE, since).await
        })
        .await
        .map_err(|error| go_on_after(explain_since(error, since), after.as_deref()))?;
        let Some(last) = page.last().cloned() else {
            break;
        };
        if !args.dry_run {
            let queued = connect::step(outbox::queue(&pool, &page)).await;
            queued.map_err(|failure| go_on_after(failure, after.as_deref()))?;
        }
        progress.add(page.len());
        if shutdown.is_stopping() {
            progress.end();
            writeln!(
                std::io::stderr(),
                "stopped after {} ads; go on with: usage-sync backfill --after '{last}'",
                progress.done()
            )?;
            return Ok(Exit::Interrupted);
        }
        after = Some(last);
    }
    let of_view = progress.done();
    // Which of those that are gone changed lately, nobody knows.
    let gone = if since.is_none() {
        left_over(&pool, args.dry_run, &mut progress).await?
    } else {
        0
    };
    progress.end();

    let verb = if args.dry_run {
        "would be enqueued"
    } else {
        "enqueued"
    };
    let mut out = std::io::stdout();
    writeln!(out, "{of_view} ads of usage_sync.usage {verb}")?;
    if gone > 0 {
        writeln!(
            out,
            "{gone} ads {verb} that it no longer has: their records will be withdrawn"
        )?;
    }
    Ok(Exit::Done)
}

async fn left_over(
    pool: &PgPool,
    dry_run: bool,
    progress: &mut Progress,
) -> Result<usize, Failure> {
    let (mut after, mut count) = (None, 0);
    loop {
        let page = async || outbox::page_of_left_over(pool, after.as_deref(), PAGE).await;
        let (last, gone) = connect::read(page).await.map_err(connect::failed)?;
        if last.is_none() {
            return Ok(count);
        }
        after = last;
        if !dry_run && !gone.is_empty() {
            connect::step(outbox::queue(pool, &gone)).await?;
        }
        count += gone.len();
        progress.add(gone.len());
    }
}

/// What was enqueued stays so.
fn go_on_after(failure: Failure, after: Option<&str>) -> Failure {
    match after {
        Some(after) => failure.remedy(format!("go on with: usage-sync backfill --after '{after}'")),
        None => failure,
    }
}

fn explain_since(error: usage_sync::ledger::Error, since: Option<OffsetDateTime>) -> Failure {
    // PostgreSQL: Appendix A, Error Codes: undefined_column.
    if since.is_some() && error.code().as_deref() == Some("42703") {
        return Failure::new(Exit::Usage, "--since needs a column changed_at in usage_sync.usage")
            .because(&error)
            .remedy("add the column to the view, or leave --since out: a backfill of all ads sends only what differs");
    }
    connect::failed(error)
}
