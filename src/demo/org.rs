//! Salesforce, as sales and an administrator see it: contracts are closed and
//! fulfilled here, and here is looked at what has arrived.
//!
//! Everything goes over HTTP to the sandbox's control endpoint, which works
//! while the org itself is down. Numbers stay as they are written.

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Error;
use super::compare::{Fields, Record};
use crate::sandbox::{Credentials, Options, Sandbox};

/// What usage-sync writes itself, so that the app has nothing to say about it.
const OWN_FIELDS: [&str; 2] = ["External_Id__c", "Revision__c"];

/// The sandbox, and a client of its own.
pub(crate) struct Org {
    sandbox: Sandbox,
    http: reqwest::Client,
}

/// A contract that sales has closed.
#[derive(Debug, Clone)]
pub(crate) struct Contract {
    /// Salesforce's id.
    pub(crate) id: String,
    /// What people call it.
    pub(crate) number: String,
    /// Product codes with the ids of the contract's products.
    pub(crate) products: Vec<(String, String)>,
}

/// One product of a contract, as Salesforce adds it up.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Product {
    #[serde(rename = "Contract__c")]
    pub(crate) contract: String,
    #[serde(rename = "Product_Code__c")]
    pub(crate) code: String,
    #[serde(rename = "Units__c")]
    pub(crate) units: Box<RawValue>,
    #[serde(rename = "Consumed__c")]
    pub(crate) consumed: Box<RawValue>,
    #[serde(rename = "Available__c")]
    pub(crate) available: Box<RawValue>,
}

#[derive(Deserialize)]
struct Created {
    id: String,
}

#[derive(Deserialize)]
struct ContractRow {
    #[serde(rename = "Id")]
    id: String,
    #[serde(rename = "ContractNumber")]
    number: String,
}

#[derive(Deserialize)]
struct Fault {
    hits: u64,
}

impl Org {
    /// Starts an empty org on a free port.
    pub(crate) async fn start() -> Result<Self, Error> {
        let sandbox = Sandbox::start(Options::default())
            .await
            .map_err(Error::Sandbox)?;
        // A proxy that this machine goes through has no way to loopback.
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .map_err(Error::Http)?;
        Ok(Self { sandbox, http })
    }

    pub(crate) fn base_url(&self) -> &str {
        self.sandbox.base_url()
    }

    pub(crate) fn control_url(&self) -> String {
        self.sandbox.control_url()
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        self.sandbox.credentials()
    }

    /// Sales closes a contract: so many units of each product.
    pub(crate) async fn close_contract(
        &self,
        customer: &str,
        products: &[(&str, u32)],
    ) -> Result<Contract, Error> {
        let account = self.create("Account", &json!({"Name": customer})).await?;
        let contract = json!({
            "AccountId": account, "Status": "Activated",
            "StartDate": "2026-01-01", "EndDate": "2026-12-31",
        });
        let id = self.create("Contract", &contract).await?;
        let rows: Vec<ContractRow> = self.records("Contract").await?;
        let row = rows.into_iter().find(|row| row.id == id);
        let number = row.map(|row| row.number).unwrap_or_default();
        let mut ids = Vec::new();
        for (code, units) in products {
            let product = json!({
                "Contract__c": id, "Name": code, "Product_Code__c": code,
                "Units__c": units, "Price__c": 10,
            });
            let product = self.create("Contract_Product__c", &product).await?;
            ids.push(((*code).to_owned(), product));
        }
        Ok(Contract {
            id,
            number,
            products: ids,
        })
    }

    /// The products of a contract with what is consumed and what is left.
    pub(crate) async fn products(&self, contract: &Contract) -> Result<Vec<Product>, Error> {
        let products: Vec<Product> = self.records("Contract_Product__c").await?;
        let of_contract = |product: &Product| product.contract == contract.id;
        Ok(products.into_iter().filter(of_contract).collect())
    }

    /// All usage records, with the fields that the app has a say in.
    pub(crate) async fn usage(&self) -> Result<Vec<Record>, Error> {
        let rows: Vec<BTreeMap<String, Box<RawValue>>> = self.records("Usage__c").await?;
        rows.into_iter().map(record).collect()
    }

    /// How many usage records there are.
    pub(crate) async fn usage_count(&self) -> Result<usize, Error> {
        let rows: Vec<serde::de::IgnoredAny> = self.records("Usage__c").await?;
        Ok(rows.len())
    }

    /// Sales changes the status of a contract.
    pub(crate) async fn set_status(&self, contract: &Contract, status: &str) -> Result<(), Error> {
        let path = format!("/records/Contract/{}", contract.id);
        let body = json!({"Status": status});
        self.control(Method::PATCH, &path, Some(&body)).await?;
        Ok(())
    }

    /// From here on every request of a client is answered with an error page.
    pub(crate) async fn go_down(&self) -> Result<(), Error> {
        let fault = json!({"effect": {"kind": "html_page", "status": 503}, "path": "/services"});
        self.control(Method::POST, "/faults", Some(&fault)).await?;
        Ok(())
    }

    /// Takes requests again.
    pub(crate) async fn come_back(&self) -> Result<(), Error> {
        self.control(Method::DELETE, "/faults", None).await?;
        Ok(())
    }

    /// How many requests were refused since it went down.
    pub(crate) async fn refused(&self) -> Result<u64, Error> {
        let text = self.control(Method::GET, "/faults", None).await?;
        let faults: Vec<Fault> = parse(&text)?;
        Ok(faults.iter().map(|fault| fault.hits).sum())
    }

    /// What a client gets who asks for nothing but the versions.
    pub(crate) async fn answer(&self) -> Result<StatusCode, Error> {
        let url = format!("{}/services/data", self.base_url());
        let answer = self.http.get(url).send().await.map_err(Error::Http)?;
        Ok(answer.status())
    }

    /// Lets every call take so long, and a bit more for each record.
    pub(crate) async fn take_time(&self, call_ms: u64, record_ms: u64) -> Result<(), Error> {
        let body = json!({"base_ms": call_ms, "per_record_ms": record_ms});
        self.control(Method::POST, "/settings", Some(&body)).await?;
        Ok(())
    }

    /// A token for a person at a shell.
    pub(crate) async fn token(&self) -> Result<String, Error> {
        #[derive(Deserialize)]
        struct Granted {
            access_token: String,
        }
        let url = format!("{}/services/oauth2/token", self.base_url());
        let credentials = self.credentials();
        let request = self.http.post(url).form(&[
            ("grant_type", "client_credentials"),
            ("client_id", &credentials.client_id),
            ("client_secret", &credentials.client_secret),
        ]);
        let granted: Granted = parse(&text(request).await?)?;
        Ok(granted.access_token)
    }

    async fn create(&self, object: &str, record: &Value) -> Result<String, Error> {
        let path = format!("/records/{object}");
        let created: Created = parse(&self.control(Method::POST, &path, Some(record)).await?)?;
        Ok(created.id)
    }

    async fn records<T>(&self, object: &str) -> Result<Vec<T>, Error>
    where
        T: serde::de::DeserializeOwned,
    {
        let path = format!("/records/{object}");
        parse(&self.control(Method::GET, &path, None).await?)
    }

    async fn control(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<String, Error> {
        let url = format!("{}{path}", self.control_url());
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        text(request).await
    }
}

async fn text(request: reqwest::RequestBuilder) -> Result<String, Error> {
    let answer = request.send().await.map_err(Error::Http)?;
    let answer = answer.error_for_status().map_err(Error::Http)?;
    answer.text().await.map_err(Error::Http)
}

fn parse<T>(text: &str) -> Result<T, Error>
where
    T: serde::de::DeserializeOwned,
{
    serde_json::from_str(text).map_err(Error::Json)
}

fn record(row: Fields) -> Result<Record, Error> {
    let external_id = row.get("External_Id__c");
    let external_id = external_id.map_or("null", |value| value.get());
    Ok(Record {
        external_id: parse(external_id)?,
        fields: row
            .into_iter()
            .filter(|(name, value)| {
                name.ends_with("__c")
                    && !OWN_FIELDS.contains(&name.as_str())
                    && value.get() != "null"
            })
            .collect(),
    })
}
