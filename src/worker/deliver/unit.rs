//! An ad that needs several kinds of change at once, as one unit: Salesforce
//! shows the state before or the state after, never half of it.
//!
//! Each such ad is a graph of its own (REST API Developer Guide, "Composite
//! Graph"), and one call carries many. An ad that no graph can take is sent in
//! steps instead.

use std::collections::HashMap;

use super::super::parcel::PlannedAd;
use super::{Delivery, Pieces, Place, Sent, raw, refused_or_doubtful};
use crate::{
    failpoint::{self, Point},
    plan::Action,
    salesforce::{
        self, Certainty, Class, GraphResult, MAX_GRAPHS, MAX_STEPS, Record, RecordError, Step,
    },
};

/// Salesforce's ids of what is to be deleted.
type Ids = HashMap<Place, String>;

impl Delivery<'_> {
    /// Whether the ad goes out as one: it needs several kinds of change, and a
    /// graph can take it.
    pub(super) fn is_unit(&self, ad: &PlannedAd) -> bool {
        let mut actions = ad.operations.iter().map(|operation| operation.action);
        let first = actions.next();
        actions.any(|action| Some(action) != first)
            && self.client.has_graphs()
            && ad.operations.len() <= MAX_STEPS
            // In a graph an external id stands in the address, and one that
            // looks like a file's name is not found there (REST API Developer
            // Guide, "sObject Rows by External ID").
            && ad.operations.iter().all(|operation| !operation.external_id.contains('.'))
    }

    /// Sends all ads that have to go out as one each.
    pub(super) async fn units(&mut self) -> Result<(), salesforce::Error> {
        let units = self.ads.iter().enumerate();
        let units: Vec<usize> = units
            .filter(|(_, ad)| self.is_unit(ad))
            .map(|(index, _)| index)
            .collect();
        let places = units.iter().flat_map(|ad| self.left(*ad));
        let places: Vec<Place> = places.filter(|place| self.goes(*place)).collect();
        let ids = self.locate(&places).await?;
        // One that could not even be looked up is not sent.
        let is_clear = |ad: &usize| {
            let mut results = self.results[*ad].iter();
            let mut left = self.left(*ad).into_iter();
            results.all(|sent| matches!(sent, Sent::Not | Sent::Done(_)))
                && left.all(|place| !self.goes(place) || ids.contains_key(&place))
        };
        let units: Vec<usize> = units.into_iter().filter(is_clear).collect();
        for units in self.calls_of(&units) {
            self.call(units, &ids).await?;
        }
        Ok(())
    }

    /// Divides ads among calls, none of which is too large.
    fn calls_of(&self, units: &[usize]) -> Vec<Vec<usize>> {
        let mut calls: Vec<Vec<usize>> = Vec::new();
        let mut steps = 0;
        for ad in units {
            let need = self.ads[*ad].operations.len();
            match calls.last_mut() {
                Some(call) if call.len() < MAX_GRAPHS && steps + need <= MAX_STEPS => {
                    call.push(*ad);
                    steps += need;
                }
                _ => {
                    calls.push(vec![*ad]);
                    steps = need;
                }
            }
        }
        calls
    }

    /// Makes one call. If it fails as a whole for what may be one ad's fault,
    /// it is divided until the culprit stands alone.
    async fn call(&mut self, units: Vec<usize>, ids: &Ids) -> Result<(), salesforce::Error> {
        let mut repeated = false;
        let mut pieces = Pieces::of(&units);
        let all = self.all_left(&units);
        let ended = loop {
            let Some(ads) = self.next(&mut pieces) else {
                break Ok(());
            };
            let places = self.all_left(&ads);
            let graphs: Vec<Vec<Step<'_>>> = ads
                .iter()
                .map(|ad| self.graph(*ad, ids, repeated))
                .collect();
            failpoint::at(Point::SendingUnit).await;
            let results = self.client.graphs(&graphs).await;
            failpoint::at(Point::AnsweredUnit).await;
            self.calls += 1;
            let noted = match results {
                Ok(results) => {
                    self.took();
                    self.note_units(&ads, results)
                        .map(|again| pieces.answered(again))
                }
                Err(error) if error.class() == Class::Contention => {
                    self.refuse(&places, &error.into());
                    Ok(())
                }
                Err(error) => {
                    if error.certainty() == Certainty::Unknown {
                        // What may have been created must not be created again.
                        repeated = true;
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
        self.conclude(pieces, ended, &all)
    }

    fn graph<'a>(&'a self, ad: usize, ids: &'a Ids, repeated: bool) -> Vec<Step<'a>> {
        let step = |place: Place| {
            let operation = self.operation(place);
            let record = Record {
                external_id: &operation.external_id,
                revision: Some(self.ads[ad].token),
                fields: raw(&operation.body),
            };
            match operation.action {
                // One without an id would be refused by the client in its place.
                Action::Withdraw => Step::Delete(ids.get(&place).map_or("", String::as_str)),
                Action::Create if !repeated => Step::Create(record),
                Action::Create | Action::Update => Step::Upsert(record),
            }
        };
        self.left(ad).into_iter().map(step).collect()
    }

    /// Notes what became of each ad; answers those that have to be sent once
    /// more: a record that was to go was gone already, or nothing was run.
    fn note_units(
        &mut self,
        units: &[usize],
        results: Vec<GraphResult>,
    ) -> Result<Vec<usize>, salesforce::Error> {
        let refusals = results.iter().filter_map(|result| result.as_ref().err());
        // What was not run at all says nothing, neither of its ad nor of the org.
        let refusals: Vec<&RecordError> = refusals
            .map(|refused| &refused.error)
            .filter(|error| !error.is_halted())
            .collect();
        let nothing_taken = results.iter().all(Result::is_err);
        if nothing_taken && let Some(error) = self.orgs_fault(refusals.len(), &refusals) {
            return Err(error);
        }
        let some_were_run = !refusals.is_empty() || !nothing_taken;
        let mut again = Vec::new();
        for (ad, result) in units.iter().zip(results) {
            let places = self.left(*ad);
            match result {
                Ok(saved) => {
                    for (place, saved) in places.into_iter().zip(saved) {
                        self.set(place, Sent::Done(Some(saved.id)));
                    }
                }
                // Others of the call failed, too many for the rest to be run
                // (REST API Developer Guide, "Composite Graph Limits"). The next
                // call is without those, so this comes to an end.
                Err(refused) if refused.error.is_halted() && some_were_run => again.push(*ad),
                Err(refused) => {
                    let place = places[refused.step];
                    if self.goes(place) && refused.error.is_gone() {
                        self.set(place, Sent::Done(None));
                        again.push(*ad);
                    } else {
                        self.set(place, refused_or_doubtful(refused.error.into()));
                    }
                }
            }
        }
        Ok(again)
    }

    fn goes(&self, place: Place) -> bool {
        self.operation(place).action == Action::Withdraw
    }

    /// What is not done yet of some ads.
    fn all_left(&self, ads: &[usize]) -> Vec<Place> {
        ads.iter().flat_map(|ad| self.left(*ad)).collect()
    }

    /// What is not done yet of an ad.
    fn left(&self, ad: usize) -> Vec<Place> {
        let results = self.results[ad].iter().enumerate();
        results
            .filter(|(_, sent)| !matches!(sent, Sent::Done(_)))
            .map(|(operation, _)| (ad, operation))
            .collect()
    }
}
