//! The triggers: which statements they capture, on which tables.

use sqlx::postgres::PgListener;
use sqlx::{PgPool, Row};

use super::{ads, captured, migrated, refusal, sql};

async fn triggers(pool: &PgPool) -> Vec<(i64, String)> {
    sqlx::query(
        "select oid::bigint, tgname::text from pg_trigger \
         where tgname like 'usage_sync%' order by oid",
    )
    .fetch_all(pool)
    .await
    .unwrap()
    .iter()
    .map(|row| (row.get(0), row.get(1)))
    .collect()
}

#[tokio::test]
async fn every_statement_captures_each_of_its_ads_once() {
    let (_database, app) = migrated().await;
    sql(
        &app,
        "create table line (id serial, ad_id int, units int, unique (ad_id, units));
         select usage_sync.watch('line', 'ad_id')",
    )
    .await;
    let cases = [
        (
            "insert into line (ad_id, units) values (1, 1), (1, 2), (2, 1), (null, 1)",
            ads(["1", "2"]),
        ),
        ("update line set units = 3 where units = 2", ads(["1"])),
        ("update line set units = 9 where units = 7", ads([])),
        ("update line set ad_id = 3 where ad_id = 2", ads(["2", "3"])),
        (
            "insert into line (ad_id, units) values (3, 1) on conflict do nothing",
            ads([]),
        ),
        (
            "insert into line (ad_id, units) values (3, 1), (4, 1)
             on conflict (ad_id, units) do update set units = 8",
            ads(["3", "4"]),
        ),
        (
            "begin; insert into line (ad_id) values (5); rollback",
            ads([]),
        ),
        (
            "begin; insert into line (ad_id) values (6); savepoint s;
             insert into line (ad_id) values (7); rollback to s; commit",
            ads(["6"]),
        ),
        (
            "merge into line using (values (6), (8)) as v (ad) on line.ad_id = v.ad
             when matched then delete when not matched then insert (ad_id) values (v.ad)",
            ads(["6", "8"]),
        ),
        ("delete from line where ad_id in (1, 8)", ads(["1", "8"])),
        ("delete from line where ad_id = 99", ads([])),
        ("truncate line", vec![None]),
    ];

    for (statement, expected) in cases {
        sql(&app, statement).await;
        assert_eq!(captured(&app).await, expected, "{statement}");
    }
}

#[tokio::test]
async fn a_copy_of_many_rows_is_captured_as_one_statement() {
    let (_database, app) = migrated().await;
    sql(
        &app,
        "create table ad (id bigint); select usage_sync.watch('ad', 'id')",
    )
    .await;
    let rows: String = (0..3000)
        .flat_map(|id| [(id % 1000).to_string(), String::from("\n")])
        .collect();

    let mut connection = app.acquire().await.unwrap();
    let mut copy = connection.copy_in_raw("copy ad from stdin").await.unwrap();
    copy.send(rows.as_bytes()).await.unwrap();
    copy.finish().await.unwrap();
    drop(connection);

    assert_eq!(captured(&app).await.len(), 1000);
}

#[tokio::test]
async fn rows_that_a_foreign_key_deletes_are_captured() {
    let (_database, app) = migrated().await;
    sql(
        &app,
        "create table ad (id int primary key);
         create table line (ad_id int references ad on delete cascade);
         select usage_sync.watch('line', 'ad_id');
         insert into ad values (1), (2); insert into line values (1), (2)",
    )
    .await;
    captured(&app).await;

    sql(&app, "delete from ad where id = 2").await;

    assert_eq!(captured(&app).await, ads(["2"]));
}

#[tokio::test]
async fn a_table_may_have_any_type_of_key_and_any_name() {
    let (_database, app) = migrated().await;
    sql(&app, "create schema \"Shop Floor\"").await;
    let uuid = "3f333df6-90a4-4fda-8dd3-9485d27cee36";
    let cases = [
        ("ad_int", "id", "int", "-7"),
        ("ad_bigint", "id", "bigint", "9223372036854775807"),
        ("ad_uuid", "id", "uuid", uuid),
        ("ad_text", "id", "text", "O'Hara: \u{e4} \"x\" %s"),
        ("ad_varchar", "id", "varchar(20)", "  a  "),
        ("\"Ad Mixed\"", "adId", "int", "7"),
        ("\"Shop Floor\".\"ad\"\"s\"", "ad\"id", "int", "8"),
    ];

    for (table, key, kind, value) in cases {
        let (column, literal) = (key.replace('"', "\"\""), value.replace('\'', "''"));
        sql(
            &app,
            &format!(
                "create table {table} (\"{column}\" {kind});
                 select usage_sync.watch('{table}', '{key}');
                 insert into {table} values ('{literal}')"
            ),
        )
        .await;
        assert_eq!(captured(&app).await, ads([value]), "{table}");
    }
}

#[tokio::test]
async fn a_partitioned_table_is_watched_as_a_whole() {
    let (_database, app) = migrated().await;
    sql(
        &app,
        "create table ad (id int, day int) partition by range (day);
         create table ad_1 partition of ad for values from (0) to (10);
         create table ad_2 partition of ad for values from (10) to (20);
         select usage_sync.watch('ad', 'id')",
    )
    .await;

    sql(&app, "insert into ad values (1, 1), (2, 11)").await;
    assert_eq!(captured(&app).await, ads(["1", "2"]));
    // The row moves from one partition to the other.
    sql(&app, "update ad set day = 12 where id = 1").await;
    assert_eq!(captured(&app).await, ads(["1"]));
    sql(&app, "delete from ad").await;
    assert_eq!(captured(&app).await, ads(["1", "2"]));
}

#[tokio::test]
async fn watching_again_changes_nothing_and_another_key_replaces_the_first() {
    let (_database, app) = migrated().await;
    sql(
        &app,
        "create table ad (id int, other int); select usage_sync.watch('ad', 'id')",
    )
    .await;
    let first = triggers(&app).await;
    assert_eq!(first.len(), 4);

    sql(&app, "select usage_sync.watch('ad', 'id')").await;
    assert_eq!(triggers(&app).await, first);

    sql(&app, "alter table ad disable trigger usage_sync_insert").await;
    sql(&app, "select usage_sync.watch('ad', 'id')").await;
    sql(&app, "insert into ad values (1, 2)").await;
    assert_eq!(captured(&app).await, ads(["1"]), "a trigger is mended");

    sql(&app, "select usage_sync.watch('ad', 'other')").await;
    assert_eq!(triggers(&app).await.len(), 4);
    sql(&app, "insert into ad values (1, 2)").await;
    assert_eq!(captured(&app).await, ads(["2"]));
}

#[tokio::test]
async fn a_table_that_is_no_longer_watched_is_as_it_was() {
    let (_database, app) = migrated().await;
    sql(
        &app,
        "create table ad (id int); select usage_sync.watch('ad', 'id');
         select usage_sync.unwatch('ad'); select usage_sync.unwatch('ad')",
    )
    .await;

    sql(&app, "insert into ad values (1)").await;

    assert_eq!(triggers(&app).await, []);
    assert_eq!(captured(&app).await, []);
}

#[tokio::test]
async fn what_cannot_be_watched_is_refused_with_a_reason() {
    let (_database, app) = migrated().await;
    sql(
        &app,
        "create table ad (id int, gone int); alter table ad drop column gone;
         create view shown as select * from ad",
    )
    .await;
    let cases = [
        ("select usage_sync.watch('shown', 'id')", "42809"),
        ("select usage_sync.watch('ad', 'ad_id')", "42703"),
        ("select usage_sync.watch('ad', 'gone')", "42703"),
        ("select usage_sync.watch('ad', 'xmin')", "42703"),
        ("select usage_sync.watch('nowhere', 'id')", "42P01"),
        ("select usage_sync.watch(null, 'id')", "22004"),
        ("select usage_sync.watch('ad', null)", "22004"),
    ];

    for (statement, code) in cases {
        assert_eq!(refusal(&app, statement).await, code, "{statement}");
    }
    assert_eq!(triggers(&app).await, []);
}

const HEARD_NOW: &str =
    "select setval('usage_sync.listening', extract(epoch from clock_timestamp())::bigint)";
const HEARD_A_MINUTE_AGO: &str =
    "select setval('usage_sync.listening', extract(epoch from clock_timestamp())::bigint - 60)";

#[tokio::test]
async fn a_commit_notifies_a_listener_that_sleeps_and_none_that_is_awake_or_gone() {
    let (database, app) = migrated().await;
    sql(
        &app,
        "create table ad (id int); select usage_sync.watch('ad', 'id')",
    )
    .await;
    let mut listener = PgListener::connect(&database.url).await.unwrap();
    listener.listen("usage_sync").await.unwrap();
    let mut heard = async || listener.recv().await.unwrap().payload().to_owned();

    // No daemon was heard of, ever or of late: a commit that notifies nobody
    // waits for nobody.
    sql(&app, "insert into ad values (1)").await;
    sql(&app, HEARD_A_MINUTE_AGO).await;
    sql(&app, "update ad set id = 1").await;
    sql(&app, "notify usage_sync, 'gone'").await;
    assert_eq!(heard().await, "gone");

    sql(&app, HEARD_NOW).await;
    sql(&app, "insert into ad select generate_series(2, 100)").await;
    sql(&app, "notify usage_sync, 'one statement'").await;
    assert_eq!(heard().await, "");
    assert_eq!(heard().await, "one statement");

    let mut awake = app.acquire().await.unwrap();
    sqlx::query("select pg_advisory_lock(1970496883, 1)")
        .execute(&mut *awake)
        .await
        .unwrap();
    sql(&app, "insert into ad values (101)").await;
    sql(&app, "update ad set id = -1 where id = 777").await;
    sqlx::query("select pg_advisory_unlock(1970496883, 1)")
        .execute(&mut *awake)
        .await
        .unwrap();
    // Nothing changed, so nobody is woken.
    sql(&app, "update ad set id = -1 where id = 777").await;
    sql(&app, "notify usage_sync, 'awake'").await;
    assert_eq!(heard().await, "awake");

    assert_eq!(captured(&app).await.len(), 102);
}
