//! The golden transcripts: whole answers, byte for byte, as they were
//! composed from recordings of real orgs. Names are those of the shipped
//! schema.

use serde_json::{Value, json};

use super::{DATA, Org};

const UPSERT: &str = "/composite/sobjects/Usage__c/External_Id__c";

fn record(key: &str, quantity: &Value, product: &str) -> Value {
    let mut record =
        json!({"External_Id__c": key, "Contract_Product__r": {"External_Id__c": product}});
    if !quantity.is_null() {
        record["Quantity__c"] = quantity.clone();
    }
    record
}

#[tokio::test]
async fn t1_a_token_by_jwt() {
    let org = Org::start().await;

    let answer = org
        .form("/services/oauth2/token", &org.assertion(&json!({})))
        .await;

    let body = answer.json();
    let (token, id) = (
        body["access_token"].as_str().unwrap(),
        body["id"].as_str().unwrap(),
    );
    let expected = format!(
        "{{\"access_token\":\"{token}\",\"scope\":\"api refresh_token\",\"instance_url\":\"{}\",\"id\":\"{id}\",\
         \"token_type\":\"Bearer\"}}",
        org.sandbox.base_url()
    );
    assert_eq!((answer.status, answer.text), (200, expected));
    assert_eq!(&token[..4], "00D5");
}

#[tokio::test]
async fn t2_an_upsert_of_new_existing_orphaned_locked_and_invalid() {
    let org = Org::start().await;
    let existing = org.usage("u-2", 1.0).await;
    let done = org
        .sandbox
        .seed(
            "Contract",
            &json!({"AccountId": org.account, "Status": "Fulfilled"}),
        )
        .unwrap();
    org.sandbox
        .seed(
            "Contract_Product__c",
            &json!({"Contract__c": done, "External_Id__c": "CP-DONE"}),
        )
        .unwrap();

    let answer = org
        .upsert(&json!([
            record("u-1", &json!(3), "CP-1"),
            record("u-2", &json!(4), "CP-1"),
            record("u-3", &json!(5), "CP-404"),
            record("u-4", &json!(6), "CP-DONE"),
            record("u-5", &Value::Null, "CP-1"),
        ]))
        .await;

    let new = answer.json()[0]["id"].as_str().unwrap().to_owned();
    let expected = format!(
        "[{{\"id\":\"{new}\",\"success\":true,\"errors\":[],\"created\":true}},\
         {{\"id\":\"{existing}\",\"success\":true,\"errors\":[],\"created\":false}},\
         {{\"success\":false,\"errors\":[{{\"statusCode\":\"INVALID_FIELD\",\"message\":\"Foreign key external ID: CP-404 not \
         found for field External_Id__c in entity Contract_Product__c\",\"fields\":[]}}]}},\
         {{\"success\":false,\"errors\":[{{\"statusCode\":\"FIELD_CUSTOM_VALIDATION_EXCEPTION\",\"message\":\"Contract is \
         fulfilled; usage is locked.\",\"fields\":[]}}]}},\
         {{\"success\":false,\"errors\":[{{\"statusCode\":\"REQUIRED_FIELD_MISSING\",\"message\":\"Required fields are \
         missing: [Quantity__c]\",\"fields\":[\"Quantity__c\"]}}]}}]"
    );
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (200, expected.as_str())
    );
    assert_eq!(
        answer.header("content-type"),
        "application/json;charset=UTF-8"
    );
    assert_eq!(answer.header("sforce-limit-info"), "api-usage=2/100000");
}

#[tokio::test]
async fn t3_a_locked_row() {
    let org = Org::start().await;
    org.fault(&json!({"effect": {"kind": "lock_row"}, "path": UPSERT}));

    let answer = org.upsert(&json!([record("u-1", &json!(1), "CP-1")])).await;

    let start = "[{\"success\":false,\"errors\":[{\"statusCode\":\"UNABLE_TO_LOCK_ROW\",\"message\":\"unable to obtain \
                 exclusive access to this record or 1 records: 800";
    assert!(
        answer.status == 200 && answer.text.starts_with(start),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn t4_one_external_id_twice() {
    let org = Org::start().await;

    let answer = org
        .upsert(&json!([
            record("u-1", &json!(1), "CP-1"),
            record("u-1", &json!(2), "CP-1")
        ]))
        .await;

    let refused = "{\"success\":false,\"errors\":[{\"statusCode\":\"DUPLICATE_VALUE\",\"message\":\"Duplicate external id \
                   specified: u-1\",\"fields\":[\"External_Id__c\"]}]}";
    assert_eq!(
        (answer.status, answer.text),
        (200, format!("[{refused},{refused}]"))
    );
}

#[tokio::test]
async fn t5_deletes_of_present_gone_unknown_and_locked() {
    let org = Org::start().await;
    let [present, gone, locked] = [
        org.usage("u-1", 1.0).await,
        org.usage("u-2", 1.0).await,
        org.usage("u-3", 1.0).await,
    ];
    org.delete(&format!("/sobjects/Usage__c/{gone}")).await;
    let done = org
        .sandbox
        .seed("Contract", &json!({"AccountId": org.account}))
        .unwrap();
    let product = org
        .sandbox
        .seed(
            "Contract_Product__c",
            &json!({"Contract__c": done, "External_Id__c": "CP-9"}),
        )
        .unwrap();
    org.patch(
        &format!("/sobjects/Usage__c/{locked}"),
        &json!({"Contract_Product__c": product}),
    )
    .await;
    org.sandbox
        .change("Contract", &done, &json!({"Status": "Fulfilled"}))
        .unwrap();

    let answer = org
        .delete(&format!(
            "/composite/sobjects?ids={present},{gone},a015f0000000ZZZ,{locked}&allOrNone=false"
        ))
        .await;

    let refused = |code: &str, message: &str| {
        format!(
            "{{\"success\":false,\"errors\":[{{\"statusCode\":\"{code}\",\"message\":\"{message}\",\"fields\":[]}}]}}"
        )
    };
    let expected = format!(
        "[{{\"id\":\"{present}\",\"success\":true,\"errors\":[]}},{},{},{}]",
        refused("ENTITY_IS_DELETED", "entity is deleted"),
        refused("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"),
        refused(
            "FIELD_CUSTOM_VALIDATION_EXCEPTION",
            "Contract is fulfilled; usage is locked."
        ),
    );
    assert_eq!((answer.status, answer.text), (200, expected));
}

#[tokio::test]
async fn t6_a_delete_by_an_external_id_that_nobody_has() {
    let org = Org::start().await;

    let answer = org.delete("/sobjects/Usage__c/External_Id__c/u-9").await;

    let expected =
        "[{\"errorCode\":\"NOT_FOUND\",\"message\":\"The requested resource does not exist\"}]";
    assert_eq!((answer.status, answer.text.as_str()), (404, expected));
}

#[tokio::test]
async fn t7_a_contract_with_its_products() {
    let org = Org::start().await;
    org.usage("u-1", 7.0).await;
    let soql = "SELECT+Id,ContractNumber,Status,StartDate,EndDate,Account.Name,(SELECT+Id,Units__c,Price__c,Consumed__c,\
                Available__c,(SELECT+Id+FROM+Usages__r)+FROM+Contract_Products__r)+FROM+Contract";
    let deep = org.get(&format!("/query?q={soql}")).await;
    assert_eq!(deep.refusal().1, "MALFORMED_QUERY", "one level of children");

    let soql = soql.replace(",(SELECT+Id+FROM+Usages__r)", "");
    let answer = org
        .get(&format!("/query?q={soql}+WHERE+ContractNumber='00000101'"))
        .await;

    let (contract, [one, two]) = (&org.contract, &org.products);
    let product = |id: &str, units: &str, consumed: &str, available: &str| {
        format!(
            "{{\"attributes\":{{\"type\":\"Contract_Product__c\",\"url\":\"{DATA}/sobjects/Contract_Product__c/{id}\"}},\
             \"Id\":\"{id}\",\"Units__c\":{units},\"Price__c\":9.5,\"Consumed__c\":{consumed},\"Available__c\":{available}}}"
        )
    };
    let expected = format!(
        "{{\"totalSize\":1,\"done\":true,\"records\":[{{\"attributes\":{{\"type\":\"Contract\",\"url\":\"{DATA}/sobjects/\
         Contract/{contract}\"}},\"Id\":\"{contract}\",\"ContractNumber\":\"00000101\",\"Status\":\"Activated\",\"StartDate\":\
         \"2026-01-01\",\"EndDate\":\"2026-12-31\",\"Account\":{{\"attributes\":{{\"type\":\"Account\",\"url\":\"{DATA}/sobjects/\
         Account/{}\"}},\"Name\":\"Acme\"}},\"Contract_Products__r\":{{\"totalSize\":2,\"done\":true,\"records\":[{},{}]}}}}]}}",
        org.account,
        product(one, "10.0", "7.0", "3.0"),
        product(two, "20.0", "0.0", "20.0"),
    );
    assert_eq!((answer.status, answer.text), (200, expected));
}

#[tokio::test]
async fn t8_to_t12_tokens_limits_outages_and_old_versions() {
    let org = Org::start().await;
    let refused = |message: &str, code: &str| {
        format!("[{{\"message\":\"{message}\",\"errorCode\":\"{code}\"}}]")
    };

    let t12 = org.get("/services/data/v20.0/sobjects").await;
    assert_eq!((t12.status, t12.refusal().1.as_str()), (410, "GONE"));
    org.fault(&json!({"effect": {"kind": "error", "status": 503, "code": "SERVER_UNAVAILABLE", "message": "down"}, "times": 1}));
    let t11 = org.get("/limits").await;
    assert_eq!(
        (t11.status, t11.text),
        (503, refused("down", "SERVER_UNAVAILABLE"))
    );
    org.fault(&json!({"effect": {"kind": "request_limit", "concurrent": true}, "times": 1}));
    let t10 = org.get("/limits").await;
    assert_eq!(
        (t10.status, t10.text),
        (
            403,
            refused(
                "ConcurrentPerOrgLongTxn Limit exceeded.",
                "REQUEST_LIMIT_EXCEEDED"
            )
        )
    );
    org.sandbox
        .settings(&json!({"daily_used": 120_000}))
        .unwrap();
    let t9 = org.get("/limits").await;
    assert_eq!(t9.header("sforce-limit-info"), "api-usage=120000/100000");
    assert_eq!(
        (t9.status, t9.text),
        (
            403,
            refused("TotalRequests Limit exceeded.", "REQUEST_LIMIT_EXCEEDED")
        )
    );
    org.sandbox.expire_tokens();
    let t8 = org.get("/limits").await;
    assert_eq!(
        (t8.status, t8.text),
        (
            401,
            refused("Session expired or invalid", "INVALID_SESSION_ID")
        )
    );
}
