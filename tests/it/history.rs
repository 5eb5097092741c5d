//! What people can look back at: the journal of an ad, what was billed on a
//! contract at any moment, and why ads are rejected.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use sqlx::types::time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use usage_sync::{
    ledger::{Ledger, history},
    plan::Names,
};

use crate::support::{PATIENCE, World, wait_until};

/// The one line of JSON that a command answers.
async fn answer(world: &World, arguments: &[&str]) -> (i32, Value) {
    let (exit, out) = world.command(arguments).await;
    let line = out.lines().find(|line| line.starts_with('{'));
    let line = line.unwrap_or_else(|| panic!("{arguments:?} ended with {exit}: {out}"));
    (exit, serde_json::from_str(line).expect("JSON"))
}

async fn now(world: &World) -> OffsetDateTime {
    sqlx::query_scalar("select clock_timestamp()")
        .fetch_one(&world.pool)
        .await
        .expect("postgres has a clock")
}

async fn settled(world: &World) {
    wait_until("everything to be settled", PATIENCE, async || {
        world.pending().await == 0
    })
    .await;
}

/// External ids and quantities of what Salesforce holds on one contract.
async fn held_on(world: &World, contract: usize) -> BTreeMap<String, String> {
    let product = &world.products[contract].1;
    let held = world.held().await.into_iter();
    held.filter(|usage| usage.contract_product == *product)
        .map(|usage| (usage.external_id, plain(&usage.quantity)))
        .collect()
}

/// The same of what the journal says was billed.
async fn billed_on(
    world: &World,
    contract: usize,
    at: OffsetDateTime,
) -> (BTreeMap<String, String>, f64) {
    let names = [world.products[contract].0.clone()];
    let standing = history::billed(&world.pool, &names, Some(at))
        .await
        .expect("it can be asked");
    let total = standing
        .totals
        .iter()
        .find(|(field, _)| field == "Quantity__c");
    let total = total.map_or(0.0, |(_, sum)| sum.parse().expect("a number"));
    let records = standing.records.into_iter().map(|record| {
        let fields: Value = serde_json::from_str(&record.fields).expect("JSON");
        (
            record.external_id,
            plain(&fields["Quantity__c"].to_string()),
        )
    });
    (records.collect(), total)
}

/// A number without the digits that say nothing.
fn plain(number: &str) -> String {
    number.parse::<f64>().expect("a number").to_string()
}

/// Something that the app or the sales team does.
async fn act(world: &World, random: &mut fastrand::Rng) {
    let (ad, contract, units) = (random.i64(1..=6), random.i32(0..2), random.i32(1..100));
    let product = ["small", "large"][random.usize(0..2)];
    let statement = match random.u32(0..10) {
        0..=3 => format!(
            "insert into ad_product values ({ad}, '{product}', {contract}, {units}) \
             on conflict (ad_id, product) do update set quantity = {units}"
        ),
        4..=5 => format!("update ad_product set contract_product = {contract} where ad_id = {ad}"),
        6 => format!("update ad_product set quantity = quantity + 0.25 where ad_id = {ad}"),
        7 => format!("delete from ad_product where ad_id = {ad} and product = '{product}'"),
        8 => {
            world.set_contract(contract.unsigned_abs() as usize, "Fulfilled");
            return;
        }
        _ => {
            world.set_contract(contract.unsigned_abs() as usize, "Activated");
            return;
        }
    };
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .execute(&world.pool)
        .await
        .expect("the app's SQL");
}

#[tokio::test]
async fn the_journal_tells_what_salesforce_held_at_any_moment() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let world = World::new(2).await;
    let daemon = world.daemon();
    let mut moments = Vec::new();
    for _ in 0..25 {
        for _ in 0..random.u32(1..4) {
            act(&world, &mut random).await;
        }
        settled(&world).await;
        // Nothing is under way, so this is how it stands at this moment.
        let held = [held_on(&world, 0).await, held_on(&world, 1).await];
        let consumed = [world.consumed(0), world.consumed(1)];
        moments.push((now(&world).await, held, consumed));
    }
    drop(daemon);

    random.shuffle(&mut moments);
    for (at, held, consumed) in &moments {
        for contract in [0, 1] {
            let (billed, total) = billed_on(&world, contract, *at).await;
            assert_eq!(
                billed, held[contract],
                "seed {seed}, contract {contract}, {at}"
            );
            let consumed = consumed[contract].unwrap_or(0.0);
            assert!(
                (total - consumed).abs() < 1e-6,
                "seed {seed}: {total} of {consumed} at {at}"
            );
        }
    }
    let held =
        |moment: &(_, [BTreeMap<String, String>; 2], _)| moment.1.iter().any(|on| !on.is_empty());
    assert!(
        moments.iter().any(held),
        "seed {seed}: nothing was ever billed"
    );
}

/// Before the correction of ad 1, and now.
async fn what_stood_is_told_by_any_name_of_the_contract(world: &World, before: &str) {
    // By id, short or long, and by the number that only Salesforce knows.
    let contract = &world.products[0].0;
    let contracts = world.sandbox.records("Contract").expect("contracts");
    let row = contracts.iter().find(|row| row["Id"] == contract.as_str());
    let number = row.expect("the contract")["ContractNumber"]
        .as_str()
        .expect("a number")
        .to_owned();
    for name in [contract.as_str(), &contract[..15], &number] {
        let asked = ["history", "--contract", name, "--at", before, "--json"];
        let (exit, stood) = answer(world, &asked).await;
        assert_eq!((exit, &stood["at"]), (0, &json!(before)));
        let records = stood["records"].as_array().expect("records");
        let ids: Vec<&str> = records
            .iter()
            .filter_map(|r| r["external_id"].as_str())
            .collect();
        assert_eq!(ids, ["1:large", "1:small"], "{name}");
        assert_eq!(stood["totals"], json!({"Quantity__c": 5.5}), "{name}");
        let (_, now) = answer(world, &["history", "--contract", name, "--json"]).await;
        assert_eq!(
            now["totals"],
            json!({"Quantity__c": 3.5}),
            "the refused 8 is not billed"
        );
    }
    let (exit, out) = world
        .command(&["history", "--contract", contract, "--at", before, "--csv"])
        .await;
    let rows = out.lines().filter(|line| line.starts_with("1,")).count();
    assert_eq!((exit, rows), (0, 2), "{out}");
    let (_, out) = world
        .command(&["history", "--contract", contract, "--at", before])
        .await;
    assert!(out.contains("total Quantity__c\t5.50"), "{out}");
    let (_, out) = world
        .command(&[
            "history",
            "--contract",
            contract,
            "--at",
            "2020-01-01T00:00:00Z",
        ])
        .await;
    assert!(
        out.contains("nothing was billed at 2020-01-01T00:00:00Z"),
        "{out}"
    );
}

#[tokio::test]
async fn a_person_finds_out_why_an_ad_was_billed_and_what_was_refused() {
    let world = World::new(2).await;
    let _daemon = world.daemon();
    world
        .app("insert into ad_product values (1, 'small', 0, 3.50), (1, 'large', 0, 2), (2, 'small', 1, 9)")
        .await;
    world.in_step().await;
    let before = now(&world).await.format(&Rfc3339).expect("a time");
    world
        .app("delete from ad_product where product = 'large'")
        .await;
    world.in_step().await;
    world.set_contract(0, "Fulfilled");
    world
        .app("update ad_product set quantity = 8 where ad_id = 1")
        .await;
    world.ad_is("1", "rejected").await;

    let (exit, told) = answer(&world, &["history", "1", "--json"]).await;
    assert_eq!((exit, &told["ad"]), (0, &json!("1")));
    let entries = told["entries"].as_array().expect("entries");
    let actions: Vec<&str> = entries
        .iter()
        .filter_map(|e| e["action"].as_str())
        .collect();
    assert_eq!(actions, ["create", "create", "withdraw", "reject"]);
    assert_eq!(entries[3]["fields"]["Quantity__c"], 8);
    assert_eq!(entries[3]["code"], "FIELD_CUSTOM_VALIDATION_EXCEPTION");
    for entry in entries {
        let at = entry["at"].as_str().expect("a time");
        assert!(
            at.ends_with('Z') && OffsetDateTime::parse(at, &Rfc3339).is_ok(),
            "{at}"
        );
    }
    let (_, out) = world.command(&["history", "1"]).await;
    let lines: Vec<&str> = out.lines().filter(|line| line.contains('\t')).collect();
    assert_eq!(
        (lines.len(), lines[0].starts_with("AT\tACTION\tAD")),
        (5, true),
        "{out}"
    );
    let (_, out) = world.command(&["history", "1", "--csv"]).await;
    assert!(
        out.contains("at,action,ad,line,contract,") && out.contains("\"{\"\"Ad_Id__c\"\""),
        "{out}"
    );

    what_stood_is_told_by_any_name_of_the_contract(&world, &before).await;

    for (asked, code) in [
        (&["history", "no such ad"][..], 1),
        (&["history", "--contract", "99999999"], 1),
        (
            &["history", "--contract", "99999999", "--at", "yesterday"],
            64,
        ),
    ] {
        let (exit, out) = world.command(asked).await;
        assert_eq!(exit, code, "{asked:?}: {out}");
    }
    let (exit, told) = answer(&world, &["rejected", "--json"]).await;
    assert_eq!((exit, &told["rejected"]), (0, &json!(1)));
    let example = &told["causes"][0]["example"];
    assert_eq!(
        (
            &example["ad"],
            &example["refused"][0]["held"]["Quantity__c"]
        ),
        (&json!("1"), &json!(3.5))
    );
}

#[tokio::test]
async fn rejected_ads_are_grouped_by_what_they_are_rejected_for() {
    let world = World::new(1).await;
    let (exit, out) = world.command(&["rejected"]).await;
    assert_eq!(
        (exit, out.contains("no ad is rejected")),
        (0, true),
        "{out}"
    );
    let names = Names {
        prefix: String::new(),
        reserved: Vec::new(),
    };
    let ledger = Ledger::new(world.pool.clone(), names);
    let taken = "duplicate value found: External_Id__c duplicates value on record with id: ";
    let duplicate = |id: &str| ("DUPLICATE_VALUE", format!("{taken}{id}"));
    let rule = |words: &str| ("FIELD_CUSTOM_VALIDATION_EXCEPTION", words.to_owned());
    let twice = |line: &str| {
        let words = format!("line \"{line}\" stands twice in usage_sync.usage");
        ("VIEW_LINE_TWICE", words)
    };
    let errors = [
        rule("Contract is fulfilled; usage is locked."),
        duplicate("001RM000003oLnnYAE"),
        duplicate("003RM0000068xV6YAI"),
        rule("No more than 9 a day."),
        rule("No more than 10 a day."),
        twice("a"),
        twice("b"),
        duplicate("0056g000005HQPyAAO"),
    ];
    for (n, (code, message)) in errors.iter().enumerate() {
        let ad = (n + 1).to_string();
        sqlx::query("insert into usage_sync.ad (ad_id, changed_at) values ($1, now())")
            .bind(&ad)
            .execute(&world.pool)
            .await
            .expect("a new ad");
        let hours = Duration::from_hours(6);
        let refusing = ledger.refuse(&ad, code, message, hours);
        refusing.await.expect("it is refused");
    }

    let (exit, told) = answer(&world, &["rejected", "--json"]).await;
    assert_eq!((exit, &told["rejected"]), (0, &json!(8)));
    let causes = told["causes"].as_array().expect("causes");
    let short: Vec<(i64, &str, &str)> = causes
        .iter()
        .map(|cause| {
            let count = cause["count"].as_i64().expect("a count");
            (
                count,
                cause["rule"].as_str().expect("a rule"),
                cause["example"]["ad"].as_str().expect("an ad"),
            )
        })
        .collect();
    assert_eq!(
        short,
        [
            (3, &*format!("{taken}…"), "2"),
            (2, "line \"…\" stands twice in usage_sync.usage", "6"),
            (1, "Contract is fulfilled; usage is locked.", "1"),
            (1, "No more than 10 a day.", "5"),
            (1, "No more than 9 a day.", "4"),
        ]
    );
    assert_eq!(causes[0]["field"], "External_Id__c");
    assert_eq!(
        causes[2]["example"]["reason"],
        "The contract is fulfilled: its usage is locked"
    );

    let (exit, out) = world.command(&["rejected"]).await;
    assert_eq!(
        (exit, out.contains("3\tDUPLICATE_VALUE\tExternal_Id__c\t")),
        (0, true),
        "{out}"
    );
    assert!(out.contains("usage-sync retry --rejected"), "{out}");
}
