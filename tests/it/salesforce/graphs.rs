//! Several changes as one unit.

use usage_sync::salesforce::{Certainty, Class, Error, Step};

use super::server::{Server, json};
use super::{client, raw, record};

const HALTED: &str = r#"{"body":[{"errorCode":"PROCESSING_HALTED","message":"The transaction was rolled back since another operation in the same transaction failed."}],"httpHeaders":{},"httpStatusCode":400"#;

#[tokio::test]
async fn each_graph_is_done_as_a_whole_or_not_at_all() {
    let server = Server::start(|_| {
        // The graphs come back in another order.
        json(200, &format!(
            r#"{{"graphs":[
            {{"graphId":"g2","graphResponse":{{"compositeResponse":[{HALTED},"referenceId":"n0"}},{{"body":[{{"message":"Contract is fulfilled; usage is locked.","errorCode":"FIELD_CUSTOM_VALIDATION_EXCEPTION","fields":["Quantity__c"]}}],"httpHeaders":{{}},"httpStatusCode":400,"referenceId":"n1"}}]}},"isSuccessful":false}},
            {{"graphId":"g3","graphResponse":{{"compositeResponse":[{HALTED},"referenceId":"n0"}}]}},"isSuccessful":false}},
            {{"graphId":"g0","graphResponse":{{"compositeResponse":[
              {{"body":{{"id":"a01xx0000004GxDAAU","success":true,"errors":[]}},"httpHeaders":{{"Location":"/x"}},"httpStatusCode":201,"referenceId":"n0"}},
              {{"body":{{"id":"a01xx0000004GxEAAU","success":true,"errors":[],"created":false}},"httpHeaders":{{}},"httpStatusCode":200,"referenceId":"n1"}},
              {{"body":null,"httpHeaders":{{}},"httpStatusCode":204,"referenceId":"n2"}},
              {{"body":null,"httpHeaders":{{}},"httpStatusCode":204,"referenceId":"n3"}}]}},"isSuccessful":true}}]}}"#
        ))
    })
    .await;
    let fields = raw(r#"{"Quantity__c":0.10}"#);
    let unusable = raw("[]");
    let small = record("7:small", &fields);
    let graphs = [
        vec![
            Step::Create(small),
            Step::Upsert(small),
            Step::Update("a01xx0000004GxF", small),
            Step::Delete("a015g00000B1cDeAAJ"),
        ],
        vec![
            Step::Create(small),
            Step::Create(record("7:large", &unusable)),
        ],
        vec![Step::Create(small), Step::Delete("a01xx0000004GxDAAU")],
        vec![Step::Create(small)],
    ];

    let results = client(&server).graphs(&graphs).await.unwrap();

    let call = &server.calls()[0];
    assert_eq!(
        (call.method.as_str(), call.target.as_str()),
        ("POST", "/services/data/v67.0/composite/graph")
    );
    let first = r#"{"graphs":[{"graphId":"g0","compositeRequest":[{"method":"POST","url":"/services/data/v67.0/sobjects/Usage__c","referenceId":"n0","body":{"External_Id__c":"7:small","Revision__c":12,"Quantity__c":0.10}},{"method":"PATCH","url":"/services/data/v67.0/sobjects/Usage__c/External_Id__c/7%3Asmall","referenceId":"n1","body":{"Revision__c":12,"Quantity__c":0.10}},{"method":"PATCH","url":"/services/data/v67.0/sobjects/Usage__c/a01xx0000004GxFAAU","referenceId":"n2","body":{"Revision__c":12,"Quantity__c":0.10}},{"method":"DELETE","url":"/services/data/v67.0/sobjects/Usage__c/a015g00000B1cDeAAJ","referenceId":"n3"}]},{"graphId":"g2","#;
    assert!(call.body.starts_with(first), "{}", call.body);
    let ids: Vec<_> = results[0]
        .as_ref()
        .unwrap()
        .iter()
        .map(|saved| saved.id.as_str())
        .collect();
    assert_eq!(
        ids,
        [
            "a01xx0000004GxDAAU",
            "a01xx0000004GxEAAU",
            "a01xx0000004GxFAAU",
            "a015g00000B1cDeAAJ"
        ]
    );
    let unusable = results[1].as_ref().unwrap_err();
    assert_eq!(
        (unusable.step, unusable.error.code.as_str()),
        (1, "UNUSABLE_FIELDS")
    );
    let locked = results[2].as_ref().unwrap_err();
    assert_eq!((locked.step, locked.error.class()), (1, Class::Rejected));
    let halted = results[3].as_ref().unwrap_err();
    assert_eq!((halted.step, halted.error.class()), (0, Class::Contention));
}

#[tokio::test]
async fn a_graph_that_the_answer_does_not_account_for_is_ambiguous() {
    for body in [
        r#"{"graphs":[]}"#,
        r#"{"graphs":[{"graphId":"g7","graphResponse":{"compositeResponse":[]},"isSuccessful":true}]}"#,
        r#"{"graphs":[{"graphId":"g0","graphResponse":{"compositeResponse":[]},"isSuccessful":true}]}"#,
        r#"{"graphs":[{"graphId":"g0","graphResponse":{"compositeResponse":[]},"isSuccessful":false}]}"#,
        r#"{"graphs":[{"graphId":"g0","graphResponse":{"compositeResponse":[{"body":null,"httpStatusCode":201,"referenceId":"n0"}]},"isSuccessful":true}]}"#,
    ] {
        let server = Server::start(move |_| json(200, body)).await;
        let fields = raw("{}");

        let error = client(&server)
            .graphs(&[vec![Step::Create(record("7", &fields))]])
            .await
            .unwrap_err();

        assert!(
            matches!(error, Error::Miscounted { .. }),
            "{body}: {error:?}"
        );
        assert_eq!(error.certainty(), Certainty::Unknown);
    }
}
