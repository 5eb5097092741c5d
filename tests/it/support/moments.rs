//! What anybody could have seen of an ad's records in Salesforce, moment by
//! moment: not what a look in between happens to meet, but every state.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::{Usage, World};

/// More than any test makes.
const MOMENTS: usize = 100_000;

impl World {
    /// Keeps every state of Salesforce from now on, while it is empty.
    pub(crate) fn keep_moments(&self) {
        let records = self.sandbox.records("Usage__c").expect("records");
        assert!(records.is_empty(), "states are told from an empty org on");
        let setting = json!({ "history": MOMENTS });
        self.sandbox.settings(&setting).expect("a known setting");
    }

    /// All states of an ad's records, in order, the empty one first; numbers
    /// without zeros at their end.
    pub(crate) fn states_of(&self, ad: &str) -> Vec<Vec<Usage>> {
        let moments = self.sandbox.history().expect("there was room for all");
        let mut records: BTreeMap<String, Usage> = BTreeMap::new();
        let mut states = vec![Vec::new()];
        for moment in moments {
            for change in &moment.changes {
                match &change.after {
                    Some(row) if is_of(row, ad) => {
                        records.insert(change.id.clone(), usage(row));
                    }
                    _ => {
                        records.remove(&change.id);
                    }
                }
            }
            let mut state: Vec<Usage> = records.values().cloned().collect();
            state.sort();
            if states.last() != Some(&state) {
                states.push(state);
            }
        }
        states
    }

    /// Fails if an ad was ever seen in another state than these.
    #[track_caller]
    pub(crate) fn was_only_seen_as(&self, ad: &str, allowed: &[Vec<Usage>]) {
        for state in self.states_of(ad) {
            let is_legal = state.is_empty() && allowed.is_empty() || allowed.contains(&state);
            assert!(
                is_legal,
                "ad {ad} was seen as {state:?}, and not only as {allowed:?}"
            );
        }
    }

    /// What the app wants of an ad, in the form of [`World::states_of`].
    pub(crate) async fn wanted_of(&self, ad: &str) -> Vec<Usage> {
        let wanted = self.wanted().await.into_iter();
        let of = |usage: &Usage| usage.external_id.split(':').next() == Some(ad);
        wanted.filter(of).collect()
    }
}

fn is_of(row: &Json, ad: &str) -> bool {
    let external_id = row["External_Id__c"].as_str();
    external_id.is_some_and(|id| id.split(':').next() == Some(ad))
}

fn usage(row: &Json) -> Usage {
    let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
    Usage {
        external_id: text("External_Id__c"),
        contract_product: text("Contract_Product__c"),
        quantity: row["Quantity__c"]
            .as_f64()
            .map(|n| n.to_string())
            .unwrap_or_default(),
    }
}
