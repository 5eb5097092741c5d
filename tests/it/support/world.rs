//! A whole small world: a service app in Postgres, Redis, a Salesforce with
//! contracts, and the daemon between them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{json, value::RawValue};
use sqlx::PgPool;
use usage_sync::{
    local::Redis,
    sandbox::{Options, Sandbox},
    schema,
};

use super::{Daemon, Database, PATIENCE, postgres, redis, wait_until};

/// The app's tables, its view and its watches, as its own migration makes them.
const APP: &str = include_str!("world.sql");

pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) redis: Redis,
    pub(crate) sandbox: Sandbox,
    pub(crate) pool: PgPool,
    /// `(contract, contract product)`, Salesforce's ids.
    pub(crate) products: Vec<(String, String)>,
    http: reqwest::Client,
}

/// One usage record, as the app wants it or Salesforce has it; numbers in the
/// digits they were written with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Usage {
    pub(crate) external_id: String,
    pub(crate) contract_product: String,
    pub(crate) quantity: String,
}

impl World {
    /// With `contracts` contracts of one product each.
    pub(crate) async fn new(contracts: usize) -> Self {
        let (database, redis) = tokio::join!(postgres(), redis());
        let sandbox = Sandbox::start(Options::default())
            .await
            .expect("the sandbox starts");
        let address = database.url.parse().expect("an address");
        wait_until("the database to take the schema", PATIENCE, async || {
            match schema::migrate(&address).await {
                Ok(_) => true,
                // It has 5 s for a connection, and many worlds that are made at once
                // have one thread, which copies files meanwhile.
                Err(schema::Error::Connect(_)) => false,
                Err(error) => panic!("a fresh database refuses the schema: {error}"),
            }
        })
        .await;
        let pool = database.pool().await;
        let account = sandbox
            .seed("Account", &json!({"Name": "Acme"}))
            .expect("an account");
        let products: Vec<(String, String)> = (0..contracts)
            .map(|n| seed_contract(&sandbox, &account, n))
            .collect();
        sqlx::raw_sql(APP)
            .execute(&pool)
            .await
            .expect("the app's migration");
        for (n, (contract, product)) in products.iter().enumerate() {
            sqlx::query("insert into contract_product values ($1, $2, $3)")
                .bind(i32::try_from(n).expect("few contracts"))
                .bind(contract)
                .bind(product)
                .execute(&pool)
                .await
                .expect("the app knows its contracts");
        }
        Self {
            database,
            redis,
            sandbox,
            pool,
            products,
            http: reqwest::Client::new(),
        }
    }

    /// With one contract, and a daemon that has reported one ad.
    pub(crate) async fn reporting() -> (Self, Daemon) {
        let world = Self::new(1).await;
        let daemon = world.daemon();
        world
            .app("insert into ad_product values (1, 'small', 0, 1)")
            .await;
        world.in_step().await;
        (world, daemon)
    }

    /// Lets the view ask `quantity_of_13()`, which `function` creates.
    pub(crate) async fn reads_13_by(&self, function: &'static str) {
        self.app(function).await;
        self.app(
            "create or replace view usage_sync.usage as \
             select ad_id, product as line, null::text as contract, \
             jsonb_build_object('Contract_Product__c', salesforce_id, 'Quantity__c', \
             case ad_id when 13 then quantity_of_13() else quantity end) as fields \
             from ad_product join contract_product on contract_product.id = contract_product",
        )
        .await;
    }

    /// What the daemon needs, with waits as short as a test wants them.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let credentials = self.sandbox.credentials();
        vec![
            ("DATABASE_URL", self.database.url.clone()),
            ("REDIS_URL", self.redis.url()),
            ("SALESFORCE_LOGIN_URL", self.sandbox.base_url().to_owned()),
            ("SALESFORCE_CLIENT_ID", credentials.client_id.clone()),
            ("SALESFORCE_USERNAME", credentials.username.clone()),
            ("SALESFORCE_PRIVATE_KEY", credentials.private_key.clone()),
            ("QUEUE_LEASE", String::from("3s")),
            ("OUTAGE_BASE", String::from("50ms")),
            ("OUTAGE_MAX", String::from("500ms")),
            ("RETRY_BASE", String::from("100ms")),
            ("CAPTURE_POLL_INTERVAL", String::from("1s")),
            ("CAPTURE_SWEEP_INTERVAL", String::from("2s")),
            ("METRICS_INTERVAL", String::from("5s")),
            // Whoever waits for an answer of a loaded machine wants it all the same;
            // less than the gateway waits itself.
            ("SALESFORCE_READ_TIMEOUT", String::from("20s")),
        ]
    }

    /// A running daemon.
    pub(crate) fn daemon(&self) -> Daemon {
        self.daemon_with(&[])
    }

    /// A running daemon with some settings of its own.
    pub(crate) fn daemon_with(&self, settings: &[(&'static str, &str)]) -> Daemon {
        Daemon::start(&["run"], self.environment_with(settings))
    }

    /// A command that runs to its end: its exit code and what it printed.
    pub(crate) async fn command(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = Daemon::start(arguments, self.environment());
        let status = command.ended().await;
        (status.code().expect("it ends by itself"), command.log())
    }

    fn environment_with(&self, settings: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
        let mut environment = self.environment();
        environment.retain(|(name, _)| settings.iter().all(|(own, _)| own != name));
        environment.extend(
            settings
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        environment
    }

    /// Runs SQL as the app.
    pub(crate) async fn app(&self, sql: &'static str) {
        sqlx::raw_sql(sql)
            .execute(&self.pool)
            .await
            .unwrap_or_else(|error| panic!("the app's SQL failed: {error}\n{sql}"));
    }

    /// What the app wants, sorted.
    pub(crate) async fn wanted(&self) -> Vec<Usage> {
        let rows: Vec<(String, String, String)> = sqlx::query_as(
            "select ad_id::text || ':' || line, fields->>'Contract_Product__c', \
             (fields->'Quantity__c')::text from usage_sync.usage",
        )
        .fetch_all(&self.pool)
        .await
        .expect("the view can be read");
        let mut wanted: Vec<Usage> = rows
            .into_iter()
            .map(|(external_id, contract_product, quantity)| Usage {
                external_id,
                contract_product,
                quantity,
            })
            .collect();
        wanted.sort();
        wanted
    }

    /// What Salesforce holds, sorted, doubles and all.
    pub(crate) async fn held(&self) -> Vec<Usage> {
        #[derive(Deserialize)]
        struct Row {
            #[serde(rename = "External_Id__c")]
            external_id: String,
            #[serde(rename = "Contract_Product__c")]
            contract_product: String,
            #[serde(rename = "Quantity__c")]
            quantity: Box<RawValue>,
        }
        let url = format!("{}/records/Usage__c", self.sandbox.control_url());
        let answer = self
            .http
            .get(url)
            .send()
            .await
            .expect("the sandbox answers");
        let text = answer.text().await.expect("all of it");
        let rows: Vec<Row> = serde_json::from_str(&text).expect("rows");
        let mut held: Vec<Usage> = rows
            .into_iter()
            .map(|row| Usage {
                external_id: row.external_id,
                contract_product: row.contract_product,
                quantity: row.quantity.get().to_owned(),
            })
            .collect();
        held.sort();
        held
    }

    /// Waits until nothing is pending and Salesforce holds exactly what the
    /// app wants.
    #[track_caller]
    pub(crate) fn in_step(&self) -> impl Future<Output = ()> {
        wait_until(
            "app and Salesforce to be in step",
            PATIENCE * 4,
            async || self.pending().await == 0 && self.differences().await.is_empty(),
        )
    }

    /// External ids that are missing, extra, double or different.
    pub(crate) async fn differences(&self) -> Vec<String> {
        let (wanted, held) = (self.wanted().await, self.held().await);
        let mut count: BTreeMap<&Usage, i32> = BTreeMap::new();
        for usage in &wanted {
            *count.entry(usage).or_default() += 1;
        }
        for usage in &held {
            *count.entry(usage).or_default() -= 1;
        }
        count
            .into_iter()
            .filter(|(_, balance)| *balance != 0)
            .map(|(usage, balance)| format!("{usage:?}: {balance}"))
            .collect()
    }

    /// Ads that are not settled, with the changes not yet captured.
    pub(crate) async fn pending(&self) -> i64 {
        sqlx::query_scalar(
            "select (select count(*) from usage_sync.change) \
             + (select count(*) from usage_sync.ad where settled_version < version)",
        )
        .fetch_one(&self.pool)
        .await
        // A test may be restarting the server.
        .unwrap_or(i64::MAX)
    }

    /// State, code and message of an ad.
    pub(crate) async fn status(&self, ad: &str) -> (String, Option<String>, Option<String>) {
        sqlx::query_as(
            "select state, error_code, error_message from usage_sync.ad_status where ad_id = $1",
        )
        .bind(ad)
        .fetch_optional(&self.pool)
        .await
        .expect("the app may see it")
        .unwrap_or_default()
    }

    /// Waits until an ad is in a state.
    #[track_caller]
    pub(crate) fn ad_is(&self, ad: &str, state: &str) -> impl Future<Output = ()> {
        let what = format!("ad {ad} to be {state}");
        async move {
            wait_until(&what, PATIENCE, async || self.status(ad).await.0 == state).await;
        }
    }

    /// Requests so far that write records.
    pub(crate) fn writes(&self) -> u64 {
        let calls = self.sandbox.stats().calls;
        let writes = calls.iter().filter(|(call, _)| !call.starts_with("GET"));
        writes.map(|(_, count)| count).sum()
    }

    /// Sets the status of a contract, as the sales team does.
    pub(crate) fn set_contract(&self, contract: usize, status: &str) {
        let id = &self.products[contract].0;
        self.sandbox
            .change("Contract", id, &json!({ "Status": status }))
            .expect("the contract changes");
    }

    /// Consumed units of a contract's product, as Salesforce adds them up.
    pub(crate) fn consumed(&self, contract: usize) -> Option<f64> {
        let id = &self.products[contract].1;
        let rows = self
            .sandbox
            .records("Contract_Product__c")
            .expect("products");
        let row = rows.into_iter().find(|row| row["Id"] == id.as_str())?;
        row["Consumed__c"].as_f64()
    }
}

fn seed_contract(sandbox: &Sandbox, account: &str, n: usize) -> (String, String) {
    let contract = json!({"AccountId": account, "Status": "Activated", "StartDate": "2026-01-01"});
    let contract = sandbox.seed("Contract", &contract).expect("a contract");
    let product = json!({
        "Contract__c": contract, "External_Id__c": format!("CP-{n}"), "Name": format!("product {n}"),
        "Product_Code__c": "small", "Units__c": 1_000_000, "Price__c": 9.5,
    });
    let product = sandbox
        .seed("Contract_Product__c", &product)
        .expect("a product");
    (contract, product)
}
