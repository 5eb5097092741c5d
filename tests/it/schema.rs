//! The schema in the app's database: migrations, triggers, rights, and the
//! reading of the app's view.

mod rights;
mod view;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use usage_sync::schema;

use crate::support::{self, Database, PATIENCE, wait_until};

/// A database with the schema, and the app's pool.
pub(crate) async fn migrated() -> (Database, PgPool) {
    let database = support::postgres().await;
    migrate(&database.url).await;
    let app = database.pool().await;
    (database, app)
}

pub(crate) async fn migrate(url: &str) -> schema::Migrated {
    let connect: PgConnectOptions = url.parse().unwrap();
    schema::migrate(&connect).await.unwrap()
}

/// Runs statements of the app.
pub(crate) async fn sql(pool: &PgPool, statements: &str) {
    try_sql(pool, statements).await.unwrap();
}

pub(crate) async fn try_sql(pool: &PgPool, statements: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
        .execute(pool)
        .await
        .map(drop)
}

/// The SQLSTATE with which a statement fails.
pub(crate) async fn refusal(pool: &PgPool, statements: &str) -> String {
    let error = try_sql(pool, statements)
        .await
        .expect_err(&format!("{statements} is to be refused"));
    let error = error.as_database_error().expect("postgres refused it");
    error.code().expect("with a code").into_owned()
}

/// Takes all changes out of the outbox.
async fn captured(pool: &PgPool) -> Vec<Option<String>> {
    sqlx::query_scalar(
        "with gone as (delete from usage_sync.change returning ad_id) \
         select ad_id from gone order by ad_id nulls first",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

fn ads<const N: usize>(ads: [&str; N]) -> Vec<Option<String>> {
    ads.iter().map(|ad| Some((*ad).to_owned())).collect()
}

/// A pool that logs in as another role.
async fn pool_of(database: &Database, role: &str) -> PgPool {
    PgPoolOptions::new()
        .max_connections(1)
        .connect(&url_of(database, role))
        .await
        .unwrap()
}

fn url_of(database: &Database, role: &str) -> String {
    database.url.replace("//postgres@", &format!("//{role}@"))
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let database = support::postgres().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    assert!(!schema::is_current(&mut connection).await);

    let first = migrate(&database.url).await;
    let second = migrate(&database.url).await;

    assert_eq!(first.before, 0);
    assert!(first.now > 0);
    assert_eq!((second.before, second.now), (first.now, first.now));
    assert!(schema::is_current(&mut connection).await);
}

#[tokio::test]
async fn migrations_at_the_same_time_wait_for_each_other() {
    let database = support::postgres().await;

    let all = tokio::join!(
        migrate(&database.url),
        migrate(&database.url),
        migrate(&database.url)
    );

    assert_eq!((all.0.now, all.1.now), (all.1.now, all.2.now));
}

#[tokio::test]
async fn the_app_writes_on_while_the_schema_is_made_and_made_again() {
    let database = support::postgres().await;
    let app = database.pool().await;
    sql(
        &app,
        "create schema shop; create table shop.ad (id bigint primary key)",
    )
    .await;
    let (stop, written) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let writer = tokio::spawn({
        let (stop, written, app) = (Arc::clone(&stop), Arc::clone(&written), app.clone());
        async move {
            while !stop.load(Ordering::Relaxed) {
                // It waits for no lock that a migration might take.
                sqlx::raw_sql(
                    "begin; set local lock_timeout to '100ms'; \
                     insert into shop.ad select coalesce(max(id), 0) + 1 from shop.ad; commit",
                )
                .execute(&app)
                .await?;
                written.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<(), sqlx::Error>(())
        }
    });
    let more = async || {
        let before = written.load(Ordering::Relaxed);
        wait_until("the writer", PATIENCE, async || {
            writer.is_finished() || written.load(Ordering::Relaxed) > before
        })
        .await;
    };

    more().await;
    migrate(&database.url).await;
    more().await;
    migrate(&database.url).await;
    more().await;
    stop.store(true, Ordering::Relaxed);

    writer.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_that_is_down_is_said_to_be_so() {
    let database = support::postgres().await;
    let connect: PgConnectOptions = database.url.parse().unwrap();
    database.server.kill().await.unwrap();

    let refused = schema::migrate(&connect).await.unwrap_err();

    assert!(matches!(refused, schema::Error::Connect(_)), "{refused:?}");
}
