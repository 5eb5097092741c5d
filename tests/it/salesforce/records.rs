//! Collections: what goes onto the wire, and which result belongs to whom.

use usage_sync::salesforce::{Class, Client, Error};

use super::server::{Server, json};
use super::{client, raw, record, settings};

const ID: &str = "a01xx0000004GxDAAU";

#[tokio::test]
async fn fields_travel_byte_for_byte() {
    let server = Server::start(|_| {
        json(
            200,
            &format!(r#"[{{"id":"{ID}","success":true,"errors":[],"created":false}}]"#),
        )
    })
    .await;
    // As jsonb prints: no double holds these.
    let fields = r#"{"Price__c": 0.10, "Sum__c": 123456789012345678.90, "Tiny__c": 1.0000000000000000001, "Note__c": "\u00e9\\\"é", "Contract__r": {"External_Id__c": "CON-1"}, "Empty__c": null}"#;
    let members = &fields[1..fields.len() - 1];
    let fields = raw(fields);

    client(&server)
        .upsert(&[record("7:small", &fields)])
        .await
        .unwrap();
    client(&server)
        .create(&[record("7:small", &fields)])
        .await
        .unwrap();

    let body = format!(
        r#"{{"allOrNone":false,"records":[{{"attributes":{{"type":"Usage__c"}},"External_Id__c":"7:small","Revision__c":12,{members}}}]}}"#
    );
    let [upsert, create] = &server.calls()[..] else {
        panic!()
    };
    assert_eq!(upsert.method, "PATCH");
    assert_eq!(
        upsert.target,
        "/services/data/v67.0/composite/sobjects/Usage__c/External_Id__c"
    );
    assert_eq!(upsert.body, body);
    assert_eq!(create.method, "POST");
    assert_eq!(create.target, "/services/data/v67.0/composite/sobjects");
    assert_eq!(create.body, body);
}

#[tokio::test]
async fn an_org_without_the_revision_field_is_not_sent_one() {
    let server = Server::start(|_| {
        json(
            200,
            &format!(r#"[{{"id":"{ID}","success":true,"errors":[]}}]"#),
        )
    })
    .await;
    let mut settings = settings(&server.url());
    settings.revision_field = None;

    Client::new(&settings)
        .unwrap()
        .create(&[record("7:small", &raw("{}"))])
        .await
        .unwrap();

    assert_eq!(
        server.calls()[0].body,
        r#"{"allOrNone":false,"records":[{"attributes":{"type":"Usage__c"},"External_Id__c":"7:small"}]}"#
    );
}

#[tokio::test]
async fn each_record_gets_its_own_result() {
    let server = Server::start(|request| {
        assert!(request.body.contains("u-1") && request.body.contains("u-4"));
        assert!(!request.body.contains("u-2"));
        json(
            200,
            // 15 characters are made 18; keys in any order; a pretty print.
            r#"[ {"success" : true, "id" : "a01xx0000004GxD", "errors" : [ ], "created" : true},
                 {"success":false,"created":true,"errors":[{"statusCode":"ENTITY_IS_LOCKED","message":"This record is locked.","fields":[]}]},
                 {"id":"a01xx0000004GxEAAU","success":true,"errors":[],"created":false} ]"#,
        )
    })
    .await;
    let fields = [
        raw(r#"{"Quantity__c":1}"#),
        raw("[2]"),
        raw(r#"{"Quantity__c":3}"#),
        raw("{}"),
    ];
    let records: Vec<_> = ["u-1", "u-2", "u-3", "u-4"]
        .iter()
        .zip(&fields)
        .map(|(id, fields)| record(id, fields))
        .collect();

    let results = client(&server).upsert(&records).await.unwrap();

    assert_eq!(results.len(), 4);
    assert_eq!(results[0].as_ref().unwrap().id, "a01xx0000004GxDAAU");
    assert_eq!(results[0].as_ref().unwrap().created, Some(true));
    let unusable = results[1].as_ref().unwrap_err();
    assert_eq!(
        (unusable.code.as_str(), unusable.class()),
        ("UNUSABLE_FIELDS", Class::Rejected)
    );
    let locked = results[2].as_ref().unwrap_err();
    assert_eq!(
        locked.to_string(),
        "ENTITY_IS_LOCKED: This record is locked."
    );
    assert_eq!(results[3].as_ref().unwrap().created, Some(false));
}

#[tokio::test]
async fn nothing_is_sent_for_nothing() {
    let server = Server::start(|_| json(500, "")).await;
    let client = client(&server);

    assert!(client.create(&[]).await.unwrap().is_empty());
    assert!(client.delete(&[]).await.unwrap().is_empty());
    assert!(client.graphs(&[]).await.unwrap().is_empty());
    assert!(client.find(&[]).await.unwrap().is_empty());
    assert!(
        client
            .upsert(&[record("7:small", &raw("7"))])
            .await
            .unwrap()[0]
            .is_err()
    );

    assert!(server.received().is_empty());
}

#[tokio::test]
async fn what_is_gone_already_counts_as_deleted() {
    let server = Server::start(|_| {
        json(
            200,
            r#"[{"id":"a01xx0000004GxDAAU","success":true,"errors":[]},
                {"success":false,"errors":[{"statusCode":"ENTITY_IS_DELETED","message":"entity is deleted","fields":[]}]},
                {"success":false,"errors":[{"statusCode":"INVALID_CROSS_REFERENCE_KEY","message":"invalid cross reference id","fields":[]}]},
                {"success":false,"errors":[{"statusCode":"FIELD_CUSTOM_VALIDATION_EXCEPTION","message":"Contract is fulfilled; usage is locked.","fields":[]}]}]"#,
        )
    })
    .await;
    let ids = [
        "a01xx0000004GxD",
        "x' OR",
        "a01xx0000004GxEAAU",
        "a01xx0000004GxFAAU",
        "a015g00000B1cDeAAJ",
    ];

    let results = client(&server).delete(&ids).await.unwrap();

    let call = &server.calls()[0];
    assert_eq!(call.method, "DELETE");
    assert_eq!(
        call.target,
        "/services/data/v67.0/composite/sobjects?ids=a01xx0000004GxDAAU,a01xx0000004GxEAAU,a01xx0000004GxFAAU,a015g00000B1cDeAAJ&allOrNone=false"
    );
    assert!(call.body.is_empty());
    let ids: Vec<_> = results
        .iter()
        .map(|result| {
            result
                .as_ref()
                .map(|saved| saved.id.as_str())
                .map_err(|error| error.code.as_str())
        })
        .collect();
    assert_eq!(
        ids,
        [
            Ok("a01xx0000004GxDAAU"),
            Err("UNUSABLE_FIELDS"),
            Ok("a01xx0000004GxEAAU"),
            Ok("a01xx0000004GxFAAU"),
            Err("FIELD_CUSTOM_VALIDATION_EXCEPTION"),
        ]
    );
}

#[tokio::test]
async fn results_that_cannot_be_told_apart_are_no_results() {
    let server = Server::start(|_| {
        json(
            200,
            &format!(r#"[{{"id":"{ID}","success":true,"errors":[]}}]"#),
        )
    })
    .await;

    let error = client(&server)
        .create(&[record("a", &raw("{}")), record("b", &raw("{}"))])
        .await
        .unwrap_err();

    assert!(
        matches!(
            error,
            Error::Miscounted {
                sent: 2,
                received: 1
            }
        ),
        "{error:?}"
    );
}
