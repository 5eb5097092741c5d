//! One record by its external id.

use usage_sync::salesforce::{Class, Error};

use super::server::{Server, json};
use super::{client, raw, record};

const ROW: &str = "/services/data/v67.0/sobjects/Usage__c/External_Id__c/7%3Aa%2Fb%20%25%3F%23";
const NOT_FOUND: &str =
    r#"[{"errorCode":"NOT_FOUND","message":"The requested resource does not exist"}]"#;
const NO_SUCH_FIELD: &str = r#"[{"message":"Provided external ID field does not exist or is not accessible: External_Id__c","errorCode":"NOT_FOUND"}]"#;
const LOCKED: &str = r#"[{"message":"This record is locked. If you need to edit it, contact your admin.","errorCode":"ENTITY_IS_LOCKED","fields":[]}]"#;

#[tokio::test]
async fn a_row_is_addressed_and_not_named_again_in_its_body() {
    let server = Server::start(|request| match request.method.as_str() {
        "PATCH" => json(
            201,
            r#"{"id":"001D000000Kv3g5IAB","success":true,"errors":[],"created":true}"#,
        ),
        "GET" => json(
            200,
            r#"{"attributes":{"type":"Usage__c"},"Quantity__c":3.0}"#,
        ),
        _ => json(204, ""),
    })
    .await;
    let client = client(&server);
    let fields = raw(r#"{"Quantity__c":0.10}"#);

    let saved = client
        .upsert_one(record("7:a/b %?#", &fields))
        .await
        .unwrap()
        .unwrap();
    let read: Option<serde_json::Value> = client
        .get_one("7:a/b %?#", &["Quantity__c", "Name"])
        .await
        .unwrap();
    let deleted = client.delete_one("7:a/b %?#").await.unwrap().unwrap();

    assert_eq!(
        (saved.id.as_str(), saved.created),
        ("001D000000Kv3g5IAB", Some(true))
    );
    assert_eq!(read.unwrap()["Quantity__c"], 3.0);
    assert!(deleted);
    let calls = server.calls();
    assert_eq!(calls[0].target, ROW);
    assert_eq!(calls[0].body, r#"{"Revision__c":12,"Quantity__c":0.10}"#);
    assert_eq!(calls[1].target, format!("{ROW}?fields=Quantity__c,Name"));
    assert_eq!(
        (calls[2].method.as_str(), calls[2].target.as_str()),
        ("DELETE", ROW)
    );
}

#[tokio::test]
async fn a_row_that_is_not_there_is_an_answer() {
    let server = Server::start(|_| json(404, NOT_FOUND)).await;
    let client = client(&server);

    assert_eq!(client.get_one::<u8>("7", &["Id"]).await.unwrap(), None);
    assert!(!client.delete_one("7").await.unwrap().unwrap());
    // For an upsert it means that the object is not there.
    let error = client
        .upsert_one(record("7", &raw("{}")))
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Configuration);
}

#[tokio::test]
async fn an_external_id_field_that_is_not_there_is_no_missing_row() {
    let server = Server::start(|_| json(404, NO_SUCH_FIELD)).await;
    let client = client(&server);

    for error in [
        client.get_one::<u8>("7", &["Id"]).await.unwrap_err(),
        client.delete_one("7").await.unwrap_err(),
        client
            .upsert_one(record("7", &raw("{}")))
            .await
            .unwrap_err(),
    ] {
        assert_eq!(error.class(), Class::Configuration, "{error:?}");
    }
}

#[tokio::test]
async fn what_is_the_records_own_fault_is_its_own_result() {
    let server = Server::start(|_| json(400, LOCKED)).await;
    let client = client(&server);

    let upsert = client
        .upsert_one(record("7", &raw("{}")))
        .await
        .unwrap()
        .unwrap_err();
    let delete = client.delete_one("7").await.unwrap().unwrap_err();

    assert_eq!(
        (upsert.code.as_str(), upsert.class()),
        ("ENTITY_IS_LOCKED", Class::Rejected)
    );
    assert_eq!(delete, upsert);
}

#[tokio::test]
async fn what_is_not_the_records_fault_is_not() {
    let server = Server::start(|_| {
        json(
            500,
            r#"[{"message":"ErrorId 1","errorCode":"UNKNOWN_EXCEPTION"}]"#,
        )
    })
    .await;

    let error = client(&server)
        .upsert_one(record("7", &raw("{}")))
        .await
        .unwrap_err();

    assert!(matches!(error, Error::Refused(_)), "{error:?}");
}

#[tokio::test]
async fn several_records_of_one_external_id_are_told_by_number() {
    let server = Server::start(|_| {
        json(300, r#"["/services/data/v67.0/sobjects/Usage__c/a01xx0000004GxDAAU","/services/data/v67.0/sobjects/Usage__c/a01xx0000004GxEAAU"]"#)
    })
    .await;

    let error = client(&server)
        .upsert_one(record("7", &raw("{}")))
        .await
        .unwrap()
        .unwrap_err();

    assert_eq!(
        error.to_string(),
        "DUPLICATE_EXTERNAL_ID: 2 records have this external id"
    );
    assert_eq!(error.class(), Class::Rejected);
    assert_eq!(error.remedy(), Some("make the external id field unique"));
}
