//! Sends one parcel to Salesforce and says what became of each operation.
//!
//! An ad that needs several kinds of change goes out as one unit (`unit`). The
//! others share calls, one for each kind. Only an ad that is too large for a
//! unit is sent in steps: removals and changes first, its new records once all
//! of those went through.
//!
//! When a call fails as a whole the rest of the parcel is not sent: whoever
//! called decides what the failure means for the others.

mod unit;
mod verdict;

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::parcel::PlannedAd;
use crate::{
    failpoint::{self, Point},
    ledger::Answer,
    plan::{Action, Operation},
    salesforce::{self, Certainty, Class, Client, Record, Results},
};
use verdict::{Refused, Sent, answer, refused_or_doubtful};

/// What became of a parcel.
#[derive(Debug)]
pub struct Delivered {
    /// One for each ad, in the parcel's order.
    pub answers: Vec<Answer>,
    /// The failure that kept the rest of the parcel from being sent.
    pub trouble: Option<salesforce::Error>,
    /// Calls that were answered.
    pub calls: usize,
}

/// Sends a parcel, `size` records a call.
pub async fn deliver(client: &Client, ads: Vec<PlannedAd>, size: usize) -> Delivered {
    let mut delivery = Delivery {
        client,
        size,
        results: ads
            .iter()
            .map(|ad| vec![Sent::Not; ad.operations.len()])
            .collect(),
        ads: &ads,
        calls: 0,
    };
    let trouble = delivery.run().await.err();
    let Delivery { results, calls, .. } = delivery;
    let answers = ads
        .into_iter()
        .zip(results)
        .map(|(ad, results)| answer(ad, results))
        .collect();
    Delivered {
        answers,
        trouble,
        calls,
    }
}

/// An operation by its place in the parcel: which ad, which of its operations.
type Place = (usize, usize);

/// The three calls that a parcel may need.
#[derive(Clone, Copy)]
enum Call<'a> {
    /// With Salesforce's ids.
    Delete(&'a HashMap<Place, String>),
    Upsert,
    Create,
}

impl Call<'_> {
    /// The same call in a form that may be made twice.
    fn repeatable(self) -> Self {
        match self {
            Self::Create | Self::Upsert => Self::Upsert,
            Self::Delete(ids) => Self::Delete(ids),
        }
    }
}

struct Delivery<'a> {
    client: &'a Client,
    size: usize,
    ads: &'a [PlannedAd],
    results: Vec<Vec<Sent>>,
    calls: usize,
}

impl Delivery<'_> {
    async fn run(&mut self) -> Result<(), salesforce::Error> {
        self.units().await?;
        let withdrawals = self.places(Action::Withdraw);
        self.withdraw(&withdrawals).await?;
        for places in self.places(Action::Update).chunks(self.size) {
            self.settle(places, Call::Upsert).await?;
        }
        let creates: Vec<Place> = self
            .places(Action::Create)
            .into_iter()
            .filter(|(ad, _)| self.went_through(*ad))
            .collect();
        for places in creates.chunks(self.size) {
            self.settle(places, Call::Create).await?;
        }
        Ok(())
    }

    /// The operations of one kind, of ads that are not units.
    fn places(&self, action: Action) -> Vec<Place> {
        let of = |(index, ad): (usize, &PlannedAd)| -> Vec<Place> {
            let such = ad.operations.iter().enumerate();
            such.filter(|(_, operation)| operation.action == action)
                .map(|(operation, _)| (index, operation))
                .collect()
        };
        let ads = self.ads.iter().enumerate();
        ads.filter(|(_, ad)| !self.is_unit(ad))
            .flat_map(of)
            .collect()
    }

    /// Whether everything of an ad that comes before its creates is done.
    fn went_through(&self, ad: usize) -> bool {
        let operations = &self.ads[ad].operations;
        operations
            .iter()
            .zip(&self.results[ad])
            .filter(|(operation, _)| operation.action != Action::Create)
            .all(|(_, sent)| matches!(sent, Sent::Done(_)))
    }

    fn operation(&self, (ad, operation): Place) -> &Operation {
        &self.ads[ad].operations[operation]
    }

    fn set(&mut self, (ad, operation): Place, sent: Sent) {
        self.results[ad][operation] = sent;
    }

    /// Deletes by id.
    async fn withdraw(&mut self, places: &[Place]) -> Result<(), salesforce::Error> {
        let ids = self.locate(places).await?;
        let there: Vec<Place> = places
            .iter()
            .copied()
            .filter(|place| ids.contains_key(place))
            .collect();
        for places in there.chunks(self.size) {
            self.settle(places, Call::Delete(&ids)).await?;
        }
        Ok(())
    }

    /// Salesforce's ids of records that are to go. One whose id was never
    /// learnt is looked up; one that is not there is done.
    async fn locate(
        &mut self,
        places: &[Place],
    ) -> Result<HashMap<Place, String>, salesforce::Error> {
        let unknown: Vec<&str> = places
            .iter()
            .map(|place| self.operation(*place))
            .filter(|operation| operation.salesforce_id.is_none())
            .map(|operation| operation.external_id.as_str())
            .collect();
        let found = if unknown.is_empty() {
            HashMap::new()
        } else {
            let found = self.client.find(&unknown).await;
            failpoint::at(Point::LookedUp).await;
            self.calls += 1;
            found?
        };
        let mut ids = HashMap::new();
        for place in places {
            let operation = self.operation(*place);
            let id = operation.salesforce_id.as_ref();
            if let Some(id) = id.or_else(|| found.get(&operation.external_id)) {
                ids.insert(*place, id.clone());
            } else {
                self.set(*place, Sent::Done(None));
            }
        }
        Ok(ids)
    }

    /// Makes one call. If it fails as a whole for what may be one record's
    /// fault, it is halved until the culprit stands alone.
    async fn settle(
        &mut self,
        places: &[Place],
        mut call: Call<'_>,
    ) -> Result<(), salesforce::Error> {
        let mut open: Vec<&[Place]> = vec![places];
        while let Some(places) = open.pop() {
            failpoint::at(Point::Sending).await;
            let results = self.send(places, call).await;
            failpoint::at(Point::Answered).await;
            self.calls += 1;
            let error = match results {
                Ok(results) => {
                    self.note(places, results);
                    continue;
                }
                Err(error) => error,
            };
            if error.certainty() == Certainty::Unknown {
                // Whatever may have been created must not be created again.
                call = call.repeatable();
                for place in places {
                    self.set(*place, Sent::InDoubt(None));
                }
            }
            if error.class() != Class::Suspect {
                return Err(error);
            }
            if let [place] = places {
                self.set(*place, alone(error));
            } else {
                let (first, second) = places.split_at(places.len() / 2);
                open.extend([second, first]);
            }
        }
        Ok(())
    }

    async fn send(&self, places: &[Place], call: Call<'_>) -> Result<Results, salesforce::Error> {
        if let Call::Delete(ids) = call {
            let ids: Vec<&str> = places.iter().map(|place| ids[place].as_str()).collect();
            return self.client.delete(&ids).await;
        }
        let records: Vec<Record<'_>> = places
            .iter()
            .map(|place| {
                let operation = self.operation(*place);
                Record {
                    external_id: &operation.external_id,
                    revision: Some(self.ads[place.0].token),
                    fields: raw(&operation.body),
                }
            })
            .collect();
        match call {
            Call::Create => self.client.create(&records).await,
            Call::Upsert | Call::Delete(_) => self.client.upsert(&records).await,
        }
    }

    fn note(&mut self, places: &[Place], results: Results) {
        for (place, result) in places.iter().zip(results) {
            let sent = match result {
                Ok(saved) => Sent::Done(Some(saved.id)),
                Err(refused) => refused_or_doubtful(refused.into()),
            };
            self.set(*place, sent);
        }
    }
}

/// One culprit, found: what is known of it.
fn alone(error: salesforce::Error) -> Sent {
    match error.certainty() {
        Certainty::Unknown => Sent::InDoubt(Some(error.into())),
        Certainty::NotSent | Certainty::Answered => Sent::Refused(error.into()),
    }
}

/// The plan has seen that it is a JSON object; anything else would be refused
/// by the client in its place.
fn raw(body: &str) -> &RawValue {
    serde_json::from_str(body).unwrap_or(RawValue::NULL)
}
