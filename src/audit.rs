//! Compares the records in Salesforce with what the app wants, one by one, and
//! marks what differs so that the daemons set it right.
//!
//! Neither ledger nor queue is believed: wanted is what the view says, held is
//! what Salesforce says. What differs is looked at once more at the end, and an
//! ad that is on its way is left out: it is only late. Nothing is written to
//! Salesforce from here; a repair makes records doubtful and queues their ads.

mod tables;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;

pub use tables::{Line, Standing, page, repair, standing, wanted};

use crate::{
    compare::Expectation,
    ledger,
    plan::Names,
    salesforce::{Client, Error, OwnRecord},
};
use sqlx::PgPool;

/// How a record differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The app wants it, and Salesforce does not have it.
    Missing,
    /// Salesforce has it, and the app does not want it.
    Extra,
    /// Both have it, and a field says something else.
    Different,
}

/// A record that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// How it differs.
    pub kind: Kind,
    /// Its name in Salesforce.
    pub external_id: String,
    /// Whose it is, as far as the name tells.
    pub ad_id: String,
    /// Which line of the ad.
    pub line: String,
    /// The contract that the app, or for an extra one the ledger, has it in.
    pub contract: Option<String>,
    /// Salesforce's id.
    pub salesforce_id: Option<String>,
    /// Salesforce's code, where it refused to have the ad reported.
    pub code: Option<String>,
    /// Salesforce's words.
    pub message: Option<String>,
    /// Whether this database has ever seen the ad. An extra record of another
    /// one may be another installation's.
    pub known: bool,
}

impl Difference {
    /// Whether Salesforce refused the ad as it stands: to queue it changes
    /// nothing before the cause is gone.
    pub fn is_locked(&self) -> bool {
        self.code.is_some()
    }

    /// Whether a daemon that looks at the ad would set it right.
    pub fn is_curable(&self) -> bool {
        !self.is_locked() && (self.known || self.kind != Kind::Extra)
    }
}

/// One comparison while it goes on.
pub struct Audit<'a> {
    client: &'a Client,
    names: &'a Names,
    contract: Option<&'a str>,
    wanted: HashSet<String>,
    found: BTreeMap<String, Difference>,
    compared: usize,
    untold: usize,
}

impl<'a> Audit<'a> {
    /// Of all records, or of those of one contract.
    pub fn new(client: &'a Client, names: &'a Names, contract: Option<&'a str>) -> Self {
        Self {
            client,
            names,
            contract,
            wanted: HashSet::new(),
            found: BTreeMap::new(),
            compared: 0,
            untold: 0,
        }
    }

    /// Compares what the app wants with what Salesforce has.
    pub async fn compare(&mut self, lines: Vec<Line>) -> Result<(), Error> {
        // Records that hold the same fields are asked for together.
        let mut groups: BTreeMap<Vec<String>, Vec<(String, Line, Expectation)>> = BTreeMap::new();
        for line in lines {
            let external_id = self.names.external_id(&line.ad_id, &line.line);
            self.wanted.insert(external_id.clone());
            if !self.concerns(line.contract.as_deref()) {
                continue;
            }
            match Expectation::new(&line.fields, "{}") {
                Some(expected) => groups.entry(expected.columns()).or_default().push((
                    external_id,
                    line,
                    expected,
                )),
                None => self.untold += 1,
            }
        }
        for (columns, group) in groups {
            let names: Vec<&str> = group.iter().map(|(name, ..)| name.as_str()).collect();
            let rows = self.client.read_back(&names, &columns).await?;
            for (external_id, line, expected) in group {
                self.compared += 1;
                let row = rows.get(&external_id);
                let kind = match row {
                    None => Kind::Missing,
                    Some(row) if expected.is_met_by(&row.fields) => continue,
                    Some(_) => Kind::Different,
                };
                self.note(Difference {
                    kind,
                    external_id,
                    ad_id: line.ad_id,
                    line: line.line,
                    contract: line.contract,
                    salesforce_id: row.map(|row| row.id.clone()),
                    code: None,
                    message: None,
                    known: true,
                });
            }
        }
        Ok(())
    }

    /// Finds those of some records of the org that the app did not want, once
    /// all that it wants was compared. A name without a colon was not made here.
    pub async fn extra(&mut self, pool: &PgPool, org: &[OwnRecord]) -> Result<(), ledger::Error> {
        let unwanted: Vec<&OwnRecord> = org
            .iter()
            .filter(|record| !self.wanted.contains(&record.external_id))
            .collect();
        if unwanted.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = unwanted.iter().map(|r| r.external_id.as_str()).collect();
        let told = tables::told(pool, &names).await?;
        for record in unwanted {
            let own = told.get(&record.external_id);
            let name = record.external_id.strip_prefix(&self.names.prefix);
            let by_name = name.and_then(|name| name.split_once(':'));
            let (ad_id, line) = match (own, by_name) {
                (Some(own), _) => (own.ad_id.as_str(), own.line.as_str()),
                (None, Some(parts)) => parts,
                (None, None) => continue,
            };
            let contract = own.and_then(|own| own.contract.clone());
            if self.concerns(contract.as_deref()) {
                self.note(Difference {
                    kind: Kind::Extra,
                    external_id: record.external_id.clone(),
                    ad_id: ad_id.to_owned(),
                    line: line.to_owned(),
                    contract,
                    salesforce_id: Some(record.id.clone()),
                    code: None,
                    message: None,
                    known: own.is_some(),
                });
            }
        }
        Ok(())
    }

    /// The ads of which something differs.
    pub fn ads(&self) -> Vec<String> {
        let ads: BTreeSet<&String> = self.found.values().map(|found| &found.ad_id).collect();
        ads.into_iter().cloned().collect()
    }

    /// Compares those once more, with what the app wants of them now, and keeps
    /// what differs both times.
    pub async fn look_again(&mut self, lines: Vec<Line>) -> Result<(), Error> {
        let (before, compared, untold) =
            (std::mem::take(&mut self.found), self.compared, self.untold);
        self.compare(lines).await?;
        (self.compared, self.untold) = (compared, untold);
        self.found.retain(|name, _| before.contains_key(name));
        let extra: Vec<Difference> = before
            .into_values()
            .filter(|found| found.kind == Kind::Extra && !self.wanted.contains(&found.external_id))
            .collect();
        let names: Vec<&str> = extra
            .iter()
            .map(|found| found.external_id.as_str())
            .collect();
        let there = self.client.find(&names).await?;
        for found in extra {
            if there.contains_key(&found.external_id) {
                self.note(found);
            }
        }
        Ok(())
    }

    /// What differs, less the ads that are on their way; how many records of the
    /// app were compared, and how many hold what no query can tell.
    pub fn end(mut self, standings: &[Standing]) -> (Vec<Difference>, usize, usize) {
        let standings: HashMap<&str, &Standing> = standings
            .iter()
            .map(|standing| (standing.ad_id.as_str(), standing))
            .collect();
        for found in self.found.values_mut() {
            if let Some(standing) = standings.get(found.ad_id.as_str()) {
                found.known = true;
                found.code.clone_from(&standing.code);
                found.message.clone_from(&standing.message);
            }
        }
        let is_late = |found: &Difference| {
            let standing = standings.get(found.ad_id.as_str());
            standing.is_some_and(|standing| standing.is_pending)
        };
        let found = self.found.into_values().filter(|found| !is_late(found));
        (found.collect(), self.compared, self.untold)
    }

    fn concerns(&self, contract: Option<&str>) -> bool {
        self.contract.is_none() || self.contract == contract
    }

    fn note(&mut self, difference: Difference) {
        self.found
            .insert(difference.external_id.clone(), difference);
    }
}
