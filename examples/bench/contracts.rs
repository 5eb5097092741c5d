//! Contracts, read live by many: how much longer a read takes than Salesforce
//! needs for its answer, and how few queries all of them cost.
//!
//! Four take turns within one run, so that a machine that grows slower does so
//! for all of them: Salesforce asked by one caller, Salesforce asked by every
//! reader for itself, the library, and the gateway over HTTP. A reader asks again
//! as soon as it is answered, or after a pause. A read that answers anything but
//! the contract that was asked for, with all that is pending, ends the run.

mod figures;
mod gateway;
mod readers;
mod salesforce;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use usage_sync::contracts::Contracts;
use usage_sync::salesforce::Client;
use usage_sync::settings::{Settings, Source};

use crate::stage::Stage;
use crate::{Error, Mode, Options};
use figures::Figures;
use gateway::Gateway;
use readers::Readers;

/// What may be told to this measurement.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    /// Who ask at the same time
    #[arg(long, default_value_t = 50)]
    readers: usize,
    /// Contracts that they ask for, one after the other
    #[arg(long, default_value_t = 10)]
    contracts: usize,
    /// Turns of each way to ask
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Seconds of a turn
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Milliseconds that Salesforce takes for an answer
    #[arg(long, default_value_t = 120)]
    latency: u32,
    /// Milliseconds that a reader pauses before it asks again, at most; at random
    #[arg(long, default_value_t = 0)]
    pause: u64,
    /// Ads that Salesforce has not been told of
    #[arg(long, default_value_t = 0)]
    pending: u32,
}

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
enum Way {
    /// Salesforce, for all contracts in one query, by one caller.
    Alone,
    /// Salesforce, for one contract in one query, by every reader.
    Each,
    Library,
    Gateway,
}

/// A read on its way; boxed, so that it can be named.
type Asked = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// What a read must answer: a contract, its product, and the units pending.
#[derive(Debug, Clone)]
struct Expected {
    contract: String,
    product: String,
    pending: i64,
}

/// An answer, by way of the library or of the gateway.
#[derive(Debug, Deserialize)]
struct Answer {
    id: String,
    products: Vec<Product>,
}

#[derive(Debug, Deserialize)]
struct Product {
    id: String,
    pending: i64,
}

/// Measures; answers a table or JSON.
pub(crate) async fn run(options: &Options, arguments: &Arguments) -> Result<String, Error> {
    let mut stage = Stage::set(options, Mode::Limit).await?;
    let expected = expected(&mut stage, arguments).await?;
    stage.org.slow_down(arguments.latency).await?;
    let settings = settings(&stage)?;
    let client = Client::new(&settings.salesforce)?;
    client.login().await?;
    let contracts = Contracts::new(
        client.clone(),
        stage.app.pool.clone(),
        &settings.contract,
        settings.salesforce.read_timeout,
    )?;
    let gateway = Gateway::start(&stage).await?;
    let readers = Readers::new(arguments, expected);

    let mut figures = Figures::default();
    for round in 0..=arguments.rounds.max(1) {
        for way in [Way::Alone, Way::Each, Way::Library, Way::Gateway] {
            let before = stage.org.queries().await?;
            let mut turn = match way {
                Way::Alone => readers.alone(salesforce::all(&client, &readers)).await?,
                Way::Each => readers.ask(salesforce::each(&client)).await?,
                Way::Library => readers.ask(library(&contracts)).await?,
                Way::Gateway => readers.ask(gateway.read()).await?,
            };
            turn.queries = stage.org.queries().await? - before;
            // The first round is for connections, logins and caches.
            if round > 0 {
                figures.add(way, &turn)?;
            }
        }
    }
    Ok(figures.text(options.json, arguments))
}

/// A read by way of the library.
fn library(contracts: &Contracts) -> impl Fn(Arc<Expected>) -> Asked + Clone + use<> {
    let contracts = contracts.clone();
    move |expected| {
        let contracts = contracts.clone();
        Box::pin(async move {
            let found = contracts.one(&expected.contract).await?;
            expected.is_answered_by(&serde_json::to_vec(&found).map_err(Error::Unreadable)?)
        })
    }
}

impl Expected {
    /// An error if a read answered anything else.
    fn is_answered_by(&self, answer: &[u8]) -> Result<(), Error> {
        let answer: Answer = serde_json::from_slice(answer).map_err(Error::Unreadable)?;
        let right = match answer.products.as_slice() {
            [product] => product.id == self.product && product.pending == self.pending,
            _ => false,
        };
        if right && answer.id == self.contract {
            return Ok(());
        }
        Err(Error::Inexact(format!("{answer:?} answered {self:?}")))
    }
}

fn settings(stage: &Stage) -> Result<Settings, Error> {
    let environment = stage.environment(&stage.org.ready.base_url)?;
    Source::read(environment)
        .settings()
        .map_err(Error::Settings)
}

/// Commits the ads that are to be pending; answers what the reads must.
async fn expected(stage: &mut Stage, arguments: &Arguments) -> Result<Vec<Expected>, Error> {
    if arguments.pending > 0 {
        let (first, last) = stage.number(arguments.pending);
        stage.app.import(first, last).await?;
    }
    sqlx::query("analyze").execute(&stage.app.pool).await?;
    let (_, pending): (_, HashMap<String, i64>) = stage.app.wanted().await?;
    let contracts = stage.org.contracts().await?;
    let expected = contracts.into_iter().take(arguments.contracts.max(1));
    Ok(expected
        .map(|(contract, product)| Expected {
            pending: pending.get(&product).copied().unwrap_or_default(),
            contract,
            product,
        })
        .collect())
}

/// How long one turn takes.
fn turn(arguments: &Arguments) -> Duration {
    Duration::from_secs(arguments.seconds.max(1))
}
