//! The ledger against a real Postgres: tokens, intents, doubt, and what is
//! written down.

mod doubt;
mod journal;
mod landing;
mod seen;
mod status;

use std::cell::Cell;
use std::time::Duration;

use sqlx::PgPool;
use usage_sync::ledger::{AdInHand, Answer, Fence, Intent, Ledger, Outcome, Verdict};
use usage_sync::outbox;
use usage_sync::plan::{Action, Names, Operation, plan};

use crate::schema::{migrated, sql};
use crate::support::{Database, PATIENCE, wait_until};

const HOURS: Duration = Duration::from_hours(6);

/// A database with an app whose view is fed by hand.
struct Bench {
    database: Database,
    app: PgPool,
    ledger: Ledger,
}

async fn bench() -> Bench {
    let (database, app) = migrated().await;
    sql(
        &app,
        "create table line (ad_id int, line text, contract text, units int);
         create view usage_sync.usage as
         select ad_id, line, contract, jsonb_build_object('Units__c', units) as fields from line",
    )
    .await;
    let ledger = Ledger::new(app.clone(), names());
    Bench {
        database,
        app,
        ledger,
    }
}

fn names() -> Names {
    Names {
        prefix: "p-".to_owned(),
        reserved: vec!["Revision__c".to_owned()],
    }
}

impl Bench {
    /// The app does something, and these ads are captured.
    async fn change(&self, statement: &str, ads: &[&str]) {
        sql(&self.app, statement).await;
        self.touch(ads).await;
    }

    async fn touch(&self, ads: &[&str]) {
        let ads: Vec<String> = ads.iter().map(|ad| (*ad).to_owned()).collect();
        outbox::queue(&self.app, &ads).await.unwrap();
        while !outbox::move_batch(&self.app).await.unwrap().is_last() {}
    }

    async fn hand(&self, ads: &[&str]) -> Hand {
        take(&self.ledger, ads).await
    }

    /// `state version/settled`, the code of the error, and whether it is in hand.
    async fn ad(&self, ad_id: &str) -> (String, Option<String>, bool) {
        sqlx::query_as(
            "select format('%s %s/%s', state, version, settled_version), error_code, \
             token is not null from usage_sync.ad where ad_id = $1",
        )
        .bind(ad_id)
        .fetch_one(&self.app)
        .await
        .unwrap()
    }

    /// External id, state and Salesforce's id of every record.
    async fn records(&self) -> Vec<(String, String, Option<String>)> {
        sqlx::query_as("select external_id, state, salesforce_id from usage_sync.record order by 1")
            .fetch_all(&self.app)
            .await
            .unwrap()
    }

    async fn count(&self, table: &'static str) -> i64 {
        let count = format!("select count(*) from usage_sync.{table}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(count))
            .fetch_one(&self.app)
            .await
            .unwrap()
    }

    /// Reports whatever the ads want, successfully.
    async fn report(&self, ads: &[&str]) {
        let hand = self.hand(ads).await;
        hand.record(&self.ledger, Verdict::Reported, done).await;
    }
}

/// Ads in hand with what is to be done for them.
struct Hand {
    ads: Vec<(AdInHand, Vec<Operation>)>,
    intent: Option<Intent>,
}

async fn take(ledger: &Ledger, ads: &[&str]) -> Hand {
    let ids: Vec<String> = ads.iter().map(|ad| (*ad).to_owned()).collect();
    let mut fence: Fence = ledger.fence(&ids).await.unwrap();
    let mut ads: Vec<(AdInHand, Vec<Operation>)> = fence
        .take_ads()
        .into_iter()
        .map(|ad| {
            let operations = plan(ledger.names(), &ad.ad_id, &ad.wanted, &ad.held).unwrap();
            (ad, operations)
        })
        .collect();
    ads.sort_by(|a, b| a.0.ad_id.cmp(&b.0.ad_id));
    let operations: Vec<(&str, &Operation)> = ads
        .iter()
        .flat_map(|(ad, operations)| operations.iter().map(|op| (ad.ad_id.as_str(), op)))
        .collect();
    let intent = if operations.is_empty() {
        None
    } else {
        Some(fence.intend(&operations).await.unwrap())
    };
    fence.commit().await.unwrap();
    Hand { ads, intent }
}

impl Hand {
    fn token(&self) -> i64 {
        self.ads[0].0.token
    }

    /// Action and external id of everything that is to be done.
    fn plan(&self) -> Vec<(Action, &str)> {
        self.ads
            .iter()
            .flat_map(|(_, operations)| operations)
            .map(|operation| (operation.action, operation.external_id.as_str()))
            .collect()
    }

    fn tokens(&self) -> Vec<(String, i64)> {
        self.ads
            .iter()
            .map(|(ad, _)| (ad.ad_id.clone(), ad.token))
            .collect()
    }

    /// Records the same verdict for all ads; answers those that were overtaken.
    async fn record(
        self,
        ledger: &Ledger,
        verdict: Verdict,
        outcome: impl Fn(&Operation) -> Outcome,
    ) -> Vec<String> {
        let answers: Vec<Answer> = self
            .ads
            .into_iter()
            .map(|(ad, operations)| Answer {
                ad_id: ad.ad_id,
                version: ad.version,
                token: ad.token,
                verdict: verdict.clone(),
                operations: operations
                    .into_iter()
                    .map(|operation| {
                        let outcome = outcome(&operation);
                        (operation, outcome)
                    })
                    .collect(),
                in_steps: false,
            })
            .collect();
        let recorded = ledger.record(self.intent, &answers, HOURS).await.unwrap();
        let mut overtaken: Vec<String> = recorded.overtaken.into_iter().collect();
        overtaken.sort();
        overtaken
    }
}

/// Salesforce did it.
fn done(operation: &Operation) -> Outcome {
    Outcome::Done(Some(format!("id of {}", operation.external_id)))
}

fn refused(_: &Operation) -> Outcome {
    Outcome::Refused {
        code: "LOCKED".to_owned(),
        message: "the contract is fulfilled".to_owned(),
    }
}

fn rejected() -> Verdict {
    Verdict::Rejected {
        code: "LOCKED".to_owned(),
        message: "the contract is fulfilled".to_owned(),
    }
}

fn retried() -> Verdict {
    Verdict::Retry {
        code: "UNABLE_TO_LOCK_ROW".to_owned(),
        message: "busy".to_owned(),
    }
}

fn record(external_id: &str, state: &str, id: Option<&str>) -> (String, String, Option<String>) {
    (
        external_id.to_owned(),
        state.to_owned(),
        id.map(ToOwned::to_owned),
    )
}

fn ad(state: &str, code: Option<&str>, in_hand: bool) -> (String, Option<String>, bool) {
    (state.to_owned(), code.map(ToOwned::to_owned), in_hand)
}

#[tokio::test]
async fn tokens_grow_from_hand_to_hand_whichever_session_hands_them_out() {
    let bench = bench().await;
    bench.touch(&["1", "2"]).await;
    let mut ledgers = Vec::new();
    for _ in 0..3 {
        ledgers.push(Ledger::new(bench.database.pool().await, names()));
    }

    let mut last = 0;
    for turn in 0..9 {
        let hand = take(&ledgers[turn % 3], &["1", "2"]).await;
        for (ad_id, token) in hand.tokens() {
            assert!(token > last, "ad {ad_id} got {token} after {last}");
        }
        last = hand.tokens().iter().map(|(_, token)| *token).max().unwrap();
    }
}

#[tokio::test]
async fn a_fence_that_is_not_committed_leaves_nothing() {
    let bench = bench().await;
    bench
        .change("insert into line values (1, 'a', 'C', 1)", &["1"])
        .await;

    let fence = bench.ledger.fence(&["1".to_owned()]).await.unwrap();
    drop(fence);

    let hand = bench.hand(&["1", "unknown"]).await;
    assert_eq!(hand.plan(), [(Action::Create, "p-1:a")]);
    assert_eq!(hand.ads.len(), 1, "an ad that nobody knows is not in hand");
    assert_eq!(bench.count("intent").await, 1);
}

#[tokio::test]
async fn what_salesforce_took_is_held_and_a_second_look_has_nothing_to_do() {
    let bench = bench().await;
    bench
        .change(
            "insert into line values (1, 'a', 'C', 1), (1, 'b', 'D', 2)",
            &["1"],
        )
        .await;

    bench.report(&["1"]).await;

    assert_eq!(
        bench.records().await,
        [
            record("p-1:a", "reported", Some("id of p-1:a")),
            record("p-1:b", "reported", Some("id of p-1:b")),
        ]
    );
    assert_eq!(bench.ad("1").await, ad("reported 1/1", None, false));
    assert_eq!(bench.count("intent").await, 0);
    assert_eq!(bench.hand(&["1"]).await.plan(), []);
}

#[tokio::test]
async fn a_correction_is_an_update_and_what_is_gone_is_withdrawn() {
    let bench = bench().await;
    bench
        .change(
            "insert into line values (1, 'a', 'C', 1), (1, 'b', 'C', 2)",
            &["1"],
        )
        .await;
    bench.report(&["1"]).await;
    bench
        .change(
            "update line set units = 5 where line = 'a'; delete from line where line = 'b'",
            &["1"],
        )
        .await;

    let hand = bench.hand(&["1"]).await;
    assert_eq!(
        hand.plan(),
        [(Action::Withdraw, "p-1:b"), (Action::Update, "p-1:a")]
    );
    hand.record(&bench.ledger, Verdict::Reported, done).await;

    assert_eq!(
        bench.records().await,
        [record("p-1:a", "reported", Some("id of p-1:a"))]
    );
    assert_eq!(bench.ad("1").await, ad("reported 2/2", None, false));
}

#[tokio::test]
async fn a_change_while_in_hand_keeps_the_ad_pending() {
    let bench = bench().await;
    bench
        .change("insert into line values (1, 'a', 'C', 1)", &["1"])
        .await;
    let hand = bench.hand(&["1"]).await;
    bench.change("update line set units = 2", &["1"]).await;

    hand.record(&bench.ledger, Verdict::Reported, done).await;

    assert_eq!(bench.ad("1").await, ad("pending 2/1", None, false));
    let hand = bench.hand(&["1"]).await;
    assert_eq!(hand.plan(), [(Action::Update, "p-1:a")]);
    hand.record(&bench.ledger, Verdict::Reported, done).await;
    assert_eq!(bench.ad("1").await, ad("reported 2/2", None, false));
}

#[tokio::test]
async fn a_rejection_of_an_older_version_does_not_make_the_newer_one_wait() {
    let bench = bench().await;
    bench
        .change("insert into line values (1, 'a', 'C', 1)", &["1"])
        .await;
    let hand = bench.hand(&["1"]).await;
    bench.change("update line set units = 2", &["1"]).await;

    hand.record(&bench.ledger, rejected(), refused).await;

    let (state, _, _) = bench.ad("1").await;
    assert_eq!(state, "pending 2/1");
    let waits: bool = sqlx::query_scalar("select retry_at is not null from usage_sync.ad")
        .fetch_one(&bench.app)
        .await
        .unwrap();
    assert!(
        !waits,
        "the sweep passes over ads that have a time to wait for"
    );
}

#[tokio::test]
async fn tries_are_counted_until_the_next_change() {
    let bench = bench().await;
    bench
        .change("insert into line values (1, 'a', 'C', 1)", &["1"])
        .await;
    let attempts = async || -> i32 {
        sqlx::query_scalar("select attempts from usage_sync.ad")
            .fetch_one(&bench.app)
            .await
            .unwrap()
    };

    for tries in 0..3 {
        let hand = bench.hand(&["1"]).await;
        assert_eq!(hand.ads[0].0.attempts, tries);
        hand.record(&bench.ledger, retried(), refused).await;
    }
    assert_eq!(
        bench.ad("1").await,
        ad("pending 1/0", Some("UNABLE_TO_LOCK_ROW"), false)
    );
    let hand = bench.hand(&["1"]).await;
    hand.record(&bench.ledger, Verdict::Postponed, |_| Outcome::NotSent)
        .await;
    assert_eq!(attempts().await, 3, "an outage is no try");

    bench.touch(&["1"]).await;
    assert_eq!(attempts().await, 0);
    assert_eq!(bench.records().await, []);
}

#[tokio::test]
async fn one_answer_does_not_touch_the_ads_of_another() {
    let bench = bench().await;
    bench
        .change(
            "insert into line values (1, 'a', 'C', 1), (2, 'a', 'C', 1)",
            &["1", "2"],
        )
        .await;
    let (first, second) = (bench.hand(&["1"]).await, bench.hand(&["2"]).await);

    first.record(&bench.ledger, Verdict::Reported, done).await;

    assert_eq!(bench.ad("2").await, ad("pending 1/0", None, true));
    assert_eq!(bench.count("intent").await, 1);
    second.record(&bench.ledger, rejected(), refused).await;
    assert_eq!(bench.ad("1").await, ad("reported 1/1", None, false));
    assert_eq!(
        bench.ad("2").await,
        ad("rejected 1/1", Some("LOCKED"), false)
    );
}

#[tokio::test]
async fn the_owner_of_an_external_id_is_known() {
    let bench = bench().await;
    bench
        .change("insert into line values (1, 'a', 'C', 1)", &["1"])
        .await;
    bench.report(&["1"]).await;

    let mut fence = bench.ledger.fence(&[]).await.unwrap();
    let owners = fence
        .owners(&["p-1:a".to_owned(), "p-1:b".to_owned()])
        .await
        .unwrap();

    assert_eq!(owners.len(), 1);
    assert_eq!(owners["p-1:a"], "1");
}

#[tokio::test]
async fn an_ad_that_was_queued_by_hand_is_taken_in_if_the_app_has_it() {
    let bench = bench().await;
    sql(
        &bench.app,
        "insert into line values (1, 'a', 'C', 1), (2, 'a', 'C', 1)",
    )
    .await;
    bench.touch(&["2"]).await;
    let strangers = ["1", "2", "3", "x"].map(str::to_owned);

    assert_eq!(bench.ledger.adopt(&strangers).await.unwrap(), ["1"]);

    assert_eq!(bench.ad("1").await, ad("pending 1/0", None, false));
    assert_eq!(bench.ad("2").await, ad("pending 1/0", None, false));
    assert_eq!(bench.count("ad").await, 2);
}

#[tokio::test]
async fn an_ad_that_was_queued_by_hand_is_found_in_a_table_that_was_rewritten_meanwhile() {
    let bench = bench().await;
    sql(&bench.app, "insert into line values (1, 'a', 'C', 1)").await;
    let mut migration = bench.app.begin().await.unwrap();
    sqlx::raw_sql("alter table line add column at timestamptz default clock_timestamp()")
        .execute(&mut *migration)
        .await
        .unwrap();

    // It waits for half a second, which may be over before anybody looks.
    let gave_way = Cell::new(false);
    let committed = async {
        let waits = "select exists (select from pg_locks where not granted)";
        wait_until("the ledger to wait", PATIENCE, async || {
            gave_way.get()
                || sqlx::query_scalar(waits)
                    .fetch_one(&bench.app)
                    .await
                    .unwrap()
        })
        .await;
        migration.commit().await.unwrap();
    };
    let strangers = [String::from("1")];
    let adopted = async {
        let adopted = bench.ledger.adopt(&strangers).await;
        gave_way.set(adopted.is_err());
        adopted
    };
    let (adopted, ()) = tokio::join!(adopted, committed);

    // Either it gave way to the migration or it saw what the migration made.
    match adopted {
        Ok(adopted) => assert_eq!(adopted, ["1"]),
        Err(error) => assert_eq!(error.code().as_deref(), Some("55P03")),
    }
}
