//! The gateway over HTTP, as a program or somebody with bad intentions meets it.

mod browser;
mod contracts;
mod description;
mod limits;
mod outages;
mod outsiders;
mod page;
mod shown;
mod stop;
mod tokens;

use std::time::Duration;

use reqwest::{
    Method, StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use serde_json::{Value, json};

use crate::support::{Daemon, PATIENCE, World, wait_until};

/// What `WEB_TOKEN` holds in these tests.
pub(crate) const TOKEN: &str = "open-sesame-4711-open-sesame";

/// Long for any answer; the gateway itself gives up after 25 s.
const ANSWER: Duration = Duration::from_secs(40);

/// A running `usage-sync web`.
pub(crate) struct Gateway {
    process: Daemon,
    pub(crate) address: String,
    http: reqwest::Client,
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Gateway {
    pub(crate) async fn of(world: &World) -> Self {
        Self::with(world, &[]).await
    }

    /// With some settings of its own.
    async fn with(world: &World, settings: &[(&'static str, &str)]) -> Self {
        let own = [("WEB_TOKEN", TOKEN), ("PORT", "0")];
        let mut environment = world.environment();
        let given = own.iter().chain(settings);
        environment.retain(|(name, _)| given.clone().all(|(own, _)| own != name));
        environment.extend(given.map(|(name, value)| (*name, (*value).to_owned())));
        let process = Daemon::start(&["web"], environment);
        process.logged("web listens").await;
        let log = process.log();
        let line = log.lines().find(|line| line.contains("web listens"));
        let port = line.and_then(|line| line.split("port=").nth(1)?.split(' ').next());
        let port: u16 = port.expect("it tells its port").parse().expect("a port");
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER);
        Self {
            process,
            address: format!("127.0.0.1:{port}"),
            http: http.build().expect("a client"),
        }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("http://{}{path}", self.address);
        self.http.request(method, url)
    }

    /// Asks with the token.
    async fn get(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::GET, path).bearer_auth(TOKEN)).await
    }

    /// Orders with the token.
    async fn post(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::POST, path).bearer_auth(TOKEN)).await
    }
}

impl Answer {
    async fn to(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.expect("it answers");
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("all of it");
        Self {
            status,
            headers,
            text,
        }
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("ASCII"))
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// Says that this is a no of this kind, in the form of one.
    #[track_caller]
    fn refuses(&self, status: u16, error: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["error"], error, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        let message = problem["message"].as_str().expect("a message");
        assert!(message.len() > 10, "{message}");
        assert_eq!(
            self.headers.contains_key(RETRY_AFTER),
            [429, 503].contains(&status)
        );
        problem
    }
}

/// As a segment of a path, every byte of it.
fn encoded(id: &str) -> String {
    id.bytes()
        .fold(String::new(), |path, byte| path + &format!("%{byte:02X}"))
}

#[tokio::test]
async fn an_ad_is_told_with_its_records_its_reason_and_its_history() {
    let (world, _daemon) = World::reporting().await;
    world.set_contract(0, "Fulfilled");
    world.app("update ad_product set quantity = 8.50").await;
    world.ad_is("1", "rejected").await;
    let gateway = Gateway::of(&world).await;

    let answer = gateway.get("/ads/1").await;

    assert_eq!(answer.status, StatusCode::OK);
    // In the digits of the app, which floating point does not keep.
    assert!(answer.text.contains("8.50"), "{}", answer.text);
    let told = answer.json();
    let ad = &told["ad"];
    assert_eq!((&ad["id"], &ad["state"]), (&json!("1"), &json!("rejected")));
    assert_eq!(ad["code"], "FIELD_CUSTOM_VALIDATION_EXCEPTION");
    let reason = ad["reason"].as_str().expect("a reason");
    assert!(
        reason.ends_with("is fulfilled: its usage is locked"),
        "{reason}"
    );
    assert_eq!(ad["refused"][0]["wanted"]["Quantity__c"], json!(8.5));
    assert_eq!(ad["records"][0]["fields"]["Quantity__c"], json!(1));
    let actions: Vec<&str> = told["history"]
        .as_array()
        .expect("a history")
        .iter()
        .filter_map(|entry| entry["action"].as_str())
        .collect();
    assert_eq!(actions, ["create", "reject"]);
    assert_eq!(told["before"], Value::Null);

    // Of the same journal the command tells the same.
    let (_, out) = world.command(&["history", "1", "--json"]).await;
    let line = out.lines().find(|line| line.starts_with('{'));
    let command: Value = serde_json::from_str(line.expect("an answer")).expect("JSON");
    assert_eq!(command["entries"], told["history"]);

    gateway.get("/ads/2").await.refuses(404, "not_found");
}

#[tokio::test]
async fn a_long_history_comes_page_by_page() {
    let world = World::new(0).await;
    world
        .app(
            "insert into usage_sync.ad (ad_id, changed_at) values ('1', now()); \
             insert into usage_sync.journal (action, ad_id, version, token) \
             select 'reject', '1', n, n from generate_series(1, 250) n",
        )
        .await;
    let gateway = Gateway::of(&world).await;

    let mut versions = Vec::new();
    let mut path = String::from("/ads/1");
    loop {
        let told = gateway.get(&path).await.json();
        let page = told["history"].as_array().expect("a page");
        assert!(page.len() <= 100);
        let page = page.iter().filter_map(|entry| entry["version"].as_i64());
        versions.splice(0..0, page);
        let Some(before) = told["before"].as_i64() else {
            break;
        };
        path = format!("/ads/1?before={before}");
    }

    assert_eq!(versions, (1..=250).collect::<Vec<i64>>());
}

#[tokio::test]
async fn an_id_may_be_anything_that_the_app_calls_an_ad() {
    let world = World::new(0).await;
    let ids = [
        "a/b",
        "..",
        ".",
        "50%",
        "%2F",
        "a b",
        "a+b",
        "a?b#c",
        "Größe",
        "広告/１",
        "'; --",
        "\"",
        "&<>",
        "🚲",
    ];
    for id in ids {
        sqlx::query("insert into usage_sync.ad (ad_id, changed_at) values ($1, now())")
            .bind(id)
            .execute(&world.pool)
            .await
            .expect("an ad");
    }
    let gateway = Gateway::of(&world).await;

    for id in ids {
        // A client takes dots in a path for itself, also encoded ones.
        if id.chars().all(|c| c == '.') {
            continue;
        }
        let answer = gateway.get(&format!("/ads/{}", encoded(id))).await;
        assert_eq!(answer.status, StatusCode::OK, "{id}: {answer:?}");
        assert_eq!(answer.json()["ad"]["id"], id);
        let answer = gateway.post(&format!("/ads/{}/retry", encoded(id))).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{id}: {answer:?}");
        assert_eq!(answer.json(), json!({"ad": id, "queued": true}));
    }
    let queued: Vec<String> = sqlx::query_scalar("select ad_id from usage_sync.change order by id")
        .fetch_all(&world.pool)
        .await
        .expect("the outbox");
    assert_eq!(
        queued,
        ids.iter()
            .filter(|id| !id.starts_with('.'))
            .copied()
            .collect::<Vec<_>>()
    );
    gateway.get("/ads/a/b").await.refuses(404, "not_found");
}

#[tokio::test]
async fn an_ad_is_tried_again_when_somebody_says_so() {
    let (world, _daemon) = World::reporting().await;
    world.set_contract(0, "Fulfilled");
    world.app("update ad_product set quantity = 8").await;
    world.ad_is("1", "rejected").await;
    world.set_contract(0, "Activated");
    let gateway = Gateway::of(&world).await;

    let answer = gateway.post("/ads/1/retry").await;

    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    world.in_step().await;
    world.ad_is("1", "reported").await;
    gateway.post("/ads/2/retry").await.refuses(404, "not_found");
}

/// What the gateway and the command tell alike while nothing happens.
const SAME: [&str; 8] = [
    "queue",
    "pending",
    "rejected",
    "paused",
    "place",
    "salesforce",
    "budget",
    "daemons",
];

#[tokio::test]
async fn the_status_is_the_one_of_the_command() {
    let (world, _daemon) = World::reporting().await;
    let gateway = Gateway::of(&world).await;

    let (mut told, mut command) = (Value::Null, Value::Null);
    // The daemon still puts the ad down and tells of its calls when the ad is
    // reported, and what it tells is seen by one of the two before the other.
    wait_until("both to tell the same", PATIENCE, async || {
        told = gateway.get("/status").await.json();
        let (_, out) = world.command(&["status", "--json"]).await;
        let line = out.lines().find(|line| line.starts_with('{'));
        command = serde_json::from_str(line.expect("an answer")).expect("JSON");
        let is_same = |key: &&str| told[*key] == command[*key];
        SAME.iter().all(is_same) && told["salesforce"]["up"] == true
    })
    .await;

    let keys = |value: &Value| -> Vec<String> {
        let object = value.as_object().expect("an object");
        object.keys().cloned().collect()
    };
    assert_eq!(keys(&told), keys(&command));
    assert_eq!(told["place"]["org"].as_str().map(str::len), Some(18));
}
