//! What Redis remembers of the place for the other programs of the
//! installation: the highest fencing token that was used, which an older
//! database is told by.

use super::{Error, Queue};

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
}
