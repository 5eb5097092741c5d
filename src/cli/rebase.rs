//! `usage-sync rebase`: reports go out from this database to this org from now
//! on.

use std::{io::Write as _, time::Duration};

use sqlx::PgPool;
use time::format_description::well_known::Rfc3339;
use usage_sync::{
    ledger,
    place::{
        self, Row,
        rebase::{Difference, Rebase},
    },
    queue::Queue,
    salesforce::{self, Client, Identity},
    settings::Settings,
    shutdown::Shutdown,
    telemetry::Chain,
};

use super::{
    Exit, Failure,
    args::{BackfillArgs, RebaseArgs},
    backfill, connect,
    progress::Progress,
};

/// Long, since it goes over all records; a frozen server is noticed all the same.
const WHOLE: Duration = Duration::from_mins(10);

/// A look at one row.
const A_LOOK: Duration = Duration::from_secs(10);

/// Says what was written down, what is, and what differs; then makes ledger and
/// tokens fit, queues all ads, and writes the new place down. Asks nothing: to
/// call it is the answer. But records that may be somebody else's are withdrawn
/// only by express wish.
pub(super) async fn run(
    settings: &Settings,
    args: &RebaseArgs,
    shutdown: &Shutdown,
) -> Result<Exit, Failure> {
    let pool = connect::postgres(settings).await?;
    let queue = connect::redis(settings).await?;
    let (client, identity) = login(settings).await?;
    let row = connect::step(place::look(&pool)).await?;
    let remembered = remembered(&queue).await?;
    describe(&row, &identity, remembered)?;

    let prefix = &settings.salesforce.external_id_prefix;
    let mut rebase = connect::step(Rebase::begin(&pool, prefix, row.newest)).await?;
    if !read_org(&client, prefix, &mut rebase, shutdown).await? {
        return interrupted();
    }
    let Some(difference) = compare(&mut rebase, shutdown).await? else {
        return interrupted();
    };
    tell(&difference)?;
    if args.dry_run {
        writeln!(std::io::stdout(), "\nnothing was changed")?;
        return Ok(Exit::Done);
    }
    if difference.unwanted > 0 && !args.withdraw_unknown {
        return Err(strangers(&difference));
    }
    if !put_in_doubt(&mut rebase, &difference, shutdown).await? {
        return interrupted();
    }
    if !look_at_all(settings, shutdown).await? {
        return interrupted();
    }
    let remembered = self::remembered(&queue).await?;
    connect::step(rebase.confirm(&identity.org_id, remembered)).await?;
    confirmed(&pool).await
}

async fn login(settings: &Settings) -> Result<(Client, Identity), Failure> {
    let client = Client::new(&settings.salesforce).map_err(|error| refused(&error))?;
    let identity = client.login().await.map_err(|error| refused(&error))?;
    Ok((client, identity))
}

fn refused(error: &salesforce::Error) -> Failure {
    let failure = Failure::new(Exit::Unavailable, "salesforce does not do its part").because(error);
    failure.remedy(
        error
            .remedy()
            .unwrap_or("run it again once Salesforce answers; nothing was written down"),
    )
}

async fn remembered(queue: &Queue) -> Result<i64, Failure> {
    queue.used_token(0).await.map_err(|error| {
        Failure::new(Exit::Unavailable, "redis does not answer")
            .because(&error)
            .remedy("start it, or correct REDIS_URL")
    })
}

fn describe(row: &Row, identity: &Identity, remembered: i64) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    match (&row.org_id, &row.cluster_id, row.pinned_at) {
        (Some(org), Some(cluster), Some(at)) => writeln!(
            out,
            "written down  org {org}, database {cluster}, at {}",
            at.format(&Rfc3339).unwrap_or_default()
        )?,
        _ => writeln!(out, "written down  nothing yet")?,
    }
    writeln!(
        out,
        "now           org {} at {}, database {}",
        identity.org_id, identity.instance_url, row.cluster
    )?;
    writeln!(
        out,
        "tokens        {} here, {remembered} remembered by redis",
        row.newest
    )?;
    Ok(())
}

/// Reads every record of the org that is ours; false if a stop came first.
async fn read_org(
    client: &Client,
    prefix: &str,
    rebase: &mut Rebase,
    shutdown: &Shutdown,
) -> Result<bool, Failure> {
    let mut progress = Progress::of("reading the org", "records", None);
    let mut records = client.own_records(prefix);
    while let Some(page) = records.next().await.map_err(|error| refused(&error))? {
        progress.is_of(records.total().unwrap_or(0));
        connect::step(rebase.take(&page)).await?;
        progress.add(page.len());
        if shutdown.is_stopping() {
            progress.end();
            return Ok(false);
        }
    }
    progress.end();
    writeln!(
        std::io::stdout(),
        "org           {} records",
        progress.done()
    )?;
    Ok(true)
}

/// Compares org, ledger and view; nothing if a stop came first.
async fn compare(rebase: &mut Rebase, shutdown: &Shutdown) -> Result<Option<Difference>, Failure> {
    whole(rebase.compare()).await?;
    let mut after: Option<String> = None;
    loop {
        let page = connect::read(async || rebase.want(after.as_deref()).await).await;
        after = page.map_err(connect::failed)?;
        if after.is_none() {
            return Ok(Some(whole(rebase.difference()).await?));
        }
        if shutdown.is_stopping() {
            return Ok(None);
        }
    }
}

/// A statement over all records of ours, of which nothing of the app's waits.
async fn whole<T>(work: impl Future<Output = Result<T, ledger::Error>>) -> Result<T, Failure> {
    let done = ledger::answered_within(WHOLE, work).await;
    done.map_err(connect::failed)
}

fn tell(difference: &Difference) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    let Difference {
        missing,
        other,
        unknown,
        unwanted,
        examples,
        ads,
    } = difference;
    writeln!(
        out,
        "missing       {missing} records that the ledger has and the org has not"
    )?;
    writeln!(
        out,
        "other         {other} records that were written since, or under another id"
    )?;
    writeln!(
        out,
        "unknown       {unknown} records that the org has and the ledger has not"
    )?;
    if *unwanted > 0 {
        writeln!(
            out,
            "              of those the app wants {unwanted} no longer, or never did: {}",
            examples.join(", ")
        )?;
    }
    writeln!(out, "concerned     {ads} ads, which are looked at anew")?;
    Ok(())
}

/// Nothing tells the records of ads that this database has forgotten from those
/// of another installation.
fn strangers(difference: &Difference) -> Failure {
    let message = format!(
        "the org holds {} records that neither the ledger nor the app knows, such as {}: nothing was changed",
        difference.unwanted,
        difference.examples.join(", ")
    );
    Failure::new(Exit::Found, message).remedy(
        "if they are another installation's, give this one a SALESFORCE_EXTERNAL_ID_PREFIX; \
         if they are left over from this one, run `usage-sync rebase --withdraw-unknown`",
    )
}

/// False if a stop came first.
async fn put_in_doubt(
    rebase: &mut Rebase,
    difference: &Difference,
    shutdown: &Shutdown,
) -> Result<bool, Failure> {
    let blank = whole(rebase.blank()).await?;
    let ads = u64::try_from(difference.ads).unwrap_or(0);
    let mut progress = Progress::of("marking what differs", "ads", Some(ads));
    let mut after: Option<String> = None;
    while let Some((last, count)) = connect::step(rebase.doubt(after.as_deref(), &blank)).await? {
        after = Some(last);
        progress.add(count);
        if shutdown.is_stopping() {
            progress.end();
            return Ok(false);
        }
    }
    progress.end();
    Ok(true)
}

/// The database may have come without its triggers firing: every ad is looked
/// at, which costs a call only where something differs.
async fn look_at_all(settings: &Settings, shutdown: &Shutdown) -> Result<bool, Failure> {
    let everything = BackfillArgs {
        since: None,
        after: None,
        dry_run: false,
    };
    let exit = backfill::run(settings, &everything, shutdown).await?;
    Ok(exit == Exit::Done)
}

async fn confirmed(pool: &PgPool) -> Result<Exit, Failure> {
    let mut out = std::io::stdout();
    writeln!(
        out,
        "\nwritten down: reports go out from here, within seconds"
    )?;
    match ledger::answered_within(A_LOOK, place::look(pool)).await {
        Ok(row) if row.paused_since.is_some() => {
            writeln!(
                out,
                "reporting is paused all the same: `usage-sync resume` ends that"
            )?;
        }
        Ok(_) => {}
        // It was only to remind.
        Err(error) => tracing::debug!(error = %Chain(&error), "the place cannot be read"),
    }
    Ok(Exit::Done)
}

fn interrupted() -> Result<Exit, Failure> {
    writeln!(
        std::io::stderr(),
        "stopped before the end, and nothing was written down: run `usage-sync rebase` again"
    )?;
    Ok(Exit::Interrupted)
}
