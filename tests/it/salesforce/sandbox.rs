//! The client against the sandbox: two programs that were written apart agree.

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use usage_sync::salesforce::{Certainty, Class, Client, Pause, Record, RecordError, Step};
use usage_sync::sandbox::{Effect, Options, Plan, Sandbox};
use usage_sync::settings::{Login, Salesforce};

use super::{raw, settings};

/// An org with one contract of ten units, and a client for it.
struct Org {
    sandbox: Sandbox,
    client: Client,
    contract: String,
}

impl Org {
    async fn start() -> Self {
        let sandbox = Sandbox::start(Options::default()).await.unwrap();
        let account = sandbox.seed("Account", &json!({"Name": "Acme"})).unwrap();
        let contract = sandbox
            .seed(
                "Contract",
                &json!({"AccountId": account, "Status": "Activated"}),
            )
            .unwrap();
        let product = json!({"Contract__c": contract, "External_Id__c": "CP-1", "Units__c": 10});
        sandbox.seed("Contract_Product__c", &product).unwrap();
        let client = Client::new(&of(&sandbox)).unwrap();
        Self {
            sandbox,
            client,
            contract,
        }
    }

    async fn consumed(&self) -> f64 {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Product {
            #[serde(rename = "Consumed__c")]
            consumed: f64,
        }
        let soql = "SELECT Consumed__c FROM Contract_Product__c WHERE External_Id__c = 'CP-1'";
        self.client.query::<Product>(soql).await.unwrap()[0].consumed
    }

    /// Upserts one record of a quantity at a revision.
    async fn upsert(&self, external_id: &str, quantity: &str, revision: i64) -> Option<Class> {
        let fields = raw(&usage(quantity, "CP-1"));
        let record = Record {
            external_id,
            revision: Some(revision),
            fields: &fields,
        };
        let results = self.client.upsert(&[record]).await.unwrap();
        results[0].as_ref().err().map(RecordError::class)
    }
}

fn of(sandbox: &Sandbox) -> Salesforce {
    let credentials = sandbox.credentials();
    Salesforce {
        client_id: credentials.client_id.clone(),
        login: Login::ClientCredentials {
            client_secret: SecretString::from(credentials.client_secret.clone()),
        },
        ..settings(sandbox.base_url())
    }
}

fn usage(quantity: &str, product: &str) -> String {
    format!(
        r#"{{"Quantity__c": {quantity}, "Contract_Product__r": {{"External_Id__c": "{product}"}}}}"#
    )
}

fn struck(effect: Effect) -> Plan {
    Plan {
        path: Some("composite".to_owned()),
        times: Some(1),
        ..Plan::always(effect)
    }
}

#[tokio::test]
async fn every_flow_leads_to_the_same_org() {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let credentials = sandbox.credentials();
    let secret = || SecretString::from(credentials.client_secret.clone());
    let mut identities = Vec::new();

    for login in [
        Login::JwtBearer {
            username: credentials.username.clone(),
            private_key: SecretString::from(credentials.private_key.clone()),
            audience: "https://login.salesforce.com".to_owned(),
        },
        Login::ClientCredentials {
            client_secret: secret(),
        },
        Login::RefreshToken {
            client_secret: Some(secret()),
            refresh_token: SecretString::from(credentials.refresh_token.clone()),
        },
    ] {
        let client = Client::new(&Salesforce {
            login,
            ..of(&sandbox)
        })
        .unwrap();
        client.probe().await.unwrap();
        identities.push(client.login().await.unwrap());
    }

    assert_eq!(identities[0], identities[1]);
    assert_eq!(identities[0], identities[2]);
    assert!(identities[0].org_id.starts_with("00D"));
}

#[tokio::test]
async fn a_record_lives_through_all_that_is_done_to_it() {
    let org = Org::start().await;
    let fields = raw(&usage("0.10", "CP-1"));
    let orphan = raw(&usage("1", "CP-404"));
    let record = |external_id, fields| Record {
        external_id,
        revision: Some(5),
        fields,
    };

    let created = org
        .client
        .create(&[record("7:a", &fields), record("7:b", &orphan)])
        .await
        .unwrap();
    let id = created[0].as_ref().unwrap().id.clone();

    // Its contract may be on its way.
    assert_eq!(created[1].as_ref().unwrap_err().class(), Class::Suspect);
    assert_eq!(
        org.client.find(&["7:a", "7:b"]).await.unwrap(),
        [("7:a".to_owned(), id.clone())].into()
    );
    let again = org.client.create(&[record("7:a", &fields)]).await.unwrap();
    assert_eq!(again[0].as_ref().unwrap_err().class(), Class::Contention);
    assert_eq!(org.upsert("7:a", "3", 6).await, None);
    assert_eq!(org.upsert("7:a", "9", 5).await, Some(Class::Superseded));
    assert!((org.consumed().await - 3.0).abs() < f64::EPSILON);
    let deleted = org.client.delete(&[&id]).await.unwrap();
    assert_eq!(deleted[0].as_ref().unwrap().id, id);
    assert!(org.client.delete(&[&id]).await.unwrap()[0].is_ok());
    assert!(org.consumed().await.abs() < f64::EPSILON);
    assert!(org.client.api_usage().unwrap().used > 0);
}

#[tokio::test]
async fn a_row_and_a_graph_do_what_a_collection_does() {
    let org = Org::start().await;
    let (two, five) = (raw(&usage("2", "CP-1")), raw(&usage("5", "CP-1")));
    let (first, second) = (raw(r#"{"Quantity__c": 1}"#), raw(&usage("1", "CP-404")));
    let record = |external_id, revision, fields| Record {
        external_id,
        revision: Some(revision),
        fields,
    };

    let saved = org
        .client
        .upsert_one(record("7:a", 1, &two))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(saved.created, Some(true));
    let graphs = [
        vec![
            Step::Update(&saved.id, record("7:a", 2, &first)),
            Step::Create(record("7:b", 2, &five)),
        ],
        vec![
            Step::Create(record("8:a", 2, &five)),
            Step::Create(record("8:b", 2, &second)),
        ],
    ];
    let results = org.client.graphs(&graphs).await.unwrap();

    assert_eq!(results[0].as_ref().unwrap().len(), 2);
    let failed = results[1].as_ref().unwrap_err();
    assert_eq!((failed.step, failed.error.class()), (1, Class::Suspect));
    assert!((org.consumed().await - 6.0).abs() < f64::EPSILON);
    let row: Option<serde_json::Value> = org.client.get_one("7:a", &["Quantity__c"]).await.unwrap();
    assert_eq!(row.unwrap()["Quantity__c"], 1.0);
    assert!(org.client.delete_one("7:a").await.unwrap().unwrap());
    assert!(!org.client.delete_one("7:a").await.unwrap().unwrap());
    assert!(
        org.client
            .get_one::<serde_json::Value>("7:a", &["Quantity__c"])
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_fulfilled_contract_refuses_in_words() {
    let org = Org::start().await;
    assert_eq!(org.upsert("7:a", "3", 1).await, None);
    org.sandbox
        .change("Contract", &org.contract, &json!({"Status": "Fulfilled"}))
        .unwrap();

    assert_eq!(org.upsert("7:a", "4", 2).await, Some(Class::Rejected));
    let found = org.client.find(&["7:a"]).await.unwrap();
    let deleted = org.client.delete(&[&found["7:a"]]).await.unwrap();

    let error = deleted[0].as_ref().unwrap_err();
    assert_eq!(error.class(), Class::Rejected);
    assert!(error.message.contains("fulfilled"), "{error}");
}

#[tokio::test]
async fn ended_sessions_are_not_noticed() {
    let org = Org::start().await;
    assert_eq!(org.upsert("7:a", "3", 1).await, None);

    org.sandbox.expire_tokens();

    assert_eq!(org.upsert("7:a", "4", 2).await, None);
}

#[tokio::test]
async fn faults_are_told_apart() {
    let org = Org::start().await;
    org.client.login().await.unwrap();
    let short = Class::Outage {
        pause: Pause::Short,
    };
    let fields = raw(&usage("1", "CP-1"));

    for (effect, class, certainty) in [
        (Effect::DropBefore, short, Certainty::Unknown),
        (Effect::DropAfter, short, Certainty::Unknown),
        (Effect::HtmlPage { status: 503 }, short, Certainty::Unknown),
        (Effect::EmptyBody { status: 503 }, short, Certainty::Unknown),
        (
            Effect::RequestLimit { concurrent: true },
            short,
            Certainty::Answered,
        ),
        (
            Effect::RequestLimit { concurrent: false },
            Class::Outage { pause: Pause::Long },
            Certainty::Answered,
        ),
    ] {
        let case = format!("{effect:?}");
        org.sandbox.fault(struck(effect));

        let record = Record {
            external_id: "7:a",
            revision: Some(1),
            fields: &fields,
        };
        let error = org.client.upsert(&[record]).await.unwrap_err();

        assert_eq!(
            (error.class(), error.certainty()),
            (class, certainty),
            "{case}: {error:?}"
        );
    }
    // What was cut off after the fact has happened.
    assert!((org.consumed().await - 1.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn the_org_shows_its_object_and_what_is_not_there() {
    let org = Org::start().await;

    let describe = org.client.describe("Usage__c").await.unwrap();
    let missing = org.client.describe("Nothing__c").await.unwrap_err();
    let limits = org.client.limits().await;

    assert!(describe.createable && describe.updateable && describe.deletable);
    let external_id = describe.field("External_Id__c").unwrap();
    assert!(external_id.external_id && external_id.unique);
    assert_eq!(
        describe.field("Contract_Product__c").unwrap().reference_to,
        ["Contract_Product__c"]
    );
    assert_eq!(missing.class(), Class::Configuration);
    assert!(missing.remedy().is_some());
    assert!(limits.unwrap().contains_key("DailyApiRequests"));
}
