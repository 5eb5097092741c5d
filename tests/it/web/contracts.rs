//! Contracts, read live through the gateway.

use serde_json::json;
use usage_sync::sandbox::{Effect, Plan};

use super::Gateway;
use crate::support::World;

#[tokio::test]
async fn a_contract_is_told_by_any_of_its_names_with_what_is_pending() {
    let world = World::new(2).await;
    let daemon = world.daemon();
    world
        .app("insert into ad_product values (1, 'small', 0, 2.5), (2, 'small', 1, 9)")
        .await;
    world.in_step().await;
    drop(daemon);
    world
        .app("update ad_product set quantity = 4 where ad_id = 1")
        .await;
    let contracts = world.sandbox.records("Contract").expect("contracts");
    let id = world.products[0].0.as_str();
    let row = contracts
        .iter()
        .find(|row| row["Id"] == id)
        .expect("the contract");
    let number = row["ContractNumber"].as_str().expect("a number");
    let account = row["AccountId"].as_str().expect("an account");
    let gateway = Gateway::of(&world).await;

    for name in [id, &id[..15], number] {
        let answer = gateway.get(&format!("/contracts/{name}")).await;
        assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
        let told = answer.json();
        assert_eq!((&told["id"], &told["number"]), (&json!(id), &json!(number)));
        assert_eq!(
            (&told["status"], &told["locked"]),
            (&json!("Activated"), &json!(false))
        );
        let product = &told["products"][0];
        assert_eq!(product["consumed"].as_f64(), Some(2.5), "{told}");
        assert_eq!(product["units"].as_f64(), Some(1_000_000.0), "{told}");
        assert_eq!(product["available"].as_f64(), Some(999_997.5), "{told}");
        assert_eq!(product["pending"].as_f64(), Some(1.5), "{told}");
    }
    for account in [account, &account[..15]] {
        let told = gateway
            .get(&format!("/contracts?account={account}"))
            .await
            .json();
        let mut ids: Vec<&str> = told["contracts"]
            .as_array()
            .expect("contracts")
            .iter()
            .filter_map(|contract| contract["id"].as_str())
            .collect();
        ids.sort_unstable();
        let mut expected: Vec<&str> = world.products.iter().map(|(id, _)| id.as_str()).collect();
        expected.sort_unstable();
        assert_eq!(ids, expected);
    }
    world.set_contract(0, "Fulfilled");
    let told = gateway.get(&format!("/contracts/{id}")).await.json();
    assert_eq!(told["locked"], true, "read live");
}

#[tokio::test]
async fn what_is_no_contract_is_told_apart() {
    let world = World::new(1).await;
    let gateway = Gateway::of(&world).await;
    let ghost = "001000000000001AAA";

    for key in ["99999999", "a'b%25_", "%E5%BA%83", "x' OR Id != '"] {
        gateway
            .get(&format!("/contracts/{key}"))
            .await
            .refuses(404, "not_found");
    }
    let none = gateway.get(&format!("/contracts?account={ghost}")).await;
    assert_eq!(
        (none.status.as_u16(), none.json()),
        (200, json!({"contracts": []}))
    );
    for question in [
        "/contracts?account",
        "/contracts?account=",
        "/contracts?account=%00",
        "/contracts?account=Acme",
        "/contracts/%20",
        "/contracts/a%0Ab",
    ] {
        gateway.get(question).await.refuses(422, "invalid");
    }
}

#[tokio::test]
async fn what_salesforce_refuses_is_told_with_the_remedy() {
    let world = World::new(1).await;
    let gateway = Gateway::of(&world).await;
    world.sandbox.fault(Plan {
        path: Some(String::from("/query")),
        ..Plan::always(Effect::Error {
            status: 400,
            code: String::from("INVALID_FIELD"),
            message: String::from("No such column 'Units__c' on entity 'Contract_Product__c'."),
        })
    });

    let refused = gateway
        .get(&format!("/contracts/{}", world.products[0].0))
        .await;

    assert_eq!(refused.status.as_u16(), 503);
    let problem = refused.json();
    assert_eq!(problem["error"], "refused");
    let message = problem["message"].as_str().expect("a message");
    assert!(
        message.contains("Units__c") && message.contains("usage-sync check"),
        "{message}"
    );
}
