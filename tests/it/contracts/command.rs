//! `usage-sync contract`, and what `check` says of contracts.

use serde_json::{Value, json};
use usage_sync::sandbox::{Effect, Plan};

use super::{number, seed_product};
use crate::support::World;

/// The only line of JSON that a command printed.
fn answer(out: &str) -> Value {
    let line = out.lines().find(|line| line.starts_with('{'));
    serde_json::from_str(line.unwrap_or_else(|| panic!("no JSON in {out}"))).unwrap()
}

#[tokio::test]
async fn a_contract_is_printed_as_json_with_what_is_pending() {
    let world = World::new(1).await;
    let (id, product) = &world.products[0];
    world
        .app("insert into ad_product values (1, 'small', 0, 2.5)")
        .await;

    for key in [id.as_str(), &number(&world, 0)] {
        let (exit, out) = world.command(&["contract", key, "--json"]).await;

        let contract = answer(&out);
        assert_eq!(exit, 0, "{out}");
        assert_eq!(contract["id"], id.as_str());
        assert_eq!(contract["number"], number(&world, 0));
        assert_eq!(contract["account"], "Acme");
        assert_eq!(
            (&contract["status"], &contract["locked"]),
            (&json!("Activated"), &json!(false))
        );
        let as_of = contract["as_of"].as_str().unwrap();
        assert!(as_of.ends_with('Z') && as_of.contains('T'), "{as_of}");
        let found = &contract["products"][0];
        assert_eq!(found["id"], product.as_str());
        assert_eq!(
            (&found["code"], &found["name"]),
            (&json!("small"), &json!("product 0"))
        );
        assert_eq!(
            (&found["units"], &found["price"]),
            (&json!(1_000_000.0), &json!(9.5))
        );
        assert_eq!(
            (&found["consumed"], &found["available"]),
            (&json!(0.0), &json!(1_000_000.0))
        );
        assert_eq!(found["pending"], json!(2.5));
    }
}

#[tokio::test]
async fn a_person_reads_a_table_and_a_program_tabs() {
    let world = World::new(1).await;
    seed_product(
        &world,
        &world.products[0].0,
        &json!({"Name": "a\u{1b}[31mb", "Units__c": 10}),
    );
    world.set_contract(0, "Fulfilled");

    let (exit, out) = world.command(&["contract", &number(&world, 0)]).await;

    assert_eq!(exit, 0, "{out}");
    assert!(!out.contains('\u{1b}'), "{out:?}");
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].contains("(Fulfilled, locked) of Acme"), "{out}");
    assert_eq!(
        lines[1],
        "CODE\tNAME\tUNITS\tPRICE\tCONSUMED\tPENDING\tAVAILABLE\tID"
    );
    assert!(lines[2].starts_with("\ta [31mb\t10\t\t0\t0\t10\t"), "{out}");
    assert!(
        lines[3].starts_with("small\tproduct 0\t1000000\t9.5\t0\t0\t1000000\t"),
        "{out}"
    );
}

#[tokio::test]
async fn the_contracts_of_an_account_come_together() {
    let world = World::new(2).await;
    let rows = world.sandbox.records("Contract").unwrap();
    let account = rows[0]["AccountId"].as_str().unwrap();

    let (exit, out) = world
        .command(&["contract", "--account", account, "--json"])
        .await;

    let found = answer(&out);
    let ids: Vec<&str> = found["contracts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|contract| contract["id"].as_str().unwrap())
        .collect();
    assert_eq!(
        (exit, ids),
        (0, vec![world.products[0].0.as_str(), &world.products[1].0])
    );
    let (exit, out) = world.command(&["contract", "--account", account]).await;
    assert_eq!((exit, out.matches("CODE\t").count()), (0, 2), "{out}");
}

#[tokio::test]
async fn the_exit_code_says_why_there_is_no_contract() {
    let world = World::new(1).await;
    let product = world.products[0].1.clone();
    for (arguments, code, words) in [
        (vec!["contract", "4711"], 1, "no such contract: 4711"),
        (
            vec!["contract", "--account", &product],
            1,
            "has no contract",
        ),
        (
            vec!["contract", "--account", "Acme"],
            64,
            "does not name one contract or account",
        ),
        (vec!["contract"], 64, "Usage"),
    ] {
        let (exit, out) = world.command(&arguments).await;
        assert_eq!(exit, code, "{arguments:?}: {out}");
        assert!(out.contains(words), "{arguments:?}: {out}");
    }

    let fault = world.sandbox.fault(Plan {
        path: Some("/query".to_owned()),
        ..Plan::always(Effect::HtmlPage { status: 503 })
    });
    let (exit, out) = world.command(&["contract", "00000101", "--json"]).await;
    assert_eq!(exit, 69, "{out}");
    assert!(
        out.contains("salesforce is not available") && out.contains("503"),
        "{out}"
    );
    assert!(!out.contains('{'), "{out}");
    world.sandbox.end_fault(fault);

    let hidden = json!({"fields": [
        {"object": "Contract_Product__c", "field": "Price__c", "hidden": true}]});
    world.sandbox.settings(&hidden).unwrap();
    let (exit, out) = world.command(&["contract", "00000101"]).await;
    assert_eq!(exit, 78, "{out}");
    assert!(
        out.contains("Price__c") && out.contains("usage-sync check"),
        "{out}"
    );
}

#[tokio::test]
async fn check_names_what_is_missing_and_the_variable_for_it() {
    let world = World::new(1).await;
    let item = async || {
        let (_, out) = world.command(&["check", "--json"]).await;
        let items = answer(&out)["items"].as_array().unwrap().clone();
        let item = items.into_iter().find(|item| item["name"] == "contracts");
        let item = item.unwrap_or_else(|| panic!("no item contracts in {out}"));
        let text = |key: &str| item[key].as_str().unwrap().to_owned();
        (text("state"), text("message"), text("remedy"))
    };
    let (state, message, _) = item().await;
    assert_eq!(
        (state.as_str(), message.as_str()),
        ("ok", "Contract with Contract_Products__r")
    );

    let hidden = json!({"fields": [
        {"object": "Contract_Product__c", "field": "Consumed__c", "hidden": true},
        {"object": "Contract_Product__c", "field": "Product_Code__c", "hidden": true}],
        "rights": {"Account": []}});
    world.sandbox.settings(&hidden).unwrap();
    let (state, message, remedy) = item().await;

    assert_eq!(state, "warning");
    for words in [
        "CONTRACT_CONSUMED_FIELD: Contract_Product__c has no field Consumed__c",
        "CONTRACT_PRODUCT_CODE_FIELD: Contract_Product__c has no field Product_Code__c",
        "CONTRACT_ACCOUNT_RELATIONSHIP: Account",
    ] {
        assert!(message.contains(words), "{message}");
    }
    assert!(!message.contains("CONTRACT_UNITS_FIELD"), "{message}");
    assert!(remedy.contains("permission set"), "{remedy}");
}

#[tokio::test]
async fn check_finds_names_that_are_of_no_use() {
    let world = World::new(1).await;
    for (variable, value, words) in [
        (
            "CONTRACT_OBJECT",
            "Contracts__c",
            "CONTRACT_OBJECT: Contracts__c",
        ),
        (
            "CONTRACT_UNITS_FIELD",
            "Name",
            "Contract_Product__c.Name is of type string",
        ),
        (
            "CONTRACT_PRODUCTS_RELATIONSHIP",
            "Products__r",
            "Contract has no children Products__r",
        ),
        (
            "CONTRACT_PRODUCT_OBJECT",
            "Usage__c",
            "are Contract_Product__c, and not Usage__c",
        ),
        (
            "CONTRACT_USAGE_PRODUCT_FIELD",
            "Ad_Id__c",
            "is no reference to Contract_Product__c",
        ),
        (
            "CONTRACT_USAGE_QUANTITY_FIELD",
            "Units__c",
            "Usage__c has no field Units__c",
        ),
        (
            "CONTRACT_LOCKED_STATUS",
            "Done",
            "offers no status \"Done\"",
        ),
        ("CONTRACT_PRODUCT_EXTERNAL_ID_FIELD", "", ""),
    ] {
        let mut environment = world.environment();
        environment.push((variable, value.to_owned()));
        let mut command = crate::support::Daemon::start(&["check", "--json"], environment);
        command.ended().await;

        let items = answer(&command.log())["items"].as_array().unwrap().clone();
        let item = items
            .iter()
            .find(|item| item["name"] == "contracts")
            .unwrap();
        let message = item["message"].as_str().unwrap();
        assert!(message.contains(words), "{variable}={value}: {message}");
        let expected = if words.is_empty() { "ok" } else { "warning" };
        assert_eq!(item["state"], expected, "{variable}={value}: {message}");
    }
}
