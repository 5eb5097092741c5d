//! A daemon dies at each step of a delivery and of capture. Another one takes
//! over, and in the end nothing is missing, double or rejected.

use std::{collections::VecDeque, os::unix::process::ExitStatusExt as _};

use tokio::task::{JoinSet, LocalSet};
use usage_sync::{
    failpoint::Point,
    sandbox::{Effect, Plan},
};

use crate::support::{Daemon, PATIENCE, World, wait_until};

mod locks;

const CLAIM: &[Point] = &[
    Point::Claimed,
    Point::FenceBegun,
    Point::FenceTaken,
    Point::FenceRead,
    Point::FenceIntended,
    Point::FenceCommitting,
    Point::FenceCommitted,
];
const REQUEST: &[Point] = &[
    Point::Sending,
    Point::Answered,
    Point::SendingUnit,
    Point::AnsweredUnit,
];
const RECORD: &[Point] = &[
    Point::RecordBegun,
    Point::Recording,
    Point::Recorded,
    Point::PutDown,
    Point::Retried,
    Point::Released,
];
/// Only reached by whoever has ads made ready that cannot be sent.
const GIVEN_BACK: &[Point] = &[Point::Abandoned];
const LEASE: &[Point] = &[Point::Renewing, Point::Renewed];
/// Only reached by whoever takes over from the dead.
const AFTER_A_DEATH: &[Point] = &[Point::FenceTakenOver, Point::LookedUp, Point::Recovered];
const CAPTURE: &[Point] = &[
    Point::MoveBegun,
    Point::Moving,
    Point::Moved,
    Point::Pushed,
    Point::SweepRead,
    Point::SweepOffered,
    Point::TruncationPage,
    Point::TruncationMoved,
    Point::Listening,
];
/// Where a loop hangs or panics; `process` does that.
const LOOPS: &[Point] = &[
    Point::WorkerLoop,
    Point::CaptureLoop,
    Point::ListenerLoop,
    Point::MetricsLoop,
    Point::JournalLoop,
];

#[tokio::test]
async fn f01_a_death_between_claim_and_request_loses_nothing() {
    survive_each(CLAIM).await;
}

#[tokio::test]
async fn f02_a_death_around_a_request_makes_nothing_double() {
    survive_each(REQUEST).await;
}

/// Then nothing but its intent tells what it may have made.
#[tokio::test]
async fn f02_what_the_app_took_back_from_a_dead_worker_leaves_nothing() {
    for_each(
        &[REQUEST, &[Point::RecordBegun, Point::Recording]].concat(),
        survive_removal,
    )
    .await;
}

#[tokio::test]
async fn f03_a_death_between_answer_and_queue_makes_nothing_double() {
    survive_each(RECORD).await;
}

#[tokio::test]
async fn f03_a_death_while_what_was_not_sent_is_given_back_loses_nothing() {
    let world = World::new(1).await;
    world.sandbox.fault(Plan {
        method: Some(String::from("POST")),
        path: Some(String::from("/composite/sobjects")),
        times: Some(1),
        ..Plan::always(Effect::Delay { ms: 5000 })
    });
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 40) n")
        .await;
    let mut dying = world.daemon_with(&[
        ("FAILPOINT", "Abandoned:kill"),
        ("WORKER_BATCH_SIZE", "10"),
        ("SALESFORCE_MAX_CONCURRENCY", "2"),
    ]);
    wait_until(
        "one parcel on its way and one ready",
        PATIENCE,
        async || {
            let intents = sqlx::query_scalar("select count(*) from usage_sync.intent");
            let intents: i64 = intents.fetch_one(&world.pool).await.unwrap_or(0);
            intents >= 2 && world.sandbox.stats().in_flight > 0
        },
    )
    .await;

    dying.sigterm();
    assert_eq!(dying.ended().await.signal(), Some(6), "{}", dying.log());
    let _other = start(&world, "");

    world.in_step().await;
    assert_eq!(world.sandbox.stats().records.created, 40);
}

#[tokio::test]
async fn f04_a_death_while_leases_are_renewed_or_taken_over_loses_nothing() {
    survive_each(&[LEASE, AFTER_A_DEATH].concat()).await;
}

#[tokio::test]
async fn f05_a_death_between_outbox_and_queue_loses_nothing() {
    survive_each(CAPTURE).await;
}

#[tokio::test]
async fn f41_a_death_in_the_middle_of_a_move_counts_each_unit_once() {
    let points = [
        REQUEST,
        &[Point::FenceCommitted, Point::Recording, Point::Recorded],
    ]
    .concat();
    for_each(&points, survive_move).await;
}

/// From one contract to the other: some as they are, some under another line,
/// which takes two records.
const MOVE: &str = "begin; update ad_product set contract_product = 1 where ad_id <= 5; \
    delete from ad_product where ad_id > 5; \
    insert into ad_product select n, 'large', 1, 1 from generate_series(6, 10) n; commit";

async fn survive_move(point: Point) {
    let world = reported().await;
    die_at(&world, point, MOVE).await;
    let _other = start(&world, "");
    world.in_step().await;

    let consumed = (world.consumed(0), world.consumed(1));
    assert_eq!(consumed, (Some(0.0), Some(10.0)), "{point:?}");
}

/// New ads, and others that take two kinds of change.
const CREATE_MORE: &str = "begin; delete from ad_product; \
    insert into ad_product select n, 'large', 1, 1 from generate_series(1, 20) n; commit";

async fn survive_removal(point: Point) {
    let world = reported().await;
    die_at(&world, point, CREATE_MORE).await;
    world.app("delete from ad_product").await;
    let _other = start(&world, "");
    world.in_step().await;

    let unknown = world.sandbox.records("Usage__c").expect("records");
    assert!(unknown.is_empty(), "{point:?}: {unknown:?}");
}

/// A world whose daemon has reported ten ads and is gone.
async fn reported() -> World {
    let world = World::new(2).await;
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 10) n")
        .await;
    let mut reporter = world.daemon();
    world.in_step().await;
    reporter.sigterm();
    assert!(reporter.ended().await.success());
    world
}

/// A daemon dies of what the app does.
async fn die_at(world: &World, point: Point, change: &'static str) {
    let mut dying = start(world, &format!("{point:?}:kill:1"));
    world.app(change).await;
    let what = format!("a death at {point:?}");
    wait_until(&what, PATIENCE, async || !dying.is_running()).await;
    let status = dying.ended().await;
    assert_eq!(status.signal(), Some(6), "{point:?}\n{}", dying.log());
}

#[test]
fn f01_every_fail_point_is_one_at_which_something_dies() {
    let tested = [
        CLAIM,
        REQUEST,
        RECORD,
        GIVEN_BACK,
        LEASE,
        AFTER_A_DEATH,
        CAPTURE,
        LOOPS,
    ]
    .concat();

    for point in Point::ALL {
        assert!(tested.contains(point), "nothing dies at {point:?}");
    }
}

async fn survive_each(points: &[Point]) {
    for_each(points, survive).await;
}

/// All points at once: most of the time is waiting for leases to end.
async fn for_each<F: Future<Output = ()> + 'static>(points: &[Point], story: fn(Point) -> F) {
    let work = async {
        let mut lives = JoinSet::new();
        for point in points {
            lives.spawn_local(story(*point));
        }
        while let Some(life) = lives.join_next().await {
            life.expect("it survives");
        }
    };
    LocalSet::new().run_until(work).await;
}

/// Two lines each: with batches of ten, several parcels wait for one contract.
const CREATE: &str = "insert into ad_product select n, product, n % 2, 1 \
    from generate_series(1, 40) n, unnest(array['large', 'small']) product";
/// Some corrected, some removed, some of both kinds at once.
const CHANGE: &str = "update ad_product set quantity = 2 where ad_id <= 5; \
    delete from ad_product where ad_id between 6 and 10; \
    delete from ad_product where ad_id between 11 and 15 and product = 'small'; \
    insert into ad_product select n, 'huge', 0, 3 from generate_series(11, 15) n";
/// Every known ad is looked at.
const TRUNCATE: &str = "truncate ad";
const CREATED: u64 = 40 * 2 + 5;

/// The first daemon dies at the first hit of a point, the second at its second
/// hit if it has one, the third lives.
async fn survive(point: Point) {
    let world = World::new(2).await;
    let after_a_death = AFTER_A_DEATH.contains(&point);
    let mut orders = VecDeque::from([
        format!("{point:?}:kill:1"),
        format!("{point:?}:kill:2"),
        String::new(),
    ]);
    if after_a_death {
        // It leaves records in doubt, some of which nobody wants any more.
        orders.push_front(String::from("Answered:kill"));
    } else {
        unsettle(&world);
    }
    let mut life = Life::new(&world, point, orders);

    world.app(CREATE).await;
    if after_a_death {
        life.dies().await;
        world.app("delete from ad_product where ad_id > 20").await;
    }
    life.settles().await;
    world.app(CHANGE).await;
    life.settles().await;
    world.app(TRUNCATE).await;
    life.settles().await;

    let deaths = if after_a_death { 2 } else { 1 };
    while life.deaths < deaths {
        // What comes after an ad is settled may still be under way.
        life.dies().await;
    }
    life.settles().await;
    let refused: i64 =
        sqlx::query_scalar("select count(*) from usage_sync.journal where action = 'reject'")
            .fetch_one(&world.pool)
            .await
            .expect("the journal is there");
    assert_eq!(refused, 0, "{point:?}: ads were rejected");
    if !after_a_death {
        let created = world.sandbox.stats().records.created;
        assert_eq!(created, CREATED, "{point:?}");
    }
}

/// One call that takes longer than a renewal, one that is refused in part, one
/// that fails as a whole.
fn unsettle(world: &World) {
    let effects = [
        Effect::Delay { ms: 1500 },
        Effect::LockRow { every_row: 3 },
        Effect::HtmlPage { status: 503 },
    ];
    for effect in effects {
        world.sandbox.fault(Plan {
            method: Some(String::from("POST")),
            path: Some(String::from("/composite/sobjects")),
            times: Some(1),
            ..Plan::always(effect)
        });
    }
}

/// Daemons, one after the other.
struct Life<'a> {
    world: &'a World,
    point: Point,
    orders: VecDeque<String>,
    daemon: Daemon,
    deaths: usize,
}

impl<'a> Life<'a> {
    fn new(world: &'a World, point: Point, mut orders: VecDeque<String>) -> Self {
        let daemon = start(world, &orders.pop_front().expect("a first order"));
        Self {
            world,
            point,
            orders,
            daemon,
            deaths: 0,
        }
    }

    /// Until app and Salesforce are in step, however many daemons that takes.
    async fn settles(&mut self) {
        loop {
            let mut dead = false;
            let (world, daemon) = (self.world, &mut self.daemon);
            let what = format!("app and Salesforce to be in step with {:?}", self.point);
            // As long as [`World::in_step`]: all points go through it at once.
            wait_until(&what, PATIENCE * 4, async || {
                dead = !daemon.is_running();
                dead || world.pending().await == 0 && world.differences().await.is_empty()
            })
            .await;
            if !dead {
                return;
            }
            self.dies().await;
        }
    }

    /// Waits for the end of this daemon and starts the next.
    async fn dies(&mut self) {
        let what = format!("a death at {:?}", self.point);
        let daemon = &mut self.daemon;
        wait_until(&what, PATIENCE, async || !daemon.is_running()).await;
        let status = self.daemon.ended().await;
        let aborted = status.signal() == Some(6);
        assert!(aborted, "{:?}: {status}\n{}", self.point, self.daemon.log());
        self.deaths += 1;
        let order = self.orders.pop_front().expect("the last one lives");
        self.daemon = start(self.world, &order);
    }
}

fn start(world: &World, order: &str) -> Daemon {
    world.daemon_with(&[("FAILPOINT", order), ("WORKER_BATCH_SIZE", "10")])
}
