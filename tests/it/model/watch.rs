//! What holds at every moment, watched while a history plays.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use redis::aio::MultiplexedConnection;
use tokio::{task::JoinHandle, time::sleep};

use super::{
    Failed,
    contracts::{Contracts, Standing},
    history::History,
};

const EVERY: Duration = Duration::from_millis(40);

/// A watch that lasts as long as this value.
pub(super) struct Watch {
    seen: Arc<Mutex<Option<String>>>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Watches the org of a history, and its Redis.
    pub(super) fn over(contracts: Arc<Contracts>, redis: String, history: &History) -> Self {
        let seen = Arc::new(Mutex::new(None));
        let sight = Sight {
            contracts,
            revision: history.revision,
            revisions: BTreeMap::new(),
            redis: redis::Client::open(redis).expect("an address"),
            connection: None,
            queue_max: history.queue_max,
        };
        let task = tokio::spawn(sight.watch(Arc::clone(&seen)));
        Self { seen, task }
    }

    /// Fails if anything was seen so far that may not be.
    pub(super) fn check(&self) -> Result<(), Failed> {
        match self.seen.lock().expect("the watch does not panic").clone() {
            Some(seen) => Err(Failed(seen)),
            None if self.task.is_finished() => Err(Failed(String::from("the watch has ended"))),
            None => Ok(()),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Sight {
    contracts: Arc<Contracts>,
    /// Whether the org knows revisions.
    revision: bool,
    /// The highest revision of each record so far, by Salesforce's id.
    revisions: BTreeMap<String, f64>,
    redis: redis::Client,
    connection: Option<MultiplexedConnection>,
    queue_max: usize,
}

impl Sight {
    async fn watch(mut self, seen: Arc<Mutex<Option<String>>>) {
        loop {
            let wrong = match self.org() {
                None => self.queue().await,
                wrong => wrong,
            };
            if wrong.is_some() {
                *seen.lock().expect("nobody panics with it") = wrong;
                return std::future::pending().await;
            }
            sleep(EVERY).await;
        }
    }

    fn org(&mut self) -> Option<String> {
        let (standing, changed) = self.contracts.look();
        let mut known = BTreeSet::new();
        let double = standing
            .iter()
            .find(|record| !known.insert(&record.external_id))
            .map(|record| format!("{} stands twice", record.external_id));
        let sunk = standing.iter().find_map(|record| self.sunk(record));
        changed.or(double).or(sunk)
    }

    /// Where the org knows them, every record has a revision, which never goes
    /// down.
    fn sunk(&mut self, record: &Standing) -> Option<String> {
        let Some(revision) = record.revision else {
            return self
                .revision
                .then(|| format!("{} has no revision", record.external_id));
        };
        let highest = self.revisions.entry(record.id.clone()).or_insert(revision);
        if revision < *highest {
            let external_id = &record.external_id;
            return Some(format!(
                "the revision of {external_id} went from {highest} down to {revision}"
            ));
        }
        *highest = revision;
        None
    }

    /// Redis holds no more ids than it may. One that does not answer is not
    /// asked.
    async fn queue(&mut self) -> Option<String> {
        if self.connection.is_none() {
            self.connection = self.redis.get_multiplexed_async_connection().await.ok();
        }
        let connection = self.connection.as_mut()?;
        let counted: Result<(usize, usize, usize), _> = redis::pipe()
            .atomic()
            .llen("{usage-sync}:queue")
            .zcard("{usage-sync}:claimed")
            .zcard("{usage-sync}:retry")
            .query_async(connection)
            .await;
        let Ok((ready, claimed, retry)) = counted else {
            self.connection = None;
            return None;
        };
        (ready + claimed + retry > self.queue_max).then(|| {
            format!(
                "redis holds {ready} ids that wait, {claimed} in hand and {retry} in a backoff, \
                 and may hold {}",
                self.queue_max
            )
        })
    }
}
