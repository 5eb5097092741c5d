//! The journal tells what Salesforce held at any moment, whoever told it so and
//! in whatever order that became known.

use sqlx::PgPool;
use usage_sync::ledger::Verdict;

use super::{bench, done, refused, rejected};
use crate::schema::sql;

const DOCUMENT: &str = include_str!("../../../docs/journal.md");

/// External id and units of each record that stands, by the query that people
/// are given.
async fn billed(app: &PgPool) -> Vec<(String, i32)> {
    let query = DOCUMENT.split("```sql\n").nth(1).expect("it has a query");
    let query = query.split("```").next().expect("it ends");
    let sums = format!(
        "select external_id, (fields->>'Units__c')::int from ({query}) as billed order by 1"
    );
    sqlx::query_as(sqlx::AssertSqlSafe(sums.replace("$1", "now()")))
        .fetch_all(app)
        .await
        .expect("it can be asked")
}

/// Action, units and code of every entry.
async fn entries(app: &PgPool) -> Vec<(String, Option<i32>, Option<String>)> {
    sqlx::query_as(
        "select action, (fields->>'Units__c')::int, code from usage_sync.journal order by id",
    )
    .fetch_all(app)
    .await
    .expect("it can be read")
}

fn entry(action: &str, units: i32, code: Option<&str>) -> (String, Option<i32>, Option<String>) {
    (action.to_owned(), Some(units), code.map(ToOwned::to_owned))
}

fn one(units: i32) -> Vec<(String, i32)> {
    vec![("p-1:a".to_owned(), units)]
}

#[tokio::test]
async fn what_an_overtaken_hand_had_done_is_told_and_does_not_outweigh_the_newer_one() {
    let bench = bench().await;
    bench
        .change("insert into line values (1, 'a', 'C', 1)", &["1"])
        .await;
    let frozen = bench.hand(&["1"]).await;
    bench.change("update line set units = 2", &["1"]).await;
    let newer = bench.hand(&["1"]).await;
    newer.record(&bench.ledger, Verdict::Reported, done).await;

    frozen.record(&bench.ledger, Verdict::Reported, done).await;

    let told = [
        entry("update", 2, None),
        entry("create", 1, Some("OVERTAKEN")),
    ];
    assert_eq!(entries(&bench.app).await, told);
    assert_eq!(billed(&bench.app).await, one(2));
    bench.report(&["1"]).await;
    assert_eq!(billed(&bench.app).await, one(2));
}

#[tokio::test]
async fn what_only_an_overtaken_hand_had_done_is_what_stands() {
    let bench = bench().await;
    bench
        .change("insert into line values (1, 'a', 'C', 1)", &["1"])
        .await;
    bench.report(&["1"]).await;
    bench.change("update line set units = 2", &["1"]).await;
    let frozen = bench.hand(&["1"]).await;
    let newer = bench.hand(&["1"]).await;
    // The contract was fulfilled in between.
    newer.record(&bench.ledger, rejected(), refused).await;
    assert_eq!(billed(&bench.app).await, one(1));

    frozen.record(&bench.ledger, Verdict::Reported, done).await;

    assert_eq!(billed(&bench.app).await, one(2));
}

#[tokio::test]
async fn what_an_overtaken_hand_was_refused_is_not_told() {
    let bench = bench().await;
    bench
        .change("insert into line values (1, 'a', 'C', 1)", &["1"])
        .await;
    let frozen = bench.hand(&["1"]).await;
    bench.report(&["1"]).await;

    frozen.record(&bench.ledger, rejected(), refused).await;

    assert_eq!(entries(&bench.app).await, [entry("update", 1, None)]);
}

/// Action, token, Salesforce's id, units.
type Told = (&'static str, i64, &'static str, i32);

/// Its name, what is told in this order, and what stands then.
type Case = (&'static str, &'static [Told], Option<i32>);

const CASES: &[Case] = &[
    (
        "made and gone",
        &[("create", 1, "X", 1), ("withdraw", 2, "X", 0)],
        None,
    ),
    (
        "made again after it went",
        &[
            ("create", 1, "X", 1),
            ("withdraw", 2, "X", 0),
            ("create", 3, "Y", 2),
        ],
        Some(2),
    ),
    (
        "deleted by hand and made again",
        &[("create", 1, "X", 1), ("update", 2, "Y", 2)],
        Some(2),
    ),
    (
        "fetched back from the bin",
        &[
            ("create", 1, "X", 1),
            ("withdraw", 2, "X", 0),
            ("update", 3, "X", 2),
        ],
        Some(2),
    ),
    (
        "an old update, known late",
        &[
            ("create", 1, "X", 1),
            ("update", 3, "X", 3),
            ("update", 2, "X", 2),
        ],
        Some(3),
    ),
    (
        "an old removal, known after it was made again",
        &[
            ("create", 1, "X", 1),
            ("update", 3, "Y", 3),
            ("withdraw", 2, "X", 0),
        ],
        Some(3),
    ),
    (
        "an old removal that struck the newer update",
        &[
            ("create", 1, "X", 1),
            ("update", 3, "X", 3),
            ("withdraw", 2, "X", 0),
        ],
        None,
    ),
    (
        "an old update, known after the removal",
        &[
            ("create", 1, "X", 1),
            ("withdraw", 3, "X", 0),
            ("update", 2, "X", 2),
        ],
        None,
    ),
    (
        "an old creation that came after the removal",
        &[
            ("create", 1, "X", 1),
            ("withdraw", 3, "X", 0),
            ("create", 2, "Y", 2),
        ],
        Some(2),
    ),
    (
        "the same, and removed at last",
        &[
            ("create", 1, "X", 1),
            ("withdraw", 3, "X", 0),
            ("create", 2, "Y", 2),
            ("withdraw", 4, "Y", 0),
        ],
        None,
    ),
];

/// What Salesforce did is written down in this order: action, token, Salesforce's
/// id, units. What stands then?
#[tokio::test]
async fn the_query_sorts_out_what_became_known_late() {
    let bench = bench().await;
    for (what, entries, stands) in CASES {
        // As a replica: the journal refuses it to everybody else.
        sql(
            &bench.app,
            "begin; set local session_replication_role to replica; truncate usage_sync.journal; commit",
        )
        .await;
        for (action, token, id, units) in *entries {
            sqlx::query(
                "insert into usage_sync.journal \
                 (action, ad_id, line, external_id, salesforce_id, version, token, fields) \
                 values ($1, '1', 'a', 'p-1:a', $2, 1, $3, jsonb_build_object('Units__c', $4))",
            )
            .bind(action)
            .bind(id)
            .bind(token)
            .bind(units)
            .execute(&bench.app)
            .await
            .unwrap();
        }

        let expected = stands.map(one).unwrap_or_default();
        assert_eq!(billed(&bench.app).await, expected, "{what}");
    }
}
