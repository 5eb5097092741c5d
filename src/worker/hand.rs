//! The ids of one claim, while they are in hand.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex as Guarded, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{sync::Mutex, task::JoinHandle};

use crate::{
    failpoint::{self, Point},
    queue::{Claim, Error, Queue},
};

/// A claim whose lease is renewed for as long as somebody holds this.
pub struct Hand {
    queue: Queue,
    /// Renewing changes the proof of ownership, so putting ids down and
    /// renewing take turns.
    claim: Arc<Mutex<Claim>>,
    standing: Arc<Guarded<Standing>>,
    lease: Duration,
    renewal: JoinHandle<()>,
}

/// What the hand knows of its claim without asking Redis, which may be away.
struct Standing {
    /// When the lease was last known to begin.
    since: Instant,
    /// Ids that another hand may have by now.
    lost: HashSet<String>,
}

impl Hand {
    /// Takes charge of a claim and renews it every third of the lease, so that
    /// two renewals may fail before it is lost.
    pub fn new(queue: Queue, claim: Claim, lease: Duration) -> Self {
        let standing = Arc::new(Guarded::new(Standing {
            since: claim.since(),
            lost: HashSet::new(),
        }));
        let claim = Arc::new(Mutex::new(claim));
        let renewal = Renewal {
            queue: queue.clone(),
            claim: Arc::clone(&claim),
            standing: Arc::clone(&standing),
            lease,
        };
        Self {
            queue,
            claim,
            standing,
            lease,
            renewal: tokio::spawn(renewal.run()),
        }
    }

    /// Whether the lease lasts, by this process's own clock: after it was
    /// frozen for longer than that, others may have the ads in hand.
    pub fn is_valid(&self) -> bool {
        lasts(&look(&self.standing), self.lease)
    }

    /// Whether an id is in this hand and in no other.
    pub fn holds(&self, id: &str) -> bool {
        let standing = look(&self.standing);
        lasts(&standing, self.lease) && !standing.lost.contains(id)
    }

    /// Puts ids down for good.
    pub async fn done(&self, ids: &[String]) -> Result<(), Error> {
        let mut claim = self.claim.lock().await;
        self.be_sure(&mut claim).await?;
        self.queue.done(&claim, ids).await?;
        claim.forget(ids);
        Ok(())
    }

    /// Gives ids back to the tail, untried.
    pub async fn release(&self, ids: &[String]) -> Result<(), Error> {
        let mut claim = self.claim.lock().await;
        self.be_sure(&mut claim).await?;
        self.queue.release(&claim, ids).await?;
        claim.forget(ids);
        Ok(())
    }

    /// Gives back whatever is still in hand.
    pub async fn release_all(&self) -> Result<(), Error> {
        let ids = self.claim.lock().await.ids.clone();
        self.release(&ids).await
    }

    /// Puts ids down until their pause is over. Answers those for which Redis
    /// has no room, with what remains of their pause.
    pub async fn retry(
        &self,
        ids: &[(String, Duration)],
    ) -> Result<Vec<(String, Duration)>, Error> {
        let mut claim = self.claim.lock().await;
        self.be_sure(&mut claim).await?;
        let left = self.queue.retry(&claim, ids).await?;
        let ids: Vec<String> = ids.iter().map(|(id, _)| id.clone()).collect();
        claim.forget(&ids);
        Ok(left)
    }

    /// After a renewal without an answer only another one tells which end of
    /// the lease proves that the ids are in this hand.
    async fn be_sure(&self, claim: &mut Claim) -> Result<(), Error> {
        if claim.is_unsure() {
            let lost = self.queue.renew(claim).await?;
            renewed(&self.standing, claim, lost);
        }
        Ok(())
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// What keeps the lease going.
struct Renewal {
    queue: Queue,
    claim: Arc<Mutex<Claim>>,
    standing: Arc<Guarded<Standing>>,
    lease: Duration,
}

impl Renewal {
    async fn run(self) {
        loop {
            tokio::time::sleep(self.lease / 3).await;
            let mut claim = self.claim.lock().await;
            if claim.ids.is_empty() {
                return;
            }
            failpoint::at(Point::Renewing).await;
            // A failure is not said here: whoever uses the queue next meets it,
            // and a lease that ran out costs nothing but a second look.
            if let Ok(lost) = self.queue.renew(&mut claim).await {
                if !lost.is_empty() {
                    tracing::warn!(count = lost.len(), "lost the lease of ads in hand");
                }
                renewed(&self.standing, &claim, lost);
            }
            failpoint::at(Point::Renewed).await;
        }
    }
}

/// Leaves a tenth of the lease for what is done before the next look.
fn lasts(standing: &Standing, lease: Duration) -> bool {
    standing.since.elapsed() < lease.mul_f64(0.9)
}

fn renewed(standing: &Guarded<Standing>, claim: &Claim, lost: Vec<String>) {
    let mut standing = look(standing);
    standing.since = claim.since();
    standing.lost.extend(lost);
}

/// What is in it is whole at any moment, also when a thread panicked.
fn look(standing: &Guarded<Standing>) -> MutexGuard<'_, Standing> {
    standing.lock().unwrap_or_else(PoisonError::into_inner)
}
