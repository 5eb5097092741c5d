//! Whose fault a failure is: one ad's, or Salesforce's and the org's.

use super::{Delivery, Pieces, Place, Refused, Sent, of_ads};
use crate::{
    backoff::chance,
    salesforce::{self, Certainty, Class, Pause, RecordError},
};

impl Delivery<'_> {
    /// Salesforce took a report.
    pub(super) fn took(&mut self) {
        self.taken = true;
        self.terms.witness.took();
    }

    /// A piece of a call failed as a whole. `Err` if that is no single ad's
    /// fault: then nothing more is sent.
    ///
    /// An answer that says nothing, or none, is an outage only if the free probe
    /// fails as well: one record may make Salesforce hang or hang up.
    pub(super) async fn examine(
        &mut self,
        pieces: &mut Pieces<usize>,
        ads: Vec<usize>,
        error: salesforce::Error,
    ) -> Result<(), salesforce::Error> {
        let mute = error.certainty() == Certainty::Unknown;
        match error.class() {
            Class::Suspect => {}
            Class::Outage {
                pause: Pause::Short,
            } if mute => {
                if self.client.probe().await.is_err() {
                    self.terms.witness.doubt();
                    return Err(error);
                }
            }
            _ => return Err(error),
        }
        if mute && self.believed.is_none() {
            let witness = self.terms.witness;
            // That one which is under suspicion fails says nothing new.
            let under_suspicion = self.is_under_suspicion();
            self.believed = Some(if under_suspicion {
                witness.takes()
            } else {
                witness.doubt()
            });
        }
        pieces.failed(ads, error, chance())
    }

    /// Blames those ads of a call that failed alone, if Salesforce took others
    /// meanwhile. If it did not, nobody can tell: then it is the failure of all.
    pub(super) fn conclude(
        &mut self,
        pieces: Pieces<usize>,
        ended: Result<(), salesforce::Error>,
        places: &[Place],
    ) -> Result<(), salesforce::Error> {
        let taken = pieces.taken();
        let alone = super::ads_of(places).len() == 1;
        let mut trouble = ended.err();
        for (ad, error) in pieces.culprits() {
            let known = match error.certainty() {
                // Salesforce has looked at the request and refused it.
                Certainty::Answered => alone && !self.terms.refused_before,
                Certainty::NotSent | Certainty::Unknown => {
                    self.believed.unwrap_or_default() || self.terms.witness.takes()
                }
            };
            let places = of_ads(places, &[ad]);
            if known || taken {
                self.blame(&places, error, alone);
            } else if self.is_under_suspicion() {
                let again = Refused::from(error).uncounted();
                self.refuse(&places, &again);
            } else {
                trouble.get_or_insert(error);
            }
        }
        trouble.map_or(Ok(()), Err)
    }

    /// One culprit, found: what is known of it. What failed in one piece of a
    /// call may have been the org's fault, mended before the next piece, so it is
    /// tried once more by itself.
    fn blame(&mut self, places: &[Place], error: salesforce::Error, alone: bool) {
        let answered = error.certainty() == Certainty::Answered;
        let refused = Refused::from(error);
        let refused = if answered && alone {
            refused.for_good()
        } else {
            refused.alone()
        };
        self.refuse(places, &refused);
    }

    /// What every record of a call was refused for, if that says more about the
    /// org than about so many ads.
    pub(super) fn orgs_fault(
        &self,
        ads: usize,
        refusals: &[&RecordError],
    ) -> Option<salesforce::Error> {
        let (first, others) = refusals.split_first()?;
        let enough = ads > 1 || self.terms.refused_before;
        let alike = first.is_the_orgs(first) && others.iter().all(|other| other.is_the_orgs(first));
        (enough && alike).then(|| salesforce::Error::EveryRecord {
            count: refusals.len(),
            source: (*first).clone(),
        })
    }

    /// Whether the parcel is one ad that made a request fail before.
    fn is_under_suspicion(&self) -> bool {
        self.ads.iter().any(|ad| ad.alone)
    }

    pub(super) fn refuse(&mut self, places: &[Place], refused: &Refused) {
        for place in places {
            self.set(*place, Sent::Refused(refused.clone()));
        }
    }

    pub(super) fn doubt(&mut self, places: &[Place]) {
        for place in places {
            self.set(*place, Sent::InDoubt(None));
        }
    }
}
