//! Removals: by Salesforce's ids, which are looked up where nobody knows them.

use std::collections::HashMap;

use super::super::verify::refuses_the_question;
use super::{Call, Delivery, Pieces, Place, Refused, Sent, ads_of, of_ads};
use crate::{
    failpoint::{self, Point},
    salesforce::{self, Row},
};

impl Delivery<'_> {
    /// Deletes by id.
    pub(super) async fn withdraw(&mut self, places: &[Place]) -> Result<(), salesforce::Error> {
        let ids = self.locate(places).await?;
        let there: Vec<Place> = places
            .iter()
            .copied()
            .filter(|place| ids.contains_key(place))
            .collect();
        for places in there.chunks(self.terms.size) {
            self.settle(places, Call::Delete(&ids)).await?;
        }
        Ok(())
    }

    /// Salesforce's ids of records that are to go. One whose id was never
    /// learnt is looked up; one that is not there is done, and one that could not
    /// be looked up has none.
    pub(super) async fn locate(
        &mut self,
        places: &[Place],
    ) -> Result<HashMap<Place, String>, salesforce::Error> {
        let is_unknown = |place: &Place| self.operation(*place).salesforce_id.is_none();
        let unknown: Vec<Place> = places.iter().copied().filter(is_unknown).collect();
        let found = self.look_up(&unknown, &[]).await?;
        let mut ids = HashMap::new();
        for place in places {
            let operation = self.operation(*place);
            let id = operation.salesforce_id.as_ref();
            let found = found.get(&operation.external_id).map(|row| &row.id);
            if let Some(id) = id.or(found) {
                ids.insert(*place, id.clone());
            }
        }
        Ok(ids)
    }

    /// Asks for records by their external ids, and for these fields of them.
    pub(super) async fn look_up(
        &mut self,
        unknown: &[Place],
        columns: &[String],
    ) -> Result<HashMap<String, Row>, salesforce::Error> {
        let mut found = HashMap::new();
        let mut pieces = Pieces::of(&ads_of(unknown));
        let ended = loop {
            let Some(ads) = self.next(&mut pieces) else {
                break Ok(());
            };
            let places = of_ads(unknown, &ads);
            let names = places.iter().map(|place| self.operation(*place));
            let names: Vec<&str> = names
                .map(|operation| operation.external_id.as_str())
                .collect();
            let answer = self.client.read_back(&names, columns).await;
            failpoint::at(Point::LookedUp).await;
            self.calls += 1;
            match answer {
                Ok(rows) => {
                    for place in places {
                        let is_there = rows.contains_key(&self.operation(place).external_id);
                        // What is only replaced is still to be created.
                        if !is_there && !self.is_replaced(place) {
                            self.set(place, Sent::Done(None));
                        }
                    }
                    found.extend(rows);
                    pieces.answered(Vec::new());
                }
                // Reports may be taken all the same: only what has to be looked
                // up waits.
                Err(error) if refuses_the_question(&error) => {
                    self.refuse(&places, &Refused::from(error).uncounted());
                }
                Err(error) => {
                    if let Err(error) = self.examine(&mut pieces, ads, error).await {
                        break Err(error);
                    }
                }
            }
        };
        self.conclude(pieces, ended, unknown)?;
        Ok(found)
    }
}
