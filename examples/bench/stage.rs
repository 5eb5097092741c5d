//! Everything that a measurement stands on, fresh for each mode.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use usage_sync::local::{Durability, Postgres, PostgresOptions, Redis, RedisOptions};

use crate::app::App;
use crate::daemon::Daemon;
use crate::org::{Counters, Org};
use crate::process::cpu_of_tree;
use crate::{Error, Mode, Options};

/// A run that stands still for this long has failed.
const PATIENCE: Duration = Duration::from_mins(2);
const LOOK: Duration = Duration::from_millis(5);

/// Servers, sandbox and app.
pub(crate) struct Stage {
    pub(crate) app: App,
    pub(crate) org: Org,
    program: PathBuf,
    database_url: String,
    concurrency: u32,
    next_ad: i64,
    /// Records that the sandbox created less those that it deleted.
    records: i64,
    pub(crate) postgres: Postgres,
    pub(crate) redis: Redis,
}

impl Stage {
    /// Starts everything but the daemon.
    pub(crate) async fn set(options: &Options, mode: Mode) -> Result<Self, Error> {
        Self::set_with(options, mode, RedisOptions::default()).await
    }

    /// As [`Stage::set`], with a Redis of its own kind.
    pub(crate) async fn set_with(
        options: &Options,
        mode: Mode,
        redis: RedisOptions,
    ) -> Result<Self, Error> {
        let program = match &options.daemon {
            Some(program) => program.clone(),
            None => beside_this_program()?,
        };
        let postgres = Postgres::start(PostgresOptions {
            durability: Durability::Durable,
            parent: options.directory.clone(),
            ..PostgresOptions::default()
        })
        .await?;
        let redis = Redis::start(redis).await?;
        let org = Org::start(&program).await?;
        org.pretend(mode).await?;
        let database_url = postgres.create_database("app").await?;
        migrate(&program, &database_url).await?;
        let app = App::set_up(&database_url, &org.products).await?;
        Ok(Self {
            app,
            org,
            program,
            database_url,
            concurrency: options.concurrency,
            next_ad: 1,
            records: 0,
            postgres,
            redis,
        })
    }

    /// Starts the daemon against a Salesforce at this address.
    pub(crate) fn start_daemon(&self, salesforce: &str) -> Result<Daemon, Error> {
        self.command("the daemon", &["run"], salesforce)
    }

    /// Starts a command of usage-sync against a Salesforce at this address.
    pub(crate) fn command(
        &self,
        name: &'static str,
        arguments: &[&str],
        salesforce: &str,
    ) -> Result<Daemon, Error> {
        let environment = self.environment(salesforce)?;
        Daemon::start(name, &self.program, arguments, &environment)
    }

    /// Starts the gateway against the sandbox, with settings of its own.
    pub(crate) fn start_gateway(&self, own: &[(&'static str, &str)]) -> Result<Daemon, Error> {
        let mut environment = self.environment(&self.org.ready.base_url)?;
        environment.extend(own.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Daemon::start("the gateway", &self.program, &["web"], &environment)
    }

    /// The settings of every process, with a Salesforce at this address.
    pub(crate) fn environment(
        &self,
        salesforce: &str,
    ) -> Result<Vec<(&'static str, String)>, Error> {
        Ok(vec![
            ("DATABASE_URL", self.database_url.clone()),
            ("REDIS_URL", self.redis.url()),
            ("SALESFORCE_LOGIN_URL", salesforce.to_owned()),
            ("SALESFORCE_AUDIENCE", self.org.ready.base_url.clone()),
            ("SALESFORCE_CLIENT_ID", self.org.ready.client_id.clone()),
            ("SALESFORCE_USERNAME", self.org.ready.username.clone()),
            ("SALESFORCE_PRIVATE_KEY", self.org.private_key()?),
            ("SALESFORCE_MAX_CONCURRENCY", self.concurrency.to_string()),
        ])
    }

    /// Where Redis is.
    pub(crate) fn redis_url(&self) -> String {
        self.redis.url()
    }

    /// The ids of so many new ads, first and last.
    pub(crate) fn number(&mut self, ads: u32) -> (i64, i64) {
        let first = self.next_ad;
        self.next_ad += i64::from(ads);
        (first, self.next_ad - 1)
    }

    /// Seconds of CPU that Postgres and Redis have used.
    pub(crate) fn cpu_of_servers(&self) -> f64 {
        [self.postgres.pid(), self.redis.pid()]
            .into_iter()
            .flatten()
            .map(|pid| cpu_of_tree(pid.unsigned_abs()))
            .sum()
    }

    /// Waits until Salesforce has created so many records; answers when.
    pub(crate) async fn created(
        &mut self,
        daemon: &mut Daemon,
        records: u64,
    ) -> Result<Instant, Error> {
        let (mut seen, mut moved) = (0, Instant::now());
        loop {
            let created = self.org.counters().await?.records.created;
            let now = Instant::now();
            if created >= records {
                return Ok(now);
            }
            if created > seen {
                (seen, moved) = (created, now);
            }
            self.org.must_live()?;
            daemon.must_live()?;
            if now.duration_since(moved) > PATIENCE {
                return Err(daemon.late("progress toward the last record", PATIENCE));
            }
            sleep(LOOK).await;
        }
    }

    /// Waits until the daemon has written down all that it was told.
    pub(crate) async fn settled(&self, daemon: &mut Daemon) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        while self.app.pending().await? > 0 {
            daemon.must_live()?;
            if Instant::now() > deadline {
                return Err(daemon.late("that every ad is reported", PATIENCE));
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// The sandbox's counters of one phase.
    pub(crate) async fn end_phase(&mut self) -> Result<Counters, Error> {
        let counters = self.org.take_counters().await?;
        let tally = counters.records;
        self.records += tally.created.cast_signed() - tally.deleted.cast_signed();
        if tally.updated + tally.deleted > 0 {
            return Err(Error::Inexact(format!(
                "nothing was changed or removed in the app, yet {} records were updated and {} deleted",
                tally.updated, tally.deleted
            )));
        }
        Ok(counters)
    }

    /// Whether Salesforce, ledger and app agree, record by record in number
    /// and product by product in quantity.
    pub(crate) async fn check(&self) -> Result<(), Error> {
        let (lines, sums) = self.app.wanted().await?;
        let ledger = self.app.ledger().await?;
        if self.records != lines || ledger != lines {
            return Err(Error::Inexact(format!(
                "the app has {lines} lines, Salesforce {} records, the ledger {ledger}",
                self.records
            )));
        }
        let consumed = self.org.consumed().await?;
        for (product, wanted) in &sums {
            let used = consumed.get(product).copied().unwrap_or_default();
            // Quantities are small whole numbers, which f64 holds exactly.
            if format!("{used}") != wanted.to_string() {
                return Err(Error::Inexact(format!(
                    "product {product}: the app used {wanted}, Salesforce says {used}"
                )));
            }
        }
        Ok(())
    }
}

/// `usage-sync` of the same build: examples lie one folder deeper.
fn beside_this_program() -> Result<PathBuf, Error> {
    let own = std::env::current_exe().map_err(Error::io("finding usage-sync"))?;
    let folder = own.parent().and_then(Path::parent);
    Ok(folder.unwrap_or(Path::new(".")).join("usage-sync"))
}

async fn migrate(program: &Path, database_url: &str) -> Result<(), Error> {
    let environment = [("DATABASE_URL", database_url.to_owned())];
    let mut migration = Daemon::start("migrate", program, &["migrate"], &environment)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match migration.must_live() {
            Ok(()) if Instant::now() > deadline => {
                return Err(migration.late("the migration", PATIENCE));
            }
            Ok(()) => sleep(LOOK).await,
            Err(Error::Ended { status, .. }) if status.success() => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
