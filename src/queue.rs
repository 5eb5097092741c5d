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
//! - `{name}:deaths`, a hash of id by number: with which ads how many workers
//!   died.
//! - `{name}:suspects`, a sorted set of id by time: ads that are to be handled
//!   alone, since too many died with them.
//! - `{name}:filled`: exists as long as Redis has its memory. When it is gone,
//!   everything pending has to be offered again.
//! - `{name}:budget`, a hash: the calls that may be spent (`budget`).
//! - `{name}:salesforce`: how a daemon finds Salesforce, for `status`.
//! - `{name}:token`: the highest fencing token that was used; an older database
//!   is told by it.
//! - `{name}:elsewhere`: why a daemon reports nothing, for `status`.
//! - `{name}:daemons`, a sorted set of daemon by time: until when it is taken
//!   to live.
//! - `{name}:view`: why no ad can be read, for `status`.
//! - `{name}:crew`, a hash of daemon by its words: version and ads in hand, for
//!   the ops page.
//! - `{name}:samples`, a sorted set by time: lag and calls of the last day, for
//!   its charts.

mod budget;
mod claim;
mod connection;
mod crew;
mod daemons;
mod health;
mod link;
mod place;
mod samples;
mod scripts;
mod word;

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use redis::{ErrorKind, RedisError, Script, ServerErrorKind};

use crate::{settings, trouble::Trouble};

pub use claim::{Claim, DEATHS, Suspect};
pub use connection::Server;
use connection::server;
pub use crew::Member;
pub use health::Health;
use link::Link;
pub use samples::Sample;
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

/// What [`Queue::recover`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// Ids whose worker died.
    pub expired: usize,
    /// Ids whose backoff was over.
    pub due: usize,
    /// Ids that the list had lost. Those for which there was no room are to be
    /// offered again.
    pub lost: usize,
    /// Redis had lost its memory: everything pending must be offered again.
    pub emptied: bool,
    /// Ads that wait to be handled alone.
    pub suspects: usize,
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
    /// Waiting to be handled alone, since workers died with them.
    pub suspects: usize,
}

impl Depth {
    /// All of them.
    pub fn total(&self) -> usize {
        self.ready + self.claimed + self.retry + self.suspects
    }
}

/// What became of ids that were offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offered {
    /// Redis had not known them.
    pub queued: usize,
    /// There was no room for them.
    pub refused: usize,
}

/// The queue. Cheap to clone; all clones share one connection.
#[derive(Clone)]
pub struct Queue {
    connection: Link,
    keys: Keys,
    scripts: Arc<Scripts>,
    max: usize,
    lease: Duration,
    trouble: Trouble,
    /// Ids that this process has in hand.
    in_hand: Arc<AtomicUsize>,
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

    fn new(connection: Link, settings: &settings::Queue) -> Self {
        Self {
            connection,
            keys: Keys::of(&settings.name),
            scripts: Arc::new(Scripts::new()),
            max: settings.max,
            lease: settings.claim_lasts(),
            trouble: Trouble::with("redis"),
            in_hand: Arc::default(),
        }
    }

    /// For a loop to say that Redis does not answer: said once for all loops
    /// that have this queue.
    pub fn trouble(&self) -> Trouble {
        self.trouble.clone()
    }

    /// What the server says of itself.
    pub async fn server(&self) -> Result<Server, Error> {
        server(&mut self.connection.clone()).await
    }

    /// Queues ids that changed; answers for how many there was no room.
    pub async fn enqueue(&self, ids: &[String]) -> Result<usize, Error> {
        let refused: Vec<usize> = self.push(&self.scripts.enqueue, "enqueue", ids).await?;
        Ok(refused.iter().sum())
    }

    /// Queues those ids that Redis does not know.
    pub async fn offer(&self, ids: &[String]) -> Result<Offered, Error> {
        let mut offered = Offered::default();
        let answers: Vec<(usize, usize)> = self.push(&self.scripts.offer, "offer", ids).await?;
        for (queued, refused) in answers {
            offered.queued += queued;
            offered.refused += refused;
        }
        Ok(offered)
    }

    async fn push<T: redis::FromRedisValue>(
        &self,
        script: &Script,
        operation: &'static str,
        ids: &[String],
    ) -> Result<Vec<T>, Error> {
        let mut answers = Vec::new();
        for ids in ids.chunks(IDS_A_CALL) {
            let answer = self.call(operation, || {
                let mut call = self.with_keys(script);
                call.arg(self.max).arg(ids);
                call
            });
            answers.push(answer.await?);
        }
        Ok(answers)
    }

    /// Puts ids of a claim down for good.
    pub async fn done(&self, claim: &Claim, ids: &[String]) -> Result<(), Error> {
        self.put_down(&self.scripts.done, "done", claim.end, ids)
            .await
    }

    /// Gives ids of a claim back to the tail, untried.
    pub async fn release(&self, claim: &Claim, ids: &[String]) -> Result<(), Error> {
        self.put_down(&self.scripts.release, "release", claim.end, ids)
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
                let mut call = self.with_keys(script);
                call.arg(lease).arg(ids);
                call
            })
            .await?;
        }
        Ok(())
    }

    /// Puts ids of a claim down until their pause is over. Answers those for
    /// which there is no room here, with what remains of their pause: more than
    /// half of the queue's room would be missing to all others.
    pub async fn retry(
        &self,
        claim: &Claim,
        ids: &[(String, Duration)],
    ) -> Result<Vec<(String, Duration)>, Error> {
        let mut left = Vec::new();
        for ids in ids.chunks(IDS_A_CALL) {
            let answer: Vec<(String, u64)> = self
                .call("retry", || {
                    let mut call = self.with_keys(&self.scripts.retry);
                    call.arg(claim.end).arg(self.max / 2);
                    for (id, pause) in ids {
                        call.arg(id).arg(millis(*pause));
                    }
                    call
                })
                .await?;
            let pause = |(id, pause)| (id, Duration::from_millis(pause));
            left.extend(answer.into_iter().map(pause));
        }
        Ok(left)
    }

    /// Brings back what waits for nobody.
    pub async fn recover(&self) -> Result<Recovered, Error> {
        let (expired, due, lost, emptied, suspects): (usize, usize, usize, usize, usize) = self
            .call("recover", || {
                let mut call = self.with_keys(&self.scripts.recover);
                call.key(&self.keys.filled).arg(IDS_A_CALL).arg(self.max);
                call
            })
            .await?;
        Ok(Recovered {
            expired,
            due,
            lost,
            emptied: emptied == 1,
            suspects,
        })
    }

    /// How many ids are where.
    pub async fn depth(&self) -> Result<Depth, Error> {
        let (ready, claimed, retry, suspects) = redis::pipe()
            .llen(&self.keys.queue)
            .zcard(&self.keys.claimed)
            .zcard(&self.keys.retry)
            .zcard(&self.keys.suspects)
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
            suspects,
        })
    }

    fn with_keys<'a>(&self, script: &'a Script) -> redis::ScriptInvocation<'a> {
        let mut invocation = script.prepare_invoke();
        invocation
            .key(&self.keys.queue)
            .key(&self.keys.queued)
            .key(&self.keys.claimed)
            .key(&self.keys.retry)
            .key(&self.keys.suspects)
            .key(&self.keys.deaths);
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
        let first = invoke(&invocation(), &mut connection).await;
        let answer = match first {
            Err(error) if error.is_io_error() => invoke(&invocation(), &mut connection).await,
            answer => answer,
        };
        answer.map_err(|source| Error::Command { operation, source })
    }
}

/// A script may be forgotten between being sent and being run, and then nothing
/// was done: it is sent again, so many times.
const FORGOTTEN: usize = 5;

/// Runs a script, whether Redis still knows it or not.
async fn invoke<T: redis::FromRedisValue>(
    call: &redis::ScriptInvocation<'_>,
    connection: &mut Link,
) -> redis::RedisResult<T> {
    for _ in 0..FORGOTTEN {
        match call.invoke_async(connection).await {
            Err(error) if is_forgotten(&error) => {}
            answer => return answer,
        }
    }
    call.invoke_async(connection).await
}

fn is_forgotten(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
