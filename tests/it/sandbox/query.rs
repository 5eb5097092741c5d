//! SOQL over HTTP: what is found, how it is printed, how it is refused.

use serde_json::{Value, json};

use super::{DATA, Org};

/// `u-1` to `u-5` with quantities 1 to 5, the last without an ad and of `CP-2`.
async fn org_with_usage() -> Org {
    let org = Org::start().await;
    for n in 1..=5 {
        let ad = if n < 5 {
            json!(format!("Ad {n}"))
        } else {
            Value::Null
        };
        let body = json!({
            "External_Id__c": format!("u-{n}"), "Quantity__c": n, "Ad_Id__c": ad,
            "Contract_Product__c": org.products[usize::from(n == 5)],
        });
        assert_eq!(org.post("/sobjects/Usage__c", &body).await.status, 201);
    }
    org
}

/// The numbers of the external ids that a condition finds.
async fn found(org: &Org, rest: &str) -> String {
    let answer = org
        .query(&format!("SELECT External_Id__c FROM Usage__c {rest}"))
        .await;
    assert_eq!(answer.status, 200, "{rest}: {}", answer.text);
    let records = answer.json()["records"].as_array().unwrap().clone();
    records
        .iter()
        .map(|record| record["External_Id__c"].as_str().unwrap()[2..].to_owned())
        .collect()
}

#[tokio::test]
async fn conditions_find_the_rows_they_should() {
    let org = org_with_usage().await;
    let (contract, product) = (org.contract.clone(), org.products[1].clone());

    for (rest, expected) in [
        ("", "12345"),
        ("WHERE Quantity__c = 3", "3"),
        ("where quantity__c != 3", "1245"),
        ("WHERE Quantity__c <> 3 AND Quantity__c < 5", "124"),
        (
            "WHERE Quantity__c >= 2 AND (Quantity__c <= 3 OR External_Id__c = 'u-5')",
            "235",
        ),
        ("WHERE NOT Quantity__c > 2", "12"),
        ("WHERE NOT (Quantity__c > 2 AND Quantity__c < 5)", "125"),
        ("WHERE External_Id__c IN ('u-5','u-1','u-9')", "15"),
        ("WHERE External_Id__c NOT IN ('u-5','u-1')", "234"),
        ("WHERE Ad_Id__c = null", "5"),
        (
            "WHERE Ad_Id__c != null AND Usage__c.Quantity__c > 1.5",
            "234",
        ),
        ("WHERE Ad_Id__c = ''", "5"),
        ("WHERE Ad_Id__c != 'ad 1'", "2345"),
        ("WHERE Ad_Id__c = 'AD 2'", "2"),
        ("WHERE External_Id__c = 'U-2'", ""),
        ("WHERE Ad_Id__c LIKE 'ad _'", "1234"),
        ("WHERE Ad_Id__c LIKE '%3'", "3"),
        ("WHERE Ad_Id__c LIKE 'a\\%'", ""),
        (
            "WHERE Contract_Product__r.Contract__r.ContractNumber = '00000101'",
            "12345",
        ),
        ("WHERE Contract_Product__r.External_Id__c = 'CP-2'", "5"),
        (
            "WHERE Contract_Product__r.Contract__r.EndDate >= 2026-12-31",
            "12345",
        ),
        (
            "WHERE CreatedDate > 2020-01-01T00:00:00Z AND IsDeleted = false",
            "12345",
        ),
        ("ORDER BY Quantity__c DESC", "54321"),
        ("ORDER BY Ad_Id__c, Quantity__c LIMIT 2", "51"),
        ("ORDER BY Ad_Id__c DESC NULLS LAST LIMIT 2 OFFSET 3", "15"),
        ("LIMIT 0", ""),
    ] {
        assert_eq!(found(&org, rest).await, expected, "{rest}");
    }
    assert_eq!(
        found(
            &org,
            &format!("WHERE Contract_Product__r.Contract__c = '{contract}'")
        )
        .await,
        "12345"
    );
    assert_eq!(
        found(
            &org,
            &format!("WHERE Contract_Product__c = '{}'", &product[..15])
        )
        .await,
        "5"
    );
}

#[tokio::test]
async fn a_quote_in_a_value_is_a_character_and_not_the_end() {
    let org = Org::start().await;
    org.usage("O'Neil \\ \"x\"", 1.0).await;

    assert_eq!(
        found(&org, r#"WHERE External_Id__c = 'O\'Neil \\ \"x\"'"#).await,
        "Neil \\ \"x\""
    );
    assert_eq!(
        found(
            &org,
            r"WHERE External_Id__c IN ('\u004F\'Neil \\ \u0022x\u0022')"
        )
        .await,
        "Neil \\ \"x\""
    );
}

#[tokio::test]
async fn records_are_printed_in_the_order_of_the_select() {
    let org = org_with_usage().await;
    let soql = "select External_Id__c, Contract_Product__r.Name, Quantity__c, Contract_Product__r.Contract__r.Account.Name, \
                Revision__c from Usage__c where External_Id__c = 'u-1'";

    let answer = org.query(soql).await;

    let id = org.sandbox.records("Usage__c").unwrap()[0]["Id"]
        .as_str()
        .unwrap()
        .to_owned();
    let at = |object: &str, id: &str| {
        format!(
            "\"attributes\":{{\"type\":\"{object}\",\"url\":\"{DATA}/sobjects/{object}/{id}\"}}"
        )
    };
    let expected = format!(
        "{{\"totalSize\":1,\"done\":true,\"records\":[{{{},\"External_Id__c\":\"u-1\",\"Contract_Product__r\":{{{},\
         \"Name\":\"CP-1\",\"Contract__r\":{{{},\"Account\":{{{},\"Name\":\"Acme\"}}}}}},\"Quantity__c\":1.0,\"Revision__c\":null}}]}}",
        at("Usage__c", &id),
        at("Contract_Product__c", &org.products[0]),
        at("Contract", &org.contract),
        at("Account", &org.account),
    );
    assert_eq!(answer.text, expected);
}

#[tokio::test]
async fn children_stand_inside_and_none_of_them_are_null() {
    let org = org_with_usage().await;
    let soql = "SELECT Name, (SELECT External_Id__c FROM Usages__r WHERE Quantity__c > 2 ORDER BY Quantity__c DESC) \
                FROM Contract_Product__c ORDER BY Name";
    org.delete("/sobjects/Usage__c/External_Id__c/u-5").await;

    let records = org.query(soql).await.json()["records"].clone();

    assert_eq!(records[0]["Usages__r"]["totalSize"], 2);
    assert_eq!(
        records[0]["Usages__r"]["records"][0]["External_Id__c"],
        "u-4"
    );
    assert_eq!(records[1]["Usages__r"], Value::Null);
    assert!(records[1].as_object().unwrap().contains_key("Usages__r"));
}

#[tokio::test]
async fn counts_are_totals_or_aggregates() {
    let org = org_with_usage().await;

    let total = org
        .query("SELECT count() FROM Usage__c WHERE Quantity__c > 3")
        .await;
    let values = org.query("select count(Id) from Usage__c").await;
    let named = org.query("SELECT COUNT(Ad_Id__c) ads FROM Usage__c").await;

    assert_eq!(total.text, r#"{"totalSize":2,"done":true,"records":[]}"#);
    assert_eq!(
        values.text,
        r#"{"totalSize":1,"done":true,"records":[{"attributes":{"type":"AggregateResult"},"expr0":5}]}"#
    );
    assert_eq!(named.json()["records"][0]["ads"], 4);
}

#[tokio::test]
async fn long_answers_come_in_pages_until_the_cursor_is_closed() {
    let org = org_with_usage().await;
    org.sandbox.settings(&json!({"page_size": 2})).unwrap();

    let first = org.query("SELECT Id FROM Usage__c").await.json();
    let second = org
        .get(first["nextRecordsUrl"].as_str().unwrap())
        .await
        .json();
    let third = org
        .get(second["nextRecordsUrl"].as_str().unwrap())
        .await
        .json();
    org.sandbox
        .settings(&json!({"close_cursors": true}))
        .unwrap();
    let closed = org.get(first["nextRecordsUrl"].as_str().unwrap()).await;

    assert!(
        first["nextRecordsUrl"]
            .as_str()
            .unwrap()
            .starts_with(&format!("{DATA}/query/01g"))
    );
    assert_eq!(
        (first["done"].clone(), first["totalSize"].clone()),
        (json!(false), json!(5))
    );
    assert_eq!(
        (
            second["done"].clone(),
            second["records"].as_array().unwrap().len()
        ),
        (json!(false), 2)
    );
    assert_eq!(
        (third["done"].clone(), third["totalSize"].clone()),
        (json!(true), json!(5))
    );
    assert_eq!(third["records"].as_array().unwrap().len(), 1);
    assert_eq!(closed.refusal().1, "INVALID_QUERY_LOCATOR");
}

/// The external ids on a page of children, and where the next one is.
fn children(page: &Value) -> (Vec<String>, Option<String>) {
    let records = page["records"].as_array().unwrap().iter();
    let ids = records.map(|record| record["External_Id__c"].as_str().unwrap().to_owned());
    let next = page["nextRecordsUrl"].as_str().map(str::to_owned);
    assert_eq!(page["done"], next.is_none());
    (ids.collect(), next)
}

#[tokio::test]
async fn children_that_do_not_fit_have_pages_of_their_own() {
    let org = org_with_usage().await;
    org.sandbox.settings(&json!({"page_size": 3})).unwrap();
    let soql = "SELECT Name, (SELECT External_Id__c FROM Usages__r ORDER BY External_Id__c) \
                FROM Contract_Product__c ORDER BY Name";

    // One parent and two of its four children fill the page.
    let first = org.query(soql).await.json();
    let (parents, of_first) = (&first["records"], &first["records"][0]["Usages__r"]);
    assert_eq!(
        (
            first["totalSize"].clone(),
            parents.as_array().unwrap().len()
        ),
        (json!(2), 1)
    );
    assert_eq!(of_first["totalSize"], 4);
    let (ids, next) = children(of_first);
    assert_eq!(ids, ["u-1", "u-2"]);
    let next = next.unwrap();
    assert!(next.ends_with("-2"), "{next}");

    let more = org.get(&next).await.json();
    let second = org
        .get(first["nextRecordsUrl"].as_str().unwrap())
        .await
        .json();

    assert_eq!(children(&more), (vec!["u-3".into(), "u-4".into()], None));
    assert_eq!(more["totalSize"], 4);
    assert_eq!(
        children(&second["records"][0]["Usages__r"]),
        (vec!["u-5".into()], None)
    );
    assert_eq!(second["done"], true);
}

#[tokio::test]
async fn a_page_without_room_for_children_has_one_all_the_same() {
    let org = org_with_usage().await;
    org.sandbox.settings(&json!({"page_size": 1})).unwrap();

    let soql = "SELECT (SELECT External_Id__c FROM Usages__r) FROM Contract_Product__c WHERE Name = 'CP-1'";
    let first = org.query(soql).await.json();

    let (mut ids, mut next) = children(&first["records"][0]["Usages__r"]);
    let mut pages = 1;
    while let Some(url) = next {
        let (more, after) = children(&org.get(&url).await.json());
        ids.extend(more);
        next = after;
        pages += 1;
    }
    assert_eq!(
        (ids, pages),
        ((1..=4).map(|n| format!("u-{n}")).collect(), 4)
    );
}

#[tokio::test]
async fn a_row_is_found_by_any_of_several_conditions_once() {
    let org = org_with_usage().await;

    for (rest, expected) in [
        (
            "WHERE External_Id__c IN ('u-4','u-2') OR External_Id__c = 'u-2'",
            "24",
        ),
        ("WHERE External_Id__c = 'u-4' OR Quantity__c < 3", "124"),
    ] {
        assert_eq!(found(&org, rest).await, expected, "{rest}");
    }
}

#[tokio::test]
async fn the_batch_size_is_kept_within_salesforces_bounds() {
    let org = Org::start().await;
    for n in 0..450 {
        org.sandbox
            .seed("Account", &json!({"Name": format!("A {n}")}))
            .unwrap();
    }

    let page = async |size: &str| {
        let request = org
            .http
            .get(org.url("/query"))
            .query(&[("q", "SELECT Id FROM Account")]);
        let request = request
            .bearer_auth(&org.token)
            .header("Sforce-Query-Options", format!("batchSize={size}"));
        let body: Value =
            serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
        body["records"].as_array().unwrap().len()
    };

    assert_eq!(
        (page("10").await, page("300").await, page("9999").await),
        (200, 300, 451)
    );
}

#[tokio::test]
async fn deleted_rows_are_found_by_query_all_only() {
    let org = org_with_usage().await;
    org.delete("/sobjects/Usage__c/External_Id__c/u-2").await;

    let soql = "SELECT+Id,IsDeleted+FROM+Usage__c+WHERE+External_Id__c='u-2'";
    let (query, all) = (
        org.get(&format!("/query?q={soql}")).await,
        org.get(&format!("/queryAll/?q={soql}")).await,
    );

    assert_eq!(query.json()["totalSize"], 0);
    assert_eq!(all.json()["records"][0]["IsDeleted"], true);
}

#[tokio::test]
async fn unknown_names_are_refused_with_an_echo_and_a_caret() {
    let org = org_with_usage().await;

    let object = org.query("select count() from XYZZY").await;
    assert_eq!(
        object.text,
        "[{\"message\":\"\\nselect count() from XYZZY\\n                    ^\\nERROR at Row:1:Column:21\\nsObject type \
         'XYZZY' is not supported. If you are attempting to use a custom object, be sure to append the '__c' after the \
         entity name. Please reference your WSDL or the describe call for the appropriate names.\",\"errorCode\":\
         \"INVALID_TYPE\"}]"
    );
    for (soql, code, position, words) in [
        (
            "SELECT Id, Foo__c FROM Usage__c",
            "INVALID_FIELD",
            "Column:12\n",
            "No such column 'Foo__c' on entity 'Usage__c'.",
        ),
        (
            "SELECT Id FROM Usage__c\nWHERE Foo__c = 1",
            "INVALID_FIELD",
            "Row:2:Column:7\n",
            "No such column 'Foo__c'",
        ),
        (
            "SELECT Nowhere__r.Name FROM Usage__c",
            "INVALID_FIELD",
            "Column:8\n",
            "Didn't understand relationship 'Nowhere__r'",
        ),
        (
            "SELECT Id, (SELECT Id FROM Nothing__r) FROM Contract",
            "INVALID_TYPE",
            "Column:28\n",
            "Didn't understand relationship 'Nothing__r'",
        ),
        (
            "SELECT Id FROM Contract WHERE Id = 'somethingwonky'",
            "INVALID_QUERY_FILTER_OPERATOR",
            "Column:31\n",
            "invalid ID field: somethingwonky",
        ),
        (
            "SELECT Id FROM Usage__c WHERE Quantity__c = '3'",
            "INVALID_FIELD",
            "Column:31\n",
            "value of filter criterion for field 'Quantity__c' must be of type double and should not be enclosed in quotes",
        ),
        (
            "SELECT Id FROM Usage__c WHERE Ad_Id__c = 3",
            "INVALID_FIELD",
            "Column:31\n",
            "must be of type string and should be enclosed in quotes",
        ),
        (
            "SELECT Id FORM Usage__c",
            "MALFORMED_QUERY",
            "",
            "unexpected token: 'FORM'",
        ),
        (
            "SELECT Id FROM Usage__c OFFSET 2001",
            "NUMBER_OUTSIDE_VALID_RANGE",
            "",
            "Maximum SOQL offset",
        ),
    ] {
        let answer = org.query(soql).await;
        let message = answer.json()[0]["message"].as_str().unwrap().to_owned();
        assert_eq!(answer.refusal().1, code, "{soql}: {message}");
        assert!(
            message.contains(position) && message.contains(words),
            "{soql}: {message}"
        );
    }
}

#[tokio::test]
async fn a_field_without_rights_looks_like_one_that_is_not_there() {
    let org = org_with_usage().await;
    org.sandbox.settings(&json!({"fields": [{"object": "Usage__c", "field": "Ad_Id__c", "hidden": true}], "rights": {"Account": []}})).unwrap();

    let field = org.query("SELECT Ad_Id__c FROM Usage__c").await;
    let object = org.query("SELECT Name FROM Account").await;
    let write = org
        .patch(
            "/sobjects/Usage__c/External_Id__c/u-1",
            &json!({"Ad_Id__c": "x"}),
        )
        .await;

    assert!(
        field
            .text
            .contains("No such column 'Ad_Id__c' on entity 'Usage__c'")
    );
    assert_eq!(object.refusal().1, "INVALID_TYPE");
    assert_eq!(
        write.json()[0]["message"],
        "No such column 'Ad_Id__c' on sobject of type Usage__c"
    );
    assert_eq!(org.get("/sobjects/Account/describe").await.status, 404);
    assert!(
        !org.get("/sobjects/Usage__c/describe")
            .await
            .text
            .contains("Ad_Id__c")
    );
}
