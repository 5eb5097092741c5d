//! Word of Salesforce's health, left in Redis by a daemon for the other
//! programs of the installation.

use std::time::Duration;

use super::{Error, Queue, millis};

/// Salesforce as a daemon finds it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Health {
    /// Whether reports get through.
    pub up: bool,
    /// Since when, in seconds of the Unix epoch.
    pub since: i64,
    /// Why they do not, with the causes; a daemon of an older version says nothing.
    pub why: Option<String>,
    /// What a person has to do about it, if anything.
    pub remedy: Option<String>,
    /// Calls that the org has left today, where an answer has told.
    pub api_calls_left: Option<i64>,
}

impl Queue {
    /// Leaves word of Salesforce's health for the other programs of this
    /// installation, for as long as given.
    pub async fn publish(&self, health: &Health, lasting: Duration) -> Result<(), Error> {
        let failed = |source| Error::Command {
            operation: "publish",
            source,
        };
        let text = serde_json::to_string(health).unwrap_or_default();
        redis::cmd("SET")
            .arg(&self.keys.salesforce)
            .arg(text)
            .arg("PX")
            .arg(millis(lasting))
            .query_async(&mut self.connection.clone())
            .await
            .map_err(failed)
    }

    /// The word of Salesforce's health that a daemon left last; `None` when
    /// none is running.
    pub async fn health(&self) -> Result<Option<Health>, Error> {
        let text: Option<String> = redis::cmd("GET")
            .arg(&self.keys.salesforce)
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|source| Error::Command {
                operation: "tell salesforce's health",
                source,
            })?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }
}
