//! Single rows: created, read, changed and deleted one a call.

use serde_json::{Value, json};

use super::{Answer, DATA, Org};

#[tokio::test]
async fn a_created_row_is_answered_with_its_address() {
    let org = Org::start().await;
    let body =
        json!({"External_Id__c": "u-1", "quantity__C": 3, "Contract_Product__c": org.products[0]});

    let answer = org.post("/sobjects/Usage__c/", &body).await;

    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.status, 201);
    assert_eq!(
        answer.text,
        format!("{{\"id\":\"{id}\",\"success\":true,\"errors\":[]}}")
    );
    assert_eq!(
        answer.header("location"),
        format!("{DATA}/sobjects/Usage__c/{id}")
    );
    let row = org
        .get(&format!(
            "/sobjects/usage__c/{id}?fields=Quantity__c,External_Id__c"
        ))
        .await;
    assert_eq!(
        row.text,
        format!(
            "{{\"attributes\":{{\"type\":\"Usage__c\",\"url\":\"{DATA}/sobjects/Usage__c/{id}\"}},\
             \"Quantity__c\":3.0,\"External_Id__c\":\"u-1\"}}"
        )
    );
}

#[tokio::test]
async fn an_upsert_creates_then_updates_and_old_versions_answer_with_nothing() {
    let org = Org::start().await;
    let path = "/sobjects/Usage__c/External_Id__c/7%3Asmall%2Fx%20y";
    let body = json!({"Quantity__c": 1, "Contract_Product__r": {"External_Id__c": "CP-1"}});

    let created = org.patch(path, &body).await;
    let updated = org.patch(path, &json!({"Quantity__c": 2})).await;
    let old = org
        .patch(
            &format!("/services/data/v45.0{path}"),
            &json!({"Quantity__c": 3}),
        )
        .await;
    let absent = org
        .patch(
            "/sobjects/Usage__c/External_Id__c/none?updateOnly=true",
            &body,
        )
        .await;

    assert_eq!(
        (created.status, created.json()["created"].clone()),
        (201, json!(true))
    );
    assert!(
        updated
            .text
            .ends_with("\"success\":true,\"errors\":[],\"created\":false}"),
        "{}",
        updated.text
    );
    assert_eq!(
        (updated.status, old.status, old.text.as_str(), absent.status),
        (200, 204, "", 404)
    );
    let row = org.get(path).await.json();
    assert_eq!(
        (row["External_Id__c"].clone(), row["Quantity__c"].clone()),
        (json!("7:small/x y"), json!(3.0))
    );
}

#[tokio::test]
async fn a_row_is_changed_and_deleted_without_a_body_in_the_answer() {
    let org = Org::start().await;
    let id = org.usage("u-1", 3.0).await;

    let changed = org
        .patch(
            &format!("/sobjects/Usage__c/{}", &id[..15]),
            &json!({"Ad_Id__c": "7"}),
        )
        .await;
    let empty = org
        .patch(&format!("/sobjects/Usage__c/{id}"), &json!({}))
        .await;
    let deleted = org.delete("/sobjects/Usage__c/External_Id__c/u-1").await;
    let again = org.delete(&format!("/sobjects/Usage__c/{id}")).await;
    let gone = org.get(&format!("/sobjects/Usage__c/{id}")).await;

    for answer in [&changed, &empty, &deleted] {
        assert_eq!(
            (
                answer.status,
                answer.text.as_str(),
                answer.header("content-type")
            ),
            (204, "", "")
        );
    }
    for answer in [again, gone] {
        assert_eq!(
            answer.refusal(),
            (404, "ENTITY_IS_DELETED".to_owned(), json!([]))
        );
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let org = Org::start().await;
    let never = "a015f0000000ZZZ";
    let missing =
        "[{\"errorCode\":\"NOT_FOUND\",\"message\":\"The requested resource does not exist\"}]";

    for path in [
        "/sobjects/Unreal".to_owned(),
        "/sobjects/Unreal/describe".to_owned(),
        "/nothing".to_owned(),
        "/sobjects/Usage__c/External_Id__c/u-9".to_owned(),
        "/sobjects/Usage__c/External_Id__c/limits".to_owned(),
        format!("/sobjects/Usage__c/{never}"),
        "/services/data/v99.0/sobjects".to_owned(),
        "/services/data/latest/sobjects".to_owned(),
    ] {
        let answer = org.get(&path).await;
        assert_eq!(
            (answer.status, answer.text.as_str()),
            (404, missing),
            "{path}"
        );
    }
    let garbage = org.get("/sobjects/Usage__c/garbage").await.json();
    assert_eq!(
        garbage[0]["message"],
        "Provided external ID field does not exist or is not accessible: garbage"
    );
    let field = org.get("/sobjects/Usage__c/Ad_Id__c/7").await.json();
    assert_eq!(
        field[0]["message"],
        "Provided external ID field does not exist or is not accessible: Ad_Id__c"
    );
    let patched = org
        .patch(&format!("/sobjects/Usage__c/{never}"), &json!({}))
        .await;
    assert_eq!(
        patched.refusal(),
        (404, "INVALID_CROSS_REFERENCE_KEY".to_owned(), json!([]))
    );
    let account = org.account.clone();
    let malformed = org.get(&format!("/sobjects/Usage__c/{account}")).await;
    assert_eq!(
        malformed.refusal(),
        (400, "MALFORMED_ID".to_owned(), json!(["Id"]))
    );
}

/// Creates a good record with one change, which is to be refused.
async fn refuse(org: &Org, change: Value, code: &str, fields: Value, message: &str) {
    let mut body =
        json!({"External_Id__c": "u-1", "Quantity__c": 3, "Contract_Product__c": org.products[0]});
    body.as_object_mut()
        .unwrap()
        .extend(change.as_object().unwrap().clone());

    let answer = org.post("/sobjects/Usage__c", &body).await;

    let status = if code == "INVALID_CROSS_REFERENCE_KEY" {
        404
    } else {
        400
    };
    assert_eq!(
        answer.refusal(),
        (status, code.to_owned(), fields),
        "{change}: {}",
        answer.text
    );
    let said = answer.json()[0]["message"].as_str().unwrap().to_owned();
    assert!(said.starts_with(message), "{change}: {said}");
    assert!(org.sandbox.records("Usage__c").unwrap().is_empty());
}

#[tokio::test]
async fn each_bad_value_has_its_own_refusal() {
    let org = Org::start().await;
    let (required, wrong_type) = ("REQUIRED_FIELD_MISSING", "INVALID_TYPE_ON_FIELD_IN_RECORD");
    for (field, value, code, message) in [
        (
            "Quantity__c",
            Value::Null,
            required,
            "Required fields are missing: [Quantity__c]",
        ),
        (
            "External_Id__c",
            json!("  "),
            required,
            "Required fields are missing: [External_Id__c]",
        ),
        (
            "Quantity__c",
            json!("abc"),
            wrong_type,
            "Quantity: value not of required type: abc",
        ),
        (
            "Quantity__c",
            json!([1]),
            wrong_type,
            "Quantity: value not of required type: [1]",
        ),
        (
            "Quantity__c",
            json!("inf"),
            wrong_type,
            "Quantity: value not of required type: inf",
        ),
        (
            "Ad_Id__c",
            json!(7),
            wrong_type,
            "Ad Id: value not of required type: 7",
        ),
        (
            "Quantity__c",
            json!(1e20),
            "NUMBER_OUTSIDE_VALID_RANGE",
            "Quantity: value outside of valid range on numeric field: 1e+20",
        ),
        (
            "Quantity__c",
            json!(1e300),
            "NUMBER_OUTSIDE_VALID_RANGE",
            "Quantity: value outside of valid range on numeric field: 1e+300",
        ),
        (
            "Ad_Id__c",
            json!("x".repeat(256)),
            "STRING_TOO_LONG",
            "Ad Id: data value too large: xxx",
        ),
        (
            "Name",
            json!("U-1"),
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            "Unable to create/update fields: Name.",
        ),
        (
            "CreatedDate",
            json!("2026-01-01T00:00:00Z"),
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            "Unable to create/update fields: CreatedDate.",
        ),
    ] {
        refuse(&org, json!({ field: value }), code, json!([field]), message).await;
    }
    let unknown = "No such column 'Foo__c' on sobject of type Usage__c";
    refuse(
        &org,
        json!({"Foo__c": 1}),
        "INVALID_FIELD",
        Value::Null,
        unknown,
    )
    .await;
    let id = "The Id field should not be specified in the sobject data.";
    refuse(
        &org,
        json!({"Id": org.products[0]}),
        "INVALID_FIELD",
        Value::Null,
        id,
    )
    .await;
}

#[tokio::test]
async fn each_bad_reference_has_its_own_refusal() {
    let org = Org::start().await;
    let parent = "Contract_Product__c";
    for (id, code, fields, message) in [
        (
            json!("a005f0000000001AAB"),
            "MALFORMED_ID",
            json!([parent]),
            "Contract Product: id value of incorrect type: a005f0000000001AAB",
        ),
        (
            json!(org.account),
            "MALFORMED_ID",
            json!([parent]),
            "Contract Product: id value of incorrect type: 001",
        ),
        (
            json!("a005f0000000ZZZ"),
            "INVALID_CROSS_REFERENCE_KEY",
            json!([]),
            "invalid cross reference id",
        ),
        (
            Value::Null,
            "REQUIRED_FIELD_MISSING",
            json!([parent]),
            "Required fields are missing: [Contract_Product__c]",
        ),
    ] {
        refuse(&org, json!({ parent: id }), code, fields, message).await;
    }
    let both = json!({"Contract_Product__r": {"External_Id__c": "CP-1"}});
    let message = "Cannot specify both an external ID reference Contract_Product__r and a salesforce id, Contract_Product__c";
    refuse(&org, both, "INVALID_FIELD", json!([]), message).await;
}

#[tokio::test]
async fn a_parent_is_found_by_its_external_id_or_not_at_all() {
    let org = Org::start().await;
    let create = async |parent: Value| {
        org.post(
            "/sobjects/Usage__c",
            &json!({"External_Id__c": "u-1", "Quantity__c": 1, "Contract_Product__r": parent}),
        )
        .await
    };

    let missing = create(json!({"External_Id__c": "CP-404"})).await;
    let not_a_key = create(json!({"Product_Code__c": "CP-1"})).await;
    let found = create(json!({"External_Id__c": "CP-1"})).await;

    assert_eq!(
        missing.text,
        "[{\"message\":\"Foreign key external ID: CP-404 not found for field External_Id__c in entity \
         Contract_Product__c\",\"errorCode\":\"INVALID_FIELD\",\"fields\":[]}]"
    );
    assert_eq!((not_a_key.status, found.status), (400, 201));
}

#[tokio::test]
async fn a_unique_value_cannot_be_used_twice_but_case_makes_it_another() {
    let org = Org::start().await;
    let id = org.usage("u-1", 1.0).await;
    let body = |key: &str| json!({"External_Id__c": key, "Quantity__c": 1, "Contract_Product__c": org.products[0]});

    let twice = org.post("/sobjects/Usage__c", &body("u-1")).await;
    let other = org.post("/sobjects/Usage__c", &body("U-1")).await;
    org.delete(&format!("/sobjects/Usage__c/{id}")).await;
    let anew = org
        .patch(
            "/sobjects/Usage__c/External_Id__c/u-1",
            &json!({"Quantity__c": 1, "Contract_Product__c": org.products[0]}),
        )
        .await;

    assert_eq!(
        twice.json()[0]["message"],
        format!("duplicate value found: External_Id__c duplicates value on record with id: {id}")
    );
    assert_eq!(
        twice.refusal(),
        (400, "DUPLICATE_VALUE".to_owned(), json!([]))
    );
    assert_eq!(other.status, 201);
    assert_eq!(
        (anew.status, anew.json()["created"].clone()),
        (201, json!(true)),
        "the recycle bin does not count"
    );
}

#[tokio::test]
async fn the_external_id_of_the_path_may_not_stand_in_the_body() {
    let org = Org::start().await;

    let answer = org
        .patch(
            "/sobjects/Usage__c/External_Id__c/u-1",
            &json!({"External_Id__c": "u-1", "Quantity__c": 1}),
        )
        .await;

    assert_eq!(
        answer.refusal(),
        (400, "INVALID_FIELD".to_owned(), json!(["External_Id__c"]))
    );
}

#[tokio::test]
async fn numbers_keep_their_digits_and_are_printed_as_doubles() {
    let org = Org::start().await;
    for (key, number, printed, stored) in [
        ("a", "0.10", "0.1", "0.10"),
        (
            "b",
            "12345678901234.5678",
            "12345678901234.5678",
            "12345678901234.5678",
        ),
        ("c", "3", "3.0", "3"),
        ("d", "\"7.50\"", "7.5", "7.50"),
        ("e", "1e3", "1000.0", "1000"),
        ("f", "-2.00005", "-2.0001", "-2.0001"),
    ] {
        let body = format!(
            "{{\"Quantity__c\":{number},\"Contract_Product__c\":\"{}\"}}",
            org.products[0]
        );
        let path = format!("/sobjects/Usage__c/External_Id__c/{key}");
        let sent = org
            .send(reqwest::Method::PATCH, &path, Some(body))
            .await
            .unwrap();
        assert_eq!(sent.status(), 201, "{number}");

        let row = org.get(&format!("{path}?fields=Quantity__c")).await;
        assert!(
            row.text.ends_with(&format!("\"Quantity__c\":{printed}}}")),
            "{number}: {}",
            row.text
        );
        let dump = org.get("/control/records/Usage__c").await;
        assert!(
            dump.text.contains(&format!("\"Quantity__c\":{stored},")),
            "{number}: {}",
            dump.text
        );
    }
}

#[tokio::test]
async fn text_is_trimmed_and_dates_are_dates() {
    let org = Org::start().await;
    let id = org.usage("  u-1 ", 1.0).await;
    let row = org.get(&format!("/sobjects/Usage__c/{id}")).await.json();
    assert_eq!(
        (row["External_Id__c"].clone(), row["Ad_Id__c"].clone()),
        (json!("u-1"), Value::Null)
    );
    let created = row["CreatedDate"].as_str().unwrap();
    assert!(
        created.ends_with(".000+0000") && created.len() == 28,
        "{created}"
    );

    let contract = |field: &str, value: &str| {
        org.sandbox
            .change("Contract", &org.contract, &json!({field: value}))
    };
    assert!(contract("StartDate", "2026-02-28").is_ok());
    let error = contract("StartDate", "2026-02-30").unwrap_err().to_string();
    assert!(error.starts_with("JSON_PARSER_ERROR: Cannot deserialize instance of date from VALUE_STRING value 2026-02-30"), "{error}");
    let error = contract("Status", "Frozen").unwrap_err().to_string();
    assert!(
        error.starts_with("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST: Status: bad value"),
        "{error}"
    );
}

#[tokio::test]
async fn a_revision_may_stay_or_rise_but_never_fall() {
    let org = Org::start().await;
    let put = async |quantity: u32, revision: Value| -> Answer {
        let body = json!({"Quantity__c": quantity, "Revision__c": revision, "Contract_Product__c": org.products[0]});
        org.patch("/sobjects/Usage__c/External_Id__c/u-1", &body)
            .await
    };
    assert_eq!(put(1, json!(5)).await.status, 201);
    assert_eq!(put(2, json!(5)).await.status, 200);
    assert_eq!(put(3, json!(6)).await.status, 200);

    for older in [json!(5), Value::Null] {
        let refused = put(9, older).await;
        assert_eq!(
            refused.text,
            "[{\"message\":\"Revision__c is older than what is stored: a newer report was made\",\
             \"errorCode\":\"FIELD_CUSTOM_VALIDATION_EXCEPTION\",\"fields\":[\"Revision__c\"]}]"
        );
    }
    assert_eq!(org.units(&org.products[0]).await, [3.0, 7.0]);
}

#[tokio::test]
async fn a_fulfilled_contract_locks_its_usage_for_everybody_but_admins() {
    let org = Org::start().await;
    let id = org.usage("u-1", 3.0).await;
    let row = format!("/sobjects/Usage__c/{id}");
    let other = json!({"AccountId": org.account, "Status": "Activated"});
    let other = org.sandbox.seed("Contract", &other).unwrap();
    let free = org
        .sandbox
        .seed(
            "Contract_Product__c",
            &json!({"Contract__c": other, "External_Id__c": "CP-9"}),
        )
        .unwrap();
    let outside = org
        .post(
            "/sobjects/Usage__c",
            &json!({"External_Id__c": "u-2", "Quantity__c": 1, "Contract_Product__c": free}),
        )
        .await;
    let outside = format!(
        "/sobjects/Usage__c/{}",
        outside.json()["id"].as_str().unwrap()
    );
    org.set_status("Fulfilled");

    let refusals = [
        org.post("/sobjects/Usage__c", &json!({"External_Id__c": "u-3", "Quantity__c": 1, "Contract_Product__c": org.products[0]})).await,
        org.patch(&row, &json!({"Quantity__c": 4})).await,
        org.delete(&row).await,
        org.patch(&row, &json!({"Contract_Product__c": free})).await,
        org.patch(&outside, &json!({"Contract_Product__c": org.products[0]})).await,
    ];
    for refused in refusals {
        assert_eq!(
            refused.refusal(),
            (
                400,
                "FIELD_CUSTOM_VALIDATION_EXCEPTION".to_owned(),
                json!([])
            )
        );
        assert_eq!(
            refused.json()[0]["message"],
            "Contract is fulfilled; usage is locked."
        );
    }
    let unchanged = org
        .patch(&row, &json!({"Quantity__c": 3.0, "Revision__c": 8}))
        .await;
    assert_eq!(unchanged.status, 204, "nothing but the revision changed");
    org.sandbox
        .change("Usage__c", &id, &json!({"Quantity__c": 5}))
        .expect("admins may");
    org.set_status("Activated");
    assert_eq!(org.delete(&row).await.status, 204);
}

#[tokio::test]
async fn consumed_and_available_follow_every_change_and_move() {
    let org = Org::start().await;
    let id = org.usage("u-1", 3.5).await;
    org.usage("u-2", 2.0).await;
    assert_eq!(org.units(&org.products[0]).await, [5.5, 4.5]);

    org.patch(
        &format!("/sobjects/Usage__c/{id}"),
        &json!({"Contract_Product__c": org.products[1]}),
    )
    .await;
    assert_eq!(org.units(&org.products[0]).await, [2.0, 8.0]);
    assert_eq!(org.units(&org.products[1]).await, [3.5, 16.5]);

    org.patch(
        &format!("/sobjects/Usage__c/{id}"),
        &json!({"Quantity__c": 30}),
    )
    .await;
    assert_eq!(org.units(&org.products[1]).await, [30.0, -10.0]);
    org.delete(&format!("/sobjects/Usage__c/{id}")).await;
    assert_eq!(org.units(&org.products[1]).await, [0.0, 20.0]);
}

#[tokio::test]
async fn the_integration_user_can_touch_usage_and_nothing_else() {
    let org = Org::start().await;

    for (object, id) in [
        ("Contract", &org.contract),
        ("Contract_Product__c", &org.products[0]),
        ("Account", &org.account),
    ] {
        let path = format!("/sobjects/{object}/{id}");
        assert_eq!(org.get(&path).await.status, 200);
        for refused in [org.patch(&path, &json!({})).await, org.delete(&path).await] {
            assert_eq!(
                refused.refusal(),
                (400, "INSUFFICIENT_ACCESS_OR_READONLY".to_owned(), json!([]))
            );
        }
    }
    let refused = org.post("/sobjects/Account", &json!({"Name": "x"})).await;
    assert_eq!(refused.refusal().1, "INSUFFICIENT_ACCESS_OR_READONLY");
}

#[tokio::test]
async fn wrong_verbs_broken_json_and_versions_are_refused() {
    let org = Org::start().await;
    let verb = org.delete("/composite").await;
    assert_eq!(verb.refusal().0, 405);
    assert_eq!(
        verb.json()[0]["message"],
        "HTTP Method 'DELETE' not allowed. Allowed are POST"
    );

    let broken = org
        .send(
            reqwest::Method::POST,
            "/sobjects/Usage__c",
            Some("{\"a\":}".to_owned()),
        )
        .await
        .unwrap();
    let broken = Answer::of(broken).await;
    assert_eq!(broken.refusal().1, "JSON_PARSER_ERROR");
    assert!(
        broken
            .text
            .contains("Unexpected character ('}' (code 125))"),
        "{}",
        broken.text
    );

    let old = org.get("/services/data/v30.0/sobjects").await;
    assert_eq!((old.status, old.refusal().1.as_str()), (410, "GONE"));
}

#[tokio::test]
async fn describe_tells_what_a_mapping_check_wants_to_know() {
    let org = Org::start().await;

    let body = org.get("/sobjects/Usage__c/describe").await.json();
    let global = org.get("/sobjects").await.json();
    let basic = org.get("/sobjects/Usage__c").await.json();

    let field = |name: &str| {
        body["fields"]
            .as_array()
            .unwrap()
            .iter()
            .find(|field| field["name"] == name)
            .unwrap()
            .clone()
    };
    let key = field("External_Id__c");
    for (flag, value) in [
        ("externalId", json!(true)),
        ("unique", json!(true)),
        ("caseSensitive", json!(true)),
        ("idLookup", json!(true)),
        ("nillable", json!(false)),
        ("createable", json!(true)),
        ("length", json!(255)),
        ("type", json!("string")),
    ] {
        assert_eq!(key[flag], value, "{flag}");
    }
    let parent = field("Contract_Product__c");
    assert_eq!(
        (
            parent["referenceTo"].clone(),
            parent["relationshipName"].clone(),
            parent["updateable"].clone()
        ),
        (
            json!(["Contract_Product__c"]),
            json!("Contract_Product__r"),
            json!(true)
        )
    );
    assert_eq!(
        (
            body["createable"].clone(),
            body["keyPrefix"].clone(),
            body["custom"].clone()
        ),
        (json!(true), json!("a01"), json!(true))
    );
    assert_eq!(global["maxBatchSize"], 200);
    assert_eq!(global["sobjects"].as_array().unwrap().len(), 4);
    assert_eq!(basic["objectDescribe"]["name"], "Usage__c");
    let products = org.get("/sobjects/Contract/describe").await.json();
    assert_eq!(
        products["childRelationships"][0]["relationshipName"],
        "Contract_Products__r"
    );
    assert_eq!(products["updateable"], false);
}
