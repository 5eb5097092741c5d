//! Collections: up to 200 records a call, one result for each.

use serde_json::{Value, json};

use super::{Answer, Org};

fn usage(key: &str, quantity: u32) -> Value {
    json!({"attributes": {"type": "Usage__c"}, "External_Id__c": key, "Quantity__c": quantity, "Contract_Product__r": {"External_Id__c": "CP-1"}})
}

/// `ok`, or the codes of the errors, in order.
fn outcomes(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let code = |result: &Value| match result["success"].as_bool() {
        Some(true) => "ok".to_owned(),
        _ => result["errors"][0]["statusCode"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    };
    answer.json().as_array().unwrap().iter().map(code).collect()
}

#[tokio::test]
async fn results_stand_in_the_order_of_the_records() {
    let org = Org::start().await;
    let records = json!([usage("u-1", 1), {"attributes": {"type": "Usage__c"}, "External_Id__c": "u-2"}, usage("u-3", 3)]);

    let answer = org
        .post("/composite/sobjects", &json!({"records": records}))
        .await;

    assert_eq!(outcomes(&answer), ["ok", "REQUIRED_FIELD_MISSING", "ok"]);
    let body = answer.json();
    assert!(
        body[0].get("created").is_none(),
        "only an upsert tells what it created"
    );
    assert!(body[1].get("id").is_none());
    assert_eq!(
        body[1]["errors"][0],
        json!({"statusCode": "REQUIRED_FIELD_MISSING", "message": "Required fields are missing: [Contract_Product__c, Quantity__c]", "fields": ["Contract_Product__c", "Quantity__c"]})
    );
    assert_eq!(org.units(&org.products[0]).await[0], 4.0);
}

#[tokio::test]
async fn all_or_none_takes_everything_back() {
    let org = Org::start().await;
    let kept = org.usage("u-0", 5.0).await;
    let with = |records: Value| json!({"allOrNone": true, "records": records});

    let created = org
        .post(
            "/composite/sobjects",
            &with(json!([usage("u-1", 1), {"attributes": {"type": "Usage__c"}, "Foo__c": 1}])),
        )
        .await;
    let change = json!({"attributes": {"type": "Usage__c"}, "id": kept, "Quantity__c": 9});
    let broken =
        json!({"attributes": {"type": "Usage__c"}, "id": "a01RM000003oLrB000", "Quantity__c": 9});
    let updated = org
        .patch("/composite/sobjects", &with(json!([change, broken])))
        .await;
    let deleted = org
        .delete(&format!(
            "/composite/sobjects?ids={kept},a015f0000000ZZZ&allOrNone=true"
        ))
        .await;

    assert_eq!(
        outcomes(&created),
        ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "INVALID_FIELD"]
    );
    assert!(
        created.json()[0].get("id").is_none(),
        "what was never created has no id"
    );
    assert_eq!(
        outcomes(&updated),
        ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "MALFORMED_ID"]
    );
    assert_eq!(
        updated.json()[0]["id"],
        kept.as_str(),
        "what existed keeps its id"
    );
    assert_eq!(
        updated.json()[1]["errors"][0]["message"],
        "Usage ID: id value of incorrect type: a01RM000003oLrB000"
    );
    assert_eq!(
        outcomes(&deleted),
        [
            "ALL_OR_NONE_OPERATION_ROLLED_BACK",
            "INVALID_CROSS_REFERENCE_KEY"
        ]
    );
    assert_eq!(org.units(&org.products[0]).await[0], 5.0);
    assert_eq!(org.sandbox.records("Usage__c").unwrap().len(), 1);
}

#[tokio::test]
async fn an_upsert_tells_what_it_created() {
    let org = Org::start().await;
    org.usage("u-1", 1.0).await;

    let answer = org
        .upsert(&json!([usage("u-1", 2), usage("u-2", 3), {"Quantity__c": 1}]))
        .await;

    assert_eq!(outcomes(&answer), ["ok", "ok", "MISSING_ARGUMENT"]);
    let body = answer.json();
    assert_eq!(
        (body[0]["created"].clone(), body[1]["created"].clone()),
        (json!(false), json!(true))
    );
    assert!(body[2].get("created").is_none());
    assert_eq!(org.units(&org.products[0]).await[0], 5.0);
}

#[tokio::test]
async fn an_external_id_twice_in_a_request_refuses_all_that_share_it() {
    let org = Org::start().await;

    let answer = org
        .upsert(&json!([
            usage("u-1", 1),
            usage("u-2", 2),
            usage("u-1", 3),
            usage("U-1", 4)
        ]))
        .await;

    assert_eq!(
        outcomes(&answer),
        ["DUPLICATE_VALUE", "ok", "DUPLICATE_VALUE", "ok"]
    );
    assert_eq!(
        answer.json()[0]["errors"][0]["message"],
        "Duplicate external id specified: u-1"
    );
}

#[tokio::test]
async fn an_id_twice_in_an_update_refuses_both() {
    let org = Org::start().await;
    let id = org.usage("u-1", 1.0).await;
    let change = |id: &str| json!({"attributes": {"type": "Usage__c"}, "Id": id, "Quantity__c": 2});

    let answer = org.patch("/composite/sobjects", &json!({"records": [change(&id), change(&id[..15]), {"attributes": {"type": "Usage__c"}}]})).await;

    assert_eq!(
        outcomes(&answer),
        ["DUPLICATE_VALUE", "DUPLICATE_VALUE", "MISSING_ARGUMENT"]
    );
}

#[tokio::test]
async fn rows_are_deleted_by_their_ids_only() {
    let org = Org::start().await;
    let [one, two] = [org.usage("u-1", 1.0).await, org.usage("u-2", 1.0).await];

    let answer = org
        .delete(&format!(
            "/composite/sobjects?ids={one},{},u-2,a015f0000000ZZZ,{one}",
            &two[..15]
        ))
        .await;

    assert_eq!(
        outcomes(&answer),
        [
            "ok",
            "ok",
            "MALFORMED_ID",
            "INVALID_CROSS_REFERENCE_KEY",
            "ENTITY_IS_DELETED"
        ]
    );
    assert_eq!(answer.json()[1]["id"], two.as_str());
    assert_eq!(
        answer.json()[2],
        json!({"success": false, "errors": [{"statusCode": "MALFORMED_ID", "message": "malformed id u-2", "fields": []}]})
    );
}

#[tokio::test]
async fn a_request_that_is_not_well_formed_is_refused_as_a_whole() {
    let org = Org::start().await;
    let many: Vec<Value> = (0..201).map(|n| usage(&format!("u-{n}"), 1)).collect();
    let mixed: Vec<Value> = (0..12)
        .map(|n| {
            if n % 2 == 0 {
                usage(&format!("u-{n}"), 1)
            } else {
                json!({"attributes": {"type": "Account"}, "Name": "x"})
            }
        })
        .collect();
    let upsert = "/composite/sobjects/Usage__c/External_Id__c";

    for (path, records, code) in [
        ("/composite/sobjects", json!(many), "EXCEEDED_ID_LIMIT"),
        (upsert, json!(many), "EXCEEDED_ID_LIMIT"),
        ("/composite/sobjects", json!(mixed), "LIMIT_EXCEEDED"),
        (
            "/composite/sobjects",
            json!([{"External_Id__c": "u-1"}]),
            "INVALID_INPUT",
        ),
        (
            upsert,
            json!([{"attributes": {"type": "Account"}, "External_Id__c": "u-1"}]),
            "INVALID_TYPE",
        ),
        ("/composite/sobjects", json!("none"), "JSON_PARSER_ERROR"),
    ] {
        let body = json!({"records": records});
        let answer = if path == upsert {
            org.patch(path, &body).await
        } else {
            org.post(path, &body).await
        };
        assert_eq!(
            (answer.status, answer.refusal().1.as_str()),
            (400, code),
            "{path} {}",
            answer.text
        );
    }
    assert_eq!(
        org.patch(
            "/composite/sobjects/Unreal/External_Id__c",
            &json!({"records": []})
        )
        .await
        .status,
        404
    );
    assert_eq!(
        org.patch(
            "/composite/sobjects/Usage__c/Ad_Id__c",
            &json!({"records": []})
        )
        .await
        .status,
        404
    );
    assert!(org.sandbox.records("Usage__c").unwrap().is_empty());
}

#[tokio::test]
async fn rows_are_read_by_their_ids_and_null_stands_for_the_missing() {
    let org = Org::start().await;
    let id = org.usage("u-1", 1.0).await;

    let get = org
        .get(&format!(
            "/composite/sobjects/Usage__c?ids={id},a015f0000000ZZZ&fields=External_Id__c"
        ))
        .await
        .json();
    let post = org
        .post(
            "/composite/sobjects/Usage__c",
            &json!({"ids": [id], "fields": ["External_Id__c"]}),
        )
        .await
        .json();

    assert_eq!(
        (get[0]["External_Id__c"].clone(), get[1].clone()),
        (json!("u-1"), Value::Null)
    );
    assert_eq!(post[0], get[0]);
}

#[tokio::test]
async fn an_unknown_field_in_one_record_can_be_made_to_refuse_the_call() {
    let org = Org::start().await;
    let mut broken = usage("u-2", 1);
    broken["Foo__c"] = json!(1);
    let records = json!([usage("u-1", 1), broken]);
    assert_eq!(
        outcomes(&org.upsert(&records).await),
        ["ok", "INVALID_FIELD"]
    );

    org.sandbox
        .settings(&json!({"strict_collections": true}))
        .unwrap();
    let refused = org.upsert(&json!([usage("u-3", 1), records[1]])).await;

    assert_eq!(
        (refused.status, refused.refusal().1.as_str()),
        (400, "INVALID_FIELD")
    );
    assert_eq!(org.sandbox.records("Usage__c").unwrap().len(), 1);
}
