//! Word that a daemon leaves in Redis for `status`: why nothing is reported,
//! where no other program could find that out. It lapses unless it is left
//! again, so nobody has to take back the word of a daemon that died.

use std::time::Duration;

use super::{Error, Queue, millis};

impl Queue {
    /// Leaves word of why this is not the place to report from.
    pub async fn say_elsewhere(&self, why: &str, lasting: Duration) -> Result<(), Error> {
        self.say(&self.keys.elsewhere, why, lasting).await
    }

    /// Takes that word back.
    pub async fn unsay_elsewhere(&self) -> Result<(), Error> {
        self.unsay(&self.keys.elsewhere).await
    }

    /// That word, if a daemon left it of late.
    pub async fn elsewhere(&self) -> Result<Option<String>, Error> {
        self.said(&self.keys.elsewhere).await
    }

    /// Leaves word of why no ad can be read.
    pub async fn say_view(&self, why: &str, lasting: Duration) -> Result<(), Error> {
        self.say(&self.keys.view, why, lasting).await
    }

    /// Takes that word back.
    pub async fn unsay_view(&self) -> Result<(), Error> {
        self.unsay(&self.keys.view).await
    }

    /// That word, if a daemon left it of late.
    pub async fn view(&self) -> Result<Option<String>, Error> {
        self.said(&self.keys.view).await
    }

    async fn say(&self, key: &str, why: &str, lasting: Duration) -> Result<(), Error> {
        redis::cmd("SET")
            .arg(key)
            .arg(why)
            .arg("PX")
            .arg(millis(lasting))
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|source| Error::Command {
                operation: "take a word",
                source,
            })
    }

    async fn unsay(&self, key: &str) -> Result<(), Error> {
        redis::cmd("DEL")
            .arg(key)
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|source| Error::Command {
                operation: "take a word back",
                source,
            })
    }

    async fn said(&self, key: &str) -> Result<Option<String>, Error> {
        redis::cmd("GET")
            .arg(key)
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|source| Error::Command {
                operation: "tell a word",
                source,
            })
    }
}
