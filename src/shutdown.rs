//! The wish to stop, as a value that is passed to whoever loops.
//!
//! SIGTERM and the first Ctrl-C ask for an orderly stop; a second Ctrl-C asks
//! to end at once. A repeated SIGTERM changes nothing, because Heroku may send
//! several (Dev Center, "Dyno Shutdown Behavior"). What stopping means, and how
//! long it may take, is for others to say; a process that is killed instead
//! loses nothing either.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How urgent it is; it only ever grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Running,
    Stopping,
    Ending,
}

/// Tells whether this process was asked to stop; cheap to clone.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<Stage>);

/// Asks by hand for what a signal asks for otherwise.
#[derive(Debug)]
pub struct Trigger(watch::Sender<Stage>);

impl Shutdown {
    /// Listens to the process' signals from now on, so it belongs before
    /// anything that takes time. From here the signals do nothing else: whoever
    /// calls this has to watch the value.
    pub fn listen() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let (trigger, shutdown) = Self::manual();
        tokio::spawn(relay(terminate, interrupt, trigger));
        Ok(shutdown)
    }

    /// Without signals: for tests, and for a loop that another one ends.
    pub fn manual() -> (Trigger, Self) {
        let (sender, receiver) = watch::channel(Stage::Running);
        (Trigger(sender), Self(receiver))
    }

    /// Resolves once a stop was asked for; may be awaited any number of times.
    pub async fn wait(&self) {
        self.reached(Stage::Stopping).await;
    }

    /// Resolves once the process should end without finishing anything.
    pub async fn wait_for_end(&self) {
        self.reached(Stage::Ending).await;
    }

    /// Whether a stop was asked for.
    pub fn is_stopping(&self) -> bool {
        *self.0.borrow() >= Stage::Stopping
    }

    async fn reached(&self, stage: Stage) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|now| *now >= stage).await.is_err() {
            // Nobody is left who could ask, so nobody will.
            std::future::pending::<()>().await;
        }
    }
}

impl Trigger {
    /// Asks for an orderly stop.
    pub fn stop(&self) {
        self.raise(Stage::Stopping);
    }

    /// Asks to end at once.
    pub fn end(&self) {
        self.raise(Stage::Ending);
    }

    fn raise(&self, stage: Stage) {
        self.0.send_if_modified(|now| {
            let raised = *now < stage;
            *now = stage.max(*now);
            raised
        });
    }
}

async fn relay(mut terminate: Signal, mut interrupt: Signal, trigger: Trigger) {
    let mut interrupted = false;
    loop {
        tokio::select! {
            Some(()) = terminate.recv() => trigger.stop(),
            Some(()) = interrupt.recv() => {
                if interrupted {
                    trigger.end();
                } else {
                    trigger.stop();
                }
                interrupted = true;
            }
            else => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nix::sys::signal::{Signal, raise};
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);
    /// A signal that was raised by this process has arrived after so many turns of
    /// the runtime, however long the machine stands still in one of them.
    const TURNS: u32 = 20;
    const TURN: Duration = Duration::from_millis(10);

    /// Whether this goes on for as long as a signal may take.
    async fn goes_on(waiting: impl Future<Output = ()>) -> bool {
        tokio::pin!(waiting);
        for _ in 0..TURNS {
            if timeout(TURN, &mut waiting).await.is_ok() {
                return false;
            }
        }
        true
    }

    #[tokio::test]
    async fn a_stop_is_seen_by_every_copy_now_and_later() {
        let (trigger, shutdown) = Shutdown::manual();
        let waiting = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.wait().await }
        });
        assert!(!shutdown.is_stopping());

        trigger.stop();

        timeout(PATIENCE, waiting)
            .await
            .expect("the waiting task was not woken")
            .unwrap();
        timeout(PATIENCE, shutdown.wait())
            .await
            .expect("a later wait did not resolve");
        assert!(shutdown.is_stopping());
    }

    #[tokio::test]
    async fn a_stop_is_no_end_and_an_end_is_not_taken_back() {
        let (trigger, shutdown) = Shutdown::manual();

        trigger.stop();
        assert!(goes_on(shutdown.wait_for_end()).await);
        trigger.end();
        trigger.stop();

        timeout(PATIENCE, shutdown.wait_for_end())
            .await
            .expect("the end was not seen");
    }

    #[tokio::test]
    async fn without_a_trigger_nothing_stops() {
        let (trigger, shutdown) = Shutdown::manual();
        drop(trigger);

        assert!(goes_on(shutdown.wait()).await);
        assert!(!shutdown.is_stopping());
    }

    /// One test, because signals belong to the process and not to a test.
    #[tokio::test]
    async fn sigterm_may_come_twice_and_a_second_interrupt_ends() {
        let shutdown = Shutdown::listen().unwrap();

        raise(Signal::SIGTERM).unwrap();
        timeout(PATIENCE, shutdown.wait())
            .await
            .expect("SIGTERM was not seen");
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            raise(signal).unwrap();
            assert!(goes_on(shutdown.wait_for_end()).await, "{signal} ended it");
        }
        raise(Signal::SIGINT).unwrap();

        timeout(PATIENCE, shutdown.wait_for_end())
            .await
            .expect("the second SIGINT was not seen");
    }
}
