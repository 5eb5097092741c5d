//! What goes out together: ads whose records fit into one call of each kind.
//! Pure.

use std::collections::{BTreeSet, HashSet, VecDeque};

use crate::plan::{Action, Operation};

/// An ad and what has to be done for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedAd {
    /// The ad.
    pub ad_id: String,
    /// The version that was read.
    pub version: i64,
    /// The fencing token it was read under.
    pub token: i64,
    /// Tries since its last change.
    pub attempts: i32,
    /// Of those, how many failed for what may be its own fault.
    pub suspicions: i32,
    /// It shares no parcel, since it made a request fail.
    pub alone: bool,
    /// Withdrawals first, creates last; never empty.
    pub operations: Vec<Operation>,
}

impl PlannedAd {
    fn kinds(&self) -> BTreeSet<Action> {
        self.operations.iter().map(|op| op.action).collect()
    }

    fn count(&self, action: Action) -> usize {
        self.operations
            .iter()
            .filter(|op| op.action == action)
            .count()
    }

    fn contract(&self) -> Option<&str> {
        self.operations.iter().find_map(|op| op.contracts().next())
    }
}

const KINDS: [Action; 3] = [Action::Withdraw, Action::Update, Action::Create];

/// Packs ads into parcels of at most `size` records of a kind. An ad is never
/// divided; one that is too large for a parcel has one of its own.
///
/// Ads that need the same kinds of call go together, so that calls are full;
/// within a kind they are sorted by contract, so that two parcels share at
/// most the contracts at their seam, and writers do not wait for each other's
/// locks in Salesforce. An ad that is under suspicion goes by itself.
pub fn pack(mut ads: Vec<PlannedAd>, size: usize) -> Vec<Vec<PlannedAd>> {
    ads.sort_by_cached_key(|ad| {
        (
            ad.alone,
            ad.kinds(),
            ad.contract().map(ToOwned::to_owned),
            ad.ad_id.clone(),
        )
    });
    let mut parcels: Vec<Vec<PlannedAd>> = Vec::new();
    let mut room = [0; KINDS.len()];
    let mut kinds = BTreeSet::new();
    for ad in ads {
        let need = KINDS.map(|kind| ad.count(kind));
        let fits = need.iter().zip(room).all(|(need, room)| *need <= room);
        // Those come last.
        if !fits || ad.alone || ad.kinds() != kinds || parcels.is_empty() {
            parcels.push(Vec::new());
            room = [size; KINDS.len()];
            kinds = ad.kinds();
        }
        for (room, need) in room.iter_mut().zip(need) {
            *room = room.saturating_sub(need);
        }
        if let Some(parcel) = parcels.last_mut() {
            parcel.push(ad);
        }
    }
    parcels
}

/// Parcels that wait until no other parcel in flight touches one of their
/// contracts. Salesforce locks the contract of a roll-up for as long as a
/// request runs, and two requests that meet there make one of them fail.
#[derive(Debug)]
pub struct Lanes<P> {
    waiting: VecDeque<(HashSet<String>, P)>,
    busy: HashSet<String>,
}

impl<P> Default for Lanes<P> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            busy: HashSet::new(),
        }
    }
}

impl<P> Lanes<P> {
    /// Puts a parcel at the end of the line.
    pub fn push(&mut self, contracts: HashSet<String>, parcel: P) {
        self.waiting.push_back((contracts, parcel));
    }

    /// The first parcel whose contracts are free; they are busy from now on.
    /// A parcel never overtakes an earlier one that waits for the same contract.
    pub fn start(&mut self) -> Option<(HashSet<String>, P)> {
        let mut spoken_for: HashSet<&str> = HashSet::new();
        let mut found = None;
        for (index, (contracts, _)) in self.waiting.iter().enumerate() {
            let free = |contract: &String| {
                !self.busy.contains(contract) && !spoken_for.contains(contract.as_str())
            };
            if contracts.iter().all(free) {
                found = Some(index);
                break;
            }
            spoken_for.extend(contracts.iter().map(String::as_str));
        }
        let (contracts, parcel) = self.waiting.remove(found?)?;
        self.busy.extend(contracts.iter().cloned());
        Some((contracts, parcel))
    }

    /// The contracts of a parcel that has landed are free again.
    pub fn finish(&mut self, contracts: &HashSet<String>) {
        for contract in contracts {
            self.busy.remove(contract);
        }
    }

    /// How many parcels wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes those out that wait beyond the first so many.
    pub fn surplus(&mut self, most: usize) -> Vec<P> {
        let most = most.min(self.waiting.len());
        let surplus = self.waiting.split_off(most).into_iter();
        surplus.map(|(_, parcel)| parcel).collect()
    }

    /// Takes all waiting parcels out.
    pub fn clear(&mut self) -> Vec<P> {
        self.waiting.drain(..).map(|(_, parcel)| parcel).collect()
    }
}

/// The contracts that the operations of some ads touch.
pub fn contracts(ads: &[PlannedAd]) -> HashSet<String> {
    ads.iter()
        .flat_map(|ad| &ad.operations)
        .flat_map(Operation::contracts)
        .map(ToOwned::to_owned)
        .collect()
}

#[cfg(test)]
mod tests;
