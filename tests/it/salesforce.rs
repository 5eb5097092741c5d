//! The Salesforce client over real HTTP: a server of ours answers as a recorded
//! or documented Salesforce does, byte for byte, also in the ways in which
//! networks and proxies fail.

mod answers;
mod graphs;
mod login;
mod queries;
mod records;
mod rows;
mod sandbox;
mod server;
mod wire;

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::value::RawValue;
use url::Url;
use usage_sync::salesforce::{Client, Record};
use usage_sync::settings::{Login, Salesforce};

/// Settings for a server on this machine, with the shortest flow.
fn settings(login_url: &str) -> Salesforce {
    Salesforce {
        login_url: Url::parse(login_url).unwrap(),
        client_id: "3MVG9.client".to_owned(),
        login: Login::ClientCredentials {
            client_secret: SecretString::from("s3cret-of-the-app"),
        },
        api_version: "67.0".to_owned(),
        object: "Usage__c".to_owned(),
        external_id_field: "External_Id__c".to_owned(),
        external_id_prefix: String::new(),
        revision_field: Some("Revision__c".to_owned()),
        // Long enough for a loaded machine; a test that waits for it shortens it.
        timeout: Duration::from_mins(1),
        connect_timeout: Duration::from_secs(30),
        read_timeout: Duration::from_mins(1),
        max_concurrency: 4,
        landing_window: Duration::from_mins(11),
        api_budget: 0.8,
    }
}

fn client(server: &server::Server) -> Client {
    Client::new(&settings(&server.url())).unwrap()
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

fn record<'a>(external_id: &'a str, fields: &'a RawValue) -> Record<'a> {
    Record {
        external_id,
        revision: Some(12),
        fields,
    }
}

/// Everything that an error can be made to print.
fn print(error: &(dyn StdError + 'static)) -> String {
    let mut text = format!("{error:?}");
    let mut next = Some(error);
    while let Some(cause) = next {
        write!(text, ": {cause}").unwrap();
        next = cause.source();
    }
    text
}
