//! What must stand when it is quiet: no fault at work, nothing on its way.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use sqlx::PgPool;
use tokio::time::sleep;

use super::{
    Failed,
    contracts::{Standing, Usage, Usages, standing},
    stage::Stage,
    watch::Watch,
};

/// A busy machine may take its time; who is not right by then never will be.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(100);
/// It has to stay right for this long.
const STAYS: Duration = Duration::from_millis(600);
/// Salesforce's words for a locked contract.
const LOCKED: &str = "Contract is fulfilled";

/// What is not right yet.
#[derive(Debug, Default)]
struct Look {
    wrong: Vec<String>,
    /// Ads that are rejected for a reason that is gone.
    curable: Vec<String>,
}

/// What the daemon's tables say of an ad.
#[derive(Debug, sqlx::FromRow)]
struct Ad {
    #[sqlx(rename = "ad_id")]
    id: String,
    state: String,
    error_message: Option<String>,
}

/// A record of the ledger, or what the journal's entries add up to.
#[derive(Debug, sqlx::FromRow)]
struct Told {
    action: String,
    external_id: String,
    salesforce_id: Option<String>,
    product: Option<String>,
    quantity: Option<f64>,
}

impl Told {
    fn usage(&self) -> Usage {
        Usage {
            product: self.product.clone().unwrap_or_default(),
            quantity: self.quantity.unwrap_or(f64::NAN),
        }
    }
}

/// Waits until everything is as it must be, and stays so.
pub(super) async fn settle(stage: &mut Stage, watch: &Watch) -> Result<(), Failed> {
    let deadline = Instant::now() + PATIENCE;
    let mut cured = Instant::now();
    loop {
        let look = look(stage).await?;
        let right = look.wrong.is_empty();
        if right && look.curable.is_empty() && stays(stage).await? && status(stage).await? {
            return Ok(());
        }
        if right && !look.curable.is_empty() && cured < Instant::now() {
            let (code, said) = stage.command(&["retry", "--rejected"]).await;
            if code != Some(0) {
                return Err(Failed(format!("retry ended with {code:?}: {said}")));
            }
            // What it moved is to be settled first.
            cured = Instant::now() + Duration::from_secs(2);
        }
        if Instant::now() > deadline {
            let (_, status) = stage.command(&["status", "--json"]).await;
            let wrong = [look.wrong, look.curable, vec![status]]
                .concat()
                .join("\n  ");
            return Err(Failed(format!("not right after {PATIENCE:?}:\n  {wrong}")));
        }
        watch.check()?;
        stage.fleet.check().await?;
        sleep(LOOK).await;
    }
}

/// Whether nothing moves any more.
async fn stays(stage: &Stage) -> Result<bool, Failed> {
    let before = standing(&stage.sandbox);
    sleep(STAYS).await;
    let look = look(stage).await?;
    Ok(look.wrong.is_empty() && look.curable.is_empty() && standing(&stage.sandbox) == before)
}

async fn look(stage: &Stage) -> Result<Look, Failed> {
    let mut look = Look::default();
    let unfinished = unfinished(&stage.app).await?;
    let in_flight = stage.sandbox.stats().in_flight;
    for (what, count) in unfinished
        .into_iter()
        .chain([("calls in flight", in_flight)])
    {
        if count > 0 {
            look.wrong.push(format!("{count} {what}"));
        }
    }
    if !stage.fleet.have_left() {
        look.wrong.push(String::from("a daemon has yet to stop"));
    }
    look.wrong.extend(stage.fleet.open_troubles());
    let (standing, changed) = stage.contracts.look();
    look.wrong.extend(changed);
    compare(stage, &standing, &mut look).await?;
    told(&stage.app, &standing, &mut look.wrong).await?;
    Ok(look)
}

/// What the daemons still have to do, or did not clear away. A fencing token
/// alone is neither: a hand that had nothing to send may have died with it. It
/// does no harm: all it does is make the next hand look for an intent of the
/// dead one, and there is none. A rejected ad may be in hand, since it is tried
/// again by itself, and its records may be in doubt: a refusal does not tell
/// whether an earlier request went through.
async fn unfinished(app: &PgPool) -> Result<Vec<(&'static str, u64)>, Failed> {
    let counts = [
        ("changes in the outbox", "change"),
        (
            "pending ads",
            "ad where state = 'pending' or settled_version < version",
        ),
        (
            "intents",
            "intent where exists (select from usage_sync.ad \
             where ad_id = any (ad_ids) and state <> 'rejected')",
        ),
        (
            "records in doubt",
            "record join usage_sync.ad using (ad_id) \
             where record.state = 'sending' and ad.state <> 'rejected'",
        ),
    ];
    let mut found = Vec::new();
    for (what, which) in counts {
        let sql = format!("select count(*) from usage_sync.{which}");
        let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_one(app)
            .await
            .map_err(unreadable)?;
        found.push((what, count.unsigned_abs()));
    }
    Ok(found)
}

/// Ad by ad: what the app wants, what stands, what the app is told.
async fn compare(stage: &Stage, standing: &[Standing], look: &mut Look) -> Result<(), Failed> {
    let wanted = by_ad(wanted(&stage.app).await?);
    let held = by_ad(
        standing
            .iter()
            .map(|record| (record.external_id.clone(), record.usage.clone()))
            .collect(),
    );
    let ads: Vec<Ad> = sqlx::query_as("select ad_id, state, error_message from usage_sync.ad")
        .fetch_all(&stage.app)
        .await
        .map_err(unreadable)?;
    let ads: BTreeMap<String, Ad> = ads.into_iter().map(|ad| (ad.id.clone(), ad)).collect();
    let every: BTreeSet<&String> = wanted.keys().chain(held.keys()).chain(ads.keys()).collect();
    for id in every {
        let (wanted, held) = (wanted.get(id), held.get(id));
        let differing = differing(wanted, held);
        let now = ads.get(id).map_or("unknown", |ad| ad.state.as_str());
        let reason = ads.get(id).and_then(|ad| ad.error_message.as_deref());
        let is_locked = differing
            .iter()
            .any(|usage| stage.contracts.is_locked(&usage.product));
        let told = reason.is_some_and(|reason| reason.contains(LOCKED));
        let says = format!("ad {id} is {now} {reason:?}, wanted {wanted:?}, stands {held:?}");
        match (differing.is_empty(), now) {
            (true, "reported") => {}
            (false, "rejected") if is_locked && told => {}
            (_, "rejected") => look.curable.push(says),
            _ => look.wrong.push(says),
        }
    }
    Ok(())
}

/// Both sides of every record that is not as it is wanted.
fn differing(wanted: Option<&Usages>, held: Option<&Usages>) -> Vec<Usage> {
    let none = Usages::new();
    let (wanted, held) = (wanted.unwrap_or(&none), held.unwrap_or(&none));
    let every: BTreeSet<&String> = wanted.keys().chain(held.keys()).collect();
    every
        .into_iter()
        .filter(|id| wanted.get(*id) != held.get(*id))
        .flat_map(|id| wanted.get(id).into_iter().chain(held.get(id)))
        .cloned()
        .collect()
}

async fn wanted(app: &PgPool) -> Result<Usages, Failed> {
    let rows: Vec<(String, String, f64)> = sqlx::query_as(
        "select ad_id::text || ':' || line, fields->>'Contract_Product__c', \
         (fields->>'Quantity__c')::float8 from usage_sync.usage",
    )
    .fetch_all(app)
    .await
    .map_err(unreadable)?;
    let usages = rows
        .into_iter()
        .map(|(id, product, quantity)| (id, Usage { product, quantity }));
    Ok(usages.collect())
}

fn by_ad(usages: Usages) -> BTreeMap<String, Usages> {
    let mut ads: BTreeMap<String, Usages> = BTreeMap::new();
    for (id, usage) in usages {
        let ad = id.split(':').next().unwrap_or_default().to_owned();
        ads.entry(ad).or_default().insert(id, usage);
    }
    ads
}

/// Ledger and journal agree with Salesforce.
async fn told(app: &PgPool, standing: &[Standing], wrong: &mut Vec<String>) -> Result<(), Failed> {
    let stands: BTreeMap<&String, (&String, Usage)> = standing
        .iter()
        .map(|record| (&record.external_id, (&record.id, record.usage.clone())))
        .collect();
    let ledger = "select state as action, external_id, salesforce_id, \
         fields->>'Contract_Product__c' as product, (fields->>'Quantity__c')::float8 as quantity \
         from usage_sync.record";
    let journal = "select action, external_id, salesforce_id, \
         fields->>'Contract_Product__c' as product, (fields->>'Quantity__c')::float8 as quantity \
         from usage_sync.journal where action <> 'reject' order by id";
    let in_doubt: BTreeSet<String> =
        sqlx::query_scalar("select external_id from usage_sync.record where state = 'sending'")
            .fetch_all(app)
            .await
            .map_err(unreadable)?
            .into_iter()
            .collect();
    let doubtful = |id: &String| in_doubt.contains(id);
    for (name, sql) in [("ledger", ledger), ("journal", journal)] {
        let rows: Vec<Told> = sqlx::query_as(sql)
            .fetch_all(app)
            .await
            .map_err(unreadable)?;
        let mut left: BTreeMap<&String, &Told> = BTreeMap::new();
        for row in &rows {
            if row.action == "withdraw" {
                left.remove(&row.external_id);
            } else {
                left.insert(&row.external_id, row);
            }
        }
        let ids = left.keys().chain(stands.keys());
        let ids: BTreeSet<&&String> = ids.filter(|id| !doubtful(id)).collect();
        for id in ids {
            let said = left
                .get(*id)
                .map(|row| (row.salesforce_id.clone(), row.usage()));
            let stands = stands
                .get(*id)
                .map(|(id, usage)| (Some((*id).clone()), usage.clone()));
            if said != stands {
                wrong.push(format!(
                    "the {name} says {said:?} of {id}, there stands {stands:?}"
                ));
            }
        }
    }
    Ok(())
}

/// Whether the command says so, too. Daemons tell the others of Salesforce's
/// health by way of Redis, which may have lost it a moment ago.
async fn status(stage: &Stage) -> Result<bool, Failed> {
    let (code, said) = stage.command(&["status", "--json"]).await;
    let status: serde_json::Value = serde_json::from_str(&said)
        .map_err(|error| Failed(format!("status ended with {code:?}: {error}: {said}")))?;
    Ok(status["pending"] == 0 && status["salesforce"]["up"] == true)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn unreadable(error: sqlx::Error) -> Failed {
    Failed(format!("the app cannot read: {error}"))
}
