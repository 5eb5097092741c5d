//! What each daemon says of itself, for the ops page: its version, since when it
//! runs, and how many ads it has in hand. It lapses unless it is said again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{Error, Queue, millis};

/// A daemon that lives.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Member {
    /// Made up by it when it started.
    pub id: String,
    /// The program's version.
    pub version: String,
    /// When it started, in seconds of the Unix epoch.
    pub since: i64,
    /// Ads that it has in hand.
    pub in_hand: usize,
}

/// How many ids of one claim are in hand, added up over all claims of a process.
#[derive(Debug)]
pub(super) struct Tally {
    all: Arc<AtomicUsize>,
    own: usize,
}

impl Tally {
    pub(super) fn of(all: &Arc<AtomicUsize>, own: usize) -> Self {
        all.fetch_add(own, Ordering::Relaxed);
        Self {
            all: Arc::clone(all),
            own,
        }
    }

    /// So many are left.
    pub(super) fn leave(&mut self, own: usize) {
        self.all
            .fetch_sub(self.own.saturating_sub(own), Ordering::Relaxed);
        self.own = self.own.min(own);
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.leave(0);
    }
}

impl Queue {
    /// How many ids this process has in hand.
    pub fn in_hand(&self) -> usize {
        self.in_hand.load(Ordering::Relaxed)
    }

    /// A daemon says what it is, and says so again before this is over.
    pub async fn present(&self, member: &Member, lasting: Duration) -> Result<(), Error> {
        let words = serde_json::to_string(member).unwrap_or_default();
        self.crew_with(&member.id, &words, lasting)
            .await
            .map(|_| ())
    }

    /// The daemons that live, those that run longest first.
    pub async fn crew(&self) -> Result<Vec<Member>, Error> {
        let words = self.crew_with("", "", Duration::ZERO).await?;
        // A newer version may say something that this one cannot read.
        let read = |words: String| serde_json::from_str(&words).ok();
        let mut crew: Vec<Member> = words.into_iter().filter_map(read).collect();
        crew.sort_by(|a, b| (a.since, &a.id).cmp(&(b.since, &b.id)));
        Ok(crew)
    }

    /// A daemon ends in good order.
    pub async fn absent(&self, id: &str) -> Result<(), Error> {
        redis::cmd("HDEL")
            .arg(&self.keys.crew)
            .arg(id)
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|source| Error::Command {
                operation: "forget a daemon's words",
                source,
            })
    }

    async fn crew_with(
        &self,
        id: &str,
        words: &str,
        lasting: Duration,
    ) -> Result<Vec<String>, Error> {
        self.call("tell of its daemons", || {
            let mut call = self.scripts.crew.prepare_invoke();
            call.key(&self.keys.crew)
                .arg(id)
                .arg(words)
                .arg(millis(lasting));
            call
        })
        .await
    }
}
