//! The sales team's side: contracts that are locked and unlocked, and what
//! stood in them at that moment.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use serde_json::{Value as Json, json};
use usage_sync::sandbox::Sandbox;

/// What a usage record says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Usage {
    pub(super) product: String,
    pub(super) quantity: f64,
}

/// A usage record in Salesforce.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Standing {
    pub(super) id: String,
    pub(super) external_id: String,
    pub(super) usage: Usage,
    pub(super) revision: Option<f64>,
}

/// Everything that stands in Salesforce.
pub(super) fn standing(sandbox: &Sandbox) -> Vec<Standing> {
    let rows = sandbox.records("Usage__c").expect("the sandbox has usages");
    let text = |row: &Json, field: &str| row[field].as_str().unwrap_or_default().to_owned();
    rows.iter()
        .map(|row| Standing {
            id: text(row, "Id"),
            external_id: text(row, "External_Id__c"),
            usage: Usage {
                product: text(row, "Contract_Product__c"),
                quantity: row["Quantity__c"].as_f64().unwrap_or(f64::NAN),
            },
            revision: row["Revision__c"].as_f64(),
        })
        .collect()
}

/// Records by external id.
pub(super) type Usages = BTreeMap<String, Usage>;

/// The contracts.
pub(super) struct Contracts {
    sandbox: Arc<Sandbox>,
    /// `(contract, its product)`.
    ids: Vec<(String, String)>,
    /// What stood in each locked contract when it was locked.
    locked: Mutex<BTreeMap<usize, Usages>>,
}

impl Contracts {
    pub(super) fn new(sandbox: Arc<Sandbox>, ids: Vec<(String, String)>) -> Self {
        Self {
            sandbox,
            ids,
            locked: Mutex::new(BTreeMap::new()),
        }
    }

    /// From here on the contract is fulfilled. The lock works at once, also on
    /// requests that are on their way; so whatever stands there now stays.
    pub(super) fn lock(&self, contract: usize) {
        let mut locked = self.known();
        self.set(contract, "Fulfilled");
        let now = self.within(contract, &standing(&self.sandbox));
        locked.insert(contract, now);
    }

    pub(super) fn unlock(&self, contract: usize) {
        let mut locked = self.known();
        locked.remove(&contract);
        self.set(contract, "Activated");
    }

    /// The locked ones.
    pub(super) fn locked(&self) -> Vec<usize> {
        self.known().keys().copied().collect()
    }

    /// Whether a product's contract is locked.
    pub(super) fn is_locked(&self, product: &str) -> bool {
        let locked = self.known();
        locked
            .keys()
            .any(|contract| self.ids[*contract].1 == product)
    }

    /// What stands in Salesforce now, and the first locked contract in which
    /// that is something else than at the moment of the lock.
    pub(super) fn look(&self) -> (Vec<Standing>, Option<String>) {
        let locked = self.known();
        let standing = standing(&self.sandbox);
        let changed = locked.iter().find_map(|(contract, then)| {
            let now = self.within(*contract, &standing);
            (now != *then)
                .then(|| format!("locked contract {contract} changed from {then:?} to {now:?}"))
        });
        (standing, changed)
    }

    fn within(&self, contract: usize, standing: &[Standing]) -> Usages {
        standing
            .iter()
            .filter(|record| record.usage.product == self.ids[contract].1)
            .map(|record| (record.external_id.clone(), record.usage.clone()))
            .collect()
    }

    fn set(&self, contract: usize, status: &str) {
        self.sandbox
            .change(
                "Contract",
                &self.ids[contract].0,
                &json!({"Status": status}),
            )
            .expect("the contract changes");
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<usize, Usages>> {
        self.locked.lock().expect("nobody panics with it")
    }
}
