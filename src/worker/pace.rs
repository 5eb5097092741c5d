//! Paces the claims: asks the bucket before, tells it the true cost after, and
//! says once when the budget is used up and once when it is not.

use super::{Context, Event, prepare};
use crate::{
    pace::{Allowance, Pace, Terms, Usage},
    queue,
    telemetry::Chain,
};

/// Every parcel has so many calls set aside until it has landed: what it needs
/// at least, and most often all.
const A_PARCEL: i64 = 1;

/// Claims as much as the budget permits and gets it ready. A trial of the gate
/// need not wait until calls are cheap, only until there are any.
pub(super) async fn prepare(context: &Context, most: usize, trial: bool) -> Event {
    let allowance = match reserve(context, most).await {
        Ok(Pace::Go(allowance) | Pace::Trial(allowance)) => allowance,
        Ok(Pace::Wait(_)) if trial => Allowance {
            ids: most,
            calls: 0,
        },
        Ok(Pace::Wait(pause) | Pace::UsedUp(pause)) => return Event::Held { trial, pause },
        Ok(Pace::Empty) => {
            return Event::Prepared {
                trial,
                result: Ok(None),
            };
        }
        Err(error) => {
            return Event::Prepared {
                trial,
                result: Err(error.into()),
            };
        }
    };
    let result = prepare::prepare(context, allowance.ids).await;
    let parcels = match &result {
        Ok(Some(parcels)) => i64::try_from(parcels.len()).unwrap_or(i64::MAX),
        Ok(None) | Err(_) => 0,
    };
    spend(context, parcels * A_PARCEL - allowance.calls, None).await;
    Event::Prepared { trial, result }
}

/// A parcel has landed: what it cost, and whether all of its calls were
/// answered, if only by a refusal: then the newest word about the org's calls
/// is from now.
pub(super) async fn landed(context: &Context, calls: usize, answered: bool) {
    let told = (answered && calls > 0).then(|| known(context)).flatten();
    let calls = i64::try_from(calls).unwrap_or(i64::MAX);
    spend_and_tell(context, calls - A_PARCEL, told).await;
}

/// Records were read back.
pub(super) async fn read_back(context: &Context) {
    spend(context, 1, known(context)).await;
}

/// A parcel was given back unsent.
pub(super) async fn unsent(context: &Context) {
    spend(context, -A_PARCEL, None).await;
}

async fn spend(context: &Context, calls: i64, told: Option<Usage>) {
    if calls != 0 {
        spend_and_tell(context, calls, told).await;
    }
}

async fn spend_and_tell(context: &Context, calls: i64, told: Option<Usage>) {
    if let Err(error) = context.queue.spend(&terms(context), calls, told).await {
        // The org counts too: its next answer puts the bucket right.
        tracing::debug!(error = %Chain(&error), "calls could not be counted in redis");
    }
}

async fn reserve(context: &Context, most: usize) -> Result<Pace, queue::Error> {
    let known = known(context);
    let pace = context.queue.reserve(&terms(context), most, known).await?;
    let budget = &context.metrics.budget;
    match pace {
        Pace::UsedUp(_) if budget.set(false).is_some() => {
            tracing::warn!(
                remedy = "it goes on by itself as the calls of 24 hours ago fall away; \
                    raise SALESFORCE_API_BUDGET, find what else calls the org, or buy calls",
                "our share of the daily calls is used up: reporting pauses, nothing is lost"
            );
        }
        Pace::Go(_) | Pace::Wait(_) => {
            if let Some(lasted) = budget.set(true) {
                let duration_ms = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
                tracing::info!(
                    duration_ms,
                    "our share of the daily calls has room again: reporting goes on"
                );
            }
        }
        Pace::UsedUp(_) | Pace::Trial(_) | Pace::Empty => {}
    }
    Ok(pace)
}

fn known(context: &Context) -> Option<Usage> {
    context.salesforce.api_usage().map(|usage| Usage {
        used: usage.used,
        allowed: usage.allowed,
    })
}

fn terms(context: &Context) -> Terms {
    Terms {
        share: context.options.api_budget,
        batch: context.options.batch_size,
        patience: super::gate::slowest(&context.options.outage),
    }
}
