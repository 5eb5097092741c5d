//! Taking ids into a hand, and keeping them there.
//!
//! A claim is proved by the end of its lease, in Redis' clock. The hand names
//! the next end itself, by what its own monotonic clock says has gone by, so
//! that a renewal whose answer got lost may be asked for again, and so that
//! the hand knows without asking how long it may rely on the claim.
//!
//! Ads that workers die with are found by counting in advance: beginning with
//! an id counts one death, putting it down takes that back. Only a claim whose
//! answer arrived is begun with, so a network that loses answers makes nobody
//! suspect.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use super::{Error, Queue, crew::Tally, invoke, millis};

/// An ad that this many workers died with is handled alone; if one more dies,
/// nobody else can have been the cause.
pub const DEATHS: u32 = 3;

/// Deaths are remembered for as long as none is added in this time. A host
/// that restarts a crashing process ever more slowly takes hours between two.
const REMEMBERED: Duration = Duration::from_hours(24);

/// Ids in one hand, until the end of their lease.
#[derive(Debug)]
pub struct Claim {
    /// The ids, oldest first.
    pub ids: Vec<String>,
    /// The end of the lease, in Redis' clock.
    pub(super) end: u64,
    /// Other ends that it may have, since renewals were not answered.
    tried: Vec<u64>,
    /// The lease lasts from here on, at least.
    since: Instant,
    /// What Redis' clock said then, or a moment later.
    at: u64,
    tally: Tally,
}

/// An ad that workers died with, in a hand of its own.
#[derive(Debug)]
pub struct Suspect {
    /// It alone.
    pub claim: Claim,
    /// How many died.
    pub deaths: u32,
}

impl Claim {
    fn new(queue: &Queue, ids: Vec<String>, end: u64, since: Instant) -> Self {
        Self {
            tally: Tally::of(&queue.in_hand, ids.len()),
            ids,
            end,
            tried: Vec::new(),
            since,
            at: end.saturating_sub(millis(queue.lease)),
        }
    }

    /// These ids are no longer in the hand.
    pub fn forget(&mut self, ids: &[String]) {
        let gone: HashSet<&String> = ids.iter().collect();
        self.ids.retain(|id| !gone.contains(id));
        self.tally.leave(self.ids.len());
    }

    /// Since when the lease lasts.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Whether Redis may know another end of the lease than this hand does.
    pub fn is_unsure(&self) -> bool {
        !self.tried.is_empty()
    }
}

impl Queue {
    /// Takes up to `most` ids into one hand. `None` when the list is empty.
    ///
    /// An answer that gets lost leaves the ids claimed by nobody; they return
    /// when the lease ends.
    pub async fn claim(&self, most: usize) -> Result<Option<Claim>, Error> {
        loop {
            let since = Instant::now();
            let mut call = self.with_keys(&self.scripts.claim);
            call.arg(most).arg(millis(self.lease)).arg(DEATHS);
            let mut answer = self.once("claim", call).await?.into_iter();
            let end = number(answer.next());
            let left_the_list = number(answer.next());
            let (ids, strangers): (Vec<_>, Vec<_>) = answer.partition(|id| is_text(id));
            if !strangers.is_empty() {
                // Bytes that are no text are no ad's id; somebody else pushed them.
                tracing::warn!(count = strangers.len(), "dropped ids that are not text");
                self.put_down(&self.scripts.done, "done", end, &strangers)
                    .await?;
            }
            if !ids.is_empty() {
                return Ok(Some(Claim::new(self, texts(ids), end, since)));
            }
            // None of those that left the list is to be taken: there may be
            // others behind them.
            if left_the_list == 0 {
                return Ok(None);
            }
        }
    }

    /// Takes one ad that workers died with into a hand of its own. `None` when
    /// there is none.
    pub async fn claim_suspect(&self) -> Result<Option<Suspect>, Error> {
        let since = Instant::now();
        let mut call = self.with_keys(&self.scripts.claim_suspect);
        call.arg(millis(self.lease));
        let mut answer = self.once("claim", call).await?.into_iter();
        let end = number(answer.next());
        let deaths = u32::try_from(number(answer.next())).unwrap_or(u32::MAX);
        let ids = texts(answer);
        Ok((!ids.is_empty()).then(|| Suspect {
            claim: Claim::new(self, ids, end, since),
            deaths,
        }))
    }

    /// The hand begins with its ids: whoever dies from here on until they are
    /// put down died with them.
    pub async fn begin(&self, claim: &Claim) -> Result<(), Error> {
        let mut call = self.with_keys(&self.scripts.begin);
        call.arg(claim.end).arg(millis(REMEMBERED)).arg(&claim.ids);
        // Not again if the answer gets lost: it would count twice.
        self.once("begin", call).await.map(|_| ())
    }

    /// Remembers that an ad is to be handled alone, also when it comes again.
    pub async fn keep_suspect(&self, id: &str) -> Result<(), Error> {
        redis::pipe()
            .hset(&self.keys.deaths, id, DEATHS)
            .ignore()
            .pexpire(
                &self.keys.deaths,
                i64::try_from(millis(REMEMBERED)).unwrap_or(i64::MAX),
            )
            .ignore()
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|source| Error::Command {
                operation: "remember a suspect",
                source,
            })
    }

    /// Prolongs a claim and answers the ids that it has lost to another hand.
    pub async fn renew(&self, claim: &mut Claim) -> Result<Vec<String>, Error> {
        let gone_by = millis(claim.since.elapsed());
        let end = claim.at + gone_by + millis(self.lease);
        let mut ends = claim.tried.clone();
        ends.push(claim.end);
        claim.tried.push(end);
        let lost: Vec<Vec<u8>> = self
            .call("renew", || {
                let mut call = self.with_keys(&self.scripts.renew);
                call.arg(end).arg(ends.len()).arg(&ends).arg(&claim.ids);
                call
            })
            .await?;
        claim.end = end;
        claim.tried.clear();
        claim.at += gone_by;
        claim.since += Duration::from_millis(gone_by);
        let lost = texts(lost);
        claim.forget(&lost);
        Ok(lost)
    }

    /// Runs a script that may not run twice.
    async fn once(
        &self,
        operation: &'static str,
        call: redis::ScriptInvocation<'_>,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let mut connection = self.connection.clone();
        invoke(&call, &mut connection)
            .await
            .map_err(|source| Error::Command { operation, source })
    }
}

fn number(text: Option<Vec<u8>>) -> u64 {
    text.and_then(|text| String::from_utf8(text).ok())
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// Postgres takes no zero byte in a text.
fn is_text(id: &[u8]) -> bool {
    std::str::from_utf8(id).is_ok_and(|id| !id.contains('\0'))
}

fn texts(ids: impl IntoIterator<Item = Vec<u8>>) -> Vec<String> {
    ids.into_iter()
        .filter_map(|id| String::from_utf8(id).ok())
        .collect()
}
