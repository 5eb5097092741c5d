//! `usage-sync web`: the contract gateway and the ops page.
//!
//! The gateway answers programs, the service app first of all: contracts read
//! live from Salesforce, what became of an ad, how things stand. `openapi.json`
//! describes it, and a test holds the two together. Whoever asks has the bearer
//! token `WEB_TOKEN`; no answer tells more to anybody else than that the process
//! is alive.
//!
//! Promises that every request is answered within `PATIENCE`, whatever becomes
//! of Postgres, Redis and Salesforce, and that a no is a problem document that
//! says what to do. Keeps nothing: an answer is as old as the request. It changes
//! nothing but what a person asks for: an ad is tried again.
//!
//! The process needs none of the services to start, and none of the daemons
//! needs it.

mod access;
mod ads;
mod caller;
mod contracts;
mod guard;
mod page;
mod path;
mod problem;
mod rate;
mod redis;
mod serve;
mod status;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router, middleware,
    routing::{MethodRouter, get, post},
};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    contracts::{Contracts, Error as ContractsError},
    daemon,
    ledger::Ledger,
    postgres, salesforce,
    settings::{self, Settings},
    shutdown::Shutdown,
};
use access::Access;
use page::{PAGES, Rates, Signer};
use redis::Redis;

/// Longer than any answer should take, and less than the 30 s after which
/// Heroku's router gives up (Dev Center, "Request Timeout").
const PATIENCE: Duration = Duration::from_secs(25);

/// A database that says nothing is given up a little before that: its statements
/// end by themselves after 15 s, and a connection is had within 5 s.
const ANSWER: Duration = Duration::from_secs(21);

/// What keeps the gateway from running.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting that only shows when it is used.
    #[error("DATABASE_URL cannot be used")]
    Database(#[source] sqlx::Error),
    /// The same, of Salesforce.
    #[error("the salesforce settings cannot be used")]
    Salesforce(#[source] salesforce::Error),
    /// The same, of the names in Salesforce.
    #[error("the contract settings cannot be used")]
    Contracts(#[source] ContractsError),
    /// The port is taken, or may not be used.
    #[error("port {port} cannot be used")]
    Listen {
        /// Which one.
        port: u16,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// What the answers are made of.
struct Web {
    access: Access,
    contracts: Contracts,
    ledger: Ledger,
    pool: PgPool,
    rates: Rates,
    redis: Redis,
    signer: Signer,
    /// Share of the org's calls that may be spent.
    share: f64,
}

type Shared = axum::extract::State<Arc<Web>>;
type Route = (&'static str, fn() -> MethodRouter<Arc<Web>>);

/// What anybody may ask.
const OPEN: &[Route] = &[("/healthz", || get(status::health))];

/// What asks for the token.
const GUARDED: &[Route] = &[
    ("/contracts", || get(contracts::of_account)),
    ("/contracts/{key}", || get(contracts::one)),
    ("/ads/{id}", || get(ads::one)),
    ("/ads/{id}/retry", || post(ads::retry)),
    ("/status", || get(status::status)),
    ("/openapi.json", || get(status::openapi)),
];

/// Answers until a stop is asked for. What is in flight then has
/// `SHUTDOWN_TIMEOUT` to end.
pub async fn run(
    settings: &Settings,
    web: &settings::Web,
    shutdown: &Shutdown,
) -> Result<(), Error> {
    let (_, pool) = postgres::pool(&settings.database).map_err(Error::Database)?;
    let app = app(Web::new(settings, web, pool.clone())?);
    let listen = |source| Error::Listen {
        port: web.port,
        source,
    };
    // Heroku's router comes in from outside (Dev Center, "Runtime Principles").
    let everywhere = IpAddr::from(Ipv4Addr::UNSPECIFIED);
    let listener = TcpListener::bind((everywhere, web.port)).await;
    let listener = listener.map_err(listen)?;
    let port = listener.local_addr().map_err(listen)?.port();
    tracing::info!(port, "web listens");
    serve::serve(listener, app, shutdown, settings.shutdown_timeout).await;
    // A connection that hangs must not keep the process from ending.
    let _closed = tokio::time::timeout(Duration::from_secs(1), pool.close()).await;
    Ok(())
}

impl Web {
    fn new(settings: &Settings, web: &settings::Web, pool: PgPool) -> Result<Self, Error> {
        let client = salesforce::Client::new(&settings.salesforce).map_err(Error::Salesforce)?;
        let contracts = Contracts::new(
            client,
            pool.clone(),
            &settings.contract,
            settings.salesforce.read_timeout,
        )
        .map_err(Error::Contracts)?;
        Ok(Self {
            access: Access::new(&web.token, web.rate_limit),
            contracts,
            ledger: Ledger::new(pool.clone(), daemon::names(&settings.salesforce)),
            pool,
            rates: Rates::default(),
            signer: Signer::new(&web.token),
            redis: Redis::new(settings.redis.clone(), settings.queue.clone()),
            share: settings.salesforce.api_budget,
        })
    }
}

/// Everything below the listener. What comes last in here is asked first.
fn app(web: Web) -> Router {
    let web = Arc::new(web);
    let all = |routes: &[Route]| {
        routes.iter().fold(Router::new(), |router, (path, route)| {
            router.route(path, route())
        })
    };
    let guarded = all(GUARDED).route_layer(middleware::from_fn_with_state(
        Arc::clone(&web),
        guard::with_token,
    ));
    let routes = all(OPEN)
        .merge(all(PAGES))
        .merge(guarded)
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .with_state(web);
    answered(routes, PATIENCE)
}

/// Whatever becomes of a request in there, it has an answer in time.
fn answered(routes: Router, patience: Duration) -> Router {
    routes
        .layer(middleware::from_fn(guard::small))
        .layer(middleware::from_fn_with_state(patience, guard::in_time))
        .layer(CatchPanicLayer::custom(|_said_by_the_hook| problem::bug()))
        .layer(middleware::from_fn(guard::headers))
}

#[cfg(test)]
mod tests;
