//! Many who ask at once.

use std::{collections::BTreeSet, time::Instant};

use serde_json::json;
use tokio::task::JoinSet;
use usage_sync::{
    contracts::Amount,
    sandbox::{Effect, Plan},
};

use super::{contracts, contracts_with, number, one, queries};
use crate::support::{Mode, PATIENCE, Proxy, World, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_readers_of_ten_contracts_cost_a_tenth_of_the_queries() {
    const READERS: usize = 50;
    const READS: usize = 6;
    let world = World::new(10).await;
    let contracts = contracts(&world);
    // The login is not what is measured, and Salesforce takes its time.
    one(&contracts, &world.products[0].0).await;
    let slow = json!({"base_ms": 120});
    world.sandbox.settings(&slow).unwrap();
    let before = queries(&world);

    let mut readers = JoinSet::new();
    let mut keys = BTreeSet::new();
    for reader in 0..READERS {
        let contracts = contracts.clone();
        let (id, product) = world.products[reader % 10].clone();
        let key = if reader % 20 < 10 {
            id.clone()
        } else {
            number(&world, reader % 10)
        };
        keys.insert(key.clone());
        readers.spawn(async move {
            let mut slowest = std::time::Duration::ZERO;
            for _ in 0..READS {
                let began = Instant::now();
                let contract = one(&contracts, &key).await;
                slowest = slowest.max(began.elapsed());
                assert_eq!((&contract.id, &contract.products[0].id), (&id, &product));
            }
            slowest
        });
    }
    let slowest = readers.join_all().await.into_iter().max();

    let (reads, asked) = ((READERS * READS) as u64, queries(&world) - before);
    assert_eq!(keys.len(), 20);
    println!("{reads} reads, {asked} queries, the slowest {slowest:?}");
    assert!(asked * 10 <= reads, "{asked} queries for {reads} reads");
}

#[tokio::test]
async fn who_comes_while_queries_are_on_their_way_waits_for_none_of_them() {
    let world = World::new(1).await;
    let contracts = contracts(&world);
    let id = world.products[0].0.clone();
    one(&contracts, &id).await;
    let hang = world.sandbox.fault(Plan {
        path: Some("/query".to_owned()),
        times: Some(2),
        ..Plan::always(Effect::Hang)
    });
    let mut waiting = Vec::new();
    for hanging in 1..=2 {
        let (contracts, id) = (contracts.clone(), id.clone());
        waiting.push(tokio::spawn(async move { contracts.one(&id).await }));
        wait_until("a query that hangs", PATIENCE, async || {
            world.sandbox.fault_hits(hang) == hanging
        })
        .await;
    }

    one(&contracts, &id).await;

    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
}

#[tokio::test]
async fn however_many_come_one_after_the_other_few_queries_are_on_their_way() {
    let world = World::new(1).await;
    let contracts = contracts(&world);
    let id = world.products[0].0.clone();
    one(&contracts, &id).await;
    let slow = json!({"base_ms": 300});
    world.sandbox.settings(&slow).unwrap();

    let mut readers = JoinSet::new();
    for reader in 0..30 {
        let (contracts, id) = (contracts.clone(), id.clone());
        readers.spawn(async move {
            // Each would have a query to itself.
            tokio::time::sleep(std::time::Duration::from_millis(20 * reader)).await;
            one(&contracts, &id).await;
        });
    }
    readers.join_all().await;

    let at_once = world.sandbox.stats().max_in_flight;
    assert!(at_once <= 3, "{at_once} at once");
}

#[tokio::test]
async fn those_who_ask_at_once_are_answered_by_one_query_each_with_its_own() {
    let world = World::new(3).await;
    let other = world.sandbox.seed("Account", &json!({"Name": "Other"}));
    let elsewhere = json!({"AccountId": other.unwrap(), "Status": "Draft",
        "StartDate": "2026-01-01"});
    let elsewhere = world.sandbox.seed("Contract", &elsewhere).unwrap();
    let contracts = contracts(&world);
    one(&contracts, &world.products[0].0).await;
    let before = queries(&world);
    let account = one(&contracts, &world.products[0].0)
        .await
        .account_id
        .unwrap();
    let number = number(&world, 1);

    let (by_id, by_number, none, of_account, again, of_another) = tokio::join!(
        contracts.one(&world.products[0].0),
        contracts.one(&number),
        contracts.one("' OR ContractNumber LIKE '%"),
        contracts.of_account(&account),
        contracts.one(&world.products[0].0),
        contracts.one(&elsewhere),
    );

    // One told the account, and one is for its contracts.
    assert_eq!(queries(&world), before + 3);
    let (by_id, again) = (by_id.unwrap().unwrap(), again.unwrap().unwrap());
    assert_eq!(
        (&by_id.id, &again.id),
        (&world.products[0].0, &world.products[0].0)
    );
    assert_eq!(by_number.unwrap().unwrap().id, world.products[1].0);
    assert!(none.unwrap().is_none());
    assert_eq!(of_account.unwrap().len(), 3, "and none of another account");
    assert_eq!(of_another.unwrap().unwrap().id, elsewhere);
}

#[tokio::test]
async fn more_contracts_than_an_address_has_room_for_are_all_answered() {
    let world = World::new(2).await;
    let contracts = contracts(&world);
    let mut askers = JoinSet::new();
    for n in 0..60 {
        let contracts = contracts.clone();
        let unknown = format!("{n}{}", "ß€".repeat(120));
        askers.spawn(async move { contracts.one(&unknown).await.unwrap().is_none() });
    }
    for (id, _) in world.products.clone() {
        let contracts = contracts.clone();
        askers.spawn(async move { contracts.one(&id).await.unwrap().is_some() });
    }

    assert!(askers.join_all().await.into_iter().all(|right| right));
    assert!(queries(&world) > 2);
}

#[tokio::test]
async fn who_goes_away_takes_no_answer_from_anybody() {
    let world = World::new(1).await;
    let contracts = contracts(&world);
    let id = world.products[0].0.clone();
    let slow = json!({"base_ms": 100});
    world.sandbox.settings(&slow).unwrap();

    for patience in [0, 1, 5, 60] {
        let hasty = {
            let (contracts, id) = (contracts.clone(), id.clone());
            tokio::spawn(async move { one(&contracts, &id).await })
        };
        let patient = {
            let (contracts, id) = (contracts.clone(), id.clone());
            tokio::spawn(async move { one(&contracts, &id).await })
        };
        tokio::time::sleep(std::time::Duration::from_millis(patience)).await;
        hasty.abort();

        assert_eq!(patient.await.unwrap().id, id);
    }
}

/// Two flights were answered by Salesforce, and their answers are held up on the
/// way, when a contract changes and somebody else asks for it.
#[tokio::test]
async fn an_answer_is_never_older_than_the_question() {
    let world = World::new(1).await;
    let proxy = Proxy::in_front_of(world.sandbox.base_url()).await;
    let there = json!({"instance_url": proxy.url()});
    world.sandbox.settings(&there).unwrap();
    let contracts = contracts_with(&world, &[("SALESFORCE_READ_TIMEOUT", "60s")]);
    let (id, product) = world.products[0].clone();
    one(&contracts, &id).await;
    let before = queries(&world);
    // Time to hold the answers up. A machine that takes longer lets them through,
    // and then they are no temptation.
    let slow = world.sandbox.fault(Plan {
        path: Some("/query".to_owned()),
        ..Plan::always(Effect::Delay { ms: 2000 })
    });
    let mut early = JoinSet::new();
    for asked in 1..=2 {
        let (contracts, id) = (contracts.clone(), id.clone());
        early.spawn(async move { one(&contracts, &id).await });
        wait_until("a question in Salesforce", PATIENCE, async || {
            world.sandbox.fault_hits(slow) == asked
        })
        .await;
    }
    proxy.set(Mode::Stall);
    wait_until("both to be answered", PATIENCE, async || {
        queries(&world) == before + 2
    })
    .await;
    world.sandbox.end_fault(slow);

    let change = json!({"Units__c": 12.5});
    world
        .sandbox
        .change("Contract_Product__c", &product, &change)
        .unwrap();
    // The question comes first, then the answers may go on.
    let (late, ()) = tokio::join!(one(&contracts, &id), async { proxy.set(Mode::Pass) });

    let units = late.products[0].units.as_ref().map(Amount::as_str);
    assert_eq!(units, Some("12.5"));
    assert_eq!(early.join_all().await.len(), 2);
}
