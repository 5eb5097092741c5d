//! Before anything is sent: token, read, intent, in one short transaction.

use std::collections::HashMap;

use sqlx::PgConnection;

use super::{
    Error, Ledger, Pg,
    doubt::{self, Doubt, Intended},
};
use crate::{
    failpoint::{self, Point},
    plan::{HeldRecord, Operation, WantedLine, blank},
    postgres::{self, BEGIN, BEGIN_DURABLE},
};

/// An ad as it was read under its token.
#[derive(Debug)]
pub struct AdInHand {
    /// The ad.
    pub ad_id: String,
    /// The version that was read.
    pub version: i64,
    /// The fencing token.
    pub token: i64,
    /// Tries since its last change.
    pub attempts: i32,
    /// Of those, how many failed for what may be its own fault.
    pub suspicions: i32,
    /// A request with it was not answered while others were.
    pub alone: bool,
    /// What the app wants.
    pub wanted: Vec<WantedLine>,
    /// What Salesforce holds.
    pub held: Vec<HeldRecord>,
}

/// What is about to be sent in one go: `(ad, operation)` pairs.
#[derive(Debug, Clone, Copy)]
pub struct Intent {
    /// Its row in the write-ahead log.
    pub id: i64,
    /// A request was given up on without an answer: it may still take effect.
    pub given_up: bool,
}

/// A transaction that has fenced and read some ads and awaits the intents.
#[derive(Debug)]
pub struct Fence {
    transaction: Pg,
    ads: Vec<AdInHand>,
    resting: Vec<String>,
}

type ReadRow = (
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
);

/// Ad, version, token, attempts, suspicions, alone, whether its hand before
/// this one never came back, and whether it rests.
type FencedRow = (String, i64, i64, i32, i32, bool, bool, bool);

impl Ledger {
    /// Fences and reads the ads that are known here. Nothing is durable
    /// until [`Fence::commit`].
    pub async fn fence(&self, ids: &[String]) -> Result<Fence, Error> {
        let mut transaction = self.begin(BEGIN_DURABLE).await?;
        failpoint::at(Point::FenceBegun).await;
        let fenced: Vec<FencedRow> = postgres::query_as(include_str!("fence.sql"))
            .bind(ids)
            .fetch_all(&mut *transaction)
            .await?;
        failpoint::at(Point::FenceTaken).await;
        let (resting, fenced): (Vec<FencedRow>, Vec<FencedRow>) =
            fenced.into_iter().partition(|(.., rests)| *rests);
        let resting = resting.into_iter().map(|(ad_id, ..)| ad_id).collect();
        let orphans: Vec<&str> = fenced
            .iter()
            .filter(|(.., overtaken, _)| *overtaken)
            .map(|(ad_id, ..)| ad_id.as_str())
            .collect();
        if !orphans.is_empty() {
            let intended: Vec<Intended> = postgres::query_as(include_str!("take_over.sql"))
                .bind(orphans)
                .fetch_all(&mut *transaction)
                .await?;
            let doubts: Vec<Doubt> = intended.into_iter().map(Doubt::of_intent).collect();
            doubt::note(&mut transaction, &doubts).await?;
            doubt::expect(&mut transaction, &doubts, self.landing_window).await?;
            failpoint::at(Point::FenceTakenOver).await;
        }

        let known: Vec<&str> = fenced.iter().map(|(ad_id, ..)| ad_id.as_str()).collect();
        hold(&mut transaction).await?;
        // The view may be replaced at any time: nothing of it is kept.
        let rows: Vec<ReadRow> = postgres::query_as(include_str!("read.sql"))
            .bind(known)
            .fetch_all(&mut *transaction)
            .await
            .map_err(Error::of_view)?;
        failpoint::at(Point::FenceRead).await;

        let mut ads: HashMap<String, AdInHand> = fenced
            .into_iter()
            .map(|(ad_id, version, token, attempts, suspicions, alone, ..)| {
                let ad = AdInHand {
                    ad_id: ad_id.clone(),
                    version,
                    token,
                    attempts,
                    suspicions,
                    alone,
                    wanted: Vec::new(),
                    held: Vec::new(),
                };
                (ad_id, ad)
            })
            .collect();
        for row in rows {
            if let Some(ad) = ads.get_mut(&row.0) {
                add(ad, row);
            }
        }
        Ok(Fence {
            transaction,
            ads: ads.into_values().collect(),
            resting,
        })
    }

    /// Forgets an intent of which nothing was sent.
    pub async fn abandon(&self, intent: Intent, ads: &[(String, i64)]) -> Result<(), Error> {
        let (ad_ids, tokens): (Vec<&str>, Vec<i64>) = ads
            .iter()
            .map(|(ad_id, token)| (ad_id.as_str(), *token))
            .unzip();
        let mut transaction = self.begin(BEGIN).await?;
        postgres::query(include_str!("abandon.sql"))
            .bind(ad_ids)
            .bind(tokens)
            .bind(intent.id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }
}

impl Fence {
    /// Takes the ads that were read out of the fence.
    pub fn take_ads(&mut self) -> Vec<AdInHand> {
        std::mem::take(&mut self.ads)
    }

    /// The ads that are rejected as they stand: nothing is to be sent of them yet.
    pub fn resting(&self) -> &[String] {
        &self.resting
    }

    /// Which ad each of these external ids belongs to, as far as the ledger knows.
    pub async fn owners(
        &mut self,
        external_ids: &[String],
    ) -> Result<HashMap<String, String>, Error> {
        let owners: Vec<(String, String)> = postgres::query_as(
            "select external_id, ad_id from usage_sync.record where external_id = any ($1)",
        )
        .bind(external_ids)
        .fetch_all(&mut *self.transaction)
        .await?;
        Ok(owners.into_iter().collect())
    }

    /// Notes what one request is about to do.
    pub async fn intend(&mut self, operations: &[(&str, &Operation)]) -> Result<Intent, Error> {
        let (mut ad_ids, mut lines, mut external_ids, mut contracts, mut blanks) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (ad_id, operation) in operations {
            ad_ids.push(*ad_id);
            lines.push(operation.line.as_str());
            external_ids.push(operation.external_id.as_str());
            contracts.push(operation.contract.as_deref().unwrap_or_default());
            blanks.push(blank(&operation.body));
        }
        let (id,): (i64,) = postgres::query_as(include_str!("intend.sql"))
            .bind(ad_ids)
            .bind(lines)
            .bind(external_ids)
            .bind(contracts)
            .bind(blanks)
            .fetch_one(&mut *self.transaction)
            .await?;
        failpoint::at(Point::FenceIntended).await;
        Ok(Intent {
            id,
            given_up: false,
        })
    }

    /// Makes tokens and intents durable.
    pub async fn commit(self) -> Result<(), Error> {
        failpoint::at(Point::FenceCommitting).await;
        self.transaction.commit().await?;
        failpoint::at(Point::FenceCommitted).await;
        Ok(())
    }
}

/// Takes the locks that reading the view needs. To be called ahead of every read
/// in a transaction of its own or a part of one.
pub(crate) async fn hold(transaction: &mut PgConnection) -> Result<(), Error> {
    sqlx::raw_sql(include_str!("hold.sql"))
        .execute(transaction)
        .await
        .map_err(Error::of_view)?;
    Ok(())
}

fn add(ad: &mut AdInHand, row: ReadRow) {
    let (_, line, contract, fields, external_id, salesforce_id, state) = row;
    match external_id {
        None => ad.wanted.push(WantedLine {
            line,
            contract,
            fields,
        }),
        Some(external_id) => ad.held.push(HeldRecord {
            external_id,
            line: line.unwrap_or_default(),
            contract,
            fields: fields.unwrap_or_else(|| String::from("{}")),
            salesforce_id,
            in_doubt: state.as_deref() != Some("reported"),
        }),
    }
}
