//! Contracts, read live from Salesforce, with what is still to be told to it.
//!
//! Promises:
//! - An answer was read after it was asked for. Nothing is kept: not a contract,
//!   not a number, not for a second.
//! - Whoever asks has an answer or an error within `SALESFORCE_READ_TIMEOUT`,
//!   however many ask and whatever Salesforce does.
//! - Those who ask at once share calls, and one call names many contracts.
//! - A contract is whole or not there: all its products, over as many pages as
//!   Salesforce makes of them.
//! - `pending` is never too little, so that nobody books units which other ads
//!   have taken already; those that Salesforce has refused are not among them.
//!
//! It reads only, and counts nothing in Redis. The worker's pacing stops reporting
//! at `SALESFORCE_API_BUDGET` of the org's calls, by the org's own count, in which
//! these calls stand too (`crate::pace`): what lies above that share is the reserve
//! on which contracts can still be read when it is used up.

mod amount;
mod crowd;
mod error;
mod key;
mod read;
mod row;
mod soql;

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use sqlx::PgPool;
use time::OffsetDateTime;

pub use amount::Amount;
use crowd::Crowd;
pub use error::{Error, Outage};
use key::Question;
use read::Reader;

use crate::{salesforce::Client, settings};

/// Live contracts. Cheap to clone; one for a process, so that all who ask share.
#[derive(Debug, Clone)]
pub struct Contracts {
    crowd: Arc<Crowd>,
    /// Who asks for those of an account, apart: it may have so many that nobody
    /// has the time, and whoever flew with it would have no answer either.
    accounts: Arc<Crowd>,
}

/// A contract, as Salesforce has it.
#[derive(Debug, Clone, Serialize)]
pub struct Contract {
    /// Salesforce's id, 18 characters.
    pub id: String,
    /// The number that people know it by.
    pub number: String,
    /// The name of its account.
    pub account: Option<String>,
    /// The id of its account, 18 characters.
    pub account_id: Option<String>,
    /// Its status, in Salesforce's word.
    pub status: String,
    /// Whether its usage can be changed no more.
    pub locked: bool,
    /// It was so at this moment or later.
    #[serde(with = "time::serde::rfc3339")]
    pub as_of: OffsetDateTime,
    /// Its products, by name.
    pub products: Vec<Product>,
}

/// A product of a contract. A number is missing where Salesforce has none.
#[derive(Debug, Clone, Serialize)]
pub struct Product {
    /// Salesforce's id, 18 characters.
    pub id: String,
    /// Its code.
    pub code: Option<String>,
    /// Its name.
    pub name: String,
    /// Units that were sold.
    pub units: Option<Amount>,
    /// Price of one of them.
    pub price: Option<Amount>,
    /// Units used, as Salesforce adds them up.
    pub consumed: Option<Amount>,
    /// Units left, as Salesforce says; pending ones are among them.
    pub available: Option<Amount>,
    /// Units that the app has committed and Salesforce has not been told of.
    pub pending: Amount,
    /// Units that the app gives back and Salesforce has not been told of: not to
    /// be booked before it has.
    pub pending_return: Amount,
}

impl Contracts {
    /// Checks the names; asks nobody yet.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "connection and token are shared with whoever keeps a clone"
    )]
    pub fn new(
        client: Client,
        pool: PgPool,
        settings: &settings::Contract,
        read_timeout: Duration,
    ) -> Result<Self, Error> {
        let reader = Arc::new(Reader::new(&client, pool, settings, read_timeout)?);
        let down = Arc::default();
        let crowd = || {
            Arc::new(Crowd::new(
                Arc::clone(&reader),
                read_timeout,
                Arc::clone(&down),
            ))
        };
        Ok(Self {
            crowd: crowd(),
            accounts: crowd(),
        })
    }

    /// The contract with this id, of 15 or 18 characters, or this number.
    pub async fn one(&self, key: &str) -> Result<Option<Contract>, Error> {
        let question = Question::contract(key)?;
        let mut found = self.crowd.ask(question).await?;
        if found.len() > 1 {
            return Err(Error::Invalid {
                asked: key.to_owned(),
                why: "it is the number of more than one",
                instead: "give the id of the one, as 8005g00000AbCdEAAV",
            });
        }
        Ok(found.pop())
    }

    /// All contracts of the account with this id, of 15 or 18 characters, by
    /// number.
    pub async fn of_account(&self, account: &str) -> Result<Vec<Contract>, Error> {
        self.accounts.ask(Question::account(account)?).await
    }
}
