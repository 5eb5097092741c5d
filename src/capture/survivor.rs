//! The death of another daemon, which may have made ads pending that Redis was
//! not told of.
//!
//! Ads in hand come back when their lease ends, and are noticed by that. A daemon
//! that dies with nothing in hand, in the millisecond between the two steps of
//! capture, leaves no lease: so each daemon says from time to time that it lives,
//! and whoever notices that another has fallen silent sweeps.

use std::time::Duration;

use crate::{queue::Queue, telemetry::Chain};

/// How often a daemon says that it lives.
pub(super) const BEAT: Duration = Duration::from_secs(3);

/// With [`BEAT`] a death is noticed within 13 s. Who was only slow is taken for
/// dead for the price of a sweep.
const LASTING: Duration = Duration::from_secs(10);

/// A Redis that hangs must not hold up a stop.
const LAST_WORD: Duration = Duration::from_secs(1);

/// A living daemon among others.
pub(super) struct Survivor {
    queue: Queue,
    /// Names are not unique while dynos overlap.
    id: String,
}

impl Survivor {
    pub(super) fn new(queue: Queue) -> Self {
        Self {
            queue,
            id: uuid::Uuid::new_v4().simple().to_string(),
        }
    }

    /// Says that this daemon lives; answers whether another one died.
    pub(super) async fn beat(&self) -> bool {
        match self.queue.lives(&self.id, LASTING).await {
            Ok(0) => false,
            Ok(count) => {
                tracing::info!(
                    count,
                    "another daemon gave no sign of life: what it may have left is looked for"
                );
                true
            }
            // Said by those who need Redis more; whatever it forgets meanwhile
            // is offered again once it is back.
            Err(error) => {
                tracing::debug!(error = %Chain(&error), "no sign of life could be given");
                false
            }
        }
    }

    /// Ends in good order.
    pub(super) async fn leave(self) {
        // If Redis does not hear it, another daemon sweeps.
        let _unheard = tokio::time::timeout(LAST_WORD, self.queue.leaves(&self.id)).await;
    }
}
