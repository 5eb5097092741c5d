//! `usage-sync audit`: does Salesforce hold what the app wants?

use std::io::Write as _;

use serde::Serialize;
use sqlx::PgPool;
use usage_sync::{
    audit::{self, Audit, Difference, Kind},
    daemon, place,
    plan::Names,
    salesforce::{self, Client},
    settings::Settings,
};

use super::{Exit, Failure, args::AuditArgs, connect, progress::Progress};

/// Ads, and records, a transaction.
const PAGE: usize = 500;

/// Records of a kind that a person is shown; a program gets all.
const SHOWN: usize = 20;

/// The answer for programs.
#[derive(Debug, Serialize)]
struct Report<'a> {
    missing: usize,
    extra: usize,
    different: usize,
    locked: usize,
    /// Records that the app wants.
    compared: usize,
    /// Of the app's, those with a value that no query can ask for.
    untold: usize,
    /// Ads that were queued to be set right.
    repaired: usize,
    details: Details<'a>,
}

#[derive(Debug, Serialize)]
struct Details<'a> {
    missing: Vec<&'a Difference>,
    extra: Vec<&'a Difference>,
    different: Vec<&'a Difference>,
    locked: Vec<&'a Difference>,
}

/// Compares, tells, and queues what can be set right if that was asked for.
pub(super) async fn run(settings: &Settings, args: &AuditArgs) -> Result<Exit, Failure> {
    let pool = connect::postgres(settings).await?;
    let client = Client::new(&settings.salesforce).map_err(|error| refused(&error))?;
    is_our_org(&pool, &client).await?;
    let names = daemon::names(&settings.salesforce);
    let (found, compared, untold) = audit(&pool, &client, &names, args.contract.as_deref()).await?;

    let curable: Vec<&Difference> = found.iter().filter(|found| found.is_curable()).collect();
    let mut repaired = 0;
    if args.repair {
        for records in curable.chunks(PAGE) {
            connect::step(audit::repair(&pool, records)).await?;
        }
        let mut ads: Vec<&str> = curable.iter().map(|found| found.ad_id.as_str()).collect();
        ads.sort_unstable();
        ads.dedup();
        repaired = ads.len();
    }
    let details = Details::of(&found);
    let report = Report {
        missing: details.missing.len(),
        extra: details.extra.len(),
        different: details.different.len(),
        locked: details.locked.len(),
        compared,
        untold,
        repaired,
        details,
    };
    if args.json {
        let json = serde_json::to_string(&report).map_err(std::io::Error::from)?;
        writeln!(std::io::stdout(), "{json}")?;
    } else {
        tell(&report, args.repair)?;
    }
    Ok(if found.is_empty() {
        Exit::Done
    } else {
        Exit::Found
    })
}

/// Another org would look like ours with everything missing.
async fn is_our_org(pool: &PgPool, client: &Client) -> Result<(), Failure> {
    let identity = client.login().await.map_err(|error| refused(&error))?;
    let row = connect::step(place::look(pool)).await?;
    match row.org_id {
        Some(org) if org != identity.org_id => {
            let what = format!(
                "reports go to org {org}, and this is org {}: nothing was compared",
                identity.org_id
            );
            Err(Failure::new(Exit::Configuration, what)
                .remedy("correct the SALESFORCE_ variables, or see `usage-sync rebase --help`"))
        }
        _ => Ok(()),
    }
}

async fn audit(
    pool: &PgPool,
    client: &Client,
    names: &Names,
    contract: Option<&str>,
) -> Result<(Vec<Difference>, usize, usize), Failure> {
    let mut audit = Audit::new(client, names, contract);
    let mut progress = Progress::of("comparing", "ads", None);
    let mut after: Option<String> = None;
    loop {
        let page = connect::read(async || audit::page(pool, after.as_deref()).await);
        let Some((last, ads, lines)) = page.await.map_err(connect::failed)? else {
            break;
        };
        audit
            .compare(lines)
            .await
            .map_err(|error| refused(&error))?;
        progress.add(ads);
        after = Some(last);
    }
    progress.end();

    let mut progress = Progress::of("reading the org", "records", None);
    let mut org = client.own_records(&names.prefix);
    while let Some(records) = org.next().await.map_err(|error| refused(&error))? {
        progress.is_of(org.total().unwrap_or(0));
        connect::step(audit.extra(pool, &records)).await?;
        progress.add(records.len());
    }
    progress.end();

    let ads = audit.ads();
    let (mut lines, mut standings) = (Vec::new(), Vec::new());
    for ads in ads.chunks(PAGE) {
        let now = connect::read(async || audit::wanted(pool, ads).await).await;
        lines.extend(now.map_err(connect::failed)?);
    }
    audit
        .look_again(lines)
        .await
        .map_err(|error| refused(&error))?;
    // Last: whatever changed in between is on its way by then.
    for ads in ads.chunks(PAGE) {
        standings.extend(connect::step(audit::standing(pool, ads)).await?);
    }
    Ok(audit.end(&standings))
}

fn refused(error: &salesforce::Error) -> Failure {
    let failure = Failure::new(Exit::Unavailable, "salesforce does not do its part").because(error);
    failure.remedy(
        error
            .remedy()
            .unwrap_or("run it again once Salesforce answers"),
    )
}

impl<'a> Details<'a> {
    fn of(found: &'a [Difference]) -> Self {
        let such = |kind: Kind| {
            let found = found.iter();
            found
                .filter(|found| !found.is_locked() && found.kind == kind)
                .collect()
        };
        Self {
            missing: such(Kind::Missing),
            extra: such(Kind::Extra),
            different: such(Kind::Different),
            locked: found.iter().filter(|found| found.is_locked()).collect(),
        }
    }
}

fn tell(report: &Report<'_>, repair: bool) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    let Report {
        details, compared, ..
    } = report;
    writeln!(out, "compared      {compared} records that the app wants")?;
    for (name, meaning, found) in [
        ("missing", "not in Salesforce", &details.missing),
        ("extra", "in Salesforce, and not wanted", &details.extra),
        ("different", "other fields than wanted", &details.different),
        (
            "locked",
            "refused by Salesforce as it stands",
            &details.locked,
        ),
    ] {
        writeln!(out, "{name:<14}{} {meaning}", found.len())?;
        for found in found.iter().take(SHOWN) {
            let why = found.message.as_deref().map(|words| format!(": {words}"));
            let why = why.unwrap_or_default();
            writeln!(out, "  {}{why}", found.external_id)?;
        }
        if found.len() > SHOWN {
            writeln!(out, "  and {} more; --json lists all", found.len() - SHOWN)?;
        }
    }
    if report.untold > 0 {
        writeln!(
            out,
            "not compared  {}, whose values no query can ask for",
            report.untold
        )?;
    }
    let strangers = details.extra.iter().filter(|found| !found.known).count();
    if strangers > 0 {
        writeln!(
            out,
            "\n{strangers} of the extra records belong to ads that this database has never seen: if they \
             are not another installation's, `usage-sync rebase --withdraw-unknown` removes them"
        )?;
    }
    let curable = report.missing + report.extra + report.different - strangers;
    match (repair, curable) {
        (true, _) => writeln!(out, "\n{} ads will be reported again", report.repaired)?,
        (false, 0) => {}
        (false, _) => writeln!(out, "\n`usage-sync audit --repair` has them set right")?,
    }
    Ok(())
}
