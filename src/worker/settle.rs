//! After delivery: the ledger first, then the queue.

use std::{collections::HashSet, sync::Arc, time::Duration};

use super::{
    Context,
    deliver::{Terms, Witness, deliver},
    hand::Hand,
    pace,
    prepare::Parcel,
};
use crate::{
    backoff::{Backoff, chance},
    failpoint::{self, Point},
    ledger::{self, Answer, Intent, Verdict},
    plan::Action,
    salesforce,
    telemetry::Chain,
};

/// Answers that Postgres does not take are offered again at this pace.
const RECORD_AGAIN: Backoff = Backoff {
    base: Duration::from_millis(100),
    max: Duration::from_secs(2),
};

/// After this many tries the intent, which is on disk, says what was sent.
const RECORD_TRIES: u32 = 6;

/// Soon, for what is nobody's fault: a lock that somebody held, an answer that
/// got lost.
const SOON: Duration = Duration::from_millis(200);

/// What a parcel tells about all others.
pub(super) struct Landed {
    /// The failure that concerns more than this parcel.
    pub(super) trouble: Option<salesforce::Error>,
    /// Whether Salesforce took any of it.
    pub(super) taken: bool,
}

/// Sends a parcel and writes down what came of it.
pub(super) async fn deliver_and_settle(
    context: &Context,
    witness: &Witness,
    parcel: Parcel,
    refused_before: bool,
) -> Landed {
    let Parcel { hand, intent, ads } = parcel;
    let attempts: Vec<i32> = ads.iter().map(|ad| ad.attempts).collect();
    let terms = Terms {
        size: context.options.batch_size,
        witness,
        refused_before,
        holds: &|id| hand.holds(id),
    };
    let delivered = deliver(&context.salesforce, ads, terms).await;
    context.metrics.calls.add(delivered.calls);

    let intent = Intent {
        given_up: delivered.given_up,
        ..intent
    };
    for tries in 1..=RECORD_TRIES {
        let settled = context
            .settle(&hand, Some(intent), &delivered.answers, Some(&attempts))
            .await;
        match settled {
            Ok(overtaken) => {
                if delivered
                    .superseded
                    .iter()
                    .any(|id| !overtaken.contains(id))
                {
                    // Nobody else had them: Salesforce has seen tokens that this
                    // database never handed out.
                    context.place.ask_again();
                }
                break;
            }
            Err(error) if tries == RECORD_TRIES => {
                tracing::warn!(
                    error = %Chain(&error), ads = delivered.answers.len(),
                    "answers of salesforce could not be recorded: their ads are reported again"
                );
                // A hand that never puts them down would look like one that died.
                let ids = delivered.answers.iter().map(|answer| answer.ad_id.clone());
                put_down_until_later(context, &hand, ids.collect()).await;
            }
            Err(_) => tokio::time::sleep(RECORD_AGAIN.pause(tries, chance())).await,
        }
    }
    let answered = delivered
        .trouble
        .as_ref()
        .is_none_or(|trouble| trouble.certainty() == salesforce::Certainty::Answered);
    pace::landed(context, delivered.calls, answered).await;
    Landed {
        trouble: delivered.trouble,
        taken: delivered.taken,
    }
}

/// Ads that were put down because their contract is slow, or because Postgres
/// did not take what came of them, come again after about this long.
const BEHIND: Duration = Duration::from_secs(10);

/// Puts a parcel back of which nothing was sent. What cannot be put back
/// returns by itself: the lease ends, and the intent is taken over.
pub(super) async fn abandon(context: &Context, parcel: Parcel) {
    let (hand, ids) = forget(context, parcel).await;
    if let Err(error) = hand.release(&ids).await {
        tracing::debug!(error = %Chain(&error), "ads could not be given back to the queue");
    }
}

/// The same, for ads that are not to come again at once.
pub(super) async fn put_back(context: &Context, parcel: Parcel) {
    let (hand, ids) = forget(context, parcel).await;
    put_down_until_later(context, &hand, ids).await;
}

async fn put_down_until_later(context: &Context, hand: &Hand, ids: Vec<String>) {
    let later = |id| (id, BEHIND.mul_f64(chance() + 0.5));
    let ids: Vec<(String, Duration)> = ids.into_iter().map(later).collect();
    match hand.retry(&ids).await {
        Ok(no_room) => context.wait_in_postgres(&no_room).await,
        Err(error) => {
            tracing::debug!(error = %Chain(&error), "ads could not be given back to the queue");
        }
    }
}

async fn forget(context: &Context, parcel: Parcel) -> (Arc<Hand>, Vec<String>) {
    let ids = parcel.ids();
    let tokens: Vec<(String, i64)> = parcel
        .ads
        .into_iter()
        .map(|ad| (ad.ad_id, ad.token))
        .collect();
    let abandoned = ledger::answered(context.ledger.abandon(parcel.intent, &tokens)).await;
    if let Err(error) = abandoned {
        tracing::debug!(error = %Chain(&error), "an intent could not be taken back");
    }
    failpoint::at(Point::Abandoned).await;
    pace::unsent(context).await;
    (parcel.hand, ids)
}

impl Context {
    /// Writes answers into the ledger, then puts their ads down. Answers those
    /// that another hand had taken meanwhile.
    pub(super) async fn settle(
        &self,
        hand: &Hand,
        intent: Option<Intent>,
        answers: &[Answer],
        attempts: Option<&[i32]>,
    ) -> Result<HashSet<String>, ledger::Error> {
        let recorded = self
            .ledger
            .record(intent, answers, self.options.retry_rejected);
        let recorded = ledger::answered(recorded).await?;

        let (mut done, mut again, mut released) = (Vec::new(), Vec::new(), Vec::new());
        for (index, answer) in answers.iter().enumerate() {
            let id = answer.ad_id.clone();
            let attempts = attempts.map_or(0, |attempts| attempts[index]);
            match &answer.verdict {
                _ if recorded.overtaken.contains(&id) => released.push(id),
                Verdict::Reported | Verdict::Rejected { .. } => done.push(id),
                Verdict::Retry { .. } => again.push((id, self.retry_in(attempts))),
                Verdict::Suspected { .. } => {
                    let tries = u32::try_from(attempts).unwrap_or(0) + 1;
                    again.push((id, self.options.retry.pause(tries, chance())));
                }
                Verdict::Postponed => released.push(id),
            }
        }
        self.count(answers);
        say_rejected(answers);
        let overtaken: Vec<String> = recorded.overtaken.iter().cloned().collect();
        let put_down = async {
            hand.done(&done).await?;
            failpoint::at(Point::PutDown).await;
            let no_room = hand.retry(&again).await?;
            failpoint::at(Point::Retried).await;
            hand.release(&released).await?;
            failpoint::at(Point::Released).await;
            // Whoever was overtaken most often has lost its lease, and with it the
            // right to give an ad back.
            self.queue.enqueue(&overtaken).await?;
            // Whoever made the others pending again may have died before it told
            // Redis, or have told it when only this hand was known there.
            self.queue.offer(&recorded.ahead).await?;
            Ok::<_, crate::queue::Error>(no_room)
        };
        match put_down.await {
            Ok(no_room) => self.wait_in_postgres(&no_room).await,
            // The ledger knows; the queue finds out when the lease ends.
            Err(error) => {
                tracing::debug!(error = %Chain(&error), "settled ads could not be put down");
            }
        }
        Ok(recorded.overtaken)
    }

    /// Ads that are to be tried again and have no room in Redis.
    async fn wait_in_postgres(&self, ads: &[(String, Duration)]) {
        if ads.is_empty() {
            return;
        }
        if let Err(error) = ledger::answered(self.ledger.wait(ads)).await {
            // The next sweep offers them too early then.
            tracing::debug!(error = %Chain(&error), "pauses of ads could not be noted");
        }
    }

    /// The first tries come soon, since most often two writers just met at one
    /// contract; after that the ad's own backoff holds.
    fn retry_in(&self, attempts: i32) -> Duration {
        match u32::try_from(attempts).unwrap_or(0) {
            early @ 0..2 => SOON.mul_f64(chance() + 0.5) * (early + 1),
            later => self.options.retry.pause(later - 1, chance()),
        }
    }

    fn count(&self, answers: &[Answer]) {
        let metrics = &self.metrics;
        for answer in answers {
            match answer.verdict {
                Verdict::Reported => metrics.ads_reported.add(1),
                Verdict::Rejected { .. } => metrics.ads_rejected.add(1),
                Verdict::Retry { .. } | Verdict::Suspected { .. } => metrics.ads_retried.add(1),
                Verdict::Postponed => metrics.ads_postponed.add(1),
            }
            for (operation, outcome) in &answer.operations {
                if matches!(outcome, ledger::Outcome::Done(_)) {
                    match operation.action {
                        Action::Create => metrics.records_created.add(1),
                        Action::Update => metrics.records_updated.add(1),
                        Action::Withdraw => metrics.records_withdrawn.add(1),
                    }
                }
            }
        }
    }
}

/// One line for all that a call had refused, with an example.
fn say_rejected(answers: &[Answer]) {
    let mut rejected = answers.iter().filter_map(|answer| match &answer.verdict {
        Verdict::Rejected { code, message } => Some((&answer.ad_id, code, message)),
        Verdict::Reported
        | Verdict::Retry { .. }
        | Verdict::Suspected { .. }
        | Verdict::Postponed => None,
    });
    if let Some((ad_id, code, message)) = rejected.next() {
        tracing::warn!(
            ad.id = %super::shown(ad_id), sf.code = code, reason = message, more = rejected.count(),
            "ad rejected: it stays as it was in salesforce until the cause is gone"
        );
    }
}
