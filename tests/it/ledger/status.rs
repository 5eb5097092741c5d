//! What people and the app see: journal, status, notifications, overview.

use std::time::Duration;

use sqlx::postgres::PgListener;
use usage_sync::ledger::{Outcome, Verdict};

use super::{Bench, HOURS, bench, done, refused, rejected, retried};
use crate::schema::sql;

/// Action, ad, line, Salesforce's id, fields and code.
type Entry = (
    String,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
);

async fn journal(bench: &Bench) -> Vec<Entry> {
    sqlx::query_as(
        "select action, ad_id, line, salesforce_id, fields::text, code \
         from usage_sync.journal order by id",
    )
    .fetch_all(&bench.app)
    .await
    .unwrap()
}

fn entry(
    action: &str,
    line: Option<&str>,
    id: Option<&str>,
    fields: Option<&str>,
    code: Option<&str>,
) -> Entry {
    let own = |text: Option<&str>| text.map(ToOwned::to_owned);
    (
        action.to_owned(),
        "1".to_owned(),
        own(line),
        own(id),
        own(fields),
        own(code),
    )
}

/// Ad, state, code, message, whether it was ever reported, records.
type Row = (String, String, Option<String>, Option<String>, bool, String);

#[tokio::test]
async fn the_journal_tells_every_create_update_withdrawal_and_rejection() {
    let bench = bench().await;
    let id = Some("id of p-1:a");
    bench
        .change("insert into line values (1, 'a', 'C', 1)", &["1"])
        .await;
    bench.report(&["1"]).await;
    bench.change("update line set units = 2", &["1"]).await;
    bench.report(&["1"]).await;
    bench.change("update line set units = 3", &["1"]).await;
    let hand = bench.hand(&["1"]).await;
    hand.record(&bench.ledger, retried(), refused).await;
    let hand = bench.hand(&["1"]).await;
    hand.record(&bench.ledger, rejected(), refused).await;
    bench.change("delete from line", &["1"]).await;
    bench.report(&["1"]).await;
    bench
        .ledger
        .refuse("1", "VIEW_22012", "division by zero", HOURS)
        .await
        .unwrap();
    // Nothing to report is nothing to tell.
    bench.touch(&["1"]).await;
    bench.report(&["1"]).await;

    assert_eq!(
        journal(&bench).await,
        [
            entry("create", Some("a"), id, Some(r#"{"Units__c": 1}"#), None),
            entry("update", Some("a"), id, Some(r#"{"Units__c": 2}"#), None),
            entry(
                "reject",
                Some("a"),
                id,
                Some(r#"{"Units__c": 3}"#),
                Some("LOCKED")
            ),
            entry("withdraw", Some("a"), id, Some(r#"{"Units__c": 2}"#), None),
            entry("reject", None, None, None, Some("VIEW_22012")),
        ]
    );
    let tokens: Vec<i64> = sqlx::query_scalar(
        "select token from usage_sync.journal where line is not null order by id",
    )
    .fetch_all(&bench.app)
    .await
    .unwrap();
    assert!(tokens.is_sorted() && tokens[0] > 0, "{tokens:?}");
}

#[tokio::test]
async fn an_ad_that_was_half_taken_is_told_line_by_line() {
    let bench = bench().await;
    bench
        .change(
            "insert into line values (1, 'a', 'C', 1), (1, 'b', 'C', 1)",
            &["1"],
        )
        .await;

    let hand = bench.hand(&["1"]).await;
    hand.record(&bench.ledger, rejected(), |operation| {
        if operation.line == "a" {
            done(operation)
        } else {
            refused(operation)
        }
    })
    .await;

    let told: Vec<(String, Option<String>)> = journal(&bench)
        .await
        .into_iter()
        .map(|entry| (entry.0, entry.2))
        .collect();
    let line = |line: &str| Some(line.to_owned());
    assert_eq!(
        told,
        [
            ("create".to_owned(), line("a")),
            ("reject".to_owned(), line("b"))
        ]
    );
    assert_eq!(bench.count("record").await, 1);
}

#[tokio::test]
async fn the_app_sees_state_reason_and_records_of_each_ad() {
    let bench = bench().await;
    bench
        .change(
            "insert into line values (1, 'a', 'C', 1), (2, 'a', 'C', 1)",
            &["1", "2", "3"],
        )
        .await;
    bench.report(&["1"]).await;
    let hand = bench.hand(&["2"]).await;
    hand.record(&bench.ledger, rejected(), refused).await;

    let status: Vec<Row> = sqlx::query_as(
        "select ad_id, state, error_code, error_message, reported_at is not null, \
             records::text from usage_sync.ad_status order by ad_id",
    )
    .fetch_all(&bench.app)
    .await
    .unwrap();

    let records = r#"[{"line": "a", "fields": {"Units__c": 1}, "external_id": "p-1:a", "salesforce_id": "id of p-1:a"}]"#;
    let own = |text: &str| text.to_owned();
    assert_eq!(
        status,
        [
            (own("1"), own("reported"), None, None, true, own(records)),
            (
                own("2"),
                own("rejected"),
                Some(own("LOCKED")),
                Some(own("the contract is fulfilled")),
                false,
                own("[]")
            ),
            (own("3"), own("pending"), None, None, false, own("[]")),
        ]
    );
}

#[tokio::test]
async fn a_new_state_is_announced_and_the_same_one_is_not() {
    let bench = bench().await;
    let mut listener = PgListener::connect(&bench.database.url).await.unwrap();
    listener.listen("usage_sync_status").await.unwrap();
    bench
        .change("insert into line values (1, 'a', 'C', 1)", &["1"])
        .await;
    bench.touch(&["2"]).await;

    let hand = bench.hand(&["1"]).await;
    hand.record(&bench.ledger, retried(), refused).await;
    bench.report(&["1", "2"]).await;
    bench.report(&["1"]).await;
    bench
        .ledger
        .refuse("1", "VIEW", "unreadable", HOURS)
        .await
        .unwrap();
    sql(&bench.app, "notify usage_sync_status, 'end'").await;

    let mut heard = Vec::new();
    while heard.last().is_none_or(|last| last != "end") {
        heard.push(listener.recv().await.unwrap().payload().to_owned());
    }
    heard[..2].sort();
    heard[2..4].sort();
    // Pending both, reported both, one rejected; its retry is no new state.
    assert_eq!(heard, ["1", "2", "1", "2", "1", "end"]);
}

#[tokio::test]
async fn a_rejected_ad_is_due_again_after_its_pause_and_not_before() {
    let bench = bench().await;
    bench.touch(&["1", "2"]).await;
    for (ad_id, pause) in [("1", Duration::ZERO), ("2", HOURS)] {
        bench
            .ledger
            .refuse(ad_id, "VIEW", "unreadable", pause)
            .await
            .unwrap();
    }

    let due: Vec<String> =
        sqlx::query_scalar("select ad_id from usage_sync.ad where retry_at <= clock_timestamp()")
            .fetch_all(&bench.app)
            .await
            .unwrap();

    assert_eq!(due, ["1"]);
    bench.touch(&["2"]).await;
    let left: i64 = sqlx::query_scalar(
        "select count(*) from usage_sync.ad where ad_id = '2' and retry_at is null",
    )
    .fetch_one(&bench.app)
    .await
    .unwrap();
    assert_eq!(left, 1, "a change needs no patience");
}

#[tokio::test]
async fn the_overview_counts_what_waits_and_how_long() {
    let bench = bench().await;
    let calm = bench.ledger.overview().await.unwrap();
    assert_eq!((calm.pending, calm.rejected), (0, 0));
    assert!(calm.lag_seconds.abs() < f64::EPSILON);

    bench.touch(&["1", "2", "3"]).await;
    bench.report(&["1"]).await;
    bench
        .ledger
        .refuse("2", "VIEW", "unreadable", HOURS)
        .await
        .unwrap();
    sql(
        &bench.app,
        "insert into usage_sync.change (ad_id, changed_at) values ('4', now() - interval '1 hour')",
    )
    .await;

    let busy = bench.ledger.overview().await.unwrap();
    assert_eq!((busy.pending, busy.rejected), (2, 1));
    assert!(busy.lag_seconds > 3599.0, "{busy:?}");
}

#[tokio::test]
async fn the_journal_is_pruned_by_age_and_nothing_else_is() {
    let bench = bench().await;
    bench
        .change(
            "insert into line values (1, 'a', 'C', 1), (2, 'a', 'C', 1)",
            &["1", "2"],
        )
        .await;
    bench.report(&["1"]).await;
    let hand = bench.hand(&["2"]).await;
    hand.record(&bench.ledger, Verdict::Postponed, |_| Outcome::InDoubt)
        .await;
    sql(
        &bench.app,
        "begin; set local session_replication_role to replica;
         update usage_sync.journal set at = now() - interval '10 days'; commit;
         insert into usage_sync.journal (at, action, ad_id, version, token)
         select now() - interval '5 days', 'reject', 'x', 1, 1 from generate_series(1, 25000)",
    )
    .await;
    let days = |days: u64| Duration::from_secs(days * 24 * 3600);

    assert_eq!(bench.ledger.prune(days(11)).await.unwrap(), 0);
    assert_eq!(bench.ledger.prune(days(6)).await.unwrap(), 0, "it stands");
    assert_eq!(bench.ledger.prune(days(4)).await.unwrap(), 25_000);

    assert_eq!(bench.count("journal").await, 1);
    assert_eq!(bench.count("record").await, 2);
    assert_eq!(bench.count("ad").await, 2);
}
