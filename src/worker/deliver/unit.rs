//! An ad that needs several changes at once, as one unit: Salesforce shows the
//! state before or the state after, never half of it. Only where all of it is new
//! do its records share a call with others; then there is nothing before.
//!
//! Each such ad is a graph of its own (REST API Developer Guide, "Composite
//! Graph"), and one call carries many. An ad that no graph can take is sent in
//! steps instead.

use std::collections::HashMap;

use super::{Delivery, Pieces, Place, Sent, raw};
use crate::{
    failpoint::{self, Point},
    plan::{Action, Operation},
    salesforce::{
        self, Certainty, Class, GraphResult, MAX_GRAPHS, MAX_STEPS, Record, RecordError, Step,
    },
};

/// Salesforce's ids of what is to be deleted.
type Ids = HashMap<Place, String>;

impl Delivery<'_> {
    /// Whether the ad is corrected in several places. Also several changes of one
    /// kind are half done where one of them is refused.
    pub(super) fn is_correction(&self, ad: usize) -> bool {
        let corrects = |operation: &Operation| operation.action != Action::Create;
        self.steps_of(ad) > 1 && self.ads[ad].operations.iter().any(corrects)
    }

    /// Whether the ad goes out as one: it is a correction that a graph can take.
    pub(super) fn is_unit(&self, index: usize) -> bool {
        let ad = &self.ads[index];
        self.is_correction(index)
            && self.client.has_graphs()
            && self.steps_of(index) <= MAX_STEPS
            // In a graph an external id stands in the address, and one that
            // looks like a file's name is not found there (REST API Developer
            // Guide, "sObject Rows by External ID").
            && ad.operations.iter().all(|operation| !operation.external_id.contains('.'))
    }

    fn steps_of(&self, ad: usize) -> usize {
        self.ads[ad].operations.len() + self.replaced_of(ad)
    }

    /// Sends all ads that have to go out as one each.
    pub(super) async fn units(&mut self) -> Result<(), salesforce::Error> {
        let units = 0..self.ads.len();
        let units: Vec<usize> = units.filter(|ad| self.is_unit(*ad)).collect();
        let places = units.iter().flat_map(|ad| self.left(*ad));
        let is_deleted = |place: &Place| self.goes(*place) || self.is_replaced(*place);
        let places: Vec<Place> = places.filter(is_deleted).collect();
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
            let need = self.steps_of(*ad);
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
            let steps = |ad: &usize| self.graph(*ad, ids, repeated).into_iter().unzip();
            let (whose, graphs): (Vec<Vec<Place>>, Vec<Vec<Step<'_>>>) =
                ads.iter().map(steps).unzip();
            failpoint::at(Point::SendingUnit).await;
            let results = self.client.graphs(&graphs).await;
            failpoint::at(Point::AnsweredUnit).await;
            self.calls += 1;
            let noted = match results {
                Ok(results) => {
                    self.took();
                    let refusals = results.iter().filter_map(|result| result.as_ref().err());
                    self.learn(refusals.map(|refused| &refused.error)).await;
                    self.note_units(&ads, &whose, results)
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

    /// The steps of an ad, each with the operation that it belongs to.
    fn graph<'a>(&'a self, ad: usize, ids: &'a Ids, repeated: bool) -> Vec<(Place, Step<'a>)> {
        let step = |place: Place| {
            let operation = self.operation(place);
            let id = ids.get(&place).map(String::as_str);
            let record = |fields: &'a str| Record {
                external_id: &operation.external_id,
                revision: Some(self.ads[ad].token),
                fields: raw(fields),
            };
            match operation.action {
                // One without an id would be refused by the client in its place.
                Action::Withdraw => vec![Step::Delete(id.unwrap_or_default())],
                // In this order, so that the unique name is free again.
                Action::Update if self.is_replaced(place) => id
                    .map(Step::Delete)
                    .into_iter()
                    .chain([Step::Create(record(&operation.fields))])
                    .collect(),
                Action::Create if !repeated => vec![Step::Create(record(&operation.body))],
                Action::Create | Action::Update => vec![Step::Upsert(record(&operation.body))],
            }
            .into_iter()
            .map(move |step| (place, step))
        };
        self.left(ad).into_iter().flat_map(step).collect()
    }

    /// Notes what became of each ad; answers those that have to be sent once
    /// more: a record that was to go was gone already, or nothing was run.
    fn note_units(
        &mut self,
        units: &[usize],
        whose: &[Vec<Place>],
        results: Vec<GraphResult>,
    ) -> Result<Vec<usize>, salesforce::Error> {
        // What was not run at all says nothing, neither of its ad nor of the org.
        let refusals: Vec<(Place, &RecordError)> = whose
            .iter()
            .zip(&results)
            .filter_map(|(places, result)| Some((places, result.as_ref().err()?)))
            .map(|(places, refused)| (places[refused.step], &refused.error))
            .filter(|(_, error)| !error.is_halted())
            .collect();
        let some_were_run = !refusals.is_empty() || results.iter().any(Result::is_ok);
        let refusals: Vec<&RecordError> = refusals
            .into_iter()
            .filter(|(place, error)| !self.goes_otherwise(*place, error))
            .map(|(_, error)| error)
            .collect();
        let nothing_taken = results.iter().all(Result::is_err);
        if nothing_taken && let Some(error) = self.orgs_fault(refusals.len(), &refusals) {
            return Err(error);
        }
        let mut again = Vec::new();
        for ((ad, places), result) in units.iter().zip(whose).zip(results) {
            match result {
                Ok(saved) => {
                    // Of two steps for one record the later one says what stands.
                    for (place, saved) in places.iter().zip(saved) {
                        self.set(*place, Sent::Done(Some(saved.id)));
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
                        let sent = self.refusal(place, refused.error);
                        self.set(place, sent);
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
