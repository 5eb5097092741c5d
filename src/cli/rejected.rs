//! `usage-sync rejected`: what Salesforce refuses, by cause, so that a person
//! sees the three things to be mended and not the thousand ads behind them.

use std::io::Write as _;

use serde::Serialize;
use serde_json::value::RawValue;
use usage_sync::{
    ledger::{self, Cause},
    settings::Settings,
};

use super::{
    Exit, Failure,
    args::RejectedArgs,
    connect,
    history::{json, raw, rfc3339},
    table::Table,
};

const COLUMNS: &[&str] = &["ads", "code", "field", "rule", "since", "example", "reason"];

#[derive(Serialize)]
struct Rejected {
    rejected: i64,
    causes: Vec<Group>,
}

#[derive(Serialize)]
struct Group {
    code: String,
    field: Option<String>,
    rule: String,
    count: i64,
    since: String,
    example: Example,
}

#[derive(Serialize)]
struct Example {
    ad: String,
    message: String,
    reason: Option<String>,
    refused: Option<Box<RawValue>>,
}

/// Prints the causes, the one with most ads first.
pub(super) async fn run(settings: &Settings, args: &RejectedArgs) -> Result<Exit, Failure> {
    let pool = connect::postgres(settings).await?;
    let causes = connect::step(ledger::causes(&pool)).await?;
    if args.json {
        return json(&Rejected {
            rejected: causes.iter().map(|cause| cause.count).sum(),
            causes: causes.into_iter().map(Group::from).collect(),
        });
    }
    let mut out = std::io::stdout();
    if causes.is_empty() {
        writeln!(out, "no ad is rejected")?;
        return Ok(Exit::Done);
    }
    let table = Table {
        columns: COLUMNS,
        rows: causes.into_iter().map(row).collect(),
    };
    table.print()?;
    writeln!(
        std::io::stderr(),
        "\n`usage-sync history AD` tells more of one; `usage-sync retry --rejected` tries all again"
    )?;
    Ok(Exit::Done)
}

impl From<Cause> for Group {
    fn from(cause: Cause) -> Self {
        Self {
            code: cause.code,
            field: cause.field,
            rule: cause.rule,
            count: cause.count,
            since: rfc3339(cause.since),
            example: Example {
                ad: cause.ad_id,
                message: cause.message,
                reason: cause.reason,
                refused: raw(&cause.refused),
            },
        }
    }
}

fn row(cause: Cause) -> Vec<String> {
    vec![
        cause.count.to_string(),
        cause.code,
        cause.field.unwrap_or_default(),
        cause.rule,
        rfc3339(cause.since),
        cause.ad_id,
        cause.reason.unwrap_or_default(),
    ]
}
