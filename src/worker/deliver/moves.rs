//! Records that go to another master in an org that forbids it: each is deleted
//! and created anew under its name, in one graph, the deletion first.
//!
//! Most orgs allow it, and nobody is asked before one refuses. Then the object's
//! description says which references stay as they were created, and the ad is
//! tried again in the other way. A record in doubt may have any master, so from
//! then on it is looked at first, and replaced unless it has the right one.

use std::collections::{BTreeMap, HashSet};

use serde_json::value::RawValue;

use super::super::parcel::PlannedAd;
use super::{Delivery, Place, Refused, Sent, refused_or_doubtful};
use crate::{
    compare::Expectation,
    plan::{Action, Members, Operation, members},
    salesforce::{self, RecordError},
};

impl Delivery<'_> {
    pub(super) fn is_replaced(&self, place: Place) -> bool {
        self.replaced.contains(&place)
    }

    /// How many operations of an ad are two steps.
    pub(super) fn replaced_of(&self, ad: usize) -> usize {
        let operations = 0..self.ads[ad].operations.len();
        operations
            .filter(|operation| self.is_replaced((ad, *operation)))
            .count()
    }

    /// Looks at records in doubt before they are replaced: one that has the right
    /// master already is changed in place. Where its contract is locked a
    /// replacement would be refused, though nothing may be left to change.
    pub(super) async fn keep_in_place(&mut self) -> Result<(), salesforce::Error> {
        let mut groups: BTreeMap<Vec<String>, Vec<(Place, Expectation)>> = BTreeMap::new();
        for place in &self.replaced {
            let operation = self.operation(*place);
            if operation.held.is_none()
                && let Some(masters) = masters(operation, self.client.fixed_fields())
            {
                let group = groups.entry(masters.columns()).or_default();
                group.push((*place, masters));
            }
        }
        for (columns, mut group) in groups {
            group.sort_by_key(|(place, _)| *place);
            let places: Vec<Place> = group.iter().map(|(place, _)| *place).collect();
            let rows = self.look_up(&places, &columns).await?;
            for (place, masters) in group {
                let row = rows.get(&self.operation(place).external_id);
                if row.is_some_and(|row| masters.is_met_by(&row.fields)) {
                    self.replaced.remove(&place);
                }
            }
        }
        Ok(())
    }

    /// Asks which references are fixed, where a refusal says that one is.
    pub(super) async fn learn<'r>(&mut self, refusals: impl Iterator<Item = &'r RecordError>) {
        let mut refusals = refusals;
        if !self.client.fixed_fields().is_empty() || !refusals.any(RecordError::forbids_a_move) {
            return;
        }
        self.calls += 1;
        if let Err(error) = self.client.learn_fixed_fields().await {
            // The refusal stands then, for what it says.
            let error = crate::telemetry::Chain(&error);
            tracing::debug!(%error, "the object could not be described");
        }
    }

    /// Whether the operation was refused only because nobody knew yet that it
    /// has to be sent in another way.
    pub(super) fn goes_otherwise(&self, place: Place, error: &RecordError) -> bool {
        self.is_new_to_fixed
            && error.forbids_a_move()
            && moves(self.operation(place), self.client.fixed_fields())
    }

    pub(super) fn refusal(&self, place: Place, error: RecordError) -> Sent {
        if self.goes_otherwise(place, &error) {
            return Sent::Refused(Refused::from(error).uncounted());
        }
        if self.is_replaced(place) && error.is_gone() {
            // By an earlier request whose answer was lost, or by hand.
            return Sent::InDoubt(Some(Refused::from(error).uncounted()));
        }
        refused_or_doubtful(error.into())
    }
}

/// The operations that have to be sent as a deletion and a creation. Those
/// whose record is in doubt lose the id that nobody is sure of.
pub(super) fn replaced(ads: &mut [PlannedAd], fixed: &[String]) -> HashSet<Place> {
    let mut replaced = HashSet::new();
    for (index, ad) in ads.iter_mut().enumerate() {
        for (place, operation) in ad.operations.iter_mut().enumerate() {
            if moves(operation, fixed) {
                replaced.insert((index, place));
                if operation.held.is_none() {
                    operation.salesforce_id = None;
                }
            }
        }
    }
    replaced
}

/// Whether one of the fixed references changes, or may.
fn moves(operation: &Operation, fixed: &[String]) -> bool {
    if operation.action != Action::Update || fixed.is_empty() {
        return false;
    }
    let held = operation.held.as_deref().and_then(members);
    let (Some(held), Some(wanted)) = (held, members(&operation.fields)) else {
        return true;
    };
    fixed
        .iter()
        .any(|field| value(&held, field) != value(&wanted, field))
}

/// The fixed references as they are to be; `None` where no query can tell.
fn masters(operation: &Operation, fixed: &[String]) -> Option<Expectation> {
    let wanted = members(&operation.fields)?;
    let masters: BTreeMap<&str, &RawValue> = wanted
        .iter()
        .filter(|(name, _)| fixed.iter().any(|field| names(name, field)))
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    let told = serde_json::to_string(&masters).ok()?;
    Expectation::new(&told, "{}").filter(|_| !masters.is_empty())
}

/// What a member says of a parent: its id (`X__c`), or its external id (`X__r`).
fn value<'m>(members: &'m Members<'_>, field: &str) -> Option<&'m str> {
    members
        .iter()
        .find(|(name, _)| names(name, field))
        .map(|(_, value)| value.get())
}

fn names(name: &str, field: &str) -> bool {
    let twin = field.strip_suffix("__c").map(|stem| format!("{stem}__r"));
    let mut forms = [Some(field), twin.as_deref()].into_iter().flatten();
    forms.any(|form| name.eq_ignore_ascii_case(form))
}
