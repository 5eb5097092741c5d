//! Headers, compression, layout: what clients see before they read JSON.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use reqwest::{Client, Method};
use serde_json::json;

use super::{Answer, Org};

#[tokio::test]
async fn every_data_call_tells_the_usage_and_the_list_of_versions_does_not() {
    let org = Org::start().await;

    let limits = org.get("/limits").await;
    let missing = org.get("/sobjects/Unreal").await;
    let versions = Answer::of(
        org.http
            .get(org.url("/services/data/"))
            .send()
            .await
            .unwrap(),
    )
    .await;

    assert_eq!(limits.header("sforce-limit-info"), "api-usage=1/100000");
    assert_eq!(missing.header("sforce-limit-info"), "api-usage=2/100000");
    assert_eq!(
        limits.header("cache-control"),
        "no-cache,must-revalidate,max-age=0,no-store,private"
    );
    assert_eq!(
        limits.header("content-type"),
        "application/json;charset=UTF-8"
    );
    assert_eq!(
        (versions.status, versions.header("sforce-limit-info")),
        (200, "")
    );
    let list = versions.json();
    assert_eq!(
        list.as_array().unwrap().last().unwrap(),
        &json!({"label": "Summer '26", "url": "/services/data/v67.0", "version": "67.0"})
    );
    for (version, label) in [("65.0", "Winter '26"), ("66.0", "Spring '26")] {
        assert!(
            list.as_array()
                .unwrap()
                .iter()
                .any(|entry| entry["version"] == version && entry["label"] == label)
        );
    }
    assert_eq!(org.sandbox.stats().api_calls, 2);
}

#[tokio::test]
async fn a_session_is_named_by_bearer_or_oauth_and_by_nothing_else() {
    let org = Org::start().await;
    let ask = async |header: Option<String>| {
        let mut request = org.http.get(org.url("/limits"));
        if let Some(header) = header {
            request = request.header("authorization", header);
        }
        Answer::of(request.send().await.unwrap()).await
    };

    assert_eq!(ask(Some(format!("OAuth {}", org.token))).await.status, 200);
    assert_eq!(
        ask(None).await.refusal(),
        (401, "INVALID_SESSION_ID".to_owned(), json!(null))
    );
    assert_eq!(
        ask(Some("Bearer 00Dwrong".to_owned())).await.refusal().1,
        "INVALID_SESSION_ID"
    );
    assert_eq!(
        ask(Some("Basic abc".to_owned())).await.refusal().1,
        "INVALID_AUTH_HEADER"
    );
    assert_eq!(
        org.sandbox.stats().api_calls,
        1,
        "who is not let in has not called"
    );
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_ask_and_requests_may_be() {
    let org = Org::start().await;
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    let body =
        json!({"External_Id__c": "u-1", "Quantity__c": 1, "Contract_Product__c": org.products[0]});
    packed.write_all(body.to_string().as_bytes()).unwrap();
    let plain = Client::builder().no_gzip().build().unwrap();

    let request = plain
        .post(org.url("/sobjects/Usage__c"))
        .bearer_auth(&org.token);
    let request = request
        .header("content-type", "application/json")
        .header("content-encoding", "gzip");
    let created = request
        .header("accept-encoding", "gzip, deflate")
        .body(packed.finish().unwrap())
        .send()
        .await
        .unwrap();

    assert_eq!(
        (
            created.status().as_u16(),
            created.headers()["content-encoding"].to_str().unwrap()
        ),
        (201, "gzip")
    );
    let mut text = String::new();
    GzDecoder::new(&created.bytes().await.unwrap()[..])
        .read_to_string(&mut text)
        .unwrap();
    assert!(text.contains("\"success\":true"), "{text}");
    let unpacked = plain
        .get(org.url("/limits"))
        .bearer_auth(&org.token)
        .send()
        .await
        .unwrap();
    assert!(unpacked.headers().get("content-encoding").is_none());
}

#[tokio::test]
async fn pretty_print_lays_out_as_recorded() {
    let org = Org::start().await;
    let body = json!({"records": [{"attributes": {"type": "Usage__c"}, "External_Id__c": "u-1", "Quantity__c": 1, "Contract_Product__c": org.products[0]}]});

    let request = org
        .http
        .post(org.url("/composite/sobjects"))
        .bearer_auth(&org.token)
        .header("X-PrettyPrint", "1");
    let request = request
        .header("content-type", "application/json")
        .body(body.to_string());
    let answer = Answer::of(request.send().await.unwrap()).await;

    let id = answer.json()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        answer.text,
        format!("[ {{\n  \"id\" : \"{id}\",\n  \"success\" : true,\n  \"errors\" : [ ]\n}} ]")
    );
}

#[tokio::test]
async fn other_media_and_endless_addresses_are_refused() {
    let org = Org::start().await;

    let media = org
        .http
        .post(org.url("/sobjects/Usage__c"))
        .bearer_auth(&org.token)
        .header("content-type", "text/xml");
    let media = Answer::of(media.body("<a/>").send().await.unwrap()).await;
    let long = org.get(&format!("/query?q={}", "x".repeat(16_384))).await;
    let verb = org
        .send(Method::PUT, "/sobjects/Usage__c", None)
        .await
        .unwrap();

    assert_eq!(
        (media.status, media.refusal().1.as_str()),
        (415, "UNSUPPORTED_MEDIA_TYPE")
    );
    assert_eq!((long.status, verb.status().as_u16()), (414, 405));
}
