//! `/openapi.json` against what is answered: every route, every method, every
//! answer that a test can bring about. Keys that are not described would be a
//! defect here, though clients are told to ignore them.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use super::{Answer, Gateway, TOKEN};
use crate::support::World;

const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// The document with every object closed.
async fn description(gateway: &Gateway) -> Value {
    let mut description = gateway.get("/openapi.json").await.json();
    close(&mut description["components"]["schemas"]);
    close(&mut description["paths"]);
    description
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.contains_key("properties") && object.get("type") == Some(&json!("object")) {
                object.insert(String::from("additionalProperties"), json!(false));
            }
            object.values_mut().for_each(close);
        }
        Value::Array(array) => array.iter_mut().for_each(close),
        _ => {}
    }
}

/// What is described for an answer of this status, its references followed.
fn described<'a>(document: &'a Value, path: &str, method: &Method, status: u16) -> &'a Value {
    let responses = &document["paths"][path][method.as_str().to_lowercase()]["responses"];
    let response = &responses[status.to_string()];
    assert!(
        response.is_object(),
        "{method} {path} is not described to answer {status}"
    );
    match response["$ref"].as_str() {
        Some(reference) => {
            &document["components"]["responses"][reference.rsplit('/').next().unwrap()]
        }
        None => response,
    }
}

fn holds(document: &Value, path: &str, method: &Method, answer: &Answer) {
    let status = answer.status.as_u16();
    let content = described(document, path, method, status)["content"]
        .as_object()
        .expect("content");
    let kind = answer.header("content-type");
    let kind = content
        .get(kind)
        .unwrap_or_else(|| panic!("{method} {path} {status}: {kind}"));
    let mut schema = kind["schema"].clone();
    schema["components"] = document["components"].clone();
    let validator = jsonschema::draft202012::options()
        .should_validate_formats(true)
        .build(&schema)
        .expect("a schema");
    let faults: Vec<String> = validator
        .iter_errors(&answer.json())
        .map(|fault| format!("{fault} at {}", fault.instance_path()))
        .collect();
    assert!(
        faults.is_empty(),
        "{method} {path} {status}: {faults:?}\n{}",
        answer.text
    );
}

#[tokio::test]
async fn every_answer_is_as_described() {
    let (world, daemon) = World::reporting().await;
    world.set_contract(0, "Fulfilled");
    world.app("update ad_product set quantity = 8.50").await;
    world.ad_is("1", "rejected").await;
    let gateway = Gateway::of(&world).await;
    let document = description(&gateway).await;
    let ask = async |method: &Method, path: &str| {
        Answer::to(gateway.request(method.clone(), path).bearer_auth(TOKEN)).await
    };
    let get = &Method::GET;
    let contract = format!("/contracts/{}", world.products[0].0);
    let account = world.sandbox.records("Account").expect("accounts")[0]["Id"].clone();
    let of_account = format!("/contracts?account={}", account.as_str().expect("an id"));

    for (method, path, asked, status) in [
        (get, "/healthz", "/healthz", 200),
        (get, "/openapi.json", "/openapi.json", 200),
        (get, "/status", "/status", 200),
        (get, "/ads/{id}", "/ads/1", 200),
        (get, "/ads/{id}", "/ads/2", 404),
        (get, "/ads/{id}", "/ads/%00", 422),
        (&Method::POST, "/ads/{id}/retry", "/ads/1/retry", 202),
        (&Method::POST, "/ads/{id}/retry", "/ads/2/retry", 404),
        (&Method::POST, "/ads/{id}/retry", "/ads/%FF/retry", 422),
        (get, "/contracts", "/contracts", 422),
        (get, "/contracts", "/contracts?account=nobody", 422),
        (get, "/contracts", &of_account, 200),
        (get, "/contracts/{key}", "/contracts/%00", 422),
        (get, "/contracts/{key}", &contract, 200),
        (get, "/contracts/{key}", "/contracts/none", 404),
    ] {
        let answer = ask(method, asked).await;
        assert_eq!(answer.status.as_u16(), status, "{asked}: {answer:?}");
        holds(&document, path, method, &answer);
    }
    drop(daemon);
    world.database.server.kill().await.expect("it dies");
    for (method, path, asked) in [
        (get, "/status", "/status"),
        (get, "/ads/{id}", "/ads/1"),
        (&Method::POST, "/ads/{id}/retry", "/ads/1/retry"),
        (get, "/contracts", &of_account),
        (get, "/contracts/{key}", &contract),
    ] {
        let answer = ask(method, asked).await;
        assert_eq!(answer.status.as_u16(), 503, "{asked}");
        holds(&document, path, method, &answer);
    }
    world.redis.kill().await.expect("it dies");
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let method: Method = methods
            .as_object()
            .and_then(|methods| methods.keys().next())
            .expect("a method")
            .to_uppercase()
            .parse()
            .expect("a method");
        let asked = path.replace("{id}", "1").replace("{key}", "1");
        let stranger = Answer::to(gateway.request(method.clone(), &asked)).await;
        holds(&document, path, &method, &stranger);
        let large = gateway
            .request(method.clone(), &asked)
            .body(vec![0; 70_000]);
        let large = Answer::to(large.bearer_auth(TOKEN)).await;
        assert_eq!(large.status.as_u16(), 413, "{asked}");
        holds(&document, path, &method, &large);
    }
}

#[tokio::test]
async fn every_method_that_is_not_described_is_refused() {
    let world = World::new(0).await;
    let gateway = Gateway::of(&world).await;
    let document = description(&gateway).await;

    for (path, operations) in document["paths"].as_object().expect("paths") {
        let asked = path.replace("{id}", "none").replace("{key}", "%00");
        let mut described: BTreeSet<String> = operations
            .as_object()
            .expect("methods")
            .keys()
            .map(|method| method.to_uppercase())
            .collect();
        // Whoever answers GET answers HEAD (RFC 9110, "HEAD").
        if described.contains("GET") {
            described.insert(String::from("HEAD"));
        }
        for method in METHODS {
            let request = gateway.request(method.clone(), &asked).bearer_auth(TOKEN);
            let answer = Answer::to(request).await;
            let is_refused = answer.status.as_u16() == 405;
            assert_eq!(
                is_refused,
                !described.contains(method.as_str()),
                "{method} {path}"
            );
            if is_refused {
                let allowed = answer
                    .header("allow")
                    .split(',')
                    .map(|method| method.trim().to_owned());
                assert_eq!(allowed.collect::<BTreeSet<_>>(), described, "{path}");
            }
        }
    }
}

#[tokio::test]
async fn the_description_refers_to_nothing_that_is_not_there() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str));
                object.values().for_each(|value| references(value, found));
            }
            Value::Array(array) => array.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let world = World::new(0).await;
    let document = description(&Gateway::of(&world).await).await;

    let mut found = Vec::new();
    references(&document, &mut found);

    assert!(found.len() > 20);
    for reference in &found {
        let pointer = reference.strip_prefix('#').expect("inside");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let used: BTreeSet<&&str> = found.iter().collect();
    for part in ["responses", "schemas"] {
        for name in document["components"][part]
            .as_object()
            .expect("parts")
            .keys()
        {
            let reference = format!("#/components/{part}/{name}");
            assert!(
                used.contains(&reference.as_str()),
                "{reference} is used by nothing"
            );
        }
    }
}
