//! After the answer: ledger, journal and ads, in one short transaction.

use std::{collections::HashSet, time::Duration};

use sqlx::Acquire as _;

use super::{
    Error, Intent, Ledger, Pg, announce,
    doubt::{self, Doubt},
    fence, journal,
};
use crate::{
    failpoint::{self, Point},
    plan::{Action, Operation},
    postgres::{self, BEGIN},
};

/// What Salesforce answered to one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is done; the id of the record that stands there now, or stood.
    Done(Option<String>),
    /// It was refused, so nothing changed.
    Refused {
        /// Salesforce's code.
        code: String,
        /// Salesforce's words.
        message: String,
    },
    /// It may or may not have been done.
    InDoubt,
    /// It was never sent.
    NotSent,
}

/// What becomes of an ad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Salesforce holds what the app wanted.
    Reported,
    /// Salesforce said no for a reason that time alone does not cure.
    Rejected {
        /// Salesforce's code.
        code: String,
        /// Salesforce's words.
        message: String,
    },
    /// To be tried again; counts as an attempt.
    Retry {
        /// Salesforce's code.
        code: String,
        /// Salesforce's words.
        message: String,
    },
    /// To be tried again, though the ad itself may be the cause; counts against it.
    Suspected {
        /// Salesforce's code.
        code: String,
        /// Salesforce's words.
        message: String,
        /// From now on it goes out by itself, until it is reported.
        alone: bool,
    },
    /// To be tried again through no fault of its own: no attempt.
    Postponed,
}

/// One ad's answers.
#[derive(Debug)]
pub struct Answer {
    /// The ad.
    pub ad_id: String,
    /// The version that was read.
    pub version: i64,
    /// The fencing token it was read under.
    pub token: i64,
    /// What becomes of the ad.
    pub verdict: Verdict,
    /// What became of each operation.
    pub operations: Vec<(Operation, Outcome)>,
    /// Several of them, which no single request could take: for moments Salesforce
    /// showed a part of the correction.
    pub in_steps: bool,
}

/// What [`Ledger::record`] wrote.
#[derive(Debug, Default)]
pub struct Recorded {
    /// Ads that another hand had taken meanwhile; they are pending anew.
    pub overtaken: HashSet<String>,
    /// Ads that changed while they were in hand; they are pending still.
    pub ahead: Vec<String>,
}

impl Ledger {
    /// Writes the answers to one intent; `None` when there was nothing to send.
    pub async fn record(
        &self,
        intent: Option<Intent>,
        answers: &[Answer],
        retry_rejected: Duration,
    ) -> Result<Recorded, Error> {
        let mut transaction = self.begin(BEGIN).await?;
        failpoint::at(Point::RecordBegun).await;
        let settled = settle(&mut transaction, answers, retry_rejected).await?;
        if let Some(intent) = intent {
            postgres::query("delete from usage_sync.intent where id = $1")
                .bind(intent.id)
                .execute(&mut *transaction)
                .await?;
        }
        let own: HashSet<&str> = settled.iter().map(|(ad_id, ..)| ad_id.as_str()).collect();
        let is_own = |answer: &&Answer| own.contains(answer.ad_id.as_str());
        let (mine, overtaken): (Vec<&Answer>, Vec<&Answer>) = answers.iter().partition(is_own);

        report(&mut transaction, &mine).await?;
        withdraw(&mut transaction, &mine).await?;
        let doubtful = of(&mine, |outcome| matches!(outcome, Outcome::InDoubt));
        let sent = |outcome: &Outcome| !matches!(outcome, Outcome::NotSent);
        let doubtful = [doubtful, of(&overtaken, sent)].concat();
        doubt::note(&mut transaction, &doubts(&doubtful)).await?;
        if intent.is_some_and(|intent| intent.given_up) {
            let expected = doubts(&of(&answers.iter().collect::<Vec<_>>(), sent));
            doubt::expect(&mut transaction, &expected, self.landing_window).await?;
        }
        journal::write(&mut transaction, &mine).await?;
        journal::write_overtaken(&mut transaction, &overtaken).await?;
        let (mut ahead, mut told) = (Vec::new(), Vec::new());
        for (ad_id, has_changed, is_ahead) in settled {
            if is_ahead {
                ahead.push(ad_id.clone());
            }
            told.push((ad_id, has_changed));
        }
        let overtaken: HashSet<String> = overtaken
            .iter()
            .map(|answer| answer.ad_id.clone())
            .collect();
        if !overtaken.is_empty() {
            let anew: Vec<(String, bool)> = postgres::query_as(include_str!("anew.sql"))
                .bind(overtaken.iter().map(String::as_str).collect::<Vec<_>>())
                .fetch_all(&mut *transaction)
                .await?;
            told.extend(anew);
        }
        announce(&mut transaction, &told).await?;
        failpoint::at(Point::Recording).await;
        transaction.commit().await?;
        failpoint::at(Point::Recorded).await;
        Ok(Recorded { overtaken, ahead })
    }

    /// Rejects an ad as it stands, whatever is wanted.
    pub async fn refuse(
        &self,
        ad_id: &str,
        code: &str,
        message: &str,
        retry_rejected: Duration,
    ) -> Result<(), Error> {
        let mut transaction = self.begin(BEGIN).await?;
        reject(&mut transaction, ad_id, (code, message), retry_rejected).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Rejects an ad whose rows cannot even be read. They are read once more
    /// with the ad locked, so that it is the newest version that cannot: an ad
    /// that changed since the first try, and can be read now, stays pending.
    /// Answers whether it was rejected.
    pub async fn refuse_unreadable(
        &self,
        ad_id: &str,
        code: &str,
        message: &str,
        retry_rejected: Duration,
    ) -> Result<bool, Error> {
        let mut transaction = self.begin(BEGIN).await?;
        postgres::query("select from usage_sync.ad where ad_id = $1 for update")
            .bind(ad_id)
            .execute(&mut *transaction)
            .await?;
        if is_readable(&mut transaction, ad_id).await? {
            return Ok(false);
        }
        reject(&mut transaction, ad_id, (code, message), retry_rejected).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

async fn reject(
    transaction: &mut Pg,
    ad_id: &str,
    (code, message): (&str, &str),
    retry_rejected: Duration,
) -> Result<(), Error> {
    let refused: Option<(i64, i64)> = postgres::query_as(include_str!("refuse.sql"))
        .bind(ad_id)
        .bind(code)
        .bind(message)
        .bind(retry_rejected.as_secs_f64())
        .fetch_optional(&mut **transaction)
        .await?;
    let Some((version, token)) = refused else {
        return Ok(());
    };
    let answer = Answer {
        ad_id: ad_id.to_owned(),
        version,
        token,
        verdict: Verdict::Rejected {
            code: code.to_owned(),
            message: message.to_owned(),
        },
        operations: Vec::new(),
        in_steps: false,
    };
    journal::write(transaction, &[&answer]).await?;
    announce(transaction, &[(ad_id.to_owned(), true)]).await
}

/// Whether the rows of an ad can be read. A failure costs the transaction
/// nothing.
async fn is_readable(transaction: &mut Pg, ad_id: &str) -> Result<bool, Error> {
    let mut attempt = transaction.begin().await?;
    let read = match fence::hold(&mut attempt).await {
        Ok(()) => postgres::query(include_str!("read.sql"))
            .bind(vec![ad_id])
            .fetch_all(&mut *attempt)
            .await
            .map_err(Error::of_view),
        Err(error) => Err(error),
    };
    attempt.rollback().await?;
    match read {
        Ok(_) => Ok(true),
        Err(Error::Row(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

type Entry<'a> = (&'a Answer, &'a Operation, &'a Outcome);

/// The operations of some answers whose outcome is such.
fn of<'a>(answers: &[&'a Answer], such: impl Fn(&Outcome) -> bool) -> Vec<Entry<'a>> {
    answers
        .iter()
        .flat_map(|answer| {
            answer
                .operations
                .iter()
                .map(move |(operation, outcome)| (*answer, operation, outcome))
        })
        .filter(|(_, _, outcome)| such(outcome))
        .collect()
}

async fn settle(
    transaction: &mut Pg,
    answers: &[Answer],
    retry_rejected: Duration,
) -> Result<Vec<(String, bool, bool)>, Error> {
    let (mut states, mut codes, mut messages, mut tries) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut suspicions, mut alone) = (Vec::new(), Vec::new());
    for answer in answers {
        let (state, reason, attempt) = match &answer.verdict {
            Verdict::Reported => ("reported", None, 0),
            Verdict::Rejected { code, message } => ("rejected", Some((code, message)), 0),
            Verdict::Retry { code, message } | Verdict::Suspected { code, message, .. } => {
                ("pending", Some((code, message)), 1)
            }
            Verdict::Postponed => ("pending", None, 0),
        };
        states.push(state);
        codes.push(reason.map(|(code, _)| code.as_str()));
        messages.push(reason.map(|(_, message)| message.as_str()));
        tries.push(attempt);
        suspicions.push(i32::from(matches!(
            answer.verdict,
            Verdict::Suspected { .. }
        )));
        alone.push(matches!(
            answer.verdict,
            Verdict::Suspected { alone: true, .. }
        ));
    }
    let ad_ids: Vec<&str> = answers.iter().map(|a| a.ad_id.as_str()).collect();
    let tokens: Vec<i64> = answers.iter().map(|a| a.token).collect();
    let versions: Vec<i64> = answers.iter().map(|a| a.version).collect();
    Ok(postgres::query_as(include_str!("settle.sql"))
        .bind(ad_ids)
        .bind(tokens)
        .bind(versions)
        .bind(states)
        .bind(codes)
        .bind(messages)
        .bind(tries)
        .bind(retry_rejected.as_secs_f64())
        .bind(suspicions)
        .bind(alone)
        .fetch_all(&mut **transaction)
        .await?)
}

async fn report(transaction: &mut Pg, answers: &[&Answer]) -> Result<(), Error> {
    let told: Vec<(Entry<'_>, &str)> = of(answers, |_| true)
        .into_iter()
        .filter(|(_, operation, _)| operation.action != Action::Withdraw)
        .filter_map(|entry| match entry.2 {
            Outcome::Done(Some(id)) => Some((entry, id.as_str())),
            _ => None,
        })
        .collect();
    if told.is_empty() {
        return Ok(());
    }
    let text = |of: for<'a> fn(&Entry<'a>) -> &'a str| -> Vec<&str> {
        told.iter().map(|(entry, _)| of(entry)).collect()
    };
    let contracts: Vec<Option<&str>> = told
        .iter()
        .map(|((_, operation, _), _)| operation.contract.as_deref())
        .collect();
    postgres::query(include_str!("report.sql"))
        .bind(text(|(_, operation, _)| &operation.external_id))
        .bind(text(|(answer, _, _)| &answer.ad_id))
        .bind(text(|(_, operation, _)| &operation.line))
        .bind(contracts)
        .bind(text(|(_, operation, _)| &operation.fields))
        .bind(told.iter().map(|(_, id)| *id).collect::<Vec<_>>())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn withdraw(transaction: &mut Pg, answers: &[&Answer]) -> Result<(), Error> {
    let gone: Vec<&str> = of(answers, |outcome| matches!(outcome, Outcome::Done(_)))
        .into_iter()
        .filter(|(_, operation, _)| operation.action == Action::Withdraw)
        .map(|(_, operation, _)| operation.external_id.as_str())
        .collect();
    if !gone.is_empty() {
        postgres::query("delete from usage_sync.record where external_id = any ($1)")
            .bind(gone)
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

fn doubts(entries: &[Entry<'_>]) -> Vec<Doubt> {
    entries
        .iter()
        .map(|(answer, operation, _)| Doubt::of_operation(&answer.ad_id, operation))
        .collect()
}
