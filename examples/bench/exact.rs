//! Whether Salesforce holds what the app wants: record by record, none missing,
//! none twice, none stale, whatever was changed and removed on the way there.

use crate::Error;
use crate::org::Usage;
use crate::stage::Stage;

/// Differences that a message names.
const EXAMPLES: usize = 5;

const WANTED: &str = "
select ad_id || ':' || line, fields->>'Contract_Product__c', (fields->>'Quantity__c')::bigint
from usage_sync.usage";

/// An error unless the two are the same and the ledger knows it.
pub(crate) async fn check(stage: &Stage) -> Result<(), Error> {
    let rows: Vec<(String, String, i64)> =
        sqlx::query_as(WANTED).fetch_all(&stage.app.pool).await?;
    let mut wanted: Vec<Usage> = rows
        .into_iter()
        .map(|(external_id, product, quantity)| Usage {
            external_id,
            product,
            quantity,
        })
        .collect();
    let mut held = stage.org.usage().await?;
    wanted.sort_unstable();
    held.sort_unstable();
    if wanted != held {
        return Err(Error::Inexact(difference(&wanted, &held)));
    }
    let ledger = stage.app.ledger().await?;
    if usize::try_from(ledger).ok() != Some(wanted.len()) {
        return Err(Error::Inexact(format!(
            "Salesforce holds the {} records that the app wants, but the ledger knows {ledger}",
            wanted.len()
        )));
    }
    Ok(())
}

/// Both lists are sorted, so whatever only one of them has can be looked up.
fn difference(wanted: &[Usage], held: &[Usage]) -> String {
    let only = |these: &[Usage], those: &[Usage]| -> Vec<String> {
        let without = these.iter().filter(|one| those.binary_search(one).is_err());
        without.map(|one| format!("{one:?}")).collect()
    };
    let (missing, extra) = (only(wanted, held), only(held, wanted));
    format!(
        "the app wants {} records and Salesforce holds {}; only in the app: {:?}; only in Salesforce: {:?}",
        wanted.len(),
        held.len(),
        &missing[..missing.len().min(EXAMPLES)],
        &extra[..extra.len().min(EXAMPLES)]
    )
}
