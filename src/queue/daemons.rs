//! Which daemons live, so that the others notice when one dies.

use std::time::Duration;

use super::{Error, Queue, millis};

impl Queue {
    /// A daemon lives, and says so again before this is over. Answers how many
    /// others did not: each death is told to one of the living.
    pub async fn lives(&self, daemon: &str, lasting: Duration) -> Result<usize, Error> {
        self.call("hear of a daemon", || {
            let mut call = self.scripts.lives.prepare_invoke();
            call.key(&self.keys.daemons)
                .arg(daemon)
                .arg(millis(lasting));
            call
        })
        .await
    }

    /// A daemon ends in good order, which is no death.
    pub async fn leaves(&self, daemon: &str) -> Result<(), Error> {
        redis::cmd("ZREM")
            .arg(&self.keys.daemons)
            .arg(daemon)
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|source| Error::Command {
                operation: "forget a daemon",
                source,
            })
    }
}
