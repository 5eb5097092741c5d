//! Who may do what: the app needs no right in the daemon's schema, and gets
//! no more than what it is granted.

use sqlx::PgPool;
use usage_sync::ledger::Ledger;
use usage_sync::plan::Names;

use super::{ads, captured, migrate, pool_of, refusal, sql, try_sql, url_of};
use crate::support::{self, Database};

const FORBIDDEN: &str = "42501";

/// Everything in the schema that belongs to the daemon alone.
const PRIVATE: [&str; 9] = [
    "select from usage_sync.change",
    "insert into usage_sync.change (ad_id) values ('1')",
    "select from usage_sync.ad",
    "select from usage_sync.record",
    "select from usage_sync.intent",
    "select from usage_sync.journal",
    "delete from usage_sync.journal",
    "select from usage_sync.wanted('{1}')",
    "select nextval('usage_sync.token')",
];

/// A daemon, the owner of the app's tables, a role that only writes them, and
/// one that does neither. No superuser among them.
struct Roles {
    database: Database,
    daemon: PgPool,
    owner: PgPool,
    writer: PgPool,
    reader: PgPool,
}

async fn roles() -> Roles {
    let database = support::postgres().await;
    let superuser = database.pool().await;
    sql(
        &superuser,
        "create role daemon login; create role owner login;
         create role writer login; create role reader login;
         grant create on database app to daemon, owner;
         revoke all on schema public from public",
    )
    .await;
    migrate(&url_of(&database, "daemon")).await;
    let daemon = pool_of(&database, "daemon").await;
    let owner = pool_of(&database, "owner").await;
    sql(
        &owner,
        "create schema shop; create table shop.ad (id int primary key, units int);
         grant usage on schema shop to writer; grant insert, update, delete, select on shop.ad to writer",
    )
    .await;
    Roles {
        writer: pool_of(&database, "writer").await,
        reader: pool_of(&database, "reader").await,
        database,
        daemon,
        owner,
    }
}

async fn set_up(roles: &Roles) {
    sql(&roles.daemon, "select usage_sync.grant_setup('owner')").await;
    sql(
        &roles.owner,
        "select usage_sync.watch('shop.ad', 'id');
         create view usage_sync.usage as select id as ad_id, 'base' as line, null::text as contract,
             jsonb_build_object('Quantity__c', units) as fields from shop.ad;
         grant select on usage_sync.usage to daemon",
    )
    .await;
}

#[tokio::test]
async fn the_app_writes_its_watched_table_without_any_right_in_the_schema() {
    let roles = roles().await;
    set_up(&roles).await;

    sql(
        &roles.writer,
        "insert into shop.ad values (1, 2), (2, 3); update shop.ad set id = 3 where id = 2;
         delete from shop.ad where id = 3",
    )
    .await;

    assert_eq!(
        captured(&roles.daemon).await,
        ads(["1", "2", "2", "3", "3"])
    );
    for statement in PRIVATE {
        assert_eq!(
            refusal(&roles.writer, statement).await,
            FORBIDDEN,
            "{statement}"
        );
    }
}

#[tokio::test]
async fn the_daemon_reads_the_view_and_nothing_else_of_the_app() {
    let roles = roles().await;
    set_up(&roles).await;
    sql(&roles.writer, "insert into shop.ad values (1, 2)").await;
    sql(
        &roles.daemon,
        "insert into usage_sync.ad (ad_id, changed_at) values ('1', now())",
    )
    .await;
    let ledger = Ledger::new(
        roles.daemon.clone(),
        Names {
            prefix: String::new(),
            reserved: Vec::new(),
        },
    );

    let mut fence = ledger.fence(&["1".to_owned()]).await.unwrap();

    let wanted = fence.take_ads().remove(0).wanted;
    assert_eq!(wanted[0].fields.as_deref(), Some(r#"{"Quantity__c": 2}"#));
    drop(fence);
    assert_eq!(
        refusal(&roles.daemon, "select from shop.ad").await,
        FORBIDDEN
    );
}

#[tokio::test]
async fn setup_may_be_done_by_whom_it_was_granted_to_and_by_nobody_else() {
    let roles = roles().await;
    let steps = [
        "select usage_sync.watch('shop.ad', 'id')",
        "select usage_sync.unwatch('shop.ad')",
        "create view usage_sync.usage as select 1 as ad_id",
    ];
    for step in steps {
        assert_eq!(refusal(&roles.owner, step).await, FORBIDDEN, "{step}");
    }

    set_up(&roles).await;

    sql(&roles.owner, "select usage_sync.watch('shop.ad', 'id')").await;
    sql(
        &roles.owner,
        "drop view usage_sync.usage; create view usage_sync.usage as select 1 as ad_id",
    )
    .await;
    sql(&roles.owner, "select usage_sync.unwatch('shop.ad')").await;
    for statement in PRIVATE {
        let code = refusal(&roles.owner, statement).await;
        assert_eq!(code, FORBIDDEN, "{statement}");
    }
    for step in steps {
        assert_eq!(refusal(&roles.writer, step).await, FORBIDDEN, "{step}");
    }
}

#[tokio::test]
async fn setup_is_no_way_to_a_table_of_somebody_else() {
    let roles = roles().await;
    let superuser = roles.database.pool().await;
    sql(
        &superuser,
        "create schema hr; create table hr.salary (id int)",
    )
    .await;
    sql(&superuser, "grant usage on schema hr to owner").await;
    set_up(&roles).await;

    let refused = refusal(&roles.owner, "select usage_sync.watch('hr.salary', 'id')").await;

    assert_eq!(refused, FORBIDDEN);
}

#[tokio::test]
async fn the_status_may_be_read_by_whom_it_was_granted_to_and_nothing_else() {
    let roles = roles().await;
    set_up(&roles).await;
    let status = "select * from usage_sync.ad_status";
    assert_eq!(refusal(&roles.reader, status).await, FORBIDDEN);

    sql(&roles.daemon, "select usage_sync.grant_status('reader')").await;

    try_sql(&roles.reader, status).await.unwrap();
    for statement in PRIVATE.iter().chain(&[
        "delete from usage_sync.ad_status",
        "select usage_sync.grant_status('reader')",
        "select usage_sync.grant_setup('reader')",
        "create view usage_sync.mine as select 1",
        "select from usage_sync.usage",
    ]) {
        let code = refusal(&roles.reader, statement).await;
        // A view over several tables cannot be written to by anybody.
        let expected = [FORBIDDEN, "55000"];
        assert!(expected.contains(&code.as_str()), "{statement}: {code}");
    }
}
