//! Is it working, how late are we, what is stuck? One answer for the command
//! line and the gateway, in words that programs may read, too.
//!
//! Postgres has most of it, so what Redis knows may be missing and the rest is
//! told all the same. Salesforce is not asked: the daemons leave word in Redis of
//! how they find it.

use serde::Serialize;
use sqlx::{PgPool, types::time::OffsetDateTime};
use time::format_description::well_known::Rfc3339;

use crate::{
    ledger::{self, Ledger, Overview},
    pace::{Budget, Usage},
    place,
    queue::{self, Depth, Health, Member, Queue},
    watched,
};

/// The answer for programs. More keys may come, none goes.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Null when Redis does not answer.
    pub queue: Option<Depth>,
    /// Ads that are not settled, and changes that wait in the outbox.
    pub pending: i64,
    /// Ads that Salesforce refused.
    pub rejected: i64,
    /// Records that a request given up on may still change.
    pub landing: i64,
    /// Age of the oldest change that is not settled.
    pub lag_seconds: f64,
    /// Whether a person asked to report nothing.
    pub paused: bool,
    /// Since when.
    pub paused_since: Option<String>,
    /// Why, in that person's words.
    pub paused_because: Option<String>,
    /// Why nothing is reported from here, if that is so.
    pub elsewhere: Option<String>,
    /// Why no ad can be read, if that is so.
    pub view: Option<String>,
    /// Why changes of the app are missed, if they are.
    pub unwatched: Option<String>,
    /// Where reports go out from and to.
    pub place: Pinned,
    /// Salesforce as the daemons find it.
    pub salesforce: Salesforce,
    /// Null until an answer has told what the org allows.
    pub budget: Option<Budget>,
    /// The daemons that live, those that run longest first.
    pub daemons: Vec<Member>,
}

/// The place that was written down at the first report.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Pinned {
    pub org: Option<String>,
    pub database: Option<String>,
    pub since: Option<String>,
}

/// Salesforce as the daemons find it.
#[derive(Debug, Serialize)]
pub struct Salesforce {
    /// Null when no daemon is there to know, or Redis does not answer.
    pub up: Option<bool>,
    /// Since when that is so.
    pub since: Option<String>,
    /// Why it takes no reports, if that is so.
    pub why: Option<String>,
    /// What a person has to do about it, if anything.
    pub remedy: Option<String>,
    /// Calls that the org has left today, as the newest answer told.
    pub api_calls_left: Option<i64>,
}

/// What only Redis knows; empty while it does not answer.
#[derive(Debug, Default)]
pub struct Engine {
    depth: Option<Depth>,
    health: Option<Health>,
    usage: Option<Usage>,
    /// The highest fencing token that was used.
    used: i64,
    /// What the daemons say of their place.
    elsewhere: Option<String>,
    /// What they say of the view.
    view: Option<String>,
    /// What they say of themselves.
    daemons: Vec<Member>,
}

/// Asks Redis.
pub async fn ask(queue: &Queue) -> Result<Engine, queue::Error> {
    Ok(Engine {
        depth: Some(queue.depth().await?),
        health: queue.health().await?,
        usage: queue.usage().await?,
        used: queue.used_token(0).await?,
        elsewhere: queue.elsewhere().await?,
        view: queue.view().await?,
        daemons: queue.crew().await?,
    })
}

/// Asks Postgres, and puts what Redis knew beside it. `share` is the part of the
/// org's calls that may be spent.
pub async fn read(
    pool: &PgPool,
    ledger: &Ledger,
    engine: Engine,
    share: f64,
) -> Result<Status, ledger::Error> {
    let Overview {
        pending,
        rejected,
        lag_seconds,
        landing,
    } = ledger.overview().await?;
    let row = place::look(pool).await?;
    // The org is known to those who log in.
    let elsewhere = place::judge(&row, None, engine.used);
    let unwatched = watched::look(pool).await?;
    Ok(Status {
        queue: engine.depth,
        pending,
        rejected,
        landing,
        lag_seconds,
        paused: row.paused_since.is_some(),
        paused_since: row.paused_since.and_then(rfc3339),
        paused_because: row.paused_because,
        elsewhere: elsewhere.map_or(engine.elsewhere, |elsewhere| Some(elsewhere.to_string())),
        view: engine.view,
        unwatched: unwatched.map(|unwatched| unwatched.to_string()),
        place: Pinned {
            org: row.org_id,
            database: row.cluster_id,
            since: row.pinned_at.and_then(rfc3339),
        },
        salesforce: Salesforce::from(engine.health),
        budget: engine.usage.map(|usage| usage.budget(share)),
        daemons: engine.daemons,
    })
}

impl From<Option<Health>> for Salesforce {
    fn from(health: Option<Health>) -> Self {
        let since = health
            .as_ref()
            .and_then(|health| OffsetDateTime::from_unix_timestamp(health.since).ok())
            .and_then(rfc3339);
        Self {
            up: health.as_ref().map(|health| health.up),
            since,
            api_calls_left: health.as_ref().and_then(|health| health.api_calls_left),
            why: health.as_ref().and_then(|health| health.why.clone()),
            remedy: health.and_then(|health| health.remedy),
        }
    }
}

fn rfc3339(time: OffsetDateTime) -> Option<String> {
    time.format(&Rfc3339).ok()
}
