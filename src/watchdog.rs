//! Ends a process that only looks alive.
//!
//! Whatever is watched counts how often it was polled. A thread of its own,
//! which no stalled executor can stall, looks at the counts once a second and
//! raises the alarm when one has stood still for too many looks. Everything
//! that the daemon waits for has a limit of its own, so a future that is not
//! polled for longer than that waits for nothing any more.
//!
//! It counts looks and reads no clock: a process that was frozen for an hour
//! has missed one look when it goes on, not an hour.

use std::{
    fmt, io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
    thread,
    time::Duration,
};

use tokio::sync::oneshot;

/// One look at all that is watched.
const LOOK: Duration = Duration::from_secs(1);

/// Longer than the longest wait in a loop, which is the 30 s for an answer of
/// Postgres, and short enough to end the process within a minute.
pub const PATIENCE: Duration = Duration::from_secs(45);

/// So many looks after the alarm the process is ended by force.
const GRACE: u32 = 5;

/// Watches futures. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Watchdog(Arc<Mutex<Vec<Weak<Pulse>>>>);

/// Resolves to the name of what hangs.
pub type Alarm = oneshot::Receiver<&'static str>;

#[derive(Debug)]
struct Pulse {
    name: &'static str,
    /// Looks that it may stand still.
    patience: u64,
    polls: AtomicU32,
}

impl Watchdog {
    /// Starts the thread, which lives for as long as somebody holds this.
    pub fn start() -> io::Result<(Self, Alarm)> {
        let watchdog = Self::default();
        let pulses = Arc::downgrade(&watchdog.0);
        let (alarm, raised) = oneshot::channel();
        thread::Builder::new()
            .name(String::from("watchdog"))
            .spawn(move || keep_watch(&pulses, alarm))?;
        Ok((watchdog, raised))
    }

    /// Watches `work` until it ends or is dropped. It hangs when it is not
    /// polled for as long as `patience`.
    pub fn watch<F: Future>(&self, name: &'static str, patience: Duration, work: F) -> Watched<F> {
        let pulse = Arc::new(Pulse {
            name,
            patience: patience.as_secs(),
            polls: AtomicU32::new(0),
        });
        let mut pulses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pulses.push(Arc::downgrade(&pulse));
        Watched {
            pulse,
            work: Box::pin(work),
        }
    }
}

/// A future that is watched.
pub struct Watched<F> {
    pulse: Arc<Pulse>,
    work: Pin<Box<F>>,
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.pulse.polls.fetch_add(1, Ordering::Relaxed);
        self.work.as_mut().poll(context)
    }
}

impl<F> fmt::Debug for Watched<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watched").field(&self.pulse).finish()
    }
}

/// What one look after the other saw of a pulse.
struct Seen {
    pulse: Weak<Pulse>,
    polls: u32,
    still: u64,
}

fn keep_watch(pulses: &Weak<Mutex<Vec<Weak<Pulse>>>>, alarm: oneshot::Sender<&'static str>) {
    let mut watched: Vec<Seen> = Vec::new();
    let hanging = loop {
        thread::sleep(LOOK);
        let Some(pulses) = pulses.upgrade() else {
            return;
        };
        let mut new = pulses.lock().unwrap_or_else(PoisonError::into_inner);
        watched.extend(new.drain(..).map(|pulse| Seen {
            pulse,
            polls: 0,
            still: 0,
        }));
        drop(new);
        if let Some(name) = look(&mut watched) {
            break name;
        }
    };
    tracing::error!(
        hanging,
        "part of the daemon hangs: the process ends, to be started anew"
    );
    // Nobody listens any more once the process is ending.
    alarm.send(hanging).ok();
    // It does not end where its last words find no reader.
    thread::sleep(LOOK * GRACE);
    std::process::abort();
}

/// Looks at each once; answers the name of one that has stood still too long.
fn look(watched: &mut Vec<Seen>) -> Option<&'static str> {
    let mut hanging = None;
    watched.retain_mut(|seen| {
        let Some(pulse) = seen.pulse.upgrade() else {
            return false;
        };
        let polls = pulse.polls.load(Ordering::Relaxed);
        seen.still = if polls == seen.polls {
            seen.still + 1
        } else {
            0
        };
        seen.polls = polls;
        if seen.still >= pulse.patience {
            hanging = Some(pulse.name);
        }
        true
    });
    hanging
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(3);

    fn poll<F: Future>(work: &mut Watched<F>) -> Poll<F::Output> {
        Pin::new(work).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn seen<F>(work: &Watched<F>) -> Vec<Seen> {
        let pulse = Arc::downgrade(&work.pulse);
        vec![Seen {
            pulse,
            polls: 0,
            still: 0,
        }]
    }

    #[tokio::test]
    async fn what_is_polled_now_and_then_does_not_hang() {
        let watchdog = Watchdog::default();
        let endless = std::future::pending::<()>();
        let mut work = watchdog.watch("lively", PATIENCE, endless);
        let mut watched = seen(&work);

        for _ in 0..10 {
            assert!(poll(&mut work).is_pending());
            assert_eq!(look(&mut watched), None);
            assert_eq!(look(&mut watched), None);
        }
    }

    #[tokio::test]
    async fn what_is_never_polled_hangs_once_patience_is_over() {
        let watchdog = Watchdog::default();
        let endless = std::future::pending::<()>();
        let mut work = watchdog.watch("dead", PATIENCE, endless);
        let mut watched = seen(&work);
        assert!(poll(&mut work).is_pending());

        let looks: Vec<_> = (0..4).map(|_| look(&mut watched)).collect();

        assert_eq!(looks, [None, None, None, Some("dead")]);
    }

    #[tokio::test]
    async fn what_has_ended_is_forgotten() {
        let watchdog = Watchdog::default();
        let work = watchdog.watch("done", PATIENCE, async {});
        let mut watched = seen(&work);
        work.await;

        assert_eq!(look(&mut watched), None);
        assert!(watched.is_empty());
    }
}
