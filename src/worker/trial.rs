//! What is sent to find out whether Salesforce takes reports again.
//!
//! A few ads that are refused alike look like a fault in the configuration
//! until one of another kind goes through. So whatever the last trial had is
//! not sent again before the others.

use std::collections::HashSet;

use super::{gate::Cause, prepare::Parcel};

/// Ads that are tried after an outage: enough that one of them which is to
/// blame itself does not hide that Salesforce takes the others.
const FEW: usize = 10;

/// The ads of the last trial.
#[derive(Debug, Default)]
pub(super) struct Trial {
    ads: HashSet<String>,
}

impl Trial {
    /// How many ads to claim for one. Where it may be ads that are to blame and
    /// not the org, a full call reaches those behind them, at the same price.
    pub(super) fn size(closed_for: Option<Cause>, batch: usize) -> usize {
        match closed_for {
            Some(Cause::Configuration) => batch.max(FEW),
            Some(Cause::Outage | Cause::DailyLimit) | None => FEW,
        }
    }

    /// These are sent.
    pub(super) fn sends(&mut self, ads: Vec<String>) {
        self.ads = ads.into_iter().collect();
    }

    /// Puts those parcels first that have an ad which the last trial had not.
    pub(super) fn sort(&self, parcels: &mut [Parcel]) {
        parcels.sort_by_key(|parcel| self.had_all(parcel.ads.iter().map(|ad| &ad.ad_id)));
    }

    fn had_all<'a>(&self, mut ads: impl Iterator<Item = &'a String>) -> bool {
        ads.all(|ad| self.ads.contains(ad))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_last_trial_had_not_goes_first() {
        let ads = |ids: &[&str]| -> Vec<String> { ids.iter().map(|id| (*id).to_owned()).collect() };
        let mut trial = Trial::default();
        assert!(!trial.had_all(ads(&["1"]).iter()));
        trial.sends(ads(&["1", "2"]));

        assert!(trial.had_all(ads(&["2", "1"]).iter()));
        assert!(!trial.had_all(ads(&["1", "3"]).iter()));
        trial.sends(ads(&["3"]));
        assert!(!trial.had_all(ads(&["1"]).iter()));
    }

    #[test]
    fn a_trial_is_a_full_call_where_the_ads_may_be_to_blame() {
        assert_eq!(Trial::size(Some(Cause::Configuration), 200), 200);
        assert_eq!(Trial::size(Some(Cause::Configuration), 1), 10);
        assert_eq!(Trial::size(Some(Cause::Outage), 200), 10);
    }
}
