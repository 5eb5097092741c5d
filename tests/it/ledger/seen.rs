//! What the app's people are told of a refusal, and that nobody rewrites the
//! journal.

use std::time::Duration;

use serde_json::{Value, json};
use usage_sync::{
    ledger::{Outcome, Verdict, history},
    plan::Operation,
};

use super::{Bench, HOURS, bench, refused, rejected};
use crate::schema::{refusal, sql};

const RULE: &str = "FIELD_CUSTOM_VALIDATION_EXCEPTION";
const FULFILLED: &str = "Contract is fulfilled; usage is locked.";

impl Bench {
    /// Salesforce refuses whatever the ad wants, in these words.
    async fn refuse(&self, code: &str, message: &str) {
        let hand = self.hand(&["1"]).await;
        let verdict = Verdict::Rejected {
            code: code.to_owned(),
            message: message.to_owned(),
        };
        let no = |_: &Operation| no(code, message);
        hand.record(&self.ledger, verdict, no).await;
    }

    /// Reason and refused lines of the ad.
    async fn told(&self) -> (Option<String>, Value) {
        let (reason, lines): (Option<String>, String) = sqlx::query_as(
            "select reason, refused::text from usage_sync.ad_status where ad_id = '1'",
        )
        .fetch_one(&self.app)
        .await
        .unwrap();
        (reason, serde_json::from_str(&lines).unwrap())
    }
}

fn no(code: &str, message: &str) -> Outcome {
    Outcome::Refused {
        code: code.to_owned(),
        message: message.to_owned(),
    }
}

#[tokio::test]
async fn a_refused_correction_is_told_line_by_line_wanted_against_held() {
    let bench = bench().await;
    bench
        .change(
            "insert into line values (1, 'a', '00000101', 1), (1, 'b', '00000101', 5)",
            &["1"],
        )
        .await;
    bench.report(&["1"]).await;
    assert_eq!(bench.told().await, (None, json!([])));
    bench
        .change(
            "update line set units = 2 where line = 'a'; delete from line where line = 'b';
             insert into line values (1, 'c', '00000101', 7)",
            &["1"],
        )
        .await;

    bench.refuse(RULE, FULFILLED).await;

    let line = |line: &str, wanted: Value, held: Value| {
        let there = !held.is_null();
        json!({
            "line": line, "contract": "00000101", "wanted": wanted, "held": held,
            "held_contract": there.then_some("00000101"),
            "salesforce_id": there.then(|| format!("id of p-1:{line}")),
            "in_doubt": false, "code": RULE, "message": FULFILLED,
        })
    };
    let (reason, lines) = bench.told().await;
    assert_eq!(
        reason.as_deref(),
        Some("Contract 00000101 is fulfilled: its usage is locked")
    );
    let units = |units: i32| json!({ "Units__c": units });
    assert_eq!(
        lines,
        json!([
            line("a", units(2), units(1)),
            line("b", Value::Null, units(5)),
            line("c", units(7), Value::Null),
        ])
    );

    // The next refusal takes the place of this one; an ad that waits or is
    // reported has none.
    bench
        .change("update line set units = 3 where line = 'a'", &["1"])
        .await;
    assert_eq!(bench.told().await, (None, json!([])));
    bench.refuse(RULE, FULFILLED).await;
    assert_eq!(bench.told().await.1[0]["wanted"], units(3));
    bench.touch(&["1"]).await;
    bench.report(&["1"]).await;
    assert_eq!(bench.told().await, (None, json!([])));
}

#[tokio::test]
async fn a_move_that_is_refused_names_both_contracts_and_no_other() {
    let bench = bench().await;
    bench
        .change(
            "insert into line values (1, 'a', 'A', 1), (1, 'b', 'C', 1)",
            &["1"],
        )
        .await;
    bench.report(&["1"]).await;
    bench
        .change(
            "update line set contract = 'B' where line = 'a'; update line set units = 2",
            &["1"],
        )
        .await;

    let hand = bench.hand(&["1"]).await;
    let verdict = Verdict::Rejected {
        code: RULE.to_owned(),
        message: FULFILLED.to_owned(),
    };
    hand.record(&bench.ledger, verdict, |operation| {
        match operation.line.as_str() {
            "a" => no(RULE, FULFILLED),
            _ => no("PROCESSING_HALTED", "another part of the graph failed"),
        }
    })
    .await;

    let (reason, lines) = bench.told().await;
    assert_eq!(
        reason.as_deref(),
        Some("Contract A or B is fulfilled: its usage is locked")
    );
    assert_eq!(
        (&lines[0]["contract"], &lines[0]["held_contract"]),
        (&json!("B"), &json!("A"))
    );
    assert_eq!(lines[1]["code"], "PROCESSING_HALTED");
}

#[tokio::test]
async fn every_error_has_words_for_whoever_booked_the_ad() {
    let bench = bench().await;
    let cases = [
        (
            "ENTITY_IS_LOCKED",
            "the entity is locked for editing",
            "Contract C is locked: its usage cannot be changed",
        ),
        (
            RULE,
            "No more than 9 a day.",
            "Salesforce refuses this: No more than 9 a day.",
        ),
        (
            "REQUIRED_FIELD_MISSING",
            "Required fields are missing: [Quantity__c]",
            "Something that Salesforce asks for is not filled in: Required fields are missing: [Quantity__c]",
        ),
        (
            "INVALID_CROSS_REFERENCE_KEY",
            "invalid cross reference id",
            "Contract C or a product of it is not to be found in Salesforce",
        ),
        (
            "STRING_TOO_LONG",
            "data value too large",
            "Salesforce refuses this: data value too large (STRING_TOO_LONG)",
        ),
    ];
    for (units, (code, message, words)) in cases.iter().enumerate() {
        bench
            .change(
                &format!("delete from line; insert into line values (1, 'a', 'C', {units})"),
                &["1"],
            )
            .await;
        bench.refuse(code, message).await;

        assert_eq!(bench.told().await.0.as_deref(), Some(*words));
        let (_, kept, said): (String, String, String) =
            sqlx::query_as("select state, error_code, error_message from usage_sync.ad_status")
                .fetch_one(&bench.app)
                .await
                .unwrap();
        assert_eq!(
            (kept.as_str(), said.as_str()),
            (*code, *message),
            "its own words stay"
        );
    }

    bench.touch(&["1"]).await;
    let refusing = bench
        .ledger
        .refuse("1", "VIEW_22012", "division by zero", HOURS);
    refusing.await.unwrap();
    let words = "The app's own data of this ad cannot be reported: division by zero";
    assert_eq!(bench.told().await, (Some(words.to_owned()), json!([])));

    bench.touch(&["1"]).await;
    let hand = bench.hand(&["1"]).await;
    let busy = Verdict::Retry {
        code: "UNABLE_TO_LOCK_ROW".to_owned(),
        message: "unable to obtain exclusive access".to_owned(),
    };
    hand.record(&bench.ledger, busy, |_| {
        no("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access")
    })
    .await;
    let words = "Somebody else changes the same contract in Salesforce just now. \
                 It is tried again by itself";
    assert_eq!(bench.told().await.0.as_deref(), Some(words));
}

#[tokio::test]
async fn a_line_of_which_nobody_knows_what_salesforce_holds_says_so() {
    let bench = bench().await;
    bench
        .change("insert into line values (1, 'a', 'C', 1)", &["1"])
        .await;
    let hand = bench.hand(&["1"]).await;
    hand.record(&bench.ledger, Verdict::Postponed, |_| Outcome::InDoubt)
        .await;

    let hand = bench.hand(&["1"]).await;
    hand.record(&bench.ledger, rejected(), refused).await;

    let (_, lines) = bench.told().await;
    assert_eq!(
        (&lines[0]["in_doubt"], &lines[0]["held"]),
        (&json!(true), &Value::Null)
    );
}

#[tokio::test]
async fn the_journal_only_grows() {
    let bench = bench().await;
    bench
        .change("insert into line values (1, 'a', 'C', 1)", &["1"])
        .await;
    bench.report(&["1"]).await;

    for statement in [
        "update usage_sync.journal set fields = '{}'",
        "delete from usage_sync.journal",
        "truncate usage_sync.journal",
        "truncate usage_sync.journal, usage_sync.landing",
        "insert into usage_sync.journal overriding system value select * from usage_sync.journal \
         on conflict (id) do update set fields = '{}'",
    ] {
        let code = refusal(&bench.app, statement).await;
        assert_eq!(code, "42501", "{statement}");
    }

    assert_eq!(bench.count("journal").await, 1);
    // What the retention job says for its own transaction holds for no other.
    bench.ledger.prune(HOURS).await.unwrap();
    assert_eq!(
        refusal(&bench.app, "delete from usage_sync.journal").await,
        "42501"
    );
}

#[tokio::test]
async fn what_stood_when_the_retention_began_is_told_for_as_long_as_it_stands() {
    let bench = bench().await;
    sql(
        &bench.app,
        "insert into usage_sync.journal
             (at, action, ad_id, line, external_id, contract, salesforce_id, version, token, fields)
         select now() - make_interval(days => days), action, '1', line, '1:' || line, 'C', line, 1,
             token, jsonb_build_object('Units__c', token)
         from (values
             (30, 'create', 'a', 1), (30, 'create', 'b', 4), (30, 'create', 'c', 6),
             (30, 'reject', 'a', 9), (25, 'withdraw', 'b', 5), (20, 'update', 'a', 2),
             (10, 'update', 'a', 3), (5, 'withdraw', 'c', 7)
         ) as entry (days, action, line, token)",
    )
    .await;
    let days = |days: u64| Duration::from_hours(24 * days);
    let ago = async |ago: i32| -> Vec<(String, String)> {
        let at = sqlx::query_scalar("select now() - make_interval(days => $1)")
            .bind(ago)
            .fetch_one(&bench.app)
            .await
            .unwrap();
        let standing = history::billed(&bench.app, &["C".to_owned()], Some(at))
            .await
            .unwrap();
        let records = standing.records.into_iter();
        records.map(|record| (record.line, record.fields)).collect()
    };
    let (earlier, later, today) = (ago(14).await, ago(6).await, ago(0).await);
    let units = |line: &str, units: i32| (line.to_owned(), format!("{{\"Units__c\": {units}}}"));
    assert_eq!(earlier, [units("a", 2), units("c", 6)]);

    // The removal of b goes once nothing of b is left.
    for removed in [3, 1, 0] {
        assert_eq!(bench.ledger.prune(days(15)).await.unwrap(), removed);
    }

    assert_eq!(bench.count("journal").await, 4);
    assert_eq!(
        (ago(14).await, ago(6).await, ago(0).await),
        (earlier, later, today)
    );
}
