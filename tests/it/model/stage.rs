//! What a history is played on: servers, wires, the app, the sales team.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use fastrand::Rng;
use serde_json::json;
use sqlx::{
    AssertSqlSafe, PgPool, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::{sleep_until, timeout};
use usage_sync::{local::Redis, sandbox::Sandbox};

use super::{
    Failed,
    app::{CONTRACTS, Change},
    contracts::Contracts,
    fault::{Fault, Kind, Place},
    fleet::Fleet,
    history::{History, Step},
};
use crate::support::{Daemon, Database, Mode, Proxy, World, redis_connection};

/// No statement of the app takes longer because of us. Generous, for a busy
/// machine.
const APP_WAITS: Duration = Duration::from_secs(15);

/// A daemon gives up on a request after this long. One that a stalled wire held
/// back for longer never arrives: it might land after the daemon's landing
/// window, and Salesforce promises that none does.
const GIVEN_UP: Duration = Duration::from_secs(2);

pub(super) struct Stage {
    pub(super) database: Database,
    pub(super) redis: Redis,
    pub(super) sandbox: Arc<Sandbox>,
    pub(super) app: PgPool,
    pub(super) fleet: Fleet,
    pub(super) contracts: Arc<Contracts>,
    salesforce_wire: Proxy,
    /// For the commands of whoever looks after the daemons.
    environment: Vec<(&'static str, String)>,
    open: Option<Transaction<'static, Postgres>>,
    /// When each fault that is not over began.
    begun: HashMap<usize, Instant>,
    /// The sandbox's number for each of its faults.
    plans: HashMap<usize, u64>,
    /// How often each kind of fault was set up.
    pub(super) struck: BTreeMap<Kind, u64>,
    /// Calls of Salesforce that met a fault of the sandbox, by its kind.
    pub(super) hits: BTreeMap<Kind, u64>,
}

impl Stage {
    pub(super) async fn set(history: &History) -> Self {
        let world = World::new(CONTRACTS).await;
        let environment = environment(&world, history);
        let World {
            database,
            redis,
            sandbox,
            products,
            ..
        } = world;
        let settings = json!({
            "base_ms": history.call_ms, "per_record_ms": history.call_ms / 10,
            "lock_wait_ms": 100, "rules": {"Revision": history.revision},
            "fields": [{
                "object": "Usage__c", "field": "Contract_Product__c",
                "reparentable": history.movable,
            }],
        });
        sandbox.settings(&settings).expect("the org's settings");
        let salesforce_wire = Proxy::in_front_of(sandbox.base_url()).await;
        sandbox.stand_behind(&salesforce_wire.url());
        let mut of_daemons = environment.clone();
        of_daemons.retain(|(name, _)| *name != "SALESFORCE_LOGIN_URL");
        of_daemons.push(("SALESFORCE_LOGIN_URL", salesforce_wire.url()));
        let sandbox = Arc::new(sandbox);
        Self {
            app: app(&database.url).await,
            fleet: Fleet::new(vec![of_daemons; history.daemons]).await,
            contracts: Arc::new(Contracts::new(Arc::clone(&sandbox), products)),
            database,
            redis,
            sandbox,
            salesforce_wire,
            environment,
            open: None,
            begun: HashMap::new(),
            plans: HashMap::new(),
            struck: BTreeMap::new(),
            hits: BTreeMap::new(),
        }
    }

    pub(super) async fn take(&mut self, step: &Step) -> Result<(), Failed> {
        match step {
            Step::App(change) => self.change(change).await,
            Step::Open(change) => self.open(change).await,
            Step::Close { commit } => self.close(*commit).await,
            Step::Lock(contract) => {
                self.contracts.lock(*contract);
                Ok(())
            }
            Step::Unlock(contract) => {
                self.contracts.unlock(*contract);
                Ok(())
            }
            Step::Begin(number, fault) => {
                *self.struck.entry(fault.kind).or_default() += 1;
                self.begun.insert(*number, Instant::now());
                self.begin(*number, fault).await
            }
            Step::End(number, fault) => {
                let begun = self.begun.remove(number).unwrap_or_else(Instant::now);
                sleep_until((begun + least(fault)).into()).await;
                if fault.kind == Kind::SalesforceStall && begun.elapsed() > GIVEN_UP {
                    self.salesforce_wire.reset_connections();
                }
                self.end(*number, fault).await
            }
            Step::Pause(ms) => {
                tokio::time::sleep(Duration::from_millis(*ms)).await;
                Ok(())
            }
        }
    }

    /// A command of whoever looks after the daemons.
    pub(super) async fn command(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Daemon::start(arguments, self.environment.clone());
        let status = command.ended().await;
        (status.code(), command.log())
    }

    async fn change(&self, change: &Change) -> Result<(), Failed> {
        for sql in &change.sql {
            let write = sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&self.app);
            in_time(sql, write).await?;
        }
        Ok(())
    }

    async fn open(&mut self, change: &Change) -> Result<(), Failed> {
        let mut transaction = in_time("begin", self.app.begin()).await?;
        for sql in &change.sql {
            let write = sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut *transaction);
            in_time(sql, write).await?;
        }
        self.open = Some(transaction);
        Ok(())
    }

    /// A server that was restarted meanwhile has taken the transaction back.
    async fn close(&mut self, commit: bool) -> Result<(), Failed> {
        let Some(transaction) = self.open.take() else {
            return Ok(());
        };
        let ended = async {
            if commit {
                transaction.commit().await
            } else {
                transaction.rollback().await
            }
        };
        match timeout(APP_WAITS, ended).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Failed(format!("the app's end took over {APP_WAITS:?}"))),
        }
    }

    async fn begin(&mut self, number: usize, fault: &Fault) -> Result<(), Failed> {
        if let Some(plan) = fault.plan() {
            self.plans.insert(number, self.sandbox.fault(plan));
            return Ok(());
        }
        match fault.place {
            Place::Daemon(post) => self.strike_daemon(post, fault).await,
            Place::Redis => self.strike_redis(fault).await?,
            Place::Postgres => self.strike_postgres(fault.kind).await?,
            Place::RedisWire(post) => self.fleet.posts[post].redis.set(mode(fault.kind)),
            Place::PostgresWire(post) => self.fleet.posts[post].postgres.set(mode(fault.kind)),
            Place::SalesforceWire => self.salesforce_wire.set(mode(fault.kind)),
            Place::Salesforce => {}
        }
        Ok(())
    }

    async fn end(&mut self, number: usize, fault: &Fault) -> Result<(), Failed> {
        if let Some(plan) = self.plans.remove(&number) {
            *self.hits.entry(fault.kind).or_default() += self.sandbox.fault_hits(plan);
            self.sandbox.end_fault(plan);
        }
        match fault.place {
            Place::Daemon(post) => {
                self.fleet.thaw(post);
                self.fleet.start(post);
            }
            Place::Redis => self.mend_redis(fault.kind).await?,
            Place::Postgres if fault.kind == Kind::PostgresReadOnly => {
                self.read_only("off").await?;
            }
            Place::RedisWire(post) => mend(&self.fleet.posts[post].redis, fault.kind),
            Place::PostgresWire(post) => mend(&self.fleet.posts[post].postgres, fault.kind),
            Place::SalesforceWire => mend(&self.salesforce_wire, fault.kind),
            Place::Salesforce | Place::Postgres => {}
        }
        Ok(())
    }

    async fn strike_daemon(&mut self, post: usize, fault: &Fault) {
        // Heroku may send the signal several times.
        let times = Rng::with_seed(fault.seed).u64(1..5);
        match fault.kind {
            Kind::Kill => self.fleet.kill(post).await,
            Kind::Freeze => self.fleet.freeze(post),
            Kind::Stop => self.fleet.stop(post, times),
            _ => {
                self.fleet.stop(post, times);
                self.fleet.start(post);
            }
        }
    }

    async fn strike_redis(&mut self, fault: &Fault) -> Result<(), Failed> {
        match fault.kind {
            Kind::RedisRestart => {
                // As after a crash: killed, then started with what it held.
                self.redis.kill().await.map_err(broken)?;
                self.redis.restart().await.map_err(broken)
            }
            Kind::RedisLost => self.redis.restart_empty().await.map_err(broken),
            Kind::RedisFreeze => {
                self.redis.freeze();
                Ok(())
            }
            Kind::RedisReadOnly => self.redis(&["REPLICAOF", "127.0.0.1", "1"]).await,
            Kind::RedisFull => self.redis(&["CONFIG", "SET", "maxmemory", "1"]).await,
            Kind::RedisKey => {
                let keys = ["queue", "queued", "claimed", "retry"];
                let key = keys[Rng::with_seed(fault.seed).usize(..keys.len())];
                self.redis(&["DEL", &format!("{{usage-sync}}:{key}")]).await
            }
            Kind::RedisScripts => self.redis(&["SCRIPT", "FLUSH"]).await,
            Kind::RedisClients => self.redis(&["CLIENT", "KILL", "TYPE", "normal"]).await,
            _ => self.redis(&["FLUSHALL"]).await,
        }
    }

    async fn mend_redis(&mut self, kind: Kind) -> Result<(), Failed> {
        match kind {
            Kind::RedisFreeze => {
                self.redis.thaw();
                Ok(())
            }
            Kind::RedisReadOnly => self.redis(&["REPLICAOF", "NO", "ONE"]).await,
            Kind::RedisFull => self.redis(&["CONFIG", "SET", "maxmemory", "0"]).await,
            _ => Ok(()),
        }
    }

    /// An administrator's command, straight to the server.
    async fn redis(&self, words: &[&str]) -> Result<(), Failed> {
        let mut connection = redis_connection(&self.redis.url()).await.map_err(broken)?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.exec_async(&mut connection).await.map_err(broken)
    }

    async fn strike_postgres(&mut self, kind: Kind) -> Result<(), Failed> {
        let terminate = "select pg_terminate_backend(pid) from pg_stat_activity \
                         where application_name = 'usage-sync'";
        match kind {
            Kind::PostgresRestart => self.database.server.restart().await.map_err(broken),
            Kind::PostgresKill => {
                self.database.server.kill().await.map_err(broken)?;
                self.database.server.restart().await.map_err(broken)
            }
            Kind::PostgresReadOnly => self.read_only("on").await,
            Kind::PostgresTerminateOne => {
                self.administer(&format!("{terminate} order by random() limit 1"))
                    .await
            }
            _ => self.administer(terminate).await,
        }
    }

    async fn read_only(&self, on: &str) -> Result<(), Failed> {
        self.administer(&format!(
            "alter system set default_transaction_read_only = {on}"
        ))
        .await?;
        self.administer("select pg_reload_conf()").await
    }

    async fn administer(&self, sql: &str) -> Result<(), Failed> {
        let run = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&self.app);
        run.await.map_err(broken)?;
        Ok(())
    }
}

fn environment(world: &World, history: &History) -> Vec<(&'static str, String)> {
    let mut environment = world.environment();
    let own = [
        ("QUEUE_MAX", history.queue_max.to_string()),
        ("WORKER_BATCH_SIZE", history.batch_size.to_string()),
        (
            "SALESFORCE_MAX_CONCURRENCY",
            history.concurrency.to_string(),
        ),
        ("SALESFORCE_TIMEOUT", String::from("2s")),
        ("SALESFORCE_CONNECT_TIMEOUT", String::from("1s")),
        ("SALESFORCE_LANDING_WINDOW", String::from("2s")),
        ("OUTAGE_MAX", String::from("300ms")),
        ("RETRY_MAX", String::from("1s")),
        (
            "RETRY_REJECTED",
            String::from(if history.eager { "1s" } else { "1h" }),
        ),
        ("CAPTURE_SWEEP_INTERVAL", String::from("1s")),
        ("METRICS_INTERVAL", String::from("1m")),
        ("SHUTDOWN_TIMEOUT", String::from("5s")),
        ("LOG_FORMAT", String::from("logfmt")),
    ];
    environment.retain(|(name, _)| own.iter().all(|(other, _)| name != other));
    environment.extend(own);
    if !history.revision {
        environment.push(("SALESFORCE_REVISION_FIELD", String::new()));
    }
    environment
}

/// The app goes on writing while the database is read-only for the daemons.
async fn app(url: &str) -> PgPool {
    let connect: PgConnectOptions = url.parse().expect("an address");
    PgPoolOptions::new()
        .max_connections(4)
        .connect_with(connect.options([("default_transaction_read_only", "off")]))
        .await
        .expect("the private Postgres takes connections")
}

async fn in_time<T>(
    what: &str,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Failed> {
    match timeout(APP_WAITS, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Failed(format!("the app's {what:?} failed: {error}"))),
        Err(_) => Err(Failed(format!(
            "the app's {what:?} took over {APP_WAITS:?}"
        ))),
    }
}

/// How long a fault lasts at least. Half of them outlive what guards against
/// them: the lease, the longest wait for an answer.
fn least(fault: &Fault) -> Duration {
    let long = fault.seed.is_multiple_of(2);
    Duration::from_millis(match fault.kind {
        Kind::Freeze if long => 3_500,
        Kind::RedisFreeze | Kind::RedisStall if fault.seed.is_multiple_of(4) => 5_500,
        Kind::SalesforceStall | Kind::SalesforceSwallow if long => 2_300,
        _ => 0,
    })
}

fn mode(kind: Kind) -> Mode {
    match kind {
        Kind::RedisCut | Kind::PostgresCut | Kind::SalesforceCut => Mode::Cut,
        Kind::RedisStall | Kind::PostgresStall | Kind::SalesforceStall => Mode::Stall,
        _ => Mode::SwallowReplies,
    }
}

/// A connection whose answers were swallowed is of no more use: no network leaves
/// a gap in a stream and goes on after it.
fn mend(wire: &Proxy, kind: Kind) {
    wire.set(Mode::Pass);
    if mode(kind) == Mode::SwallowReplies {
        wire.reset_connections();
    }
}

fn broken(error: impl std::error::Error) -> Failed {
    Failed(format!("the stage broke: {error}"))
}
