//! Requests whose outcome nobody learnt, and that take effect when they should
//! not any more. Every story is told in an org whose rule refuses an older
//! revision and in one that has no field for it.

use serde_json::json;
use usage_sync::sandbox::{Effect, Plan};

use crate::support::{Daemon, PATIENCE, World, wait_until};

/// The answer is lost, and the request takes effect when the story says so.
const LATE: Effect = Effect::Withhold { hangs: false };

/// The same while the worker still waits for the answer.
const HANGING: Effect = Effect::Withhold { hangs: true };

/// No story lasts as long; those that want it to be over say so.
const WINDOW: &str = "60s";

/// The requests that create, update and withdraw records.
const POST: (&str, &str) = ("POST", COLLECTIONS);
const PATCH: (&str, &str) = ("PATCH", COLLECTIONS);
const DELETE: (&str, &str) = ("DELETE", COLLECTIONS);
const COLLECTIONS: &str = "/composite/sobjects";

/// What most stories begin with.
const AD: &str = "insert into ad_product values (1, 'small', 0, 3)";

#[derive(Debug, Clone, Copy, PartialEq)]
enum Org {
    /// Refuses a revision that is older than the stored one.
    Guarded,
    /// Has no field for the revision.
    Plain,
}

/// Tells a story in both orgs at once.
async fn in_both_orgs<F: Future<Output = ()>>(story: impl Fn(Stage) -> F) {
    let (guarded, plain) = tokio::join!(Stage::new(Org::Guarded), Stage::new(Org::Plain));
    tokio::join!(story(guarded), story(plain));
}

/// A world with one of the two orgs.
struct Stage {
    world: World,
    org: Org,
}

impl Stage {
    async fn new(org: Org) -> Self {
        let world = World::new(1).await;
        if org == Org::Plain {
            let rules = json!({"rules": {"Revision": false}});
            world.sandbox.settings(&rules).expect("the rule has a name");
        }
        Self { world, org }
    }

    fn daemon(&self) -> Daemon {
        self.daemon_with("60s")
    }

    fn daemon_with(&self, timeout: &'static str) -> Daemon {
        let revision = match self.org {
            Org::Guarded => "Revision__c",
            Org::Plain => "",
        };
        self.world.daemon_with(&[
            ("SALESFORCE_REVISION_FIELD", revision),
            ("SALESFORCE_LANDING_WINDOW", WINDOW),
            ("SALESFORCE_TIMEOUT", timeout),
        ])
    }

    /// The app does this, and it is reported.
    async fn reports(&self, statement: &'static str) {
        self.world.app(statement).await;
        self.world.in_step().await;
    }

    /// The app does this, and the one request that tells of it is struck.
    async fn is_struck(&self, statement: &'static str, (method, path): (&str, &str), by: Effect) {
        let fault = self.world.sandbox.fault(Plan {
            method: Some(method.to_owned()),
            path: Some(path.to_owned()),
            times: Some(1),
            ..Plan::always(by)
        });
        self.world.app(statement).await;
        wait_until("the fault to strike", PATIENCE, async || {
            self.world.sandbox.fault_hits(fault) > 0
        })
        .await;
    }

    /// Records that a request given up on may still change.
    async fn landing(&self) -> i64 {
        let (code, printed) = self.world.command(&["status", "--json"]).await;
        assert_eq!(code, 0, "{printed}");
        let line = printed.lines().find(|line| line.starts_with('{'));
        let status: serde_json::Value =
            serde_json::from_str(line.expect("a line of JSON")).expect("JSON");
        status["landing"].as_i64().expect("a count")
    }

    /// What was withheld takes effect, though the ledger knows of something
    /// newer; in a plain org and in a guarded one Salesforce then holds this.
    async fn lands(&self, plain: &[&str], guarded: &[&str]) {
        self.world.in_step().await;
        self.is_noted().await;
        self.world.sandbox.land().await;
        self.is_held(match self.org {
            Org::Plain => plain,
            Org::Guarded => guarded,
        })
        .await;
    }

    /// Waits until the given-up requests were noted, and were read back after
    /// their time; by then all is as the app wants it.
    async fn everything_is_made_good(&self) {
        self.is_noted().await;
        wait_until("the landings to be over", PATIENCE, async || {
            self.time_is_over().await;
            self.noted().await == 0
        })
        .await;
        self.world.in_step().await;
        assert_eq!(self.landing().await, 0);
        let unsettled: i64 = sqlx::query_scalar(
            "select count(*) from usage_sync.record join usage_sync.ad using (ad_id) \
             where record.state = 'sending' and ad.state = 'reported'",
        )
        .fetch_one(&self.world.pool)
        .await
        .expect("the ledger can be read");
        assert_eq!(unsettled, 0, "settled records that are in doubt");
    }

    async fn is_noted(&self) {
        wait_until("a request to be given up on", PATIENCE, async || {
            self.noted().await > 0
        })
        .await;
    }

    /// The window of all requests that were given up on is over.
    async fn time_is_over(&self) {
        let over = "update usage_sync.landing set until = least(until, now()), look_at = now()";
        self.world.app(over).await;
    }

    async fn noted(&self) -> i64 {
        sqlx::query_scalar("select count(*) from usage_sync.landing")
            .fetch_one(&self.world.pool)
            .await
            .expect("the ledger can be read")
    }

    async fn is_held(&self, quantities: &[&str]) {
        let what = format!("Salesforce to hold {quantities:?}");
        wait_until(&what, PATIENCE, async || {
            let held = self.world.held().await;
            held.iter()
                .map(|usage| usage.quantity.as_str())
                .eq(quantities.iter().copied())
        })
        .await;
    }
}

#[tokio::test]
async fn f02_a_record_whose_maker_was_killed_before_it_noted_the_answer_is_made_once() {
    in_both_orgs(async |stage: Stage| {
        let first = stage.daemon();
        // It never hears the answer.
        stage.is_struck(AD, POST, HANGING).await;
        wait_until("the record", PATIENCE, async || {
            stage.world.sandbox.land().await;
            stage.world.held().await.len() == 1
        })
        .await;
        first.kill_9();

        let _second = stage.daemon();
        stage.everything_is_made_good().await;

        assert_eq!(stage.world.sandbox.stats().records.created, 1);
        assert_eq!(stage.world.status("1").await.0, "reported");
    })
    .await;
}

#[tokio::test]
async fn f02_an_ad_that_was_removed_while_its_killed_maker_was_heard_late_leaves_nothing() {
    in_both_orgs(async |stage: Stage| {
        let first = stage.daemon();
        stage.is_struck(AD, POST, HANGING).await;
        first.kill_9();
        stage.world.app("delete from ad_product").await;

        let _second = stage.daemon();
        stage.lands(&["3"], &["3"]).await;
        stage.everything_is_made_good().await;

        assert_eq!(stage.world.sandbox.stats().records.created, 1);
        assert_eq!(stage.world.held().await, []);
    })
    .await;
}

#[tokio::test]
async fn f06_nothing_stale_stays_of_a_worker_that_was_frozen_while_it_sent() {
    in_both_orgs(async |stage: Stage| {
        let frozen = stage.daemon_with("6s");
        stage
            .reports("insert into ad_product values (1, 'small', 0, 1)")
            .await;
        stage
            .is_struck("update ad_product set quantity = 2", PATCH, HANGING)
            .await;
        frozen.freeze();
        let _other = stage.daemon();
        stage.world.app("update ad_product set quantity = 3").await;
        // Salesforce comes round to it after another worker has taken over.
        stage.lands(&["2"], &["3"]).await;
        stage.everything_is_made_good().await;
        let before = version(&stage, "1").await;
        frozen.thaw();

        // It finds that it was overtaken, and trusts neither itself nor the other.
        wait_until(
            "the woken worker to come to its senses",
            PATIENCE,
            async || version(&stage, "1").await > before,
        )
        .await;
        stage.everything_is_made_good().await;
        assert_eq!(stage.world.held().await.len(), 1);
    })
    .await;
}

async fn version(stage: &Stage, ad_id: &str) -> i64 {
    sqlx::query_scalar("select version from usage_sync.ad where ad_id = $1")
        .bind(ad_id)
        .fetch_one(&stage.world.pool)
        .await
        .expect("the ad is known")
}

#[tokio::test]
async fn f27_records_whose_answers_all_got_lost_are_made_once_and_read_back_in_few_calls() {
    in_both_orgs(async |stage: Stage| {
        let _daemon = stage.daemon();
        for method in ["POST", "PATCH", "DELETE"] {
            stage.world.sandbox.fault(Plan {
                method: Some(method.to_owned()),
                path: Some(COLLECTIONS.to_owned()),
                times: Some(4),
                ..Plan::always(Effect::DropAfter)
            });
        }
        for statement in [
            "insert into ad_product select id, 'small', 0, id from generate_series(1, 30) as id",
            "update ad_product set quantity = quantity + 1 where ad_id <= 20",
            "delete from ad_product where ad_id <= 10",
        ] {
            stage.world.app(statement).await;
            stage.world.in_step().await;
        }
        stage.everything_is_made_good().await;

        let stats = stage.world.sandbox.stats();
        assert_eq!(stats.records.created, 30);
        let writes = stage.world.writes();
        let reads = stats.calls.values().sum::<u64>() - writes;
        assert!(reads <= writes, "{:?}", stats.calls);
    })
    .await;
}

#[tokio::test]
async fn f28_an_update_that_takes_effect_after_a_newer_one_does_not_stay() {
    in_both_orgs(async |stage: Stage| {
        let _daemon = stage.daemon();
        stage
            .reports("insert into ad_product values (1, 'small', 0, 1)")
            .await;
        stage
            .is_struck("update ad_product set quantity = 2", PATCH, LATE)
            .await;
        stage.world.app("update ad_product set quantity = 3").await;
        stage.lands(&["2"], &["3"]).await;

        stage.everything_is_made_good().await;

        assert_eq!(stage.world.sandbox.stats().records.created, 1);
    })
    .await;
}

#[tokio::test]
async fn f28_a_correction_of_several_kinds_that_takes_effect_late_does_not_stay() {
    in_both_orgs(async |stage: Stage| {
        let first = stage.daemon();
        let original = "insert into ad_product values (1, 'gigantic', 0, 5), (1, 'small', 0, 3)";
        stage.reports(original).await;
        stage
            .is_struck(
                "begin; delete from ad_product where product = 'small'; \
                 update ad_product set quantity = 6; \
                 insert into ad_product values (1, 'large', 0, 2); commit",
                ("POST", "/composite/graph"),
                HANGING,
            )
            .await;
        first.kill_9();
        stage
            .world
            .app(
                "begin; delete from ad_product; \
                 insert into ad_product values (1, 'gigantic', 0, 5), (1, 'small', 0, 3); commit",
            )
            .await;
        let _second = stage.daemon();
        stage.lands(&["6", "2"], &["5", "3"]).await;

        stage.everything_is_made_good().await;

        assert_eq!(stage.world.consumed(0), Some(8.0));
    })
    .await;
}

#[tokio::test]
async fn f28_reading_back_rejects_no_ad_whose_contract_was_fulfilled_meanwhile() {
    in_both_orgs(async |stage: Stage| {
        let _daemon = stage.daemon();
        stage
            .reports("insert into ad_product values (1, 'small', 0, 1.50)")
            .await;
        stage
            .is_struck(
                "update ad_product set quantity = 2.50",
                PATCH,
                Effect::DropAfter,
            )
            .await;
        stage.world.in_step().await;
        stage.world.set_contract(0, "Fulfilled");
        let (version, writes) = (
            version(&stage, "1").await,
            stage.world.sandbox.stats().records,
        );

        stage.everything_is_made_good().await;

        assert_eq!(stage.world.status("1").await.0, "reported");
        assert_eq!(self::version(&stage, "1").await, version);
        assert_eq!(stage.world.sandbox.stats().records, writes);
    })
    .await;
}

#[tokio::test]
async fn f28_a_request_that_failed_as_a_whole_is_expected_though_its_halves_succeeded() {
    in_both_orgs(async |stage: Stage| {
        let _daemon = stage.daemon();
        stage
            .is_struck(
                "insert into ad_product select n, 'small', 0, 1 from generate_series(1, 4) n",
                POST,
                Effect::Error {
                    status: 500,
                    code: String::from("UNKNOWN_EXCEPTION"),
                    message: String::from("An unexpected error occurred"),
                },
            )
            .await;
        stage.world.in_step().await;
        assert_eq!(stage.noted().await, 4);

        stage.everything_is_made_good().await;
    })
    .await;
}

#[tokio::test]
async fn f42_a_create_that_takes_effect_after_the_ad_was_removed_does_not_stay() {
    in_both_orgs(async |stage: Stage| {
        let _daemon = stage.daemon();
        stage.is_struck(AD, POST, LATE).await;
        stage.world.app("delete from ad_product").await;
        stage.lands(&["3"], &["3"]).await;

        stage.everything_is_made_good().await;

        assert_eq!(stage.world.held().await, []);
    })
    .await;
}

#[tokio::test]
async fn f42_a_delete_that_takes_effect_after_the_ad_was_made_again_is_made_good() {
    in_both_orgs(async |stage: Stage| {
        let first = stage.daemon();
        stage.reports(AD).await;
        stage
            .is_struck("delete from ad_product", DELETE, HANGING)
            .await;
        first.kill_9();
        stage.world.app(AD).await;
        let second = stage.daemon();
        stage.lands(&[], &[]).await;

        stage.everything_is_made_good().await;

        second.logged("took effect late").await;
        stage.is_held(&["3"]).await;
    })
    .await;
}

#[tokio::test]
async fn f42_an_ad_created_and_removed_while_an_answer_was_lost_leaves_nothing_behind() {
    in_both_orgs(async |stage: Stage| {
        let _daemon = stage.daemon();
        stage.is_struck(AD, POST, Effect::DropAfter).await;
        stage.world.app("delete from ad_product").await;

        stage.everything_is_made_good().await;

        assert_eq!(stage.world.held().await, []);
        let held: i64 = sqlx::query_scalar("select count(*) from usage_sync.record")
            .fetch_one(&stage.world.pool)
            .await
            .expect("the ledger can be read");
        assert_eq!(held, 0);
    })
    .await;
}
