//! Reading the app's view, whatever the type of its `ad_id`.

use sqlx::PgPool;

use super::{migrated, sql};

type Line = (String, Option<String>, Option<String>, Option<String>);

async fn wanted(pool: &PgPool, ads: &[&str]) -> Result<Vec<Line>, sqlx::Error> {
    sqlx::query_as("select * from usage_sync.wanted($1) order by ad_id, line")
        .bind(ads)
        .fetch_all(pool)
        .await
}

async fn wanted_ads(pool: &PgPool, ads: &[&str]) -> Vec<String> {
    let lines = wanted(pool, ads).await.unwrap();
    lines.into_iter().map(|(ad_id, ..)| ad_id).collect()
}

async fn page(pool: &PgPool, after: Option<&str>, size: i32) -> Vec<String> {
    sqlx::query_scalar("select ad_id from usage_sync.page($1, $2)")
        .bind(after)
        .bind(size)
        .fetch_all(pool)
        .await
        .unwrap()
}

/// A view over a table whose key has this type.
async fn view_of(app: &PgPool, kind: &str, values: &str) {
    sql(
        app,
        &format!(
            "drop view if exists usage_sync.usage; drop table if exists ad;
             create table ad (id {kind}); insert into ad select unnest('{values}'::{kind}[]);
             create view usage_sync.usage as select id as ad_id, 'a' as line,
                 null::text as contract, '{{}}'::jsonb as fields from ad"
        ),
    )
    .await;
}

const UUIDS: [&str; 2] = [
    "3f333df6-90a4-4fda-8dd3-9485d27cee36",
    "9e107d9d-372b-4fda-8dd3-9485d27cee36",
];

#[tokio::test]
async fn the_view_is_read_in_its_own_type_and_may_be_replaced_by_another() {
    let (_database, app) = migrated().await;
    let both = format!("{{{},{}}}", UUIDS[0], UUIDS[1]);
    let cases: [(&str, &str, [&str; 2]); 6] = [
        ("int", "{9,10}", ["9", "10"]),
        ("bigint", "{9,9000000000}", ["9", "9000000000"]),
        ("uuid", &both, UUIDS),
        ("text", "{10,9}", ["10", "9"]),
        ("varchar(3)", "{10,9}", ["10", "9"]),
        ("char(3)", "{abc,abd}", ["abc", "abd"]),
    ];

    for (kind, values, ids) in cases {
        view_of(&app, kind, values).await;

        let mut sorted = ids;
        sorted.sort_unstable();
        assert_eq!(wanted_ads(&app, &ids).await, sorted, "{kind}");
        assert_eq!(wanted_ads(&app, &ids[1..]).await, ids[1..], "{kind}");
        assert_eq!(page(&app, None, 1).await, ids[..1], "{kind}");
        assert_eq!(page(&app, Some(ids[0]), 9).await, ids[1..], "{kind}");
        assert_eq!(page(&app, Some(ids[1]), 9).await, [""; 0], "{kind}");
    }
}

#[tokio::test]
async fn an_id_that_is_none_of_the_views_type_is_in_no_row_and_hides_no_other() {
    let (_database, app) = migrated().await;
    let strange = [
        "x",
        "",
        "1e5",
        "99999999999999999999",
        "1;drop table ad",
        "'",
    ];

    for (kind, id) in [("int", "1"), ("bigint", "1"), ("uuid", UUIDS[0])] {
        view_of(&app, kind, &format!("{{{id}}}")).await;
        let mut asked = strange.to_vec();
        asked.insert(3, id);
        assert_eq!(wanted_ads(&app, &asked).await, [id], "{kind}");
        assert_eq!(wanted_ads(&app, &strange).await, [""; 0], "{kind}");
        assert_eq!(wanted_ads(&app, &[]).await, [""; 0], "{kind}");
    }
    // An id that is cut to the column's length would be another ad's.
    for kind in ["varchar(3)", "char(3)"] {
        view_of(&app, kind, "{abc}").await;
        assert_eq!(wanted_ads(&app, &["abcd"]).await, [""; 0], "{kind}");
    }
}

#[tokio::test]
async fn a_domain_is_read_by_its_own_rule() {
    let (_database, app) = migrated().await;
    sql(&app, "create domain ad_number as int check (value > 0)").await;
    view_of(&app, "ad_number", "{1,2}").await;

    assert_eq!(wanted_ads(&app, &["2", "x", "-5"]).await, ["2"]);
    assert_eq!(wanted_ads(&app, &["-5", "x", "2"]).await, ["2"]);
}

#[tokio::test]
async fn rows_without_an_ad_are_nobodys() {
    let (_database, app) = migrated().await;
    view_of(&app, "int", "{1,NULL,2}").await;

    assert_eq!(page(&app, None, 10).await, ["1", "2"]);
    assert_eq!(wanted_ads(&app, &["1", "2"]).await, ["1", "2"]);
}

#[tokio::test]
async fn fields_keep_their_digits_and_may_be_json_or_jsonb() {
    let (_database, app) = migrated().await;
    sql(
        &app,
        r#"create view usage_sync.usage as
           select 1 as ad_id, 7 as line, 'C-1'::varchar as contract,
               '{"b": 1.10, "a": 12345678901234567890.123456789}'::json as fields"#,
    )
    .await;

    let expected = r#"{"a": 12345678901234567890.123456789, "b": 1.10}"#;
    assert_eq!(
        wanted(&app, &["1"]).await.unwrap(),
        [(
            "1".to_owned(),
            Some("7".to_owned()),
            Some("C-1".to_owned()),
            Some(expected.to_owned())
        )]
    );
}

#[tokio::test]
async fn a_view_that_is_missing_or_lacks_a_column_is_said_in_words() {
    let (_database, app) = migrated().await;
    let words = async || wanted(&app, &["1"]).await.unwrap_err().to_string();

    assert!(words().await.contains("usage_sync.usage does not exist"));
    sql(&app, "create view usage_sync.usage as select 1 as id").await;
    assert!(words().await.contains("no column ad_id"));
    sql(
        &app,
        "drop view usage_sync.usage; create view usage_sync.usage as select 1 as ad_id",
    )
    .await;
    assert!(words().await.contains("line"));
}
