//! What has to be sent for each ad, and who has an external id that two want.

use std::collections::HashMap;

use super::{Context, Error, PlannedAd};
use crate::{
    ledger::{AdInHand, Answer, Fence, Verdict},
    plan::{Operation, Refusal, plan},
};

/// Plans every ad: those with something to send, and the answers for those
/// without.
pub(super) async fn plan_all(
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
            in_steps: false,
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
