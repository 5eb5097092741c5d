//! Everything that the story needs: the servers, the org, the app, the daemon
//! and the screen; and waiting until something can be seen.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::time::{Instant, sleep};

use super::app::App;
use super::compare::{Comparison, compare};
use super::daemon::Daemon;
use super::org::{Contract, Org, Product};
use super::screen::Screen;
use super::{Error, app};
use crate::local::{Postgres, PostgresOptions, Redis, RedisOptions};

const ROLES: &str = include_str!("roles.sql");
const GRANTS: &str = include_str!("grants.sql");

/// Long enough for a busy machine; only a defect waits that long.
const PATIENCE: Duration = Duration::from_mins(1);
/// The pause between two looks grows, so that looking does not slow down what
/// it waits for.
const POLL: Duration = Duration::from_millis(10);
const POLL_MAX: Duration = Duration::from_millis(200);
/// Shorter waits need no sign of life.
const SIGN_AFTER: Duration = Duration::from_secs(1);

/// What one look at a thing showed.
pub(crate) enum Look<T> {
    /// What was waited for.
    Seen(T),
    /// Something else, in words.
    NotYet(String),
}

/// The stage. Its parts go in this order: nothing goes before what uses it.
pub(crate) struct Stage {
    pub(crate) screen: Screen,
    pub(crate) daemon: Daemon,
    pub(crate) app: App,
    pub(crate) app_url: String,
    pub(crate) org: Org,
    pub(crate) redis: Redis,
    pub(crate) postgres: Postgres,
}

impl Stage {
    /// Starts all servers, makes the roles and the schema; the daemon does not
    /// run yet.
    pub(crate) async fn set(screen: Screen) -> Result<Self, Error> {
        let options = PostgresOptions::default();
        let postgres = Postgres::start(options).await.map_err(Error::Server)?;
        let redis = Redis::start(RedisOptions::default())
            .await
            .map_err(Error::Server)?;
        let org = Org::start().await?;
        postgres
            .create_database("app")
            .await
            .map_err(Error::Server)?;
        execute(&postgres.url("app"), ROLES).await?;

        let url = |role| format!("postgres://{role}@127.0.0.1:{}/app", postgres.port());
        let (app_url, daemon_url) = (url("service_app"), url("usage_sync"));
        let daemon = Daemon::new(environment(daemon_url.clone(), &redis, &org))?;
        daemon.command("migrate").await?;
        execute(&daemon_url, GRANTS).await?;
        let app = App::connect(&app_url).await?;
        Ok(Self {
            screen,
            daemon,
            app,
            app_url,
            org,
            redis,
            postgres,
        })
    }

    /// Shows a statement of the app and runs it.
    pub(crate) async fn app_runs(&mut self, sql: &str) -> Result<(), Error> {
        self.screen.run(sql)?;
        self.app.run(sql).await
    }

    /// Shows a query of the app and its answer.
    pub(crate) async fn app_asks(&mut self, sql: &str) -> Result<(), Error> {
        self.screen.run(sql)?;
        let answer = self.app.ask(sql).await?;
        let header: Vec<&str> = answer.header.iter().map(String::as_str).collect();
        Ok(self.screen.table("The answer", &header, &answer.rows)?)
    }

    /// Shows a contract as Salesforce sees it.
    pub(crate) async fn show(&mut self, contract: &Contract) -> Result<(), Error> {
        let products = self.org.products(contract).await?;
        let rows: Vec<Vec<String>> = products.iter().map(row).collect();
        let header = ["product", "units", "consumed", "available"];
        let caption = format!("Contract {}, as Salesforce sees it", contract.number);
        Ok(self.screen.table(&caption, &header, &rows)?)
    }

    /// The app's view against Salesforce's records, now.
    pub(crate) async fn compare(&self) -> Result<Comparison, Error> {
        Ok(compare(self.app.wanted().await?, self.org.usage().await?))
    }

    /// Looks until it is seen; fails after a while, or when the daemon ends.
    /// `what` completes "waited for ...".
    pub(crate) async fn until<T>(
        &mut self,
        what: &'static str,
        mut look: impl AsyncFnMut(&Self) -> Result<Look<T>, Error>,
    ) -> Result<T, Error> {
        let start = Instant::now();
        loop {
            let seen = match look(self).await? {
                Look::Seen(thing) => {
                    self.screen.waited()?;
                    return Ok(thing);
                }
                Look::NotYet(seen) => seen,
            };
            self.daemon.check()?;
            let waited = start.elapsed();
            if waited > PATIENCE {
                self.screen.waited()?;
                let seconds = PATIENCE.as_secs();
                return Err(Error::Late {
                    what,
                    seconds,
                    seen,
                });
            }
            if waited > SIGN_AFTER {
                let text = format!("waiting for {what}; {seen}");
                self.screen.still_waiting(waited, &text)?;
            }
            sleep((waited / 10).clamp(POLL, POLL_MAX)).await;
        }
    }

    /// Asks the daemon to stop and waits until it has.
    pub(crate) async fn stop_daemon(&mut self) -> Result<(), Error> {
        self.daemon.terminate();
        let start = Instant::now();
        loop {
            match self.daemon.ended()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(Error::DaemonEnded(status)),
                None if start.elapsed() > PATIENCE => {
                    return Err(Error::Late {
                        what: "the daemon's end",
                        seconds: PATIENCE.as_secs(),
                        seen: String::from("it still runs"),
                    });
                }
                None => sleep(POLL).await,
            }
        }
    }

    /// Waits until the contract's products are consumed as given, in their
    /// order.
    pub(crate) async fn arrives(
        &mut self,
        contract: &Contract,
        consumed: &[&str],
    ) -> Result<(), Error> {
        self.until("the ads to arrive in Salesforce", async |stage| {
            let now = consumption(&stage.org.products(contract).await?);
            Ok(if now == consumed {
                Look::Seen(())
            } else {
                let now = now.join(" and ");
                Look::NotYet(format!("Salesforce has {now} units consumed"))
            })
        })
        .await
    }
}

/// The units consumed, product by product.
pub(crate) fn consumption(products: &[Product]) -> Vec<String> {
    let consumed = products.iter().map(|product| product.consumed.get());
    consumed.map(str::to_owned).collect()
}

fn row(product: &Product) -> Vec<String> {
    let numbers = [&product.units, &product.consumed, &product.available];
    let numbers = numbers.into_iter().map(|number| number.get().to_owned());
    std::iter::once(product.code.clone())
        .chain(numbers)
        .collect()
}

/// The daemon's settings. Everything that paces failures is quicker than in
/// production, so that nobody has to wait for a story about patience.
fn environment(database: String, redis: &Redis, org: &Org) -> Vec<(&'static str, String)> {
    let credentials = org.credentials().clone();
    let fixed = [
        ("OUTAGE_BASE", "100ms"),
        ("OUTAGE_MAX", "500ms"),
        ("RETRY_BASE", "200ms"),
        ("QUEUE_LEASE", "3s"),
        ("CAPTURE_SWEEP_INTERVAL", "2s"),
        ("LOG_FORMAT", "logfmt"),
    ];
    let mut environment = vec![
        ("DATABASE_URL", database),
        ("REDIS_URL", redis.url()),
        ("SALESFORCE_LOGIN_URL", org.base_url().to_owned()),
        ("SALESFORCE_CLIENT_ID", credentials.client_id),
        ("SALESFORCE_USERNAME", credentials.username),
        ("SALESFORCE_PRIVATE_KEY", credentials.private_key),
    ];
    environment.extend(fixed.map(|(name, value)| (name, value.to_owned())));
    environment
}

async fn execute(url: &str, sql: &'static str) -> Result<(), Error> {
    let mut connection = PgConnection::connect(url).await.map_err(Error::Sql)?;
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await
        .map_err(Error::Sql)?;
    connection.close().await.map_err(Error::Sql)
}

/// Makes the app's tables, its view and its triggers.
pub(crate) async fn install_app(stage: &mut Stage) -> Result<(), Error> {
    stage.app_runs(app::TABLES).await?;
    stage.screen.say(
        "Its one migration for usage-sync: a view that says what Salesforce is to be told, and \
         two tables to be watched.",
    )?;
    stage.app_runs(app::VIEW).await
}
