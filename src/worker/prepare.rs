//! Takes ads into hand and gets their parcels ready: claim, fence, plan, intent.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use super::{
    Context,
    hand::Hand,
    parcel::{PlannedAd, pack},
    view,
};
use crate::{
    failpoint::{self, Point},
    ledger::{self, AdInHand, Answer, Fence, Intent, Verdict},
    plan::{Operation, Refusal, plan},
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
    let mut reading = Reading::of(ids);
    let ended = reading.go_on(context, &hand).await;
    say_unreadable(&reading.unreadable);
    if !reading.open.is_empty() {
        // If Redis does not take them back, the end of the lease does.
        let _untaken = hand.release(&reading.open.concat()).await;
    }
    match ended {
        Err(failure) if reading.parcels.is_empty() => Err(failure),
        // What is ready goes out all the same.
        Ok(()) | Err(_) => Ok(reading.parcels),
    }
}

/// How far a claim has been read. A failure in the app's view is halved until
/// the ad that causes it stands alone.
struct Reading {
    /// What is still to be read, the next at the end.
    open: Vec<Vec<String>>,
    parcels: Vec<Parcel>,
    /// Ads that were rejected, with the code.
    unreadable: Vec<(String, String)>,
    /// A failure is not that of the whole view, as far as can be told.
    is_judged: bool,
}

impl Reading {
    fn of(ids: Vec<String>) -> Self {
        Self {
            open: vec![ids],
            parcels: Vec::new(),
            unreadable: Vec::new(),
            is_judged: false,
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

/// Plans every ad: those with something to send, and the answers for those
/// without.
async fn plan_all(
    context: &Context,
    fence: &mut Fence,
    ads: Vec<AdInHand>,
) -> Result<(Vec<PlannedAd>, Vec<Answer>), Error> {
    let names = context.ledger.names();
    let mut plans: Vec<(AdInHand, Result<Vec<Operation>, Refusal>)> = ads
        .into_iter()
        .map(|ad| {
            let operations = plan(names, &ad.ad_id, &ad.wanted, &ad.held);
            (ad, operations)
        })
        .collect();
    refuse_taken_ids(fence, &mut plans).await?;

    let (mut planned, mut settled) = (Vec::new(), Vec::new());
    for (ad, operations) in plans {
        let verdict = match operations {
            Ok(operations) if !operations.is_empty() => {
                planned.push(PlannedAd {
                    ad_id: ad.ad_id,
                    version: ad.version,
                    token: ad.token,
                    attempts: ad.attempts,
                    suspicions: ad.suspicions,
                    alone: ad.alone,
                    operations,
                });
                continue;
            }
            Ok(_) => Verdict::Reported,
            Err(refusal) => Verdict::Rejected {
                code: refusal.code().to_owned(),
                message: refusal.to_string(),
            },
        };
        settled.push(Answer {
            ad_id: ad.ad_id,
            version: ad.version,
            token: ad.token,
            verdict,
            operations: Vec::new(),
        });
    }
    Ok((planned, settled))
}

/// Ad `a` with line `b:c` and ad `a:b` with line `c` have one external id: the
/// first to report has it, the other is refused. Only ids with a colon in both
/// parts can meet, so this asks the ledger next to never.
async fn refuse_taken_ids(
    fence: &mut Fence,
    plans: &mut [(AdInHand, Result<Vec<Operation>, Refusal>)],
) -> Result<(), Error> {
    let suspicious = |ad: &AdInHand, operation: &Operation| {
        ad.ad_id.contains(':') || operation.line.contains(':')
    };
    let mut wanted: Vec<String> = Vec::new();
    for (ad, operations) in plans.iter() {
        let operations = operations.iter().flatten();
        wanted.extend(
            operations
                .filter(|operation| suspicious(ad, operation))
                .map(|operation| operation.external_id.clone()),
        );
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let mut owners: HashMap<String, String> = fence.owners(&wanted).await?;
    for (ad, operations) in plans {
        let taken = operations.iter().flatten().find_map(|operation| {
            let owner = owners
                .entry(operation.external_id.clone())
                .or_insert_with(|| ad.ad_id.clone());
            (*owner != ad.ad_id).then(|| Refusal::ExternalIdTaken {
                external_id: operation.external_id.clone(),
                other: owner.clone(),
            })
        });
        if let Some(refusal) = taken {
            *operations = Err(refusal);
        }
    }
    Ok(())
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
            ad.id = %super::shown(ad_id), sqlstate = code, more = more.len(),
            "ad rejected: its rows cannot be read"
        );
    }
}
