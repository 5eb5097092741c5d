//! Reading: pages, lookups, what the org says about itself.

use std::collections::HashMap;

use serde::Deserialize;
use usage_sync::salesforce::{Error, Fields, soql};

use super::client;
use super::server::{Received, Server, json};

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct Row {
    name: String,
}

fn soql_of(request: &Received) -> String {
    let (_, query) = request.target.split_once("?q=").unwrap();
    url::form_urlencoded::parse(format!("q={query}").as_bytes())
        .next()
        .unwrap()
        .1
        .into_owned()
}

#[tokio::test]
async fn a_query_collects_its_pages() {
    let server = Server::start(|request| match request.target.as_str() {
        "/services/data/v67.0/query/01gxx0000004RpzAAE-2000" => {
            json(200, r#"{"totalSize":3,"done":true,"records":[{"attributes":{"type":"Contract"},"Name":"c"}]}"#)
        }
        _ => json(200, r#"{"totalSize":3,"done":false,"nextRecordsUrl":"/services/data/v67.0/query/01gxx0000004RpzAAE-2000","records":[{"Name":"a"},{"Name":"b"}]}"#),
    })
    .await;
    let client = client(&server);
    let soql = format!(
        "SELECT Name FROM Contract WHERE Name != {}",
        soql::literal("50% + 'x' & #1")
    );

    let rows: Vec<Row> = client.query(&soql).await.unwrap();
    let mut pages = client.pages(&soql);
    let first: Option<Vec<Row>> = pages.next().await.unwrap();
    let total = pages.total();
    let second: Option<Vec<Row>> = pages.next().await.unwrap();
    let third: Option<Vec<Row>> = pages.next().await.unwrap();

    let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(
        (first.unwrap().len(), second.unwrap().len(), third),
        (2, 1, None)
    );
    assert_eq!(total, Some(3));
    let first = &server.calls()[0];
    assert!(
        first
            .target
            .starts_with("/services/data/v67.0/query?q=SELECT%20Name")
    );
    assert_eq!(soql_of(first), soql);
}

#[tokio::test]
async fn a_next_page_elsewhere_or_in_a_circle_is_not_followed() {
    for next in [
        "https://elsewhere.example/",
        "//elsewhere.example/services/data/",
        "query/1",
        "@elsewhere.example",
    ] {
        let server = Server::start(move |_| {
            json(
                200,
                &format!(
                    r#"{{"totalSize":3,"done":false,"nextRecordsUrl":"{next}","records":[]}}"#
                ),
            )
        })
        .await;
        let error = client(&server)
            .query::<Row>("SELECT Name FROM Contract")
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Wire(_)), "{next}: {error:?}");
        assert_eq!(server.calls().len(), 1);
    }

    let circle = Server::start(|_| {
        json(200, r#"{"totalSize":3,"done":false,"nextRecordsUrl":"/services/data/v67.0/query/1-1","records":[]}"#)
    })
    .await;
    client(&circle)
        .query::<Row>("SELECT Name FROM Contract")
        .await
        .unwrap_err();
    assert_eq!(circle.calls().len(), 2);
}

#[tokio::test]
async fn children_come_with_their_parent_and_on_pages_of_their_own() {
    let server = Server::start(|request| match request.target.as_str() {
        "/services/data/v67.0/query/01g1C00007zabMdQAI-2" => {
            json(200, r#"{"totalSize":3,"done":true,"records":[{"Name":"c"}]}"#)
        }
        _ => json(200, r#"{"totalSize":2,"done":true,"records":[
            {"Id":"1","Items__r":{"totalSize":3,"done":false,"nextRecordsUrl":"/services/data/v67.0/query/01g1C00007zabMdQAI-2","records":[{"Name":"a"},{"Name":"b"}]}},
            {"Id":"2","Items__r":null}]}"#),
    })
    .await;
    let client = client(&server);

    let parents: Vec<Fields> = client.query("SELECT …").await.unwrap();
    let mut names = Vec::new();
    for parent in &parents {
        let children: Vec<Row> = client.children(parent, "items__R").await.unwrap();
        names.push(children.into_iter().map(|row| row.name).collect::<Vec<_>>());
    }

    assert_eq!(names, [vec!["a", "b", "c"], vec![]]);
    assert_eq!(server.calls().len(), 2);
}

#[tokio::test]
async fn children_that_are_not_all_there_are_none() {
    for (children, calls) in [
        // One is missing, and no page is told of.
        (
            r#"{"totalSize":2,"done":false,"records":[{"Name":"a"}]}"#,
            1,
        ),
        (
            r#"{"totalSize":2,"done":false,"nextRecordsUrl":"https://elsewhere.example/","records":[{"Name":"a"}]}"#,
            1,
        ),
        // The next page says that it is the last, and is empty.
        (
            r#"{"totalSize":2,"done":false,"nextRecordsUrl":"/services/data/v67.0/query/1-1","records":[{"Name":"a"}]}"#,
            2,
        ),
        ("[]", 1),
        ("\"x\"", 1),
    ] {
        let server = Server::start(move |request| {
            if request.target.contains("/query/") {
                return json(200, r#"{"totalSize":2,"done":true,"records":[]}"#);
            }
            let body =
                format!(r#"{{"totalSize":1,"done":true,"records":[{{"Items__r":{children}}}]}}"#);
            json(200, &body)
        })
        .await;
        let client = client(&server);
        let parents: Vec<Fields> = client.query("SELECT …").await.unwrap();

        for relationship in ["Items__r", "Nothing__r"] {
            let found = client.children::<Row>(&parents[0], relationship).await;
            assert!(
                matches!(found, Err(Error::Wire(_))),
                "{children}: {found:?}"
            );
        }
        assert_eq!(server.calls().len(), calls, "{children}");
    }
}

#[tokio::test]
async fn a_lookup_asks_in_addresses_of_a_legal_length_and_finds_all() {
    let server = Server::start(|request| {
        // A Salesforce that has every record asked for.
        let soql = soql_of(request);
        let (head, list) = soql.split_once(" IN (").unwrap();
        assert_eq!(
            head,
            "SELECT Id, External_Id__c FROM Usage__c WHERE External_Id__c"
        );
        let rows: Vec<String> = list
            .trim_end_matches(')')
            .split("','")
            .map(|id| {
                let id = id.trim_matches('\'').replace("\\'", "'");
                format!(
                    r#"{{"Id":"a01xx0000004GxD","External_Id__c":{}}}"#,
                    serde_json::Value::from(id)
                )
            })
            .collect();
        json(
            200,
            &format!(
                r#"{{"totalSize":{},"done":true,"records":[{}]}}"#,
                rows.len(),
                rows.join(",")
            ),
        )
    })
    .await;
    let ids: Vec<String> = (0..2_000).map(|ad| format!("{ad}:it's größer")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();

    let found = client(&server).find(&ids).await.unwrap();

    let all: HashMap<String, String> = ids
        .iter()
        .map(|id| ((*id).to_owned(), "a01xx0000004GxDAAU".to_owned()))
        .collect();
    assert_eq!(found, all);
    let calls = server.calls();
    let longest = calls.iter().map(|call| call.target.len()).max().unwrap();
    assert!(longest < 13_000, "{longest}");
    assert!((5..=12).contains(&calls.len()), "{} calls", calls.len());
}

#[tokio::test]
async fn a_lookup_does_not_take_the_record_of_a_namesake() {
    let server = Server::start(|_| {
        json(200, r#"{"totalSize":2,"done":true,"records":[{"Id":"a01xx0000004GxDAAU","External_Id__c":"AD:1"},{"Id":"a01xx0000004GxEAAU","External_Id__c":"ad:1"}]}"#)
    })
    .await;

    let found = client(&server).find(&["ad:1", "ad:2"]).await.unwrap();

    assert_eq!(
        found,
        HashMap::from([("ad:1".to_owned(), "a01xx0000004GxEAAU".to_owned())])
    );
}

#[tokio::test]
async fn the_org_tells_its_fields_and_limits() {
    let server = Server::start(|request| match request.target.as_str() {
        "/services/data/v67.0/sobjects/Usage__c/describe" => json(
            200,
            r#"{"name":"Usage__c","createable":true,"updateable":true,"deletable":false,"queryable":true,"keyPrefix":"a01","fields":[{"name":"External_Id__c","type":"string","length":64,"createable":true,"updateable":true,"nillable":false,"externalId":true,"unique":true,"caseSensitive":true,"referenceTo":[],"relationshipName":null}]}"#,
        ),
        "/services/data/v67.0/limits" => json(
            200,
            r#"{"ConcurrentAsyncGetReportInstances":{"Max":200,"Remaining":200},"DailyApiRequests":{"Max":15000,"Remaining":14878,"Chatter Desktop":{"Max":0,"Remaining":0}}}"#,
        ),
        other => panic!("{other}"),
    })
    .await;
    let client = client(&server);

    let describe = client.describe("Usage__c").await.unwrap();
    let limits = client.limits().await.unwrap();

    assert!(describe.createable && !describe.deletable);
    let field = describe.field("external_id__C").unwrap();
    assert!(field.external_id && field.unique && field.case_sensitive && !field.nillable);
    assert_eq!((field.kind.as_str(), field.length), ("string", 64));
    assert!(describe.field("Quantity__c").is_none());
    assert_eq!(limits["DailyApiRequests"].remaining, 14_878);
}
