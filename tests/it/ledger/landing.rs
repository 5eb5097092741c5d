//! Requests that were given up on: what is expected of them, and what a look
//! may write down.

use std::time::Duration;

use usage_sync::ledger::{Found, Landing, Ledger, Outcome, Verdict};
use usage_sync::plan::Action;

use super::{Bench, bench, done, record};

/// The bench, with a ledger whose window is over at once.
async fn windowless() -> (Bench, Ledger) {
    let bench = bench().await;
    let ledger = bench.ledger.clone().with_landing_window(Duration::ZERO);
    (bench, ledger)
}

/// One ad is reported, by the second of two requests. Answers the landing of
/// the first, as somebody who is about to read it back has it.
async fn reported_after_a_lost_request(bench: &Bench, ledger: &Ledger) -> Landing {
    bench
        .change("insert into line values (1, 'a', 'C', 1)", &["1"])
        .await;
    let mut hand = bench.hand(&["1"]).await;
    hand.intent.as_mut().unwrap().given_up = true;
    hand.record(ledger, Verdict::Postponed, |_| Outcome::InDoubt)
        .await;
    bench.report(&["1"]).await;
    let mut due = ledger.landing_due(10).await.unwrap();
    assert_eq!(due.len(), 1);
    due.remove(0)
}

#[tokio::test]
async fn a_record_is_read_back_once_its_window_is_over_and_by_one_at_a_time() {
    let (bench, ledger) = windowless().await;
    bench
        .change("insert into line values (1, 'a', 'C', 1)", &["1"])
        .await;
    let mut hand = bench.hand(&["1"]).await;
    hand.intent.as_mut().unwrap().given_up = true;
    // Eleven minutes.
    hand.record(&bench.ledger, Verdict::Postponed, |_| Outcome::InDoubt)
        .await;
    assert_eq!(ledger.landing_due(10).await.unwrap().len(), 0);
    assert_eq!(ledger.overview().await.unwrap().landing, 1);

    super::sql(&bench.app, "update usage_sync.landing set look_at = now()").await;
    let due = ledger.landing_due(10).await.unwrap();

    assert_eq!(due[0].external_id, "p-1:a");
    assert_eq!(due[0].blank, r#"{"Units__c": null}"#);
    assert!(due[0].is_in_doubt());
    assert_eq!(ledger.landing_due(10).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_record_that_stands_as_told_is_forgotten_and_one_that_does_not_is_reported_anew() {
    for (found, state, records) in [
        (
            Found::AsTold,
            "reported 1/1",
            record("p-1:a", "reported", Some("id of p-1:a")),
        ),
        (
            Found::Otherwise(Some(String::from("other"))),
            "pending 2/1",
            record("p-1:a", "sending", Some("other")),
        ),
        (
            Found::Otherwise(None),
            "pending 2/1",
            record("p-1:a", "sending", None),
        ),
    ] {
        let (bench, ledger) = windowless().await;
        let landing = reported_after_a_lost_request(&bench, &ledger).await;

        let anew = ledger.looked(&[(landing, found.clone())]).await.unwrap();

        assert_eq!(anew.is_empty(), found == Found::AsTold);
        assert_eq!(bench.ad("1").await.0, state);
        assert_eq!(bench.records().await, [records]);
        assert_eq!(bench.count("landing").await, 0);
    }
}

#[tokio::test]
async fn a_withdrawn_record_that_stands_there_again_is_withdrawn_again() {
    let (bench, ledger) = windowless().await;
    bench
        .change("insert into line values (1, 'a', 'C', 1)", &["1"])
        .await;
    // The dead worker's request goes on.
    drop(take_with(&bench, &ledger).await);
    bench.change("delete from line", &["1"]).await;
    let hand = take_with(&bench, &ledger).await;
    hand.record(&ledger, Verdict::Reported, |_| Outcome::Done(None))
        .await;
    let landing = ledger.landing_due(10).await.unwrap().remove(0);
    assert_eq!(landing.told, None);

    let found = Found::Otherwise(Some(String::from("ghost")));
    let anew = ledger.looked(&[(landing, found)]).await.unwrap();

    assert_eq!(anew, ["1"]);
    let hand = bench.hand(&["1"]).await;
    assert_eq!(hand.plan(), [(Action::Withdraw, "p-1:a")]);
}

async fn take_with(_: &Bench, ledger: &Ledger) -> super::Hand {
    super::take(ledger, &["1"]).await
}

#[tokio::test]
async fn a_look_is_void_where_anything_happened_since_it_was_begun() {
    for what in ["in hand", "reported otherwise", "given up on again"] {
        let (bench, ledger) = windowless().await;
        let landing = reported_after_a_lost_request(&bench, &ledger).await;
        bench.change("update line set units = 2", &["1"]).await;
        let mut hand = bench.hand(&["1"]).await;
        match what {
            "in hand" => {}
            "reported otherwise" => {
                hand.record(&ledger, Verdict::Reported, done).await;
            }
            _ => {
                hand.intent.as_mut().unwrap().given_up = true;
                hand.record(&ledger, Verdict::Reported, done).await;
                bench.change("update line set units = 1", &["1"]).await;
                bench.report(&["1"]).await;
            }
        }
        let before = (bench.ad("1").await, bench.records().await);

        for found in [Found::Otherwise(None), Found::AsTold] {
            let anew = ledger.looked(&[(landing.clone(), found)]).await.unwrap();
            assert_eq!(anew, [""; 0], "{what}");
        }

        assert_eq!(
            (bench.ad("1").await, bench.records().await),
            before,
            "{what}"
        );
        assert_eq!(bench.count("landing").await, 1, "{what}");
    }
}

#[tokio::test]
async fn two_dead_requests_about_one_record_leave_the_fields_of_both_in_doubt() {
    let (bench, ledger) = windowless().await;
    super::sql(
        &bench.app,
        "drop view usage_sync.usage;
         alter table line alter ad_id type text;
         create view usage_sync.usage as
         select ad_id, line, contract,
             jsonb_build_object(case ad_id when 'a' then 'Note__c' else 'Memo__c' end, units) as fields
         from line",
    )
    .await;
    bench
        .change(
            "insert into line values ('a', 'b:c', 'C', 1), ('a:b', 'c', 'C', 1)",
            &["a", "a:b"],
        )
        .await;
    // One external id: p-a:b:c.
    drop(super::take(&ledger, &["a"]).await);
    drop(super::take(&ledger, &["a:b"]).await);

    drop(super::take(&ledger, &["a", "a:b"]).await);

    for table in ["record", "landing"] {
        let fields: String = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select fields::text from usage_sync.{table}"
        )))
        .fetch_one(&bench.app)
        .await
        .unwrap();
        assert_eq!(fields, r#"{"Memo__c": null, "Note__c": null}"#, "{table}");
    }
}
