//! What people did to records in Salesforce is found by an audit, and set right
//! where Salesforce lets it.

use serde_json::{Value as Json, json};

use crate::support::{PATIENCE, World, wait_until};

/// Exit code and the answer for programs.
async fn audit(world: &World, more: &[&str]) -> (i32, Json) {
    let (code, said) = world.command(&[&["audit", "--json"], more].concat()).await;
    let line = said.lines().find(|line| line.starts_with('{'));
    let line = line.unwrap_or_else(|| panic!("exit {code}: {said}"));
    (code, serde_json::from_str(line).expect("an object"))
}

fn counts(report: &Json) -> [u64; 4] {
    ["missing", "extra", "different", "locked"].map(|key| {
        report[key]
            .as_u64()
            .unwrap_or_else(|| panic!("no {key}: {report}"))
    })
}

fn names(report: &Json, key: &str) -> Vec<String> {
    let list = report["details"][key].as_array().expect("a list");
    let name = |found: &Json| found["external_id"].as_str().unwrap_or_default().to_owned();
    list.iter().map(name).collect()
}

fn seed(world: &World, external_id: &str) {
    let record = json!({
        "External_Id__c": external_id, "Contract_Product__c": world.products[0].1,
        "Quantity__c": 5,
    });
    world.sandbox.seed("Usage__c", &record).expect("a record");
}

#[tokio::test]
async fn f44_an_audit_finds_what_was_done_by_hand_and_a_repair_sets_it_right() {
    let world = World::new(2).await;
    let daemon = world.daemon();
    world
        .app("insert into ad_product select n, 'small', n % 2, n from generate_series(1, 20) n")
        .await;
    world.in_step().await;
    assert_eq!(audit(&world, &[]).await.0, 0);

    world.delete_by_hand("3:small").await;
    world.change_by_hand("4:small");
    seed(&world, "5:ghost");
    // Of an ad that was never here, and of nobody.
    seed(&world, "999:small");
    seed(&world, "nobody's");

    let (code, found) = audit(&world, &[]).await;
    assert_eq!((code, counts(&found)), (1, [1, 2, 1, 0]));
    assert_eq!(names(&found, "missing"), ["3:small"]);
    assert_eq!(names(&found, "different"), ["4:small"]);
    assert_eq!(names(&found, "extra"), ["5:ghost", "999:small"]);
    // Ad 3 is booked on the second contract, ad 4 on the first.
    let first = world.products[0].0.clone();
    let (_, of_one) = audit(&world, &["--contract", &first]).await;
    assert_eq!(counts(&of_one), [0, 0, 1, 0]);

    let (code, repaired) = audit(&world, &["--repair"]).await;
    assert_eq!((code, repaired["repaired"].as_u64()), (1, Some(3)));
    wait_until("all but the strangers to be right", PATIENCE, async || {
        let mut left = world.differences().await;
        left.retain(|left| !left.contains("999:small") && !left.contains("nobody's"));
        world.pending().await == 0 && left.is_empty()
    })
    .await;
    let (code, left) = audit(&world, &[]).await;
    assert_eq!((code, counts(&left)), (1, [0, 1, 0, 0]));
    world.delete_by_hand("999:small").await;
    assert_eq!(audit(&world, &[]).await.0, 0);
    assert_eq!(super::complaints(&daemon.log()), 0, "{}", daemon.log());
}

#[tokio::test]
async fn f44_what_was_changed_by_hand_under_a_lock_is_said_and_goes_round_in_no_circle() {
    let (world, daemon) = World::reporting().await;
    world.change_by_hand("1:small");
    world.set_contract(0, "Fulfilled");

    let (_, found) = audit(&world, &["--repair"]).await;
    assert_eq!(counts(&found), [0, 0, 1, 0]);
    world.ad_is("1", "rejected").await;

    let writes = world.writes();
    for _ in 0..2 {
        let (code, again) = audit(&world, &["--repair"]).await;
        assert_eq!((code, counts(&again)), (1, [0, 0, 0, 1]));
        assert_eq!(again["repaired"], 0);
        let words = again["details"]["locked"][0]["message"].as_str();
        assert!(
            words.is_some_and(|words| words.contains("fulfilled")),
            "{again}"
        );
    }
    assert_eq!(world.writes(), writes, "{}", daemon.log());

    world.set_contract(0, "Activated");
    let (code, said) = world.command(&["retry", "--rejected"]).await;
    assert_eq!(code, 0, "{said}");
    world.in_step().await;
    assert_eq!(audit(&world, &[]).await.0, 0);
}

#[tokio::test]
async fn f44_an_audit_takes_what_is_only_late_for_right_and_another_org_for_no_answer() {
    let (world, mut daemon) = World::reporting().await;
    daemon.sigterm();
    assert!(daemon.ended().await.success());
    world
        .app("update ad_product set quantity = 7; insert into ad_product values (2, 'small', 0, 1)")
        .await;

    let (code, late) = audit(&world, &[]).await;
    assert_eq!((code, counts(&late)), (0, [0; 4]), "{late}");

    world
        .sandbox
        .settings(&json!({"org": 7}))
        .expect("a setting");
    let (code, said) = world.command(&["audit", "--repair"]).await;
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("nothing was compared"), "{said}");
}
