//! The sandbox as a process of its own, and its control endpoint.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::Client;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::daemon::Daemon;
use crate::{Error, Mode};

/// Contracts, each with one product.
const CONTRACTS: u32 = 1000;
/// The org must not run out of calls in the middle of a measurement.
const DAILY_LIMIT: u64 = 1_000_000_000;
const PATIENCE: Duration = Duration::from_secs(30);

/// What the sandbox says once it listens.
#[derive(Debug, Deserialize)]
pub(crate) struct Ready {
    pub(crate) base_url: String,
    control_url: String,
    pub(crate) client_id: String,
    pub(crate) username: String,
    private_key_file: String,
}

/// Counters of the sandbox since they were last taken.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(crate) struct Counters {
    pub(crate) api_calls: u64,
    pub(crate) lock_meetings: u64,
    pub(crate) max_in_flight: u64,
    pub(crate) records: Tally,
}

/// Records written.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(crate) struct Tally {
    pub(crate) created: u64,
    pub(crate) updated: u64,
    pub(crate) deleted: u64,
}

/// One usage record of Salesforce, as far as the app decides about it.
#[derive(Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Usage {
    #[serde(rename = "External_Id__c")]
    pub(crate) external_id: String,
    #[serde(rename = "Contract_Product__c")]
    pub(crate) product: String,
    /// As it is written: all quantities here are whole.
    #[serde(rename = "Quantity__c")]
    pub(crate) quantity: i64,
}

/// The Salesforce org.
pub(crate) struct Org {
    process: Daemon,
    http: Client,
    pub(crate) ready: Ready,
    /// Salesforce's id of each contract's product.
    pub(crate) products: Vec<String>,
}

impl Org {
    /// Starts a sandbox and seeds its contracts.
    pub(crate) async fn start(program: &Path) -> Result<Self, Error> {
        let directory = tempfile::tempdir().map_err(Error::io("making a directory"))?;
        let file = directory.path().join("ready.json");
        let arguments = ["sandbox", "--ready-file", &file.display().to_string()];
        let mut process = Daemon::start("the sandbox", program, &arguments, &[])?;
        let deadline = Instant::now() + PATIENCE;
        let ready = loop {
            process.must_live()?;
            let text = fs::read(&file).unwrap_or_default();
            if let Ok(ready) = serde_json::from_slice::<Ready>(&text) {
                break ready;
            }
            if Instant::now() > deadline {
                return Err(process.late("the sandbox's start", PATIENCE));
            }
            sleep(Duration::from_millis(5)).await;
        };
        let mut org = Self {
            process,
            http: Client::builder().no_proxy().build()?,
            ready,
            products: Vec::new(),
        };
        org.products = org.seed().await?;
        Ok(org)
    }

    /// The sandbox's process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// An error if the sandbox has ended.
    pub(crate) fn must_live(&mut self) -> Result<(), Error> {
        self.process.must_live()
    }

    /// The integration user's key.
    pub(crate) fn private_key(&self) -> Result<String, Error> {
        fs::read_to_string(&self.ready.private_key_file).map_err(Error::io("reading the key"))
    }

    /// Lets calls take as long as the mode says.
    pub(crate) async fn pretend(&self, mode: Mode) -> Result<(), Error> {
        let (base, record) = mode.pretended();
        let change = json!({"base_ms": base, "per_record_ms": record, "daily_limit": DAILY_LIMIT});
        self.post("settings", &change).await?;
        Ok(())
    }

    /// Lets so many calls through a day, of which so many are made.
    pub(crate) async fn allow(&self, allowed: u64, used: u64) -> Result<(), Error> {
        let change = json!({"daily_limit": allowed, "daily_used": used});
        self.post("settings", &change).await?;
        Ok(())
    }

    /// The counters as they stand.
    pub(crate) async fn counters(&self) -> Result<Counters, Error> {
        self.get("stats").await
    }

    /// The counters, which start anew.
    pub(crate) async fn take_counters(&self) -> Result<Counters, Error> {
        let counters = self.counters().await?;
        self.post("stats/reset", &Value::Null).await?;
        Ok(counters)
    }

    /// What each product was used according to Salesforce.
    pub(crate) async fn consumed(&self) -> Result<HashMap<String, f64>, Error> {
        let rows: Vec<Value> = self.get("records/Contract_Product__c").await?;
        Ok(rows
            .iter()
            .map(|row| {
                let id = row["Id"].as_str().unwrap_or_default().to_owned();
                (id, row["Consumed__c"].as_f64().unwrap_or_default())
            })
            .collect())
    }

    /// Lets calls take this many milliseconds, without a share for each record.
    pub(crate) async fn slow_down(&self, milliseconds: u32) -> Result<(), Error> {
        let change = json!({"base_ms": milliseconds, "per_record_ms": 0});
        self.post("settings", &change).await?;
        Ok(())
    }

    /// Goes wrong from now on, as a plan of the sandbox says.
    pub(crate) async fn fault(&self, plan: &Value) -> Result<(), Error> {
        self.post("faults", plan).await?;
        Ok(())
    }

    /// How many requests went wrong since the plans were made.
    pub(crate) async fn struck(&self) -> Result<u64, Error> {
        let plans: Vec<Value> = self.get("faults").await?;
        Ok(plans.iter().filter_map(|plan| plan["hits"].as_u64()).sum())
    }

    /// Everything goes well again.
    pub(crate) async fn mend(&self) -> Result<(), Error> {
        let url = format!("{}/faults", self.ready.control_url);
        self.http.delete(url).send().await?.error_for_status()?;
        Ok(())
    }

    /// Requests since the counters were taken, as far as the sandbox remembers:
    /// a thousand.
    pub(crate) async fn requests(&self) -> Result<usize, Error> {
        Ok(self.get::<Vec<Value>>("log").await?.len())
    }

    /// Each contract with its only product: their ids.
    pub(crate) async fn contracts(&self) -> Result<Vec<(String, String)>, Error> {
        let rows: Vec<Value> = self.get("records/Contract_Product__c").await?;
        let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
        let ids = rows
            .iter()
            .map(|row| (text(row, "Contract__c"), text(row, "Id")));
        Ok(ids.collect())
    }

    /// Queries since the counters were taken, pages that follow included.
    pub(crate) async fn queries(&self) -> Result<u64, Error> {
        let stats: Value = self.get("stats").await?;
        let calls = stats["calls"].as_object().into_iter().flatten();
        let queries = calls.filter(|(call, _)| call.starts_with("GET query"));
        Ok(queries.filter_map(|(_, count)| count.as_u64()).sum())
    }

    /// Every usage record.
    pub(crate) async fn usage(&self) -> Result<Vec<Usage>, Error> {
        self.get("records/Usage__c").await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let url = format!("{}/{path}", self.ready.control_url);
        read(self.http.get(url).send().await?).await
    }

    async fn seed(&self) -> Result<Vec<String>, Error> {
        let account = self.create("Account", json!({"Name": "Bench"})).await?;
        let of = |number: u32| {
            let account = account.clone();
            async move {
                let contract = json!({"AccountId": account, "Status": "Activated"});
                let contract = self.create("Contract", contract).await?;
                let product = json!({
                    "Contract__c": contract, "Name": format!("Product {number}"),
                    "External_Id__c": format!("P-{number}"), "Units__c": 1_000_000,
                });
                self.create("Contract_Product__c", product).await
            }
        };
        stream::iter((0..CONTRACTS).map(of))
            .buffered(8)
            .try_collect()
            .await
    }

    async fn create(&self, object: &str, record: Value) -> Result<String, Error> {
        let answer = self.post(&format!("records/{object}"), &record).await?;
        let created: Value = read(answer).await?;
        Ok(created["id"].as_str().unwrap_or_default().to_owned())
    }

    async fn post(&self, path: &str, body: &Value) -> Result<reqwest::Response, Error> {
        let url = format!("{}/{path}", self.ready.control_url);
        let request = self
            .http
            .post(url)
            .header("content-type", "application/json")
            .body(body.to_string());
        Ok(request.send().await?.error_for_status()?)
    }
}

async fn read<T: DeserializeOwned>(answer: reqwest::Response) -> Result<T, Error> {
    let body = answer.error_for_status()?.bytes().await?;
    serde_json::from_slice(&body).map_err(Error::Unreadable)
}
