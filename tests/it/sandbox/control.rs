//! The control endpoint, and starting and stopping.

use serde_json::{Value, json};
use tokio::net::TcpSocket;
use usage_sync::sandbox::{Options, Sandbox, Schema, run_command};

use super::Org;

#[tokio::test]
async fn rows_are_seeded_changed_listed_and_removed_without_a_call() {
    let org = Org::start().await;

    let id = org
        .post("/control/records/Account", &json!({"Name": "Globex"}))
        .await
        .json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/control/records/Account/{id}");
    assert_eq!(
        org.patch(&path, &json!({"Name": "Globex Corp"}))
            .await
            .status,
        204
    );
    let rows = org.get("/control/records/account").await.json();
    assert_eq!(
        (rows[1]["Id"].clone(), rows[1]["Name"].clone()),
        (json!(id), json!("Globex Corp"))
    );
    assert_eq!(org.delete(&path).await.status, 204);

    assert_eq!(
        org.get("/control/records/Account")
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        org.post("/control/records/Account", &json!({}))
            .await
            .refusal()
            .1,
        "REQUIRED_FIELD_MISSING"
    );
    assert_eq!(org.get("/control/records/Unreal").await.status, 404);
    assert_eq!(org.sandbox.stats().api_calls, 0);
}

#[tokio::test]
async fn a_contract_goes_with_its_products_and_their_usage() {
    let org = Org::start().await;
    org.usage("u-1", 1.0).await;
    let held = org
        .delete(&format!("/control/records/Account/{}", org.account))
        .await;

    org.delete(&format!("/control/records/Contract/{}", org.contract))
        .await;

    assert_eq!(
        held.refusal().1,
        "DELETE_FAILED",
        "an account with contracts stays"
    );
    for object in ["Contract", "Contract_Product__c", "Usage__c"] {
        assert!(org.sandbox.records(object).unwrap().is_empty(), "{object}");
    }
}

#[tokio::test]
async fn statistics_tell_what_was_called_and_written() {
    let org = Org::start().await;
    let id = org.usage("u-1", 1.0).await;
    org.patch(
        &format!("/sobjects/Usage__c/{id}"),
        &json!({"Quantity__c": 2}),
    )
    .await;
    org.patch(
        "/sobjects/Usage__c/External_Id__c/u-2",
        &json!({"Quantity__c": 2}),
    )
    .await;
    org.delete(&format!("/sobjects/Usage__c/{id}")).await;
    org.get("/query?q=SELECT+Id+FROM+Usage__c").await;

    let stats = org.get("/control/stats").await.json();
    let log = org.get("/control/log").await.json();
    org.post("/control/stats/reset", &Value::Null).await;
    let after = org.get("/control/stats").await.json();

    assert_eq!(stats["api_calls"], 5);
    assert_eq!(
        stats["records"],
        json!({"created": 1, "updated": 1, "deleted": 1})
    );
    assert_eq!(
        stats["calls"],
        json!({
            "POST sobjects/Usage__c": 1, "PATCH sobjects/Usage__c/{id}": 1, "DELETE sobjects/Usage__c/{id}": 1,
            "PATCH sobjects/Usage__c/External_Id__c/{value}": 1, "GET query": 1,
        })
    );
    assert_eq!(
        (stats["max_in_flight"].clone(), stats["in_flight"].clone()),
        (json!(1), json!(0))
    );
    let last = log.as_array().unwrap().last().unwrap();
    assert_eq!(
        (last["method"].clone(), last["status"].clone()),
        (json!("GET"), json!(200))
    );
    assert!(last["path"].as_str().unwrap().contains("/query?q=SELECT"));
    assert_eq!(
        (
            after["api_calls"].clone(),
            after["records"]["created"].clone()
        ),
        (json!(0), json!(0))
    );
}

#[tokio::test]
async fn every_committed_change_is_kept_if_somebody_asks_for_it() {
    let org = Org::start().await;
    let keep = async |most: u32| {
        org.post("/control/settings", &json!({"history": most}))
            .await
    };
    let moments = async || org.get("/control/history").await.json();
    org.usage("u-0", 1.0).await;
    assert_eq!(moments().await["moments"], json!([]), "nobody asked");

    keep(3).await;
    let id = org.usage("u-1", 2.0).await;
    org.patch(
        &format!("/sobjects/Usage__c/{id}"),
        &json!({"Quantity__c": 3}),
    )
    .await;
    let body = json!({"Quantity__c": "many"});
    let refused = org.patch(&format!("/sobjects/Usage__c/{id}"), &body).await;
    assert_eq!(refused.status, 400);
    org.delete(&format!("/sobjects/Usage__c/{id}")).await;

    let told = moments().await;
    let quantities: Vec<[Value; 2]> = told["moments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|moment| {
            let change = &moment["changes"][0];
            assert_eq!(change["id"], id.as_str());
            ["before", "after"].map(|side| change[side]["Quantity__c"].clone())
        })
        .collect();
    let expected = [
        [Value::Null, json!(2.0)],
        [json!(2.0), json!(3.0)],
        [json!(3.0), Value::Null],
    ];
    assert_eq!(quantities, expected);
    assert_eq!(told["forgotten"], 0);

    org.usage("u-2", 1.0).await;
    assert_eq!(moments().await["forgotten"], 1);
    assert!(org.sandbox.history().is_none(), "some of it is forgotten");
    keep(0).await;
    org.usage("u-3", 1.0).await;
    assert_eq!(moments().await["moments"], json!([]));
}

#[tokio::test]
async fn faults_are_listed_and_removed() {
    let org = Org::start().await;
    let id = org
        .post(
            "/control/faults",
            &json!({"effect": {"kind": "empty_body", "status": 503}, "path": "limits"}),
        )
        .await
        .json()["id"]
        .clone();
    assert_eq!(org.get("/limits").await.status, 503);

    let list = org.get("/control/faults").await.json();
    assert_eq!(
        (
            list[0]["id"].clone(),
            list[0]["hits"].clone(),
            list[0]["effect"]["kind"].clone()
        ),
        (id.clone(), json!(1), json!("empty_body"))
    );
    org.delete(&format!("/control/faults/{id}")).await;
    assert_eq!(org.get("/limits").await.status, 200);
    assert_eq!(
        org.post(
            "/control/faults",
            &json!({"effect": {"kind": "earthquake"}})
        )
        .await
        .status,
        422
    );
}

#[tokio::test]
async fn the_org_can_be_set_up_otherwise() {
    let org = Org::start().await;
    let usage = |revision: u32| json!({"Quantity__c": 1, "Revision__c": revision, "Contract_Product__c": org.products[0]});
    let path = "/sobjects/Usage__c/External_Id__c/u-1";
    org.patch(path, &usage(5)).await;
    let set = async |change: Value| org.post("/control/settings", &change).await.status;
    let before = org.get("/services/oauth2/userinfo").await.json()["organization_id"].clone();

    assert_eq!(set(json!({"rules": {"Revision": false}})).await, 204);
    assert_eq!(
        org.patch(path, &usage(4)).await.status,
        200,
        "without the rule a revision may fall"
    );
    assert_eq!(set(json!({"rights": {"Usage__c": ["read"]}})).await, 204);
    assert_eq!(
        org.patch(path, &usage(9)).await.refusal().1,
        "INSUFFICIENT_ACCESS_OR_READONLY"
    );
    assert_eq!(set(json!({"org": 7})).await, 204);
    assert_ne!(
        org.get("/services/oauth2/userinfo").await.json()["organization_id"],
        before
    );
    assert_eq!(
        set(json!({"fields": [{"object": "Usage__c", "field": "Nope__c", "hidden": true}]})).await,
        400
    );
    assert_eq!(set(json!({"daily_limits": 1})).await, 422);
    assert_eq!(set(json!({"daily_limit": 7})).await, 204);
    assert_eq!(org.get("/control/settings").await.json()["daily_limit"], 7);
}

#[tokio::test]
async fn roll_ups_count_add_and_find_extremes_as_the_schema_says() {
    let schema = r#"{
        "objects": [
            {"name": "Box__c", "label": "Box", "plural": "Boxes", "prefix": "a05", "fields": [
                {"name": "Things__c", "label": "Things", "type": "roll_up", "child": "Thing__c", "foreign_key": "Box__c", "operation": "count"},
                {"name": "Least__c", "label": "Least", "type": "roll_up", "child": "Thing__c", "foreign_key": "Box__c", "operation": "min", "field": "Size__c"},
                {"name": "Most__c", "label": "Most", "type": "roll_up", "child": "Thing__c", "foreign_key": "Box__c", "operation": "max", "field": "Size__c"}
            ]},
            {"name": "Thing__c", "label": "Thing", "plural": "Things", "prefix": "a06", "fields": [
                {"name": "Box__c", "label": "Box", "type": "reference", "to": "Box__c", "relationship": "Box__r", "children": "Things__r", "master": true},
                {"name": "Size__c", "label": "Size", "type": "number", "precision": 5, "scale": 0},
                {"name": "Heavy__c", "label": "Heavy", "type": "checkbox"},
                {"name": "Weighed__c", "label": "Weighed", "type": "datetime"}
            ]}
        ],
        "rules": [],
        "users": [{"username": "admin@example.com", "all_rights": true}]
    }"#;
    let options = Options {
        schema: Some(Schema::parse(schema).unwrap()),
        ..Options::default()
    };
    let sandbox = Sandbox::start(options).await.unwrap();
    let [one, two] = [(); 2].map(|()| sandbox.seed("Box__c", &json!({})).unwrap());
    let extremes = || {
        let row = &sandbox.records("Box__c").unwrap()[0];
        [
            row["Things__c"].clone(),
            row["Least__c"].clone(),
            row["Most__c"].clone(),
        ]
    };
    assert_eq!(extremes(), [json!(0), Value::Null, Value::Null]);

    let small = sandbox
        .seed(
            "Thing__c",
            &json!({"Box__c": one, "Size__c": 2, "Weighed__c": "2026-02-03T04:05:06+02:00"}),
        )
        .unwrap();
    sandbox
        .seed(
            "Thing__c",
            &json!({"Box__c": one, "Size__c": 9, "Heavy__c": true}),
        )
        .unwrap();
    assert_eq!(extremes(), [json!(2), json!(2), json!(9)]);
    sandbox
        .change("Thing__c", &small, &json!({"Size__c": 4}))
        .unwrap();
    assert_eq!(extremes(), [json!(2), json!(4), json!(9)]);

    let moved = sandbox
        .change("Thing__c", &small, &json!({"Box__c": two}))
        .unwrap_err()
        .to_string();
    assert!(
        moved.starts_with("INVALID_FIELD_FOR_INSERT_UPDATE"),
        "{moved}"
    );
    let things = sandbox.records("Thing__c").unwrap();
    assert_eq!(
        (
            things[0]["Weighed__c"].clone(),
            things[0]["Heavy__c"].clone()
        ),
        (json!("2026-02-03T02:05:06.000+0000"), json!(false))
    );
}

#[tokio::test]
async fn a_taken_port_is_an_error_and_a_stopped_sandbox_frees_its_own() {
    // Kept for this test: others that ask the system for a port get another one.
    let kept = TcpSocket::new_v4().unwrap();
    kept.set_reuseaddr(true).unwrap();
    kept.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = kept.local_addr().unwrap().port();
    let options = || Options { port, schema: None };
    let sandbox = Sandbox::start(options()).await.unwrap();
    let http = reqwest::Client::new();
    let versions = http.get(format!("{}/services/data", sandbox.base_url()));
    assert_eq!(versions.send().await.unwrap().status(), 200);

    let error = Sandbox::start(options()).await.err().unwrap();
    assert_eq!(
        error.to_string(),
        format!("port {port} of 127.0.0.1 cannot be used")
    );
    drop(http);
    sandbox.shutdown().await;

    let again = Sandbox::start(options())
        .await
        .expect("the port is free again");
    assert!(again.base_url().ends_with(&port.to_string()));
}

#[tokio::test]
async fn the_command_says_where_it_is_and_leaves_no_key_behind() {
    let folder = tempfile::tempdir().unwrap();
    let ready_file = folder.path().join("ready.json");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let path = ready_file.clone();
    let command = tokio::spawn(async move {
        run_command(0, Some(&path), async {
            stopped.await.ok();
        })
        .await
    });
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let line = loop {
        if let Ok(line) = std::fs::read_to_string(&ready_file) {
            break line;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "the ready file never came"
        );
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };

    let ready: Value = serde_json::from_str(&line).unwrap();
    let key_file = std::path::PathBuf::from(ready["private_key_file"].as_str().unwrap());
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&key_file).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    assert!(
        std::fs::read_to_string(&key_file)
            .unwrap()
            .starts_with("-----BEGIN PRIVATE KEY-----\n")
    );
    for key in [
        "base_url",
        "control_url",
        "client_id",
        "client_secret",
        "username",
        "refresh_token",
    ] {
        assert!(ready[key].is_string(), "{key}");
    }
    let versions = reqwest::get(format!(
        "{}/services/data",
        ready["base_url"].as_str().unwrap()
    ))
    .await
    .unwrap();
    assert_eq!(versions.status(), 200);
    stop.send(()).unwrap();
    command.await.unwrap().unwrap();
    assert!(!key_file.exists(), "the key goes with the sandbox");
}
