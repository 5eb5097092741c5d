//! Many who ask at once, and few calls.
//!
//! Who asks waits for a flight. A flight gathers those who come within a moment,
//! asks for all of them in one query, and tells each its own. Nobody joins a flight
//! that has left: its answer could be older than the question. So who comes too
//! late for one takes the next, which need not wait for the first one's end: a few
//! are on their way at the same time. A flight flies on when somebody on it goes
//! away.
//!
//! Those who are answered together ask again almost together. As long as they do,
//! all of them cost one query; whoever falls behind them costs one more, for as
//! long as he does. Hence a flight waits while they keep coming, and flights are
//! few, so that those who have fallen behind are gathered again.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use time::OffsetDateTime;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::{Instant, sleep_until, timeout},
};

use super::{
    Contract, Error, Outage,
    key::Question,
    read::{Failure, Reader},
};
use crate::salesforce::Class;

/// A flight leaves once nobody has come for this long: longer than it takes one
/// after the other to be told and to ask again.
const QUIET: Duration = Duration::from_millis(1);

/// And after this long, whoever comes: nobody notices it.
const GATHER: Duration = Duration::from_millis(6);

/// Flights on their way at the same time. Those who have fallen behind wait less
/// with each of them, and cost more: fifty who ask without a pause cost 6 queries
/// for 100 reads at worst with three.
const FLIGHTS: usize = 3;

/// Contracts a flight, lest one answer hold all others up.
const MOST: usize = 100;

type Answer = Result<Arc<[Contract]>, Error>;

/// All who ask.
pub(super) struct Crowd {
    reader: Arc<Reader>,
    limit: Duration,
    gate: Gate,
    slots: Arc<Semaphore>,
    down: Arc<Down>,
}

/// Since when Salesforce has not answered, whatever it was asked.
pub(super) type Down = Mutex<Option<OffsetDateTime>>;

/// Those who wait for a flight.
#[derive(Default)]
struct Gate(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    askers: Vec<Asker>,
    /// Somebody is gathering them.
    is_open: bool,
}

struct Asker {
    question: Question,
    tell: oneshot::Sender<Answer>,
}

impl Crowd {
    pub(super) fn new(reader: Arc<Reader>, limit: Duration, down: Arc<Down>) -> Self {
        Self {
            reader,
            limit,
            gate: Gate::default(),
            slots: Arc::new(Semaphore::new(FLIGHTS)),
            down,
        }
    }

    /// The contracts that answer the question.
    pub(super) async fn ask(self: &Arc<Self>, question: Question) -> Result<Vec<Contract>, Error> {
        let began = OffsetDateTime::now_utc();
        let (tell, told) = oneshot::channel();
        let asker = Asker {
            question: question.clone(),
            tell,
        };
        if self.gate.enter(asker) {
            tokio::spawn(gather(Arc::clone(self)));
        }
        match timeout(self.limit, told).await {
            Ok(Ok(answer)) => Ok(answer?
                .iter()
                .filter(|contract| question.is_answered_by(contract))
                .cloned()
                .collect()),
            // Time is over, or the process is ending.
            Ok(Err(_)) | Err(_) => Err(self.down_since(began, Outage::Slow(self.limit))),
        }
    }

    /// One query for all of these.
    async fn fly(self: Arc<Self>, askers: Vec<Asker>, slot: OwnedSemaphorePermit) {
        let began = OffsetDateTime::now_utc();
        let questions: Vec<Question> = distinct(&askers).into_iter().cloned().collect();
        let read = timeout(self.limit, self.reader.read(&questions)).await;
        let answer: Answer = match read {
            Ok(Ok(contracts)) => {
                *self.down() = None;
                Ok(contracts.into())
            }
            Ok(Err(Failure::Ledger(error))) => Err(Error::Ledger(Arc::new(error))),
            Ok(Err(Failure::Salesforce(error))) => match error.class() {
                Class::Outage { .. }
                | Class::Expired
                | Class::Contention
                | Class::Superseded
                | Class::Suspect => Err(self.down_since(began, Outage::Failed(Arc::new(error)))),
                Class::Configuration | Class::Rejected => {
                    // Who refuses has answered.
                    *self.down() = None;
                    Err(Error::Refused(Arc::new(error)))
                }
            },
            Err(_) => Err(self.down_since(began, Outage::Slow(self.limit))),
        };
        drop(slot);
        for asker in askers {
            // Who went away needs no answer.
            asker.tell.send(answer.clone()).ok();
        }
    }

    fn down_since(&self, began: OffsetDateTime, source: Outage) -> Error {
        Error::Unavailable {
            since: *self.down().get_or_insert(began),
            source,
        }
    }

    fn down(&self) -> MutexGuard<'_, Option<OffsetDateTime>> {
        self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets flights leave until nobody waits.
async fn gather(crowd: Arc<Crowd>) {
    // The semaphore is never closed.
    while let Ok(slot) = Arc::clone(&crowd.slots).acquire_owned().await {
        crowd.gate.fill().await;
        let (leaving, is_last) = crowd.gate.leave(&crowd.reader);
        if !leaving.is_empty() {
            tokio::spawn(Arc::clone(&crowd).fly(leaving, slot));
        }
        if is_last {
            break;
        }
    }
}

impl Gate {
    /// Waits with the others; true if nobody gathers them yet.
    fn enter(&self, asker: Asker) -> bool {
        let mut waiting = self.waiting();
        waiting.askers.push(asker);
        !std::mem::replace(&mut waiting.is_open, true)
    }

    /// Waits as long as somebody comes, but not for ever.
    async fn fill(&self) {
        let end = Instant::now() + GATHER;
        let mut known = self.waiting().askers.len();
        loop {
            sleep_until(end.min(Instant::now() + QUIET)).await;
            let now = self.waiting().askers.len();
            if now == known || Instant::now() >= end {
                break;
            }
            known = now;
        }
    }

    /// Those who leave, the longest waiting first, and whether nobody is left.
    fn leave(&self, reader: &Reader) -> (Vec<Asker>, bool) {
        let mut waiting = self.waiting();
        waiting.askers.retain(|asker| !asker.tell.is_closed());
        let mut questions: Vec<Question> = distinct(&waiting.askers).into_iter().cloned().collect();
        questions.truncate(MOST);
        questions.truncate(reader.room(&questions));
        let (leaving, left): (Vec<Asker>, Vec<Asker>) = std::mem::take(&mut waiting.askers)
            .into_iter()
            .partition(|asker| questions.contains(&asker.question));
        waiting.is_open = !left.is_empty();
        waiting.askers = left;
        (leaving, !waiting.is_open)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Each question once, in the order of the first who asked it.
fn distinct(askers: &[Asker]) -> Vec<&Question> {
    let mut first = HashMap::with_capacity(askers.len());
    for (place, asker) in askers.iter().enumerate() {
        first.entry(&asker.question).or_insert(place);
    }
    let mut questions: Vec<(&Question, usize)> = first.into_iter().collect();
    questions.sort_unstable_by_key(|(_, place)| *place);
    questions
        .into_iter()
        .map(|(question, _)| question)
        .collect()
}

impl fmt::Debug for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crowd")
            .field("reader", &self.reader)
            .finish_non_exhaustive()
    }
}
