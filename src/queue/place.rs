//! What Redis remembers of the place for the other programs of the
//! installation: the highest fencing token that was used, which an older
//! database is told by, and why a daemon reports nothing.

use std::time::Duration;

use super::{Error, Queue, millis};

impl Queue {
    /// Remembers a fencing token that was used; answers the highest that is
    /// remembered. 0 only asks.
    pub async fn used_token(&self, token: i64) -> Result<i64, Error> {
        let highest: String = self
            .call("remember a token", || {
                let mut call = self.scripts.token.prepare_invoke();
                call.key(&self.keys.token).arg(token);
                call
            })
            .await?;
        // What somebody else wrote there is no token.
        Ok(highest.parse().unwrap_or(0))
    }

    /// Leaves word of why a daemon reports nothing, for as long as given.
    pub async fn say_elsewhere(&self, why: &str, lasting: Duration) -> Result<(), Error> {
        redis::cmd("SET")
            .arg(&self.keys.elsewhere)
            .arg(why)
            .arg("PX")
            .arg(millis(lasting))
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|source| Error::Command {
                operation: "publish",
                source,
            })
    }

    /// Takes that word back.
    pub async fn unsay_elsewhere(&self) -> Result<(), Error> {
        redis::cmd("DEL")
            .arg(&self.keys.elsewhere)
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|source| Error::Command {
                operation: "publish",
                source,
            })
    }

    /// Why a daemon reports nothing, if one said so of late.
    pub async fn elsewhere(&self) -> Result<Option<String>, Error> {
        redis::cmd("GET")
            .arg(&self.keys.elsewhere)
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|source| Error::Command {
                operation: "tell the place",
                source,
            })
    }
}
