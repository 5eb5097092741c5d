//! What the sandbox is, beneath HTTP: the org, who is logged in, what was set
//! up to go wrong, and how long things take.
//!
//! A call that writes holds the locks of its parents for as long as it is
//! said to take. To learn which those are, it is carried out, taken back, and
//! carried out again when its time is over.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use super::fault::Faults;
use super::incoming::Incoming;
use super::oauth::Access;
use super::org::{Circumstances, Org};
use super::rest::{self, Call, Reply};
use super::stats::Stats;
use super::store::Key;

/// What may be changed while the sandbox runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Behaviour {
    /// How long every call takes.
    pub base_ms: u64,
    /// How much longer for each record that it writes.
    pub per_record_ms: u64,
    /// API calls a day.
    pub daily_limit: u64,
    /// API calls of this day so far; may exceed the limit.
    pub daily_used: u64,
    /// Whether a call over the limit is refused. Paid orgs may overshoot.
    pub limit_enforced: bool,
    /// How long a call waits for a lock.
    pub lock_wait_ms: u64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            base_ms: 0,
            per_record_ms: 0,
            // An Enterprise org without any licences counted.
            daily_limit: 100_000,
            daily_used: 0,
            limit_enforced: true,
            // Salesforce gives up after ten seconds.
            lock_wait_ms: 10_000,
        }
    }
}

/// Everything that requests share.
pub(crate) struct Service {
    pub(crate) org: Mutex<Org>,
    pub(crate) behaviour: Mutex<Behaviour>,
    pub(crate) stats: Mutex<Stats>,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) access: Mutex<Access>,
    /// Requests that are carried out later.
    pub(crate) withheld: Mutex<Vec<Incoming>>,
    locks: Mutex<HashSet<Key>>,
    released: Notify,
}

/// Takes a lock whose holder may have panicked: the sandbox prefers to go on.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What came of one look at the locks.
enum Turn {
    Done(Reply),
    /// The locks are ours; this long the call takes, without these rows.
    Holds {
        mine: HashSet<Key>,
        takes: Duration,
        circumstances: Circumstances,
    },
    /// Somebody else has one of them.
    Waits,
}

impl Service {
    pub(crate) fn new(org: Org, access: Access) -> Self {
        Self {
            org: Mutex::new(org),
            behaviour: Mutex::new(Behaviour::default()),
            stats: Mutex::new(Stats::default()),
            faults: Mutex::new(Faults::default()),
            access: Mutex::new(access),
            withheld: Mutex::new(Vec::new()),
            locks: Mutex::new(HashSet::new()),
            released: Notify::new(),
        }
    }

    /// Carries out a call of a user, in the time that calls take.
    pub(crate) async fn perform(
        &self,
        user: usize,
        call: &Call,
        circumstances: &Circumstances,
    ) -> Reply {
        let behaviour = lock(&self.behaviour).clone();
        if !call.writes() {
            pause(Duration::from_millis(behaviour.base_ms)).await;
            return self.execute(user, call, circumstances);
        }
        let deadline = Instant::now() + Duration::from_millis(behaviour.lock_wait_ms);
        let mut met = false;
        loop {
            let released = self.released.notified();
            let patient = Instant::now() < deadline;
            match self.turn(user, call, circumstances, &behaviour, patient) {
                Turn::Done(reply) => return reply,
                Turn::Holds {
                    mine,
                    takes,
                    circumstances,
                } => {
                    pause(takes).await;
                    let reply = self.execute(user, call, &circumstances);
                    lock(&self.locks).retain(|key| !mine.contains(key));
                    self.released.notify_waiters();
                    return reply;
                }
                Turn::Waits => {
                    lock(&self.stats).lock_meetings += u64::from(!met);
                    met = true;
                    // Woken or out of time: the next turn finds out.
                    timeout_at(deadline, released).await.ok();
                }
            }
        }
    }

    /// One look: done at once, ours for a time, or somebody else's.
    fn turn(
        &self,
        user: usize,
        call: &Call,
        circumstances: &Circumstances,
        behaviour: &Behaviour,
        patient: bool,
    ) -> Turn {
        let mut org = lock(&self.org);
        let mut locks = lock(&self.locks);
        let instant = behaviour.base_ms == 0 && behaviour.per_record_ms == 0;
        if instant && locks.is_empty() {
            return Turn::Done(self.execute_on(&mut org, user, call, circumstances));
        }
        let mut rehearsal = org.session(user, circumstances);
        let start = rehearsal.savepoint();
        rest::perform(&mut rehearsal, call);
        rehearsal.roll_back(start);
        let (touched, written) = (rehearsal.touched, rehearsal.written);
        let taken: HashSet<Key> = touched.intersection(&locks).copied().collect();
        if !taken.is_empty() && patient {
            return Turn::Waits;
        }
        if !taken.is_empty() {
            lock(&self.stats).lock_timeouts += 1;
        }
        let mine: HashSet<Key> = touched.difference(&taken).copied().collect();
        locks.extend(&mine);
        let mut circumstances = circumstances.clone();
        circumstances.locked.extend(taken);
        let records = u64::try_from(written).unwrap_or(u64::MAX);
        let duration = Duration::from_millis(
            behaviour.base_ms + behaviour.per_record_ms.saturating_mul(records),
        );
        Turn::Holds {
            mine,
            takes: duration,
            circumstances,
        }
    }

    fn execute(&self, user: usize, call: &Call, circumstances: &Circumstances) -> Reply {
        self.execute_on(&mut lock(&self.org), user, call, circumstances)
    }

    fn execute_on(
        &self,
        org: &mut Org,
        user: usize,
        call: &Call,
        circumstances: &Circumstances,
    ) -> Reply {
        let mut session = org.session(user, circumstances);
        let reply = rest::perform(&mut session, call);
        let tally = session.tally;
        org.commit();
        lock(&self.stats).wrote(tally);
        reply
    }
}

async fn pause(duration: Duration) {
    if !duration.is_zero() {
        sleep(duration).await;
    }
}
