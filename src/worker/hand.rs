//! The ids of one claim, while they are in hand.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Mutex, task::JoinHandle};

use crate::queue::{Claim, Error, Queue};

/// A claim whose lease is renewed for as long as somebody holds this.
pub struct Hand {
    queue: Queue,
    /// Renewing changes the proof of ownership, so putting ids down and
    /// renewing take turns.
    claim: Arc<Mutex<Claim>>,
    renewal: JoinHandle<()>,
}

impl Hand {
    /// Takes charge of a claim and renews it every third of the lease, so that
    /// two renewals may fail before it is lost.
    pub fn new(queue: Queue, claim: Claim, lease: Duration) -> Self {
        let claim = Arc::new(Mutex::new(claim));
        let renewal = tokio::spawn(renew(queue.clone(), Arc::clone(&claim), lease / 3));
        Self {
            queue,
            claim,
            renewal,
        }
    }

    /// Puts ids down for good.
    pub async fn done(&self, ids: &[String]) -> Result<(), Error> {
        let mut claim = self.claim.lock().await;
        self.queue.done(&claim, ids).await?;
        claim.forget(ids);
        Ok(())
    }

    /// Gives ids back to the tail, untried.
    pub async fn release(&self, ids: &[String]) -> Result<(), Error> {
        let mut claim = self.claim.lock().await;
        self.queue.release(&claim, ids).await?;
        claim.forget(ids);
        Ok(())
    }

    /// Gives back whatever is still in hand.
    pub async fn release_all(&self) -> Result<(), Error> {
        let ids = self.claim.lock().await.ids.clone();
        self.release(&ids).await
    }

    /// Puts ids down until their pause is over.
    pub async fn retry(&self, ids: &[(String, Duration)]) -> Result<(), Error> {
        let mut claim = self.claim.lock().await;
        self.queue.retry(&claim, ids).await?;
        let ids: Vec<String> = ids.iter().map(|(id, _)| id.clone()).collect();
        claim.forget(&ids);
        Ok(())
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

async fn renew(queue: Queue, claim: Arc<Mutex<Claim>>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let mut claim = claim.lock().await;
        if claim.ids.is_empty() {
            return;
        }
        // A failure is not said here: whoever uses the queue next meets it,
        // and a lease that ran out costs nothing but a second look.
        if let Ok(lost) = queue.renew(&mut claim).await
            && !lost.is_empty()
        {
            tracing::warn!(count = lost.len(), "lost the lease of ads in hand");
        }
    }
}
