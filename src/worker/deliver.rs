//! Sends one parcel to Salesforce and says what became of each operation.
//!
//! An ad that is corrected in several places goes out as one unit (`unit`). The
//! others share calls, one for each kind. Only an ad that is too large for a
//! unit is sent in steps: removals and changes first, its new records once all
//! of those went through. Where the org forbids it to move a record, it is
//! replaced (`moves`).
//!
//! When a call fails as a whole and it is not one ad's fault (`suspects`,
//! `blame`), the rest of the parcel is not sent: whoever called decides what the
//! failure means for the others. Nor is sent what is no longer in hand, which is
//! asked ahead of every call.

mod blame;
mod moves;
mod suspects;
mod unit;
mod verdict;
mod withdraw;

use std::{
    collections::{HashMap, HashSet},
    iter,
};

use serde_json::value::RawValue;

use super::parcel::PlannedAd;
use crate::{
    failpoint::{self, Point},
    ledger::Answer,
    plan::{Action, Operation},
    salesforce::{self, Certainty, Class, Client, Record, RecordError, Results},
};
use suspects::Pieces;
use verdict::{Refused, Sent, answer, refused_or_doubtful};

pub use suspects::Witness;

/// What became of a parcel.
#[derive(Debug)]
pub struct Delivered {
    /// One for each ad, in the parcel's order.
    pub answers: Vec<Answer>,
    /// The failure that kept the rest of the parcel from being sent.
    pub trouble: Option<salesforce::Error>,
    /// Calls that were made.
    pub calls: usize,
    /// Whether Salesforce took any of them.
    pub taken: bool,
    /// A request was given up on without an answer: it may still take effect,
    /// whatever came of a later one.
    pub given_up: bool,
    /// Ads of which Salesforce has something newer.
    pub superseded: Vec<String>,
}

/// How a parcel is sent.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// Records a call.
    pub size: usize,
    /// Whether others went through.
    pub witness: &'a Witness,
    /// The org is known to refuse every report: one more that is refused is no
    /// fault of its own.
    pub refused_before: bool,
    /// Whether an ad is in this hand still. Where this process was frozen, or
    /// Redis away, for longer than the lease, another one may have it and knows
    /// better what to send.
    pub holds: &'a (dyn Fn(&str) -> bool + Sync),
}

/// Sends a parcel.
pub async fn deliver(client: &Client, mut ads: Vec<PlannedAd>, terms: Terms<'_>) -> Delivered {
    let fixed = client.fixed_fields();
    let mut delivery = Delivery {
        client,
        terms,
        results: ads
            .iter()
            .map(|ad| vec![Sent::Not; ad.operations.len()])
            .collect(),
        replaced: moves::replaced(&mut ads, fixed),
        is_new_to_fixed: fixed.is_empty(),
        ads: &ads,
        calls: 0,
        taken: false,
        believed: None,
        given_up: false,
    };
    let trouble = delivery.run().await.err();
    let in_steps: Vec<bool> = (0..ads.len())
        .map(|ad| delivery.is_correction(ad) && !delivery.is_unit(ad))
        .collect();
    let Delivery {
        results,
        calls,
        taken,
        given_up,
        ..
    } = delivery;
    let superseded = ads
        .iter()
        .zip(&results)
        .filter(|(_, results)| results.iter().any(Sent::is_superseded))
        .map(|(ad, _)| ad.ad_id.clone())
        .collect();
    let answers = ads
        .into_iter()
        .zip(results)
        .zip(in_steps)
        .map(|((ad, results), in_steps)| answer(ad, results, in_steps))
        .collect();
    Delivered {
        answers,
        trouble,
        calls,
        taken,
        given_up,
        superseded,
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
    terms: Terms<'a>,
    ads: &'a [PlannedAd],
    results: Vec<Vec<Sent>>,
    /// What is deleted and created anew to be moved.
    replaced: HashSet<Place>,
    /// Nobody knew of references that may not change when this began.
    is_new_to_fixed: bool,
    calls: usize,
    taken: bool,
    /// What the witness said before the first failure.
    believed: Option<bool>,
    given_up: bool,
}

impl Delivery<'_> {
    async fn run(&mut self) -> Result<(), salesforce::Error> {
        self.keep_in_place().await?;
        self.units().await?;
        let withdrawals = self.places(Action::Withdraw);
        self.withdraw(&withdrawals).await?;
        for places in self.places(Action::Update).chunks(self.terms.size) {
            self.settle(places, Call::Upsert).await?;
        }
        let creates: Vec<Place> = self
            .places(Action::Create)
            .into_iter()
            .filter(|(ad, _)| self.went_through(*ad))
            .collect();
        for places in creates.chunks(self.terms.size) {
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
        ads.filter(|(index, _)| !self.is_unit(*index))
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

    /// A refusal does not tell what an earlier request of the same parcel did
    /// whose answer was lost.
    fn set(&mut self, (ad, operation): Place, sent: Sent) {
        let result = &mut self.results[ad][operation];
        *result = match (&result, sent) {
            (Sent::InDoubt(_), Sent::Refused(refused)) => Sent::InDoubt(Some(refused)),
            (Sent::InDoubt(_), Sent::Not) => Sent::InDoubt(None),
            (_, sent) => sent,
        };
    }

    /// What to send next: ads that are in hand still.
    fn next(&self, pieces: &mut Pieces<usize>) -> Option<Vec<usize>> {
        let in_hand = |ad: &usize| (self.terms.holds)(&self.ads[*ad].ad_id);
        iter::from_fn(|| pieces.next())
            .map(|ads| ads.into_iter().filter(in_hand).collect::<Vec<_>>())
            .find(|ads| !ads.is_empty())
    }

    /// Makes one call. If it fails as a whole for what may be one ad's fault,
    /// it is divided until the culprit stands alone.
    async fn settle(&mut self, all: &[Place], mut call: Call<'_>) -> Result<(), salesforce::Error> {
        let mut pieces = Pieces::of(&ads_of(all));
        let ended = loop {
            let Some(ads) = self.next(&mut pieces) else {
                break Ok(());
            };
            let places = of_ads(all, &ads);
            failpoint::at(Point::Sending).await;
            let results = self.send(&places, call).await;
            failpoint::at(Point::Answered).await;
            self.calls += 1;
            let noted = match results {
                Ok(results) => {
                    self.took();
                    self.learn(results.iter().filter_map(|result| result.as_ref().err()))
                        .await;
                    pieces.answered(Vec::new());
                    self.note(&places, results)
                }
                Err(error) if error.class() == Class::Contention => {
                    self.refuse(&places, &error.into());
                    Ok(())
                }
                Err(error) => {
                    if error.certainty() == Certainty::Unknown {
                        // Whatever may have been created must not be created again.
                        call = call.repeatable();
                        self.given_up = true;
                        self.doubt(&places);
                    }
                    self.examine(&mut pieces, ads, error).await
                }
            };
            if let Err(error) = noted {
                break Err(error);
            }
        };
        self.conclude(pieces, ended, all)
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

    fn note(&mut self, places: &[Place], results: Results) -> Result<(), salesforce::Error> {
        let refusals: Vec<&RecordError> = places
            .iter()
            .zip(&results)
            .filter_map(|(place, result)| Some((place, result.as_ref().err()?)))
            .filter(|(place, error)| !self.goes_otherwise(**place, error))
            .map(|(_, error)| error)
            .collect();
        let ads = ads_of(places).len();
        if refusals.len() == results.len()
            && let Some(error) = self.orgs_fault(ads, &refusals)
        {
            return Err(error);
        }
        for (place, result) in places.iter().zip(results) {
            let sent = match result {
                Ok(saved) => Sent::Done(Some(saved.id)),
                Err(refused) => self.refusal(*place, refused),
            };
            self.set(*place, sent);
        }
        Ok(())
    }
}

/// The ads that some operations belong to.
fn ads_of(places: &[Place]) -> Vec<usize> {
    let mut ads: Vec<usize> = places.iter().map(|(ad, _)| *ad).collect();
    ads.dedup();
    ads
}

/// Those operations that belong to some ads.
fn of_ads(places: &[Place], ads: &[usize]) -> Vec<Place> {
    let ads: HashSet<usize> = ads.iter().copied().collect();
    let of = |place: &Place| ads.contains(&place.0);
    places.iter().copied().filter(of).collect()
}

/// The plan has seen that it is a JSON object; anything else would be refused
/// by the client in its place.
fn raw(body: &str) -> &RawValue {
    serde_json::from_str(body).unwrap_or(RawValue::NULL)
}
