//! The place: whether reports may go out from this database to this org.

use std::time::Duration;

use usage_sync::{
    daemon, ledger,
    place::{self, Row},
    queue::Queue,
    salesforce::Client,
    settings::Settings,
    telemetry::Chain,
};

use super::Item;

/// Long for a look at one row.
const LOOK: Duration = Duration::from_secs(15);

const NAME: &str = "place";

/// Whether this is where reports went out from. What cannot be asked is left
/// out here: it has a line of its own.
pub(super) async fn check(settings: &Settings) -> Vec<Item> {
    // What was used is asked for ahead of the newest, as a daemon may report.
    let (remembered, org) = tokio::join!(remembered(settings), org(settings));
    let Ok((_, pool)) = daemon::pool(&settings.database) else {
        return Vec::new();
    };
    let row = match ledger::answered_within(LOOK, place::look(&pool)).await {
        Ok(row) => row,
        Err(error) => {
            let remedy = "bring Postgres back, or run `usage-sync migrate`";
            return vec![Item::failed(NAME, Chain(&error).to_string(), remedy)];
        }
    };
    let (org, seen) = org.unzip();
    let used = remembered.max(seen.unwrap_or(0));
    let elsewhere = place::judge(&row, org.as_deref(), used);
    let mut items = vec![match elsewhere {
        Some(elsewhere) => Item::failed(NAME, elsewhere.to_string(), elsewhere.remedy()),
        None => Item::ok(NAME, told(&row)),
    }];
    if row.paused_since.is_some() {
        items.push(Item::warning(
            "reporting",
            "is paused: changes wait in the database",
            "run `usage-sync resume` once the reason is gone; `usage-sync status` shows it",
        ));
    }
    items
}

fn told(row: &Row) -> String {
    match &row.org_id {
        Some(org) => format!("reports go from database {} to org {org}", row.cluster),
        None => String::from("is written down at the first report"),
    }
}

async fn remembered(settings: &Settings) -> i64 {
    match Queue::connect(&settings.redis, &settings.queue).await {
        Ok(queue) => queue.used_token(0).await.unwrap_or(0),
        Err(_) => 0,
    }
}

/// The org, and the newest token that it has seen.
async fn org(settings: &Settings) -> Option<(String, i64)> {
    let client = Client::new(&settings.salesforce).ok()?;
    let identity = client.login().await.ok()?;
    let prefix = &settings.salesforce.external_id_prefix;
    // A field that is hidden has a line of its own.
    let newest = client.newest_revision(prefix).await.ok().flatten();
    Some((identity.org_id, newest.unwrap_or(0)))
}
