//! Takes ads into hand and gets their parcels ready: claim, fence, plan, intent.

mod planning;
mod reading;

use std::{collections::HashSet, sync::Arc, time::Instant};

use planning::plan_all;
use reading::Reading;

use super::{
    Context,
    hand::Hand,
    parcel::{PlannedAd, pack},
    view,
};
use crate::{
    failpoint::{self, Point},
    ledger::{self, Intent},
    plan::Operation,
    queue::{self, Claim},
};

/// Ads that go out together, fenced and with their intent on disk.
pub(super) struct Parcel {
    pub(super) hand: Arc<Hand>,
    pub(super) intent: Intent,
    pub(super) ads: Vec<PlannedAd>,
}

impl Parcel {
    pub(super) fn ids(&self) -> Vec<String> {
        self.ads.iter().map(|ad| ad.ad_id.clone()).collect()
    }
}

/// What stopped a claim from becoming parcels. Its ids are back in the queue.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Queue(#[from] queue::Error),
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    #[error("the database handed out a fencing token that was used before")]
    OldToken,
}

/// Claims up to `most` ads. `None` when none waits.
pub(super) async fn prepare(context: &Context, most: usize) -> Result<Option<Vec<Parcel>>, Error> {
    match context.queue.claim(most).await? {
        Some(claim) => of_claim(context, claim).await.map(Some),
        None => Ok(None),
    }
}

/// Gets the parcels of a claim ready.
pub(super) async fn of_claim(context: &Context, claim: Claim) -> Result<Vec<Parcel>, Error> {
    failpoint::at(Point::Claimed).await;
    let ids = claim.ids.clone();
    let begun = context.queue.begin(&claim).await;
    let hand = Arc::new(Hand::new(
        context.queue.clone(),
        claim,
        context.options.lease,
    ));
    if let Err(error) = begun {
        // If Redis does not take them back, the end of the lease does.
        let _untaken = hand.release(&ids).await;
        return Err(error.into());
    }
    Reading::of(ids).parcels(context, &hand).await
}

/// Asks whether Postgres answers, where there is no ad to claim. Never answers
/// any parcels.
pub(super) async fn ask(context: &Context) -> Result<Option<Vec<Parcel>>, Error> {
    ledger::answered(context.ledger.overview()).await?;
    Ok(None)
}

async fn parcels_of(
    context: &Context,
    hand: &Arc<Hand>,
    ids: &[String],
) -> Result<Vec<Parcel>, Error> {
    let used = context.place.highest_used();
    let mut fence = context.ledger.fence(ids).await?;
    let ads = fence.take_ads();
    let resting = fence.resting().to_vec();
    if ads.iter().any(|ad| !ad.wanted.is_empty()) {
        view::works(context).await;
    }
    if ads.iter().any(|ad| ad.token <= used) {
        // The database was restored to an earlier state under our feet. The tokens
        // that were taken here may be ahead of all that were used, and the
        // database must not look like the right one for that.
        let taken = ads.iter().map(|ad| ad.token).max().unwrap_or(used);
        context.place.used(taken + 1);
        context.place.look_now();
        return Err(Error::OldToken);
    }
    let newest = ads.iter().map(|ad| ad.token).max().unwrap_or(0);
    let in_hand = ads.iter().map(|ad| ad.ad_id.as_str());
    let known: HashSet<&str> = in_hand.chain(resting.iter().map(String::as_str)).collect();
    let strangers: Vec<String> = ids
        .iter()
        .filter(|id| !known.contains(id.as_str()))
        .cloned()
        .collect();
    drop(known);

    let (planned, settled) = plan_all(context, &mut fence, ads).await?;
    let mut parcels = Vec::new();
    for ads in pack(planned, context.options.batch_size) {
        let intent = fence.intend(&operations(&ads)).await?;
        parcels.push(Parcel {
            hand: Arc::clone(hand),
            intent,
            ads,
        });
    }
    fence.commit().await?;
    context.place.used(newest);

    if !resting.is_empty() {
        hand.done(&resting).await?;
    }
    if !settled.is_empty() {
        context.settle(hand, None, &settled, None).await?;
    }
    if !strangers.is_empty() {
        take_in(context, hand, strangers).await?;
    }
    Ok(parcels)
}

/// Every operation of some ads beside its ad.
fn operations(ads: &[PlannedAd]) -> Vec<(&str, &Operation)> {
    let mut operations = Vec::new();
    for ad in ads {
        operations.extend(
            ad.operations
                .iter()
                .map(|operation| (ad.ad_id.as_str(), operation)),
        );
    }
    operations
}

/// Ids that the daemon has never seen: queued by hand if the app has such an
/// ad, otherwise nobody's.
async fn take_in(context: &Context, hand: &Hand, strangers: Vec<String>) -> Result<(), Error> {
    let adopted = context.ledger.adopt(&strangers).await?;
    let (adopted, unknown): (Vec<String>, Vec<String>) =
        strangers.into_iter().partition(|id| adopted.contains(id));
    if !unknown.is_empty() {
        let metrics = &context.metrics;
        metrics.ids_dropped.add(unknown.len());
        if let Some(count) = metrics.drops_to_say.add(unknown.len(), Instant::now()) {
            tracing::warn!(
                count,
                ad.id = %super::shown(&unknown[0]),
                "dropped ids from the queue that no ad has"
            );
        }
        hand.done(&unknown).await?;
    }
    if !adopted.is_empty() {
        hand.release(&adopted).await?;
    }
    Ok(())
}
