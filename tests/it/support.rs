//! What the tests stand on: private servers, a proxy that misbehaves, the real
//! binary, and waiting for a condition.
//!
//! Every test has servers of its own, so none can hear another one and each may
//! kill what it likes. Only an empty cluster is shared, as a template on disk.

mod daemon;
mod moments;
mod proxy;
mod python;
mod wait;
mod world;

use std::error::Error;
use std::path::Path;

use redis::aio::MultiplexedConnection;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use usage_sync::local::{self, Postgres, PostgresOptions, Redis, RedisOptions};

pub(crate) use daemon::{Daemon, memory};
pub(crate) use proxy::{Mode, Proxy};
pub(crate) use python::{python, skipped};
pub(crate) use wait::{PATIENCE, wait_until};
pub(crate) use world::{Usage, World};

/// A private Postgres with one empty database.
pub(crate) struct Database {
    /// The server, to be killed, frozen and restarted.
    pub(crate) server: Postgres,
    /// Where the database is.
    pub(crate) url: String,
}

impl Database {
    /// A pool of the test's own, as the app would have one.
    pub(crate) async fn pool(&self) -> PgPool {
        PgPoolOptions::new()
            .max_connections(5)
            .connect(&self.url)
            .await
            .expect("the private Postgres takes connections")
    }
}

/// A fresh Postgres with a fresh database.
pub(crate) async fn postgres() -> Database {
    postgres_with(PostgresOptions::default()).await
}

/// As [`postgres`], with parameters of its own.
pub(crate) async fn postgres_with(options: PostgresOptions) -> Database {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned();
    let server = Postgres::start(PostgresOptions {
        template_cache: Some(cache),
        parent: options.parent.or_else(local::memory),
        ..options
    })
    .await
    .unwrap_or_else(|error| fail(&error));
    let url = server
        .create_database("app")
        .await
        .expect("a fresh server takes a database");
    Database { server, url }
}

/// A fresh, empty Redis.
pub(crate) async fn redis() -> Redis {
    redis_with(RedisOptions::default()).await
}

/// A connection to a Redis. The client's own limits, 500 ms for an answer, are
/// less than a busy machine takes.
pub(crate) async fn redis_connection(url: &str) -> redis::RedisResult<MultiplexedConnection> {
    let patient = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    redis::Client::open(url)?
        .get_multiplexed_async_connection_with_config(&patient)
        .await
}

/// As [`redis`], with parameters of its own.
pub(crate) async fn redis_with(options: RedisOptions) -> Redis {
    Redis::start(RedisOptions {
        parent: options.parent.or_else(local::memory),
        ..options
    })
    .await
    .unwrap_or_else(|error| fail(&error))
}

/// What people read, with its cause.
fn fail<T>(error: &local::Error) -> T {
    match error.source() {
        Some(cause) => panic!("{error}: {cause}"),
        None => panic!("{error}"),
    }
}
