//! Contracts, read live: what is found, what is pending, how few calls it takes,
//! and what becomes of it when Salesforce does not answer.

mod command;
mod crowd;
mod outage;
mod pending;

use std::time::Duration;

use serde_json::{Value, json};
use usage_sync::{
    contracts::{Amount, Contract, Contracts, Error},
    salesforce::Client,
    settings::{Settings, Source},
};

use crate::support::World;

fn settings(world: &World, changes: &[(&'static str, &str)]) -> Settings {
    let mut environment = world.environment();
    for (name, value) in changes {
        environment.retain(|(own, _)| own != name);
        environment.push((name, (*value).to_owned()));
    }
    let settings = Source::read(environment).settings();
    settings.unwrap_or_else(|faults| panic!("{faults}"))
}

/// As a process has it that lives long.
fn contracts_with(world: &World, changes: &[(&'static str, &str)]) -> Contracts {
    let settings = settings(world, changes);
    let client = Client::new(&settings.salesforce).unwrap();
    let timeout: Duration = settings.salesforce.read_timeout;
    Contracts::new(client, world.pool.clone(), &settings.contract, timeout).unwrap()
}

fn contracts(world: &World) -> Contracts {
    contracts_with(world, &[])
}

/// Queries that Salesforce has seen, pages that follow included.
fn queries(world: &World) -> u64 {
    let calls = world.sandbox.stats().calls;
    let queries = calls
        .iter()
        .filter(|(call, _)| call.starts_with("GET query"));
    queries.map(|(_, count)| count).sum()
}

fn digits(amount: Option<&Amount>) -> Option<&str> {
    amount.map(Amount::as_str)
}

/// The number that Salesforce gave a contract.
fn number(world: &World, contract: usize) -> String {
    let rows = world.sandbox.records("Contract").unwrap();
    let id = world.products[contract].0.as_str();
    let row = rows.iter().find(|row| row["Id"] == id).unwrap();
    row["ContractNumber"].as_str().unwrap().to_owned()
}

fn seed_product(world: &World, contract: &str, fields: &Value) -> String {
    let mut product = json!({"Contract__c": contract, "Name": "more"});
    for (name, value) in fields.as_object().unwrap() {
        product[name] = value.clone();
    }
    world.sandbox.seed("Contract_Product__c", &product).unwrap()
}

async fn one(contracts: &Contracts, key: &str) -> Contract {
    let found = contracts
        .one(key)
        .await
        .unwrap_or_else(|error| panic!("{key}: {error:?}"));
    found.unwrap_or_else(|| panic!("no contract {key}"))
}

#[tokio::test]
async fn a_contract_is_found_by_either_form_of_its_id_and_by_its_number() {
    let world = World::new(2).await;
    let contracts = contracts(&world);
    let (id, product) = &world.products[1];
    let number = number(&world, 1);

    for key in [id.as_str(), &id[..15], &number, &format!(" {number} ")] {
        let contract = one(&contracts, key).await;

        assert_eq!((&contract.id, &contract.number), (id, &number), "{key}");
        assert_eq!(contract.account.as_deref(), Some("Acme"));
        assert_eq!(
            (contract.status.as_str(), contract.locked),
            ("Activated", false)
        );
        let [found] = contract.products.as_slice() else {
            panic!("{:?}", contract.products);
        };
        assert_eq!((&found.id, found.name.as_str()), (product, "product 1"));
        assert_eq!(found.code.as_deref(), Some("small"));
        assert_eq!(digits(found.units.as_ref()), Some("1000000.0"));
        assert_eq!(digits(found.price.as_ref()), Some("9.5"));
        assert_eq!(digits(found.consumed.as_ref()), Some("0.0"));
        assert_eq!(digits(found.available.as_ref()), Some("1000000.0"));
        assert_eq!(found.pending.as_str(), "0");
    }
    let account = one(&contracts, id).await.account_id.unwrap();
    for account in [account.as_str(), &account[..15]] {
        let all = contracts.of_account(account).await.unwrap();

        let ids: Vec<&String> = all.iter().map(|contract| &contract.id).collect();
        assert_eq!(ids, [&world.products[0].0, &world.products[1].0]);
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_what_names_nothing_is_said_to() {
    let world = World::new(1).await;
    let contracts = contracts(&world);
    let product = &world.products[0].1;

    for key in [
        "4711",
        "' OR Id != '",
        "8005f0000000999AAA",
        product,
        "000000000000101",
    ] {
        assert!(contracts.one(key).await.unwrap().is_none(), "{key}");
    }
    assert!(contracts.of_account(product).await.unwrap().is_empty());
    let asked = queries(&world);
    for error in [
        contracts.one("").await.unwrap_err(),
        contracts.one("a\u{7}").await.unwrap_err(),
        contracts.of_account("Acme").await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
        assert!(error.remedy().is_some());
    }
    assert_eq!(queries(&world), asked);
}

#[tokio::test]
async fn nothing_is_kept_between_two_answers() {
    let world = World::new(1).await;
    let contracts = contracts(&world);
    let (id, product) = &world.products[0];

    let first = one(&contracts, id).await;
    let before = queries(&world);
    world.set_contract(0, "Fulfilled");
    let change = json!({"Units__c": 12.5, "Price__c": 0.1});
    world
        .sandbox
        .change("Contract_Product__c", product, &change)
        .unwrap();
    let second = one(&contracts, id).await;

    assert_eq!(queries(&world), before + 1);
    assert!(!first.locked && second.locked);
    assert_eq!(second.status, "Fulfilled");
    assert_eq!(digits(second.products[0].units.as_ref()), Some("12.5"));
    assert_eq!(digits(second.products[0].price.as_ref()), Some("0.1"));
    assert!(first.as_of < second.as_of);
}

#[tokio::test]
async fn numbers_keep_their_digits_and_a_missing_one_is_missing() {
    let world = World::new(1).await;
    let contract = &world.products[0].0;
    let long = json!({"Name": "a", "Units__c": 12_345_678_901_234_u64, "Price__c": 1234.5678});
    seed_product(&world, contract, &long);
    seed_product(&world, contract, &json!({"Name": "b"}));

    let contract = one(&contracts(&world), contract).await;

    let [a, b, _] = contract.products.as_slice() else {
        panic!("{:?}", contract.products);
    };
    let text = serde_json::to_string(&contract).unwrap();
    assert!(
        text.contains("\"units\":12345678901234.0,\"price\":1234.5678"),
        "{text}"
    );
    assert_eq!(digits(a.price.as_ref()), Some("1234.5678"));
    assert!(b.units.is_none() && b.price.is_none() && b.code.is_none());
    assert!(text.contains("\"units\":null,\"price\":null"), "{text}");
}

#[tokio::test]
async fn a_contract_has_all_its_products_on_however_many_pages() {
    let world = World::new(3).await;
    for n in 0..10 {
        let name = json!({"Name": format!("more {n}")});
        seed_product(&world, &world.products[0].0, &name);
    }
    let bare = json!({"AccountId": one(&contracts(&world), &world.products[0].0).await.account_id,
        "Status": "Draft", "StartDate": "2026-01-01"});
    let bare = world.sandbox.seed("Contract", &bare).unwrap();

    for page_size in [1, 2, 4, 2000] {
        let pages = json!({ "page_size": page_size });
        world.sandbox.settings(&pages).unwrap();
        let contracts = contracts(&world);
        let account = one(&contracts, &bare).await.account_id.unwrap();

        let all = contracts.of_account(&account).await.unwrap();

        let counts: Vec<usize> = all.iter().map(|contract| contract.products.len()).collect();
        assert_eq!(counts, [11, 1, 1, 0], "pages of {page_size}");
        let names = all[0].products.iter().map(|product| product.name.as_str());
        let mut expected: Vec<String> = (0..10).map(|n| format!("more {n}")).collect();
        expected.push("product 0".to_owned());
        assert_eq!(names.collect::<Vec<_>>(), expected, "pages of {page_size}");
    }
}

#[tokio::test]
async fn names_of_another_org_are_settings() {
    let world = World::new(1).await;
    let (id, product) = &world.products[0];
    let names = [
        ("CONTRACT_UNITS_FIELD", "price__C"),
        ("CONTRACT_PRODUCT_CODE_FIELD", "Name"),
        ("CONTRACT_PRODUCT_EXTERNAL_ID_FIELD", ""),
        ("CONTRACT_LOCKED_STATUS", "activated"),
    ];

    let contract = one(&contracts_with(&world, &names), id).await;

    assert!(contract.locked);
    assert_eq!(&contract.products[0].id, product);
    assert_eq!(contract.products[0].code.as_deref(), Some("product 0"));
    assert_eq!(digits(contract.products[0].units.as_ref()), Some("9.5"));
}

#[tokio::test]
async fn a_number_that_several_contracts_have_names_none_of_them() {
    let world = World::new(2).await;
    // A field of the org's own may be filled twice; the status is here.
    let names = [("CONTRACT_NUMBER_FIELD", "Status")];
    let contracts = contracts_with(&world, &names);

    let error = contracts.one("Activated").await.unwrap_err();

    let Error::Invalid { why, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(why.contains("more than one"), "{why}");
}

#[tokio::test]
async fn a_contract_can_be_read_when_the_workers_share_of_the_calls_is_used_up() {
    let world = World::new(1).await;
    let used_up = json!({"daily_limit": 1_000_000, "daily_used": 900_000});
    world.sandbox.settings(&used_up).unwrap();
    let daemon = world.daemon_with(&[("SALESFORCE_API_BUDGET", "80%"), ("OUTAGE_MAX", "1m")]);
    world
        .app("insert into ad_product values (0, 'first', 0, 3)")
        .await;
    world.ad_is("0", "reported").await;
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 900) n")
        .await;
    daemon
        .logged("our share of the daily calls is used up")
        .await;

    let contract = one(&contracts(&world), &world.products[0].0).await;

    let product = &contract.products[0];
    let consumed = product.consumed.as_ref().unwrap().approximate();
    let pending = product.pending.approximate();
    assert!(pending > 0.0, "{product:?}");
    // What is just being told counts twice at most, and never not at all.
    assert!(consumed + pending >= 903.0, "{product:?}");
}
