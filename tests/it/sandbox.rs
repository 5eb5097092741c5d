//! The Salesforce sandbox, asked over HTTP by a client that knows nothing of
//! how it is made.

mod collections;
mod composite;
mod control;
mod faults;
mod login;
mod query;
mod rows;
mod transcripts;
mod wire;

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use usage_sync::sandbox::{Options, Sandbox};

/// Paths below this are written without it.
const DATA: &str = "/services/data/v67.0";

/// A sandbox with one contract and two of its products, and a logged-in client.
struct Org {
    sandbox: Sandbox,
    http: Client,
    token: String,
    account: String,
    contract: String,
    /// `CP-1` and `CP-2`.
    products: [String; 2],
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    text: String,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self {
            status,
            headers,
            text: response.text().await.expect("the body arrives"),
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("ASCII"))
    }

    /// Status, code and fields of the first error.
    fn refusal(&self) -> (u16, String, Value) {
        let body = self.json();
        (
            self.status,
            body[0]["errorCode"].as_str().unwrap_or_default().to_owned(),
            body[0]["fields"].clone(),
        )
    }
}

impl Org {
    async fn start() -> Self {
        let sandbox = Sandbox::start(Options::default())
            .await
            .expect("the sandbox starts");
        let account = sandbox
            .seed("Account", &json!({"Name": "Acme"}))
            .expect("an account");
        let contract = json!({"AccountId": account, "Status": "Activated", "StartDate": "2026-01-01", "EndDate": "2026-12-31"});
        let contract = sandbox.seed("Contract", &contract).expect("a contract");
        let product = |key: &str, units: u32| {
            let product = json!({"Contract__c": contract, "External_Id__c": key, "Name": key, "Product_Code__c": key, "Units__c": units, "Price__c": 9.5});
            sandbox
                .seed("Contract_Product__c", &product)
                .expect("a product")
        };
        let products = [product("CP-1", 10), product("CP-2", 20)];
        let mut org = Self {
            http: Client::new(),
            token: String::new(),
            account,
            contract,
            products,
            sandbox,
        };
        let answer = org
            .form("/services/oauth2/token", &org.assertion(&json!({})))
            .await;
        answer.json()["access_token"]
            .as_str()
            .expect("a token")
            .clone_into(&mut org.token);
        org
    }

    fn url(&self, path: &str) -> String {
        let prefix = if path.starts_with("/services")
            || path.starts_with("/control")
            || path.starts_with("/id")
        {
            ""
        } else {
            DATA
        };
        format!("{}{prefix}{path}", self.sandbox.base_url())
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<Response, reqwest::Error> {
        let mut request = self
            .http
            .request(method, self.url(path))
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body);
        }
        request.send().await
    }

    async fn get(&self, path: &str) -> Answer {
        Answer::of(self.send(Method::GET, path, None).await.expect("an answer")).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(
            self.send(Method::POST, path, Some(body.to_string()))
                .await
                .expect("an answer"),
        )
        .await
    }

    async fn patch(&self, path: &str, body: &Value) -> Answer {
        Answer::of(
            self.send(Method::PATCH, path, Some(body.to_string()))
                .await
                .expect("an answer"),
        )
        .await
    }

    async fn delete(&self, path: &str) -> Answer {
        Answer::of(
            self.send(Method::DELETE, path, None)
                .await
                .expect("an answer"),
        )
        .await
    }

    async fn form(&self, path: &str, fields: &[(&str, String)]) -> Answer {
        Answer::of(
            self.http
                .post(self.url(path))
                .form(fields)
                .send()
                .await
                .expect("an answer"),
        )
        .await
    }

    async fn query(&self, soql: &str) -> Answer {
        let url = self.url("/query");
        let request = self
            .http
            .get(url)
            .bearer_auth(&self.token)
            .query(&[("q", soql)]);
        Answer::of(request.send().await.expect("an answer")).await
    }

    /// The form of a JWT login, its claims changed.
    fn assertion(&self, changes: &Value) -> [(&'static str, String); 2] {
        let credentials = self.sandbox.credentials();
        let mut claims = json!({
            "iss": credentials.client_id,
            "sub": credentials.username,
            "aud": "https://login.salesforce.com",
            "exp": now() + 170,
        });
        for (name, value) in changes.as_object().expect("claims") {
            claims[name] = value.clone();
        }
        let jwt = sign(&credentials.private_key, &claims);
        [
            (
                "grant_type",
                "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned(),
            ),
            ("assertion", jwt),
        ]
    }

    /// Upserts usage records by their external ids.
    async fn upsert(&self, records: &Value) -> Answer {
        let mut records = records.clone();
        for record in records.as_array_mut().expect("records") {
            record["attributes"] = json!({"type": "Usage__c"});
        }
        let body = json!({"allOrNone": false, "records": records});
        self.patch("/composite/sobjects/Usage__c/External_Id__c", &body)
            .await
    }

    /// One usage record of `CP-1`; answers its id.
    async fn usage(&self, key: &str, quantity: f64) -> String {
        let body = json!({"External_Id__c": key, "Quantity__c": quantity, "Contract_Product__c": self.products[0]});
        let answer = self.post("/sobjects/Usage__c", &body).await;
        answer.json()["id"]
            .as_str()
            .unwrap_or_else(|| panic!("{}", answer.text))
            .to_owned()
    }

    /// Consumed and available units of a product.
    async fn units(&self, product: &str) -> [Value; 2] {
        let fields = "Consumed__c,Available__c";
        let body = self
            .get(&format!(
                "/sobjects/Contract_Product__c/{product}?fields={fields}"
            ))
            .await
            .json();
        [body["Consumed__c"].clone(), body["Available__c"].clone()]
    }

    fn set_status(&self, status: &str) {
        self.sandbox
            .change("Contract", &self.contract, &json!({"Status": status}))
            .expect("a status");
    }

    fn fault(&self, plan: &Value) -> u64 {
        self.sandbox
            .fault(serde_json::from_value(plan.clone()).expect("a fault"))
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock")
        .as_secs()
}

fn sign(pem: &str, claims: &Value) -> String {
    let der: String = pem
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let key = RsaKeyPair::from_pkcs8(&STANDARD.decode(der).expect("base64")).expect("a key");
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encode(&json!({"alg": "RS256"})), encode(claims));
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        text.as_bytes(),
        &mut signature,
    )
    .expect("a signature");
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A key that the sandbox does not know.
fn foreign_key() -> String {
    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect("a key");
    let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().expect("DER");
    format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
        STANDARD.encode(der.as_ref())
    )
}
