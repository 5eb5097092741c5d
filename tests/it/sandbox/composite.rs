//! Several calls in one: composite and graph.

use serde_json::{Value, json};

use super::{DATA, Org};

fn part(method: &str, url: &str, reference: &str, body: Value) -> Value {
    let mut part =
        json!({"method": method, "url": format!("{DATA}{url}"), "referenceId": reference});
    if !body.is_null() {
        part["body"] = body;
    }
    part
}

const HALTED: &str = "PROCESSING_HALTED";

#[tokio::test]
async fn parts_fail_on_their_own_and_use_what_went_before() {
    let org = Org::start().await;
    let usage =
        json!({"External_Id__c": "u-1", "Quantity__c": 2, "Contract_Product__c": org.products[0]});
    let parts = json!([
        part("POST", "/sobjects/Usage__c", "one", usage),
        part(
            "PATCH",
            "/sobjects/Usage__c/@{one.id}",
            "two",
            json!({"Ad_Id__c": "ad of @{one.id}"})
        ),
        part("GET", "/sobjects/Foo", "three", Value::Null),
        part(
            "GET",
            "/query/?q=select+count()+from+Usage__c",
            "four",
            Value::Null
        ),
        part("GET", "/sobjects/Usage__c/@{three.id}", "five", Value::Null),
    ]);

    let answer = org
        .post(
            "/composite",
            &json!({"allOrNone": false, "compositeRequest": parts}),
        )
        .await;

    let body = answer.json()["compositeResponse"].clone();
    let id = body[0]["body"]["id"].as_str().unwrap();
    let statuses: Vec<u64> = body
        .as_array()
        .unwrap()
        .iter()
        .map(|part| part["httpStatusCode"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [201, 204, 404, 200, 400]);
    assert_eq!(
        body[0]["httpHeaders"]["Location"],
        format!("{DATA}/sobjects/Usage__c/{id}")
    );
    assert_eq!(
        (body[1]["body"].clone(), body[1]["httpHeaders"].clone()),
        (Value::Null, json!({}))
    );
    assert!(answer.text.contains(
        r#"{"body":[{"errorCode":"NOT_FOUND","message":"The requested resource does not exist"}],"httpHeaders":{},"httpStatusCode":404,"referenceId":"three"}"#
    ));
    assert_eq!(body[3]["body"]["totalSize"], 1);
    assert_eq!(
        org.sandbox.records("Usage__c").unwrap()[0]["Ad_Id__c"],
        format!("ad of {id}")
    );
    assert_eq!(
        org.sandbox.stats().api_calls,
        1,
        "one call toward the limit"
    );
}

#[tokio::test]
async fn all_or_none_halts_the_innocent_parts() {
    let org = Org::start().await;
    let usage = |key: &str| json!({"External_Id__c": key, "Quantity__c": 2, "Contract_Product__c": org.products[0]});
    let parts = json!([
        part("POST", "/sobjects/Usage__c", "one", usage("u-1")),
        part("POST", "/sobjects/Usage__c", "two", json!({})),
        part("POST", "/sobjects/Usage__c", "three", usage("u-3")),
    ]);

    let body = org
        .post(
            "/composite",
            &json!({"allOrNone": true, "compositeRequest": parts}),
        )
        .await
        .json();

    let codes: Vec<&str> = body["compositeResponse"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| part["body"][0]["errorCode"].as_str().unwrap())
        .collect();
    assert_eq!(codes, [HALTED, "REQUIRED_FIELD_MISSING", HALTED]);
    assert!(org.sandbox.records("Usage__c").unwrap().is_empty());
}

#[tokio::test]
async fn a_graph_is_all_or_nothing_and_no_other_graph_minds() {
    let org = Org::start().await;
    org.usage("a:old", 1.0).await;
    org.usage("b:old", 2.0).await;
    let upsert = |key: &str, quantity: u32, n: &str| {
        part(
            "PATCH",
            &format!("/sobjects/Usage__c/External_Id__c/{key}"),
            n,
            json!({"Quantity__c": quantity, "Contract_Product__r": {"External_Id__c": "CP-1"}}),
        )
    };
    let withdraw = |key: &str, n: &str| {
        part(
            "DELETE",
            &format!("/sobjects/Usage__c/External_Id__c/{key}"),
            n,
            Value::Null,
        )
    };
    let graphs = json!([
        {"graphId": "a", "compositeRequest": [upsert("a:new", 5, "n1"), withdraw("a:old", "n2")]},
        {"graphId": "b", "compositeRequest": [withdraw("b:old", "n1"), upsert("b:new", 5, "n2"), withdraw("b:none", "n3")]},
    ]);

    let body = org
        .post("/composite/graph", &json!({"graphs": graphs}))
        .await
        .json();

    let [good, bad] = [&body["graphs"][0], &body["graphs"][1]];
    assert_eq!(
        (
            good["graphId"].clone(),
            good["isSuccessful"].clone(),
            bad["isSuccessful"].clone()
        ),
        (json!("a"), json!(true), json!(false))
    );
    let parts = &good["graphResponse"]["compositeResponse"];
    assert_eq!(
        (
            parts[0]["httpStatusCode"].clone(),
            parts[1]["httpStatusCode"].clone()
        ),
        (json!(201), json!(204))
    );
    let parts = bad["graphResponse"]["compositeResponse"]
        .as_array()
        .unwrap();
    let codes: Vec<&str> = parts
        .iter()
        .map(|part| part["body"][0]["errorCode"].as_str().unwrap())
        .collect();
    assert_eq!(codes, [HALTED, HALTED, "NOT_FOUND"]);
    let keys: Vec<Value> = org
        .sandbox
        .records("Usage__c")
        .unwrap()
        .iter()
        .map(|row| row["External_Id__c"].clone())
        .collect();
    assert_eq!(keys, [json!("b:old"), json!("a:new")]);
    assert_eq!(org.units(&org.products[0]).await[0], 7.0);
    assert_eq!(
        org.sandbox.stats().records.created,
        3,
        "what was taken back is not counted"
    );
}

#[tokio::test]
async fn after_fourteen_failed_graphs_and_one_the_rest_is_not_run() {
    let org = Org::start().await;
    let graph = |n: usize| {
        let body = if n == 17 {
            json!({"Quantity__c": 1, "Contract_Product__c": org.products[0]})
        } else {
            json!({})
        };
        json!({"graphId": n.to_string(), "compositeRequest": [part("PATCH", &format!("/sobjects/Usage__c/External_Id__c/u-{n}"), "n", body)]})
    };
    let graphs: Vec<Value> = (0..18).map(graph).collect();

    let body = org
        .post("/composite/graph", &json!({"graphs": graphs}))
        .await
        .json();

    let code = |n: usize| {
        body["graphs"][n]["graphResponse"]["compositeResponse"][0]["body"][0]["errorCode"].clone()
    };
    assert_eq!(
        (code(14), code(15), code(17)),
        (
            json!("REQUIRED_FIELD_MISSING"),
            json!(HALTED),
            json!(HALTED)
        )
    );
}

#[tokio::test]
async fn what_exceeds_the_limits_is_refused_as_a_whole() {
    let org = Org::start().await;
    let node = |n: usize| {
        part(
            "DELETE",
            &format!("/sobjects/Usage__c/External_Id__c/u-{n}"),
            &format!("n{n}"),
            Value::Null,
        )
    };
    let nodes = |count: usize| (0..count).map(node).collect::<Vec<_>>();
    let graph = |id: usize, count: usize| json!({"graphId": id.to_string(), "compositeRequest": nodes(count)});
    let query = part("GET", "/query?q=x", "q", Value::Null);

    for (path, body) in [
        ("/composite", json!({"compositeRequest": nodes(26)})),
        (
            "/composite",
            json!({"compositeRequest": [node(1), node(1)]}),
        ),
        (
            "/composite/graph",
            json!({"graphs": (0..76).map(|id| graph(id, 1)).collect::<Vec<_>>()}),
        ),
        (
            "/composite/graph",
            json!({"graphs": [graph(0, 250), graph(1, 251)]}),
        ),
        (
            "/composite/graph",
            json!({"graphs": [graph(0, 1), graph(0, 1)]}),
        ),
        (
            "/composite/graph",
            json!({"graphs": [{"graphId": "0", "compositeRequest": [query]}]}),
        ),
    ] {
        let answer = org.post(path, &body).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.text);
    }
    assert_eq!(
        org.post(
            "/composite/graph",
            &json!({"graphs": [graph(0, 250), graph(1, 250)]})
        )
        .await
        .status,
        200
    );
}
