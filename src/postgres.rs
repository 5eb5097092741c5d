//! Connections to the app's database, which may vanish without a word.
//!
//! Promises that no slot of the pool is lost to a connection whose other end
//! is gone, and that an error names the cause and not only that time is over.
//!
//! A transaction pooler gives each transaction another connection of the
//! server (`PgBouncer`: Features). So nothing may be left behind in a session: no
//! prepared statement has a name, and each statement is in a transaction, since
//! the driver prepares it in one message and runs it in another.

use std::{io, time::Duration};

use secrecy::ExposeSecret;
use sqlx::{
    Connection as _, Error, FromRow, PgConnection, PgPool, Postgres, Row as _, Transaction,
    postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgRow},
    query::{Query, QueryAs, QueryScalar},
};
use tokio::time::timeout;

use crate::settings;

/// Begins a transaction whose commit does not wait for the disk: for what is
/// found again after a crash of the server, an intent that stands again or changes
/// that are back in the outbox. The time-outs keep a locked table of the app from
/// holding the daemon, and a daemon that is frozen in the middle of one from
/// holding the app's migrations and other daemons: the server ends a transaction
/// that nobody goes on with. Compiling a statement takes Postgres 0.3 s, and it
/// does so wherever it takes a table that has grown since it was last analysed for
/// a costly one; none of these statements runs long enough to earn that.
pub(crate) const BEGIN: &str = "begin; \
    set local synchronous_commit to off; \
    set local jit to off; \
    set local statement_timeout to '15s'; \
    set local lock_timeout to '5s'; \
    set local idle_in_transaction_session_timeout to '3s'";

/// As [`BEGIN`], but committed means on disk.
pub(crate) const BEGIN_DURABLE: &str = "begin; \
    set local synchronous_commit to on; \
    set local jit to off; \
    set local statement_timeout to '15s'; \
    set local lock_timeout to '5s'; \
    set local idle_in_transaction_session_timeout to '3s'";

/// How long a connection of the pool is waited for.
const ACQUIRE: Duration = Duration::from_secs(5);

/// A connection that was used so lately is taken to be alive still.
const FRESH: Duration = Duration::from_secs(1);

/// A connection that comes back has to answer within this. What it was asked
/// last may still run: a statement of ours ends by itself after 15 s.
const SILENT: Duration = Duration::from_secs(16);

/// How long a look for the cause may take.
const DIAGNOSIS: Duration = Duration::from_secs(2);

/// A pool that connects when it is used, and says who it is.
pub(crate) fn pool(settings: &settings::Database) -> Result<(PgConnectOptions, PgPool), Error> {
    let connect: PgConnectOptions = settings.url.expose_secret().parse()?;
    // Poolers refuse what they do not know, and no number here needs the digits.
    let connect = connect
        .application_name("usage-sync")
        .extra_float_digits(None);
    let pool = closing_the_dead()
        .max_connections(settings.max_connections)
        .acquire_timeout(ACQUIRE)
        // That long is an outage, which is said by whoever meets it.
        .acquire_slow_threshold(ACQUIRE)
        // The pool asks a connection whether it lives when it comes back;
        // to ask again right away would cost every transaction a round trip.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move { Ok(meta.idle_for < FRESH || connection.ping().await.is_ok()) })
        })
        .connect_lazy_with(connect.clone());
    Ok((connect, pool))
}

/// A pool that does not take back what is dead. Its own question whether a
/// connection lives has no limit: a dead one would keep its slot until TCP gives
/// up, a quarter of an hour later.
pub(crate) fn closing_the_dead() -> PgPoolOptions {
    PgPoolOptions::new().after_release(|connection, _| {
        Box::pin(async move {
            Ok(matches!(
                timeout(SILENT, connection.ping()).await,
                Ok(Ok(()))
            ))
        })
    })
}

/// Options of a connection that [`is_direct`] may be asked about.
pub(crate) fn session_mark(options: PgConnectOptions) -> PgConnectOptions {
    options.options([("usage_sync.session", "1")])
}

/// Whether the server itself is at the other end, and no pooler: those refuse
/// or forget what a client brings along for its session. Asks a connection that
/// was opened with [`session_mark`].
pub(crate) async fn is_direct(connection: &mut PgConnection) -> Result<bool, Error> {
    sqlx::raw_sql("select current_setting('usage_sync.session', true) is not null")
        .fetch_one(connection)
        .await?
        .try_get(0)
}

/// Whether a pooler refused the mark (`PgBouncer`: `ignore_startup_parameters`).
pub(crate) fn is_pooler(error: &Error) -> bool {
    let error = error.as_database_error();
    error.is_some_and(|error| error.message().contains("startup parameter"))
}

/// One connection, or why there is none.
pub async fn connect(options: &PgConnectOptions) -> Result<PgConnection, Error> {
    timeout(ACQUIRE, PgConnection::connect_with(options))
        .await
        .unwrap_or_else(|_| Err(Error::Io(io::ErrorKind::TimedOut.into())))
}

/// Begins a transaction with this statement. Connections that died together
/// while nobody used them show one after the other, and are no outage as long as
/// a new one can be had.
pub(crate) async fn begin(
    pool: &PgPool,
    how: &'static str,
) -> Result<Transaction<'static, Postgres>, Error> {
    for _ in 0..pool.options().get_max_connections() {
        match pool.begin_with(how).await {
            Err(error) if is_dead(&error) => {}
            Err(Error::PoolTimedOut) => return Err(cause(pool).await),
            begun => return begun,
        }
    }
    pool.begin_with(how).await
}

/// Whether the connection ended, or the server ended it (57P01, PostgreSQL:
/// Appendix A, Error Codes).
fn is_dead(error: &Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    matches!(error, Error::Io(_)) || code.as_deref() == Some("57P01")
}

/// A statement without a name.
pub(crate) fn query<'q>(sql: &'static str) -> Query<'q, Postgres, PgArguments> {
    sqlx::query(sql).persistent(false)
}

/// The same, answering rows.
pub(crate) fn query_as<'q, Row>(sql: &'static str) -> QueryAs<'q, Postgres, Row, PgArguments>
where
    Row: for<'r> FromRow<'r, PgRow>,
{
    sqlx::query_as(sql).persistent(false)
}

/// The same, answering one column.
pub(crate) fn query_scalar<'q, Value>(
    sql: &'static str,
) -> QueryScalar<'q, Postgres, Value, PgArguments>
where
    (Value,): for<'r> FromRow<'r, PgRow>,
{
    sqlx::query_scalar(sql).persistent(false)
}

/// Why the pool had no connection: it tries for as long as it may and then
/// says only that. A server that takes one now has too few of ours.
pub(crate) async fn cause(pool: &PgPool) -> Error {
    let options = pool.connect_options();
    match timeout(DIAGNOSIS, PgConnection::connect_with(&options)).await {
        Ok(Ok(connection)) => {
            // It was only to see; how it ends does not matter.
            timeout(DIAGNOSIS, connection.close()).await.ok();
            Error::PoolTimedOut
        }
        Ok(Err(error)) => error,
        Err(_) => Error::Io(io::ErrorKind::TimedOut.into()),
    }
}
