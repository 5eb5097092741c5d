//! Reads a claim through the app's view, and finds the ad that makes it fail: what
//! cannot be read together is halved until the culprit stands alone.

use std::sync::Arc;

use super::{Context, Error, Hand, Parcel, parcels_of};
use crate::{
    ledger,
    worker::{shown, view},
};

/// How far a claim has been read.
pub(super) struct Reading {
    /// What is still to be read, the next at the end.
    open: Vec<Vec<String>>,
    parcels: Vec<Parcel>,
    /// Ads that were rejected, with the code.
    unreadable: Vec<(String, String)>,
    /// A failure is not that of the whole view, as far as can be told.
    is_judged: bool,
}

impl Reading {
    pub(super) fn of(ids: Vec<String>) -> Self {
        Self {
            open: vec![ids],
            parcels: Vec::new(),
            unreadable: Vec::new(),
            is_judged: false,
        }
    }

    /// The parcels of all that can be read. What is left goes back to the queue,
    /// and what is ready goes out whatever stopped the rest.
    pub(super) async fn parcels(
        mut self,
        context: &Context,
        hand: &Arc<Hand>,
    ) -> Result<Vec<Parcel>, Error> {
        let ended = self.go_on(context, hand).await;
        say_unreadable(&self.unreadable);
        if !self.open.is_empty() {
            // If Redis does not take them back, the end of the lease does.
            let _untaken = hand.release(&self.open.concat()).await;
        }
        match ended {
            Err(failure) if self.parcels.is_empty() => Err(failure),
            Ok(()) | Err(_) => Ok(self.parcels),
        }
    }

    /// Reads what is open until nothing is, or until the view turns out to fail
    /// for every ad.
    async fn go_on(&mut self, context: &Context, hand: &Arc<Hand>) -> Result<(), Error> {
        while let Some(ids) = self.open.last().cloned() {
            match ledger::answered(parcels_of(context, hand, &ids)).await {
                Ok(ready) => self.parcels.extend(ready),
                Err(Error::Ledger(error @ ledger::Error::Row(_))) => {
                    if !self.is_judged && view::is_blind(context, &ids).await? {
                        return Ok(());
                    }
                    self.is_judged = true;
                    if ids.len() > 1 {
                        let (first, second) = ids.split_at(ids.len() / 2);
                        self.open.pop();
                        self.open.extend([second.to_vec(), first.to_vec()]);
                        continue;
                    }
                    let refused = refuse(context, hand, &ids, &error);
                    self.unreadable.extend(ledger::answered(refused).await?);
                }
                Err(failure) => return Err(failure),
            }
            self.open.pop();
        }
        Ok(())
    }
}

/// An ad whose row makes the view fail is rejected alone. Answers those that
/// were, with the code: one may have changed since, and can be read now.
async fn refuse(
    context: &Context,
    hand: &Hand,
    ids: &[String],
    error: &ledger::Error,
) -> Result<Vec<(String, String)>, Error> {
    let code = format!("VIEW_{}", error.code().unwrap_or_default());
    let mut refused = Vec::new();
    for id in ids {
        let rejected = context
            .ledger
            .refuse_unreadable(id, &code, &error.message(), context.options.retry_rejected)
            .await?;
        if rejected {
            refused.push((id.clone(), code.clone()));
        }
    }
    context.metrics.ads_rejected.add(refused.len());
    hand.done(ids).await?;
    Ok(refused)
}

/// One line for all of a claim, with an example.
fn say_unreadable(unreadable: &[(String, String)]) {
    if let [(ad_id, code), more @ ..] = unreadable {
        tracing::warn!(
            ad.id = %shown(ad_id), sqlstate = code, more = more.len(),
            "ad rejected: its rows cannot be read"
        );
    }
}
