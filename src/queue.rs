//! The Redis list of ads that wait to be reported, and its rules.
//!
//! The queue carries ids, never payloads, and Redis is only its engine: the
//! truth is in Postgres, and whatever Redis loses is offered again by the
//! sweep. The rules are those of client-go's workqueue: an id is never in two
//! hands at once, a second push is folded, an id that changes while in hand
//! is queued again the moment it is put down, and an id whose lease ran out
//! goes back to the tail. Each operation is one Lua script, so each is atomic;
//! leases and due times are read from Redis' own clock.
//!
//! All keys share one hash tag, so one slot of a Redis Cluster holds them:
//!
//! - `{name}:queue`, a list: ids ready to be taken; taken at the head, pushed
//!   at the tail. A plain `RPUSH` by any other program works too.
//! - `{name}:queued`, a set: what stands in the list, and what changed while
//!   in hand.
//! - `{name}:claimed`, a sorted set of id by end of lease: what is in hand.
//! - `{name}:retry`, a sorted set of id by due time: what waits out a backoff.
//! - `{name}:filled`: exists as long as Redis has its memory. When it is gone,
//!   everything pending has to be offered again.
//! - `{name}:salesforce`: how a daemon finds Salesforce, for `status`.

mod connection;
mod health;
mod scripts;

use std::{sync::Arc, time::Duration};

use redis::{Script, aio::ConnectionManager};

use crate::settings;

pub use connection::{Server, server};
pub use health::Health;
use scripts::{Keys, Scripts};

/// Ids a script is given at once: large enough to be cheap, small enough that
/// Redis, which runs one script at a time, stays responsive (about a millisecond).
const IDS_A_CALL: usize = 1000;

/// The queue could not be reached or refused to answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `REDIS_URL` is not an address of Redis.
    #[error("REDIS_URL is not usable")]
    Address(#[source] redis::RedisError),
    /// No connection.
    #[error("redis cannot be reached")]
    Connect(#[source] redis::RedisError),
    /// The server answered something that the queue cannot work with.
    #[error("redis did not {operation}")]
    Command {
        /// What was asked of it.
        operation: &'static str,
        /// What it said.
        #[source]
        source: redis::RedisError,
    },
    /// Older than what the scripts need.
    #[error("redis {version} is too old: version 6.2 or newer is needed")]
    TooOld {
        /// What the server says it is.
        version: String,
    },
}

impl Error {
    /// Whether waiting is in vain: the settings or the server have to change.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Address(_) | Self::TooOld { .. } => true,
            Self::Connect(_) | Self::Command { .. } => false,
        }
    }
}

/// Ids in one hand, until the end of their lease.
#[derive(Debug)]
pub struct Claim {
    /// The ids, oldest first.
    pub ids: Vec<String>,
    lease: u64,
}

impl Claim {
    /// These ids are no longer in the hand.
    pub fn forget(&mut self, ids: &[String]) {
        let gone: std::collections::HashSet<&String> = ids.iter().collect();
        self.ids.retain(|id| !gone.contains(id));
    }
}

/// What [`Queue::recover`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// Ids whose worker died.
    pub expired: usize,
    /// Ids whose backoff was over.
    pub due: usize,
    /// Ids that the list had lost.
    pub lost: usize,
    /// Redis had lost its memory: everything pending must be offered again.
    pub emptied: bool,
}

/// How many ids are where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Depth {
    /// Ready to be taken.
    pub ready: usize,
    /// In hand.
    pub claimed: usize,
    /// Waiting out a backoff.
    pub retry: usize,
}

/// The queue. Cheap to clone; all clones share one connection.
#[derive(Clone)]
pub struct Queue {
    connection: ConnectionManager,
    keys: Keys,
    scripts: Arc<Scripts>,
    max: usize,
    lease: Duration,
}

impl Queue {
    /// Connects and checks the server's version.
    pub async fn connect(redis: &settings::Redis, queue: &settings::Queue) -> Result<Self, Error> {
        let connection = connection::open(redis).await?;
        let queue = Self::new(connection, queue);
        let server = server(&mut queue.connection.clone()).await?;
        if !server.is_supported() {
            return Err(Error::TooOld {
                version: server.version,
            });
        }
        Ok(queue)
    }

    fn new(connection: ConnectionManager, settings: &settings::Queue) -> Self {
        Self {
            connection,
            keys: Keys::of(&settings.name),
            scripts: Arc::new(Scripts::new()),
            max: settings.max,
            lease: settings.lease,
        }
    }

    /// What the server says of itself.
    pub async fn server(&self) -> Result<Server, Error> {
        server(&mut self.connection.clone()).await
    }

    /// Queues ids that changed; answers for how many there was no room.
    pub async fn enqueue(&self, ids: &[String]) -> Result<usize, Error> {
        self.push(&self.scripts.enqueue, "enqueue", ids).await
    }

    /// Queues those ids that Redis does not know; answers for how many there
    /// was no room.
    pub async fn offer(&self, ids: &[String]) -> Result<usize, Error> {
        self.push(&self.scripts.offer, "offer", ids).await
    }

    async fn push(
        &self,
        script: &Script,
        operation: &'static str,
        ids: &[String],
    ) -> Result<usize, Error> {
        let mut refused = 0;
        for ids in ids.chunks(IDS_A_CALL) {
            refused += self
                .call::<usize>(operation, || {
                    let mut call = self.with_keys(script);
                    call.arg(self.max).arg(ids);
                    call
                })
                .await?;
        }
        Ok(refused)
    }

    /// Takes up to `most` ids into one hand. `None` when the list is empty.
    ///
    /// An answer that gets lost leaves the ids claimed by nobody; they return
    /// when the lease ends.
    pub async fn claim(&self, most: usize) -> Result<Option<Claim>, Error> {
        let mut invocation = self.with_keys(&self.scripts.claim);
        invocation.arg(most).arg(millis(self.lease));
        let answer: Vec<Vec<u8>> = invocation
            .invoke_async(&mut self.connection.clone())
            .await
            .map_err(|source| Error::Command {
                operation: "claim",
                source,
            })?;
        let (lease, taken) = lease_and_ids(answer);
        let (ids, strangers): (Vec<_>, Vec<_>) = taken
            .into_iter()
            .partition(|id| std::str::from_utf8(id).is_ok_and(|id| !id.contains('\0')));
        if !strangers.is_empty() {
            // Bytes that are no text are no ad's id; somebody else pushed them.
            tracing::warn!(count = strangers.len(), "dropped ids that are not text");
            self.put_down(&self.scripts.done, "done", lease, &strangers)
                .await?;
        }
        let ids: Vec<String> = ids
            .into_iter()
            .filter_map(|id| String::from_utf8(id).ok())
            .collect();
        Ok((!ids.is_empty()).then_some(Claim { ids, lease }))
    }

    /// Puts ids of a claim down for good.
    pub async fn done(&self, claim: &Claim, ids: &[String]) -> Result<(), Error> {
        self.put_down(&self.scripts.done, "done", claim.lease, ids)
            .await
    }

    /// Gives ids of a claim back to the tail, untried.
    pub async fn release(&self, claim: &Claim, ids: &[String]) -> Result<(), Error> {
        self.put_down(&self.scripts.release, "release", claim.lease, ids)
            .await
    }

    async fn put_down<T: redis::ToRedisArgs>(
        &self,
        script: &Script,
        operation: &'static str,
        lease: u64,
        ids: &[T],
    ) -> Result<(), Error> {
        for ids in ids.chunks(IDS_A_CALL) {
            self.call::<()>(operation, || {
                let mut call = script.prepare_invoke();
                call.key(&self.keys.queue)
                    .key(&self.keys.queued)
                    .key(&self.keys.claimed)
                    .arg(lease)
                    .arg(ids);
                call
            })
            .await?;
        }
        Ok(())
    }

    /// Puts ids of a claim down until their pause is over.
    pub async fn retry(&self, claim: &Claim, ids: &[(String, Duration)]) -> Result<(), Error> {
        for ids in ids.chunks(IDS_A_CALL) {
            self.call::<()>("retry", || {
                let mut call = self.with_keys(&self.scripts.retry);
                call.arg(claim.lease);
                for (id, pause) in ids {
                    call.arg(id).arg(millis(*pause));
                }
                call
            })
            .await?;
        }
        Ok(())
    }

    /// Prolongs a claim and answers the ids that it has lost to another hand.
    pub async fn renew(&self, claim: &mut Claim) -> Result<Vec<String>, Error> {
        let answer: Vec<Vec<u8>> = self
            .call("renew", || {
                let mut call = self.scripts.renew.prepare_invoke();
                call.key(&self.keys.claimed)
                    .arg(claim.lease)
                    .arg(millis(self.lease))
                    .arg(&claim.ids);
                call
            })
            .await?;
        let (lease, lost) = lease_and_ids(answer);
        claim.lease = lease;
        let lost: Vec<String> = lost
            .into_iter()
            .filter_map(|id| String::from_utf8(id).ok())
            .collect();
        claim.forget(&lost);
        Ok(lost)
    }

    /// Brings back what waits for nobody.
    pub async fn recover(&self) -> Result<Recovered, Error> {
        let (expired, due, lost, emptied): (usize, usize, usize, usize) = self
            .call("recover", || {
                let mut call = self.with_keys(&self.scripts.recover);
                call.key(&self.keys.filled).arg(IDS_A_CALL);
                call
            })
            .await?;
        Ok(Recovered {
            expired,
            due,
            lost,
            emptied: emptied == 1,
        })
    }

    /// How many ids are where.
    pub async fn depth(&self) -> Result<Depth, Error> {
        let (ready, claimed, retry) = redis::pipe()
            .llen(&self.keys.queue)
            .zcard(&self.keys.claimed)
            .zcard(&self.keys.retry)
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|source| Error::Command {
                operation: "count",
                source,
            })?;
        Ok(Depth {
            ready,
            claimed,
            retry,
        })
    }

    fn with_keys<'a>(&self, script: &'a Script) -> redis::ScriptInvocation<'a> {
        let mut invocation = script.prepare_invoke();
        invocation
            .key(&self.keys.queue)
            .key(&self.keys.queued)
            .key(&self.keys.claimed)
            .key(&self.keys.retry);
        invocation
    }

    /// Runs a script, and once more if the connection broke: the first command
    /// after a server closed an idle connection fails, the second does not.
    /// Every script that comes here may run twice.
    async fn call<'a, T: redis::FromRedisValue>(
        &self,
        operation: &'static str,
        invocation: impl Fn() -> redis::ScriptInvocation<'a>,
    ) -> Result<T, Error> {
        let mut connection = self.connection.clone();
        let first = invocation().invoke_async(&mut connection).await;
        let answer = match first {
            Err(error) if error.is_connection_dropped() || error.is_io_error() => {
                invocation().invoke_async(&mut connection).await
            }
            answer => answer,
        };
        answer.map_err(|source| Error::Command { operation, source })
    }
}

fn lease_and_ids(answer: Vec<Vec<u8>>) -> (u64, Vec<Vec<u8>>) {
    let mut parts = answer.into_iter();
    let lease = parts
        .next()
        .and_then(|lease| String::from_utf8(lease).ok())
        .and_then(|lease| lease.parse().ok())
        .unwrap_or(0);
    (lease, parts.collect())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
