//! Postgres: the server, our schema, the app's view and its index.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, postgres::PgListener};
use usage_sync::{daemon, ledger, postgres, schema, settings::Settings, telemetry::Chain, watched};

use super::{super::connect, Item};

/// A notification crosses a database in less than a millisecond.
const ROUND_TRIP: Duration = Duration::from_secs(2);

/// Longer than all questions together take, also over a large database: a read
/// of the view ends by itself after 15 s.
const LOOK: Duration = Duration::from_secs(30);

pub(super) async fn check(settings: &Settings) -> Vec<Item> {
    let (options, pool) = match daemon::pool(&settings.database) {
        Ok(opened) => opened,
        Err(error) => {
            return vec![Item::failed(
                "postgres",
                error.to_string(),
                "correct DATABASE_URL",
            )];
        }
    };
    let mut connection = match postgres::connect(&options).await {
        Ok(connection) => connection,
        Err(error) => {
            let (why, remedy) = (error.to_string(), connect::remedy(&error));
            return vec![Item::failed("postgres", why, remedy)];
        }
    };
    let looked = look(&mut connection, &pool);
    match tokio::time::timeout(LOOK, looked).await {
        Ok(items) => items,
        Err(_) => vec![Item::failed(
            "postgres",
            "took the connection and does not answer",
            "look at the server",
        )],
    }
}

async fn look(connection: &mut PgConnection, pool: &PgPool) -> Vec<Item> {
    let mut items = vec![server(connection).await];
    items.push(if schema::is_current(connection).await {
        Item::ok("schema", "usage_sync is up to date")
    } else {
        Item::failed(
            "schema",
            "usage_sync is missing or of another version",
            "run `usage-sync migrate`",
        )
    });
    items.push(listen(pool).await);
    let columns = view(connection).await;
    let readable = matches!(columns.state, super::State::Ok);
    items.push(columns);
    if readable {
        items.push(index(connection).await);
        items.push(watched(pool, connection).await);
    }
    items
}

async fn server(connection: &mut PgConnection) -> Item {
    let answer: Result<(String, bool, bool), sqlx::Error> = sqlx::query_as(
        "select current_setting('server_version'), pg_is_in_recovery(), \
         current_setting('transaction_read_only')::boolean",
    )
    .fetch_one(connection)
    .await;
    match answer {
        Ok((version, false, false)) => Item::ok("postgres", format!("version {version}")),
        Ok((version, false, true)) => Item::failed(
            "postgres",
            format!("version {version}, set to read only: nothing is reported"),
            "see why default_transaction_read_only is on: maintenance, or a plan whose room is used up",
        ),
        Ok((version, true, _)) => Item::failed(
            "postgres",
            format!("version {version}, a read-only standby"),
            "point DATABASE_URL at the primary",
        ),
        Err(error) => Item::failed("postgres", error.to_string(), "look at the server's log"),
    }
}

/// A notification to ourselves has to arrive.
async fn listen(pool: &PgPool) -> Item {
    let round_trip = async {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen("usage_sync_check").await?;
        sqlx::query("notify usage_sync_check").execute(pool).await?;
        listener.recv().await
    };
    match tokio::time::timeout(ROUND_TRIP, round_trip).await {
        Ok(Ok(_)) => Item::ok("notifications", "arrive at once"),
        Ok(Err(error)) => Item::warning(
            "notifications",
            error.to_string(),
            "look at the server's log",
        ),
        Err(_) => Item::warning(
            "notifications",
            "do not arrive, as behind a transaction pooler: changes are found by polling",
            "point DATABASE_URL at the database itself",
        ),
    }
}

const COLUMNS: [(&str, &[&str]); 4] = [
    ("ad_id", &[]),
    (
        "line",
        &["text", "character varying", "name", "bpchar", "citext"],
    ),
    (
        "contract",
        &["text", "character varying", "name", "bpchar", "citext"],
    ),
    ("fields", &["jsonb", "json"]),
];

async fn view(connection: &mut PgConnection) -> Item {
    const NAME: &str = "view usage_sync.usage";
    const REMEDY: &str = "create it in a migration of the app; README.md shows one";
    let found: Vec<(String, String)> = match sqlx::query_as(
        "select attname::text, format_type(atttypid, -1) from pg_attribute \
         where attrelid = to_regclass('usage_sync.usage') and attnum > 0 and not attisdropped",
    )
    .fetch_all(&mut *connection)
    .await
    {
        Ok(found) => found,
        Err(error) => return Item::failed(NAME, error.to_string(), REMEDY),
    };
    if found.is_empty() {
        return Item::failed(NAME, "does not exist", REMEDY);
    }
    let mut faults = Vec::new();
    for (column, types) in COLUMNS {
        match found.iter().find(|(name, _)| name == column) {
            None => faults.push(format!("column {column} is missing")),
            Some((_, kind)) if !types.is_empty() && !types.contains(&kind.as_str()) => {
                faults.push(format!("column {column} is {kind}, not {}", types[0]));
            }
            Some(_) => {}
        }
    }
    if !faults.is_empty() {
        return Item::failed(NAME, faults.join("; "), REMEDY);
    }
    match ledger::read_one(connection).await {
        Ok(()) => Item::ok(NAME, "has its columns and can be read"),
        Err(error) => Item::failed(NAME, Chain(&error).to_string(), unreadable(&error)),
    }
}

/// What to do about a view that has its columns and cannot be read.
fn unreadable(error: &ledger::Error) -> &'static str {
    if error.is_locked() {
        return "run it again once the app's migration is done: a table that the view reads is locked";
    }
    if error.is_too_slow() {
        return "one row takes more than 15 s: simplify the view, or index what it joins";
    }
    match error {
        // PostgreSQL: Appendix A, Error Codes: insufficient_privilege.
        ledger::Error::View(_) if error.code().as_deref() == Some("42501") => {
            "grant the daemon's role SELECT on the view"
        }
        ledger::Error::View(_) | ledger::Error::Row(_) => {
            "correct the view, or what it reads, in a migration of the app"
        }
        ledger::Error::Unavailable(_) | ledger::Error::Schema(_) => "look at the server's log",
    }
}

/// Looking an ad up must not read a whole table. Where an index serves, the
/// ids are a condition of the index; where none does, they are a filter that
/// every row has to pass.
async fn index(connection: &mut PgConnection) -> Item {
    const NAME: &str = "index for ad_id";
    match filtered(connection).await {
        Ok(tables) if tables.is_empty() => Item::ok(NAME, "is used"),
        Ok(tables) => Item::warning(
            NAME,
            format!(
                "looking an ad up reads the whole of: {}",
                Vec::from_iter(tables).join(", ")
            ),
            "create an index on the column that the view calls ad_id, and let the view show the column itself",
        ),
        Err(error) => Item::warning(
            NAME,
            error.to_string(),
            "see whether the view can be explained",
        ),
    }
}

/// The tables that are filtered by the ad's id, with sequential scans out of
/// favour: a small table is scanned whatever index there is.
async fn filtered(connection: &mut PgConnection) -> Result<BTreeSet<String>, sqlx::Error> {
    let key_type: String = sqlx::query_scalar("select usage_sync.key_type()")
        .fetch_one(&mut *connection)
        .await?;
    let limits = "begin; set local statement_timeout to '15s'; set local lock_timeout to '500ms'";
    let mut transaction = sqlx::Connection::begin_with(&mut *connection, limits).await?;
    let sample: Vec<String> =
        sqlx::query_scalar("select ad_id::text from usage_sync.usage limit 5")
            .fetch_all(&mut *transaction)
            .await?;
    sqlx::query("set local enable_seqscan to off")
        .execute(&mut *transaction)
        .await?;
    // The type's name comes from the catalogue, quoted where it must be.
    let ids = format!("select $1::text[]::{key_type}[]::text");
    let ids: String = sqlx::query_scalar(AssertSqlSafe(ids))
        .bind(&sample)
        .fetch_one(&mut *transaction)
        .await?;
    let explain = format!(
        "explain (format json) select * from usage_sync.usage \
         where ad_id = any ($1::text[]::{key_type}[])"
    );
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(explain))
        .bind(&sample)
        .fetch_one(&mut *transaction)
        .await?;
    let mut tables = BTreeSet::new();
    filters(&plan, &format!("'{ids}'"), &mut tables);
    Ok(tables)
}

/// The tables of a plan whose rows pass a filter that names these ids.
fn filters(plan: &Value, ids: &str, tables: &mut BTreeSet<String>) {
    match plan {
        Value::Array(parts) => parts.iter().for_each(|part| filters(part, ids, tables)),
        Value::Object(node) => {
            let text = |key: &str| node.get(key).and_then(Value::as_str);
            if text("Filter").is_some_and(|filter| filter.contains(ids)) {
                tables.insert(
                    text("Relation Name")
                        .unwrap_or("usage_sync.usage")
                        .to_owned(),
                );
            }
            node.values().for_each(|part| filters(part, ids, tables));
        }
        _ => {}
    }
}

/// Which tables are watched, and which the view reads besides: a change of
/// those is only found by a backfill, which may be meant so.
async fn watched(pool: &PgPool, connection: &mut PgConnection) -> Item {
    const NAME: &str = "watched tables";
    match watched::look(pool).await {
        Ok(None) => {}
        Ok(Some(unwatched)) => {
            return Item::failed(NAME, unwatched.to_string(), unwatched.remedy());
        }
        Err(error) => {
            let remedy = "run `usage-sync migrate`";
            return Item::failed(NAME, Chain(&error).to_string(), remedy);
        }
    }
    let tables: Result<(Vec<String>, Vec<String>), sqlx::Error> =
        sqlx::query_as(include_str!("watched.sql"))
            .fetch_one(connection)
            .await;
    match tables {
        Ok((watched, unwatched)) if unwatched.is_empty() => Item::ok(NAME, watched.join(", ")),
        Ok((watched, unwatched)) => Item::ok(
            NAME,
            format!(
                "{}; the view also reads {}, whose changes only a backfill finds",
                watched.join(", "),
                unwatched.join(", ")
            ),
        ),
        Err(error) => Item::failed(NAME, error.to_string(), "run `usage-sync migrate`"),
    }
}
