//! One metric line from time to time, in the convention of l2met, which
//! Heroku's own lines follow: `count#` adds up, `sample#` is the newest value.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::{interval, timeout};

use crate::{
    failpoint::{self, Point},
    ledger::Ledger,
    metrics::{Metrics, Trouble},
    queue::{Health, Member, Queue},
    salesforce::Client,
    shutdown::Shutdown,
    telemetry::Chain,
};

/// Other programs of the installation learn of Salesforce's health this often.
const PUBLISH_EVERY: Duration = Duration::from_secs(5);

/// A Redis that hangs must not hold up a stop.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Writes the metric lines.
pub struct Reporter {
    /// Share of the org's daily calls that all daemons together may spend.
    pub api_budget: f64,
    /// How often.
    pub every: Duration,
    /// What was counted.
    pub metrics: Arc<Metrics>,
    /// Redis.
    pub queue: Queue,
    /// Postgres.
    pub ledger: Ledger,
    /// Salesforce.
    pub client: Client,
}

impl Reporter {
    /// Reports until it is told to stop, and once more then.
    pub async fn run(self, shutdown: Shutdown) {
        let mut member = member();
        let mut report = interval(self.every);
        let mut publish = interval(PUBLISH_EVERY);
        tokio::spawn(introduce(self.client.clone(), Arc::clone(&self.metrics)));
        // The first tick is now, when there is nothing to tell.
        report.tick().await;
        loop {
            tokio::select! {
                () = shutdown.wait() => break,
                _ = report.tick() => self.report(&member).await,
                _ = publish.tick() => self.publish(&mut member).await,
                () = self.metrics.salesforce.changed() => self.publish(&mut member).await,
            }
        }
        self.report(&member).await;
        // What is not heard lapses.
        let _unheard = timeout(LAST_WORD, self.queue.absent(&member.id)).await;
    }

    fn health(&self) -> Health {
        let standing = self.metrics.salesforce.get();
        let (why, remedy) = standing
            .trouble
            .map_or((None, None), |trouble| (Some(trouble.why), trouble.remedy));
        let since = standing
            .since
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let left = self.client.api_usage().map(|usage| {
            i64::try_from(usage.allowed).unwrap_or(i64::MAX)
                - i64::try_from(usage.used).unwrap_or(i64::MAX)
        });
        Health {
            up: standing.works,
            since: i64::try_from(since.as_secs()).unwrap_or_default(),
            why,
            remedy: remedy.map(str::to_owned),
            api_calls_left: left,
        }
    }

    async fn publish(&self, member: &mut Member) {
        failpoint::at(Point::MetricsLoop).await;
        member.in_hand = self.queue.in_hand();
        // A Redis that does not answer is said by those who need it.
        let lasting = PUBLISH_EVERY * 3;
        if self.queue.publish(&self.health(), lasting).await.is_ok() {
            let _unpresented = self.queue.present(member, lasting).await;
        }
    }

    async fn report(&self, member: &Member) {
        let metrics = &self.metrics;
        let calls = metrics.calls.take();
        let health = self.health();
        let depth = self.queue.depth().await.ok();
        let usage = self.queue.usage().await.ok().flatten();
        let budget = usage.map(|usage| usage.budget(self.api_budget));
        let overview = self.ledger.overview().await.ok();
        if let (Some(overview), Some(_redis_answers)) = (&overview, depth) {
            let kept = self.queue.sample(&member.id, overview.lag_seconds, calls);
            let _unkept = kept.await;
        }
        tracing::info!(
            "count#changes.captured" = metrics.changes_captured.take(),
            "count#ads.reported" = metrics.ads_reported.take(),
            "count#ads.rejected" = metrics.ads_rejected.take(),
            "count#ads.retried" = metrics.ads_retried.take(),
            "count#ads.postponed" = metrics.ads_postponed.take(),
            "count#records.created" = metrics.records_created.take(),
            "count#records.updated" = metrics.records_updated.take(),
            "count#records.withdrawn" = metrics.records_withdrawn.take(),
            "count#salesforce.calls" = calls,
            "count#salesforce.failed_calls" = metrics.failed_calls.take(),
            "count#ids.dropped" = metrics.ids_dropped.take(),
            "sample#salesforce.up" = u8::from(health.up),
            "sample#salesforce.calls_left" = health.api_calls_left,
            "sample#budget.left" = budget.map(|budget| budget.left),
            "sample#queue.ready" = depth.map(|depth| depth.ready),
            "sample#queue.claimed" = depth.map(|depth| depth.claimed),
            "sample#queue.retry" = depth.map(|depth| depth.retry),
            "sample#ads.pending" = overview.map(|overview| overview.pending),
            "sample#ads.rejected" = overview.map(|overview| overview.rejected),
            "sample#records.landing" = overview.map(|overview| overview.landing),
            "sample#lag.seconds" = overview.map(|overview| overview.lag_seconds.round()),
            "metrics"
        );
    }
}

/// This process, among the daemons.
fn member() -> Member {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Member {
        id: uuid::Uuid::new_v4().simple().to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        since: i64::try_from(since.as_secs()).unwrap_or_default(),
        in_hand: 0,
    }
}

/// Logs in before the first ad comes, so that whoever starts the daemon sees
/// whether it could report one.
async fn introduce(client: Client, metrics: Arc<Metrics>) {
    match client.login().await {
        Ok(identity) => tracing::info!(
            org = identity.org_id,
            instance = %identity.instance_url,
            "logged in to salesforce"
        ),
        Err(error) => {
            metrics.salesforce.set(false);
            metrics.salesforce.explain(Trouble::of(&error));
            tracing::warn!(
                error = %Chain(&error),
                remedy = error.remedy(),
                "no login to salesforce yet: nothing is reported until there is one"
            );
        }
    }
}
