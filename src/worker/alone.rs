//! Ads that workers died with, one at a time and with nothing else in hand.
//!
//! When a worker dies, whatever it had in hand is suspect. What was in hand at
//! [`DEATHS`] deaths is put aside by the queue and comes here: everything else
//! lands first, then one such ad is taken alone. If it is put down like any
//! other it was innocent. If the worker dies once more it was this ad, and it
//! is rejected when it is claimed the next time, unread. Between two of them
//! the others flow.

use std::time::Duration;

use super::{
    Context,
    hand::Hand,
    prepare::{Error, Parcel, of_claim},
};
use crate::{
    ledger,
    queue::{DEATHS, Suspect},
};

/// What an ad is rejected with that workers die with.
const CODE: &str = "WORKER_DIED";

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Alone {
    /// Everybody's.
    #[default]
    Nobody,
    /// A suspect's, as soon as nothing else is in hand.
    Due,
    /// A suspect is in hand.
    InHand,
}

impl Alone {
    /// So many suspects wait.
    pub(super) fn wait(&mut self, suspects: usize) {
        if suspects > 0 && *self == Self::Nobody {
            *self = Self::Due;
        }
    }

    /// Nothing is in hand: whether a suspect is to be taken now.
    pub(super) fn starts(&mut self) -> bool {
        let due = *self == Self::Due;
        *self = if due { Self::InHand } else { Self::Nobody };
        due
    }

    /// Whether what is in hand has to land before anything else is claimed.
    pub(super) fn keeps_others_out(self) -> bool {
        self != Self::Nobody
    }
}

/// Claims one suspect. `None` when there is none.
pub(super) async fn prepare(context: &Context) -> Result<Option<Vec<Parcel>>, Error> {
    let Some(Suspect { claim, deaths }) = context.queue.claim_suspect().await? else {
        return Ok(None);
    };
    if deaths <= DEATHS {
        return of_claim(context, claim).await.map(Some);
    }
    let ids = claim.ids.clone();
    let hand = Hand::new(context.queue.clone(), claim, context.options.lease);
    for id in &ids {
        ledger::answered(reject(context, id, deaths)).await?;
    }
    hand.done(&ids).await?;
    for id in &ids {
        context.queue.keep_suspect(id).await?;
    }
    Ok(Some(Vec::new()))
}

async fn reject(context: &Context, id: &str, deaths: u32) -> Result<(), ledger::Error> {
    let again = context.options.retry_rejected;
    let message = format!(
        "{deaths} workers died with this ad in hand, the last one while it handled nothing else. \
         Look for what its rows in the view usage_sync.usage have that others have not, above all \
         their size, and into the host's log for why the process ended. It is tried again, alone, \
         when it changes, by usage-sync retry, and by itself in {}.",
        humantime::format_duration(Duration::from_secs(again.as_secs()))
    );
    tracing::error!(
        ad.id = %super::shown(id), deaths,
        "ad rejected: workers die with it"
    );
    context.ledger.refuse(id, CODE, &message, again).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspect_waits_until_nothing_is_in_hand_and_others_come_between_two() {
        let mut alone = Alone::default();
        assert!(!alone.keeps_others_out());
        alone.wait(0);
        assert!(!alone.starts());

        alone.wait(2);
        assert!(alone.keeps_others_out());
        assert!(alone.starts());
        // It is in hand.
        alone.wait(1);
        assert!(alone.keeps_others_out());
        // It has landed.
        assert!(!alone.starts());
        assert!(!alone.keeps_others_out());
        alone.wait(1);
        assert!(alone.starts());
    }
}
