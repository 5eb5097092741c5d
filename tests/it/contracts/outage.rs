//! Salesforce down, slow, or in need of a person; and the database.

use std::time::{Duration, Instant};

use serde_json::json;
use time::OffsetDateTime;
use tokio::task::JoinSet;
use usage_sync::{
    contracts::{Contracts, Error, Outage},
    sandbox::{Effect, Plan},
};

use super::{contracts, contracts_with, one, queries, seed_product};
use crate::support::{PATIENCE, World};

/// Every query has this effect.
fn of_queries(effect: Effect) -> Plan {
    Plan {
        path: Some("/query".to_owned()),
        ..Plan::always(effect)
    }
}

async fn since(contracts: &Contracts, id: &str) -> OffsetDateTime {
    match contracts.one(id).await.unwrap_err() {
        Error::Unavailable { since, .. } => since,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn while_salesforce_is_down_each_answer_says_since_when() {
    let world = World::new(1).await;
    let contracts = contracts(&world);
    let id = &world.products[0].0;
    one(&contracts, id).await;
    let began = OffsetDateTime::now_utc();
    let fault = world
        .sandbox
        .fault(of_queries(Effect::HtmlPage { status: 503 }));

    let first = since(&contracts, id).await;
    let second = since(&contracts, id).await;
    world.sandbox.end_fault(fault);
    one(&contracts, id).await;
    world.sandbox.fault(of_queries(Effect::DropBefore));
    let later = since(&contracts, id).await;

    assert!(began <= first, "{first} is before {began}");
    assert_eq!(first, second);
    assert!(later > first);
}

#[tokio::test]
async fn whoever_asks_has_an_answer_in_time_of_a_salesforce_that_says_nothing() {
    everybody_has_an_answer_in_time(Effect::Hang, 2000).await;
}

#[tokio::test]
async fn whoever_asks_has_an_answer_in_time_of_a_salesforce_that_finds_no_end() {
    everybody_has_an_answer_in_time(Effect::EndlessBody, 2000).await;
}

/// Each page is in time, all of them together are not.
#[tokio::test]
async fn whoever_asks_has_an_answer_in_time_of_a_salesforce_that_is_slow() {
    everybody_has_an_answer_in_time(Effect::Delay { ms: 600 }, 1).await;
}

async fn everybody_has_an_answer_in_time(effect: Effect, page_size: u32) {
    // The database has half of it, which has to do on a machine that stands still
    // for a while: without its answer Salesforce would not be asked at all.
    const LIMIT: Duration = Duration::from_secs(8);
    let world = World::new(1).await;
    for n in 0..30 {
        seed_product(
            &world,
            &world.products[0].0,
            &json!({"Name": format!("more {n}")}),
        );
    }
    let id = world.products[0].0.clone();
    let pages = json!({ "page_size": page_size });
    world.sandbox.settings(&pages).unwrap();
    let contracts = contracts_with(&world, &[("SALESFORCE_READ_TIMEOUT", "8s")]);
    world.sandbox.fault(of_queries(effect));
    let mut askers = JoinSet::new();
    for n in 0..30 {
        let (contracts, id) = (contracts.clone(), id.clone());
        askers.spawn(async move {
            // Some come while others have been waiting.
            tokio::time::sleep(Duration::from_millis(200 * n)).await;
            let began = Instant::now();
            let error = contracts.one(&id).await.unwrap_err();
            (error, began.elapsed())
        });
    }

    for (error, lasted) in askers.join_all().await {
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        assert!(lasted < LIMIT * 2, "{lasted:?}");
    }
}

#[tokio::test]
async fn an_account_that_takes_too_long_holds_nobody_else_up() {
    let world = World::new(2).await;
    for n in 0..30 {
        seed_product(
            &world,
            &world.products[0].0,
            &json!({"Name": format!("more {n}")}),
        );
    }
    let id = &world.products[1].0;
    let contracts = contracts_with(&world, &[("SALESFORCE_READ_TIMEOUT", "8s")]);
    let account = one(&contracts, id).await.account_id.unwrap();
    world.sandbox.settings(&json!({"page_size": 1})).unwrap();
    world.sandbox.fault(of_queries(Effect::Delay { ms: 600 }));

    let (of_account, found) = tokio::join!(contracts.of_account(&account), contracts.one(id));

    let error = of_account.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert_eq!(&found.unwrap().unwrap().id, id);
}

#[tokio::test]
async fn once_salesforce_answers_again_so_does_the_next_question() {
    let world = World::new(1).await;
    let contracts = contracts_with(&world, &[("SALESFORCE_READ_TIMEOUT", "2s")]);
    let id = &world.products[0].0;
    let fault = world.sandbox.fault(of_queries(Effect::Hang));
    let (one_of_them, other) = tokio::join!(contracts.one(id), contracts.one(id));
    assert!(one_of_them.is_err() && other.is_err());

    world.sandbox.end_fault(fault);

    // What hung is given up by its own limit; a busy machine may need a moment.
    crate::support::wait_until("an answer", PATIENCE, async || {
        contracts.one(id).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn used_up_calls_are_an_outage_and_a_dead_token_is_none() {
    let world = World::new(1).await;
    let contracts = contracts(&world);
    let id = &world.products[0].0;
    one(&contracts, id).await;

    world.sandbox.expire_tokens();
    one(&contracts, id).await;

    let concurrent = false;
    world
        .sandbox
        .fault(of_queries(Effect::RequestLimit { concurrent }));
    let error = contracts.one(id).await.unwrap_err();
    let Error::Unavailable {
        source: Outage::Failed(cause),
        ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(cause.code(), Some("REQUEST_LIMIT_EXCEEDED"));
}

#[tokio::test]
async fn what_a_person_has_to_change_is_told_as_such() {
    let world = World::new(1).await;
    let id = &world.products[0].0;
    let hidden = json!({"fields": [
        {"object": "Contract_Product__c", "field": "Units__c", "hidden": true}]});
    world.sandbox.settings(&hidden).unwrap();

    let error = contracts(&world).one(id).await.unwrap_err();

    let Error::Refused(cause) = &error else {
        panic!("{error:?}");
    };
    assert!(
        cause.to_string().contains("No such column 'Units__c'"),
        "{cause}"
    );
    assert!(error.remedy().unwrap().contains("usage-sync check"));
    let login = world.sandbox.fault(Plan {
        path: Some("/oauth2/token".to_owned()),
        ..Plan::always(Effect::LoginRefused {
            error: "invalid_client_id".to_owned(),
            description: "client identifier invalid".to_owned(),
        })
    });
    let error = contracts(&world).one(id).await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error:?}");
    assert!(error.remedy().unwrap().contains("SALESFORCE_CLIENT_ID"));
    world.sandbox.end_fault(login);
}

#[tokio::test]
async fn a_query_that_is_refused_is_no_outage_and_ends_one() {
    let world = World::new(1).await;
    let contracts = contracts(&world);
    let id = &world.products[0].0;
    one(&contracts, id).await;
    world.sandbox.fault(of_queries(Effect::DropBefore));
    let first = since(&contracts, id).await;
    world.sandbox.clear_faults();

    for (status, code) in [
        (400, "INVALID_FIELD"),
        (400, "INVALID_TYPE"),
        (400, "MALFORMED_QUERY"),
        (403, "INSUFFICIENT_ACCESS"),
        (404, "NOT_FOUND"),
    ] {
        let refusal = world.sandbox.fault(of_queries(Effect::Error {
            status,
            code: code.to_owned(),
            message: "not like this".to_owned(),
        }));

        let error = contracts.one(id).await.unwrap_err();

        let Error::Refused(cause) = &error else {
            panic!("{code}: {error:?}");
        };
        assert_eq!(cause.code(), Some(code));
        assert!(error.remedy().is_some(), "{code}");
        world.sandbox.end_fault(refusal);
    }

    // Who refuses has answered.
    world.sandbox.fault(of_queries(Effect::DropBefore));
    let later = since(&contracts, id).await;
    assert!(later > first, "{later} is not after {first}");
}

#[tokio::test]
async fn without_the_database_nobody_is_told_that_nothing_is_pending() {
    let world = World::new(1).await;
    // The database has half of it; as much again tells that it was the database.
    let contracts = contracts_with(&world, &[("SALESFORCE_READ_TIMEOUT", "10s")]);
    let id = world.products[0].0.clone();
    one(&contracts, &id).await;
    let before = queries(&world);

    world.database.server.kill().await.unwrap();
    let error = contracts.one(&id).await.unwrap_err();

    assert!(matches!(error, Error::Ledger(_)), "{error:?}");
    assert_eq!(queries(&world), before);
}
