//! The scripts themselves over days of virtual time: Lua as Redis has it, with
//! a clock, a list and a hash of our own instead of Redis'.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use hdrhistogram::Histogram;
use mlua::{Function, Lua, Table};

use super::{RESERVE, SPEND};

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const BATCH: u64 = 200;
const MOST: u64 = 4 * BATCH;
const PATIENCE: u64 = 10 * MINUTE;
/// From a request to its answer.
const ANSWER: u64 = 200;
/// The worker asks again at least this often while it waits.
const LOOK: u64 = SECOND;

/// What the scripts see of Redis; a number comes back as it was stored.
const SERVER: &str = "
server = { now = 0, waiting = 0, hash = {} }
local commands = {
    TIME = function() return { math.floor(server.now / 1000), server.now % 1000 * 1000 } end,
    LLEN = function() return server.waiting end,
    HMGET = function(_, ...)
        local values = { ... }
        for i, field in ipairs(values) do values[i] = server.hash[field] or false end
        return values
    end,
    HDEL = function(_, field) server.hash[field] = nil end,
    HSET = function(_, ...)
        for i = 1, select('#', ...), 2 do
            local field, value = select(i, ...)
            assert(value == value and math.abs(value) < math.huge, field)
            server.hash[field] = value
        end
    end,
}
redis = { call = function(command, ...) return commands[command](...) end }
";

/// An org that counts the calls of a rolling day.
#[derive(Default)]
struct Org {
    allowed: u64,
    others: u64,
    calls: VecDeque<u64>,
    most_in_a_day: u64,
    total: u64,
}

impl Org {
    fn called(&mut self, now: u64, calls: u64) {
        self.total += calls;
        self.calls.extend((0..calls).map(|_| now));
        self.used(now);
        self.most_in_a_day = self.most_in_a_day.max(self.calls.len() as u64);
    }

    fn used(&mut self, now: u64) -> u64 {
        while self.calls.front().is_some_and(|call| call + DAY <= now) {
            self.calls.pop_front();
        }
        self.calls.len() as u64 + self.others
    }
}

/// Ads, daemons, Redis and an org.
struct World {
    server: Table,
    reserve: Function,
    spend: Function,
    lua: Lua,
    org: Org,
    share: f64,
    /// Calls used, as the daemons heard last.
    told: Option<u64>,
    /// When each daemon asks next.
    looks: Vec<u64>,
    /// Requests under way: when they are answered, and calls beyond those that
    /// were set aside for them.
    under_way: BinaryHeap<Reverse<(u64, i64)>>,
    /// When each ad that waits came.
    queue: VecDeque<u64>,
    waits: Histogram<u64>,
    trials: Vec<u64>,
    /// When the budget was found used up.
    gone: Vec<u64>,
}

impl World {
    fn new(allowed: u64, share: f64, daemons: usize) -> Self {
        let lua = Lua::new();
        lua.load(SERVER).exec().unwrap();
        let script = |text: &str| lua.load(text).into_function().unwrap();
        Self {
            reserve: script(RESERVE),
            spend: script(SPEND),
            server: lua.globals().get("server").unwrap(),
            lua,
            org: Org {
                allowed,
                ..Org::default()
            },
            share,
            told: None,
            looks: vec![0; daemons],
            under_way: BinaryHeap::new(),
            queue: VecDeque::new(),
            waits: Histogram::new(3).unwrap(),
            trials: Vec::new(),
            gone: Vec::new(),
        }
    }

    fn arguments(&self, now: u64, arguments: &[f64]) {
        self.server.set("now", now).unwrap();
        self.server.set("waiting", self.queue.len()).unwrap();
        let globals = self.lua.globals();
        globals.set("KEYS", vec!["budget", "queue"]).unwrap();
        let arguments: Vec<String> = arguments.iter().map(f64::to_string).collect();
        globals.set("ARGV", arguments).unwrap();
    }

    fn ask(&self, now: u64) -> (String, u64, u64) {
        let numbers = [BATCH, MOST, PATIENCE].map(|number| number as f64);
        let known = self
            .told
            .map_or([-1.0, -1.0], |used| [used as f64, self.org.allowed as f64]);
        self.arguments(now, &[&[self.share], &numbers[..], &known].concat());
        let answer: Table = self.reserve.call(()).unwrap();
        let number = |at: u64| answer.get::<f64>(at).unwrap() as u64;
        (answer.get(1).unwrap(), number(2), number(3))
    }

    fn answered(&mut self, now: u64, extra: i64) {
        let used = self.org.used(now);
        self.told = Some(used);
        self.arguments(
            now,
            &[
                self.share,
                extra as f64,
                used as f64,
                self.org.allowed as f64,
            ],
        );
        self.spend.call::<()>(()).unwrap();
    }

    /// Lets time pass, from one event to the next. `next` is when the ad after
    /// the one that came at the given time comes.
    fn run(&mut self, from: u64, until: u64, next: impl Fn(u64) -> u64) {
        let mut coming = next(from);
        self.looks.fill(from);
        loop {
            let daemon = (0..self.looks.len()).min_by_key(|daemon| self.looks[*daemon]);
            let daemon = daemon.unwrap();
            let now = self.looks[daemon];
            if now >= until {
                return;
            }
            while let Some(Reverse((at, extra))) = self.under_way.peek().copied()
                && at <= now
            {
                self.under_way.pop();
                self.answered(at, extra);
            }
            while coming <= now {
                self.queue.push_back(coming);
                coming = next(coming);
            }
            self.looks[daemon] = match self.ask(now) {
                (verdict, ids, calls) if verdict == "go" || verdict == "trial" => {
                    if verdict == "trial" {
                        self.trials.push(now);
                    }
                    self.claim(now, ids, calls);
                    now + 1
                }
                (verdict, pause, _) if verdict == "wait" => now + pause.min(LOOK),
                (verdict, pause, _) if verdict == "gone" => {
                    self.gone.push(now);
                    now + pause.min(LOOK)
                }
                _ => coming,
            };
        }
    }

    fn claim(&mut self, now: u64, ids: u64, set_aside: u64) {
        let ids = ids.min(self.queue.len() as u64);
        for _ in 0..ids {
            let came = self.queue.pop_front().unwrap();
            self.waits.record(now - came).unwrap();
        }
        let calls = ids.div_ceil(BATCH);
        self.org.called(now, calls);
        let extra = calls.cast_signed() - set_aside.cast_signed();
        self.under_way.push(Reverse((now + ANSWER, extra)));
    }

    /// Ads that come this often.
    fn steady(every: u64) -> impl Fn(u64) -> u64 {
        move |last| last + every
    }

    fn forget(&self) {
        let empty = self.lua.create_table().unwrap();
        self.server.set("hash", empty).unwrap();
    }
}

fn never(_: u64) -> u64 {
    u64::MAX
}

/// 43 times as many ads as calls: 50 a second for a budget of 100,000 a day.
fn steady_load(daemons: usize, budget: u64) {
    let mut world = World::new(budget, 1.0, daemons);

    world.run(0, 28 * HOUR, World::steady(DAY / 43 / budget));

    let (most, slow) = (world.org.most_in_a_day, world.waits.value_at_quantile(0.99));
    println!(
        "{daemons} daemons: {most} calls in the worst 24 h, waits p50 {} ms, p99 {slow} ms, max {} ms",
        world.waits.value_at_quantile(0.5),
        world.waits.max()
    );
    assert!(most <= budget, "{most} calls");
    assert!(most > budget / 10 * 9, "only {most} calls are made use of");
    assert!(
        slow <= DAY / budget * 5 / 4,
        "the slowest of a hundred waits {slow} ms"
    );
    assert!(world.gone.is_empty());
}

#[test]
fn fifty_ads_a_second_keep_to_the_budget_and_wait_a_second() {
    steady_load(1, 100_000);
}

#[test]
fn three_daemons_spend_from_one_bucket() {
    steady_load(3, 10_000);
}

#[test]
fn bursts_keep_to_the_budget() {
    let mut world = World::new(1_500, 0.8, 2);

    // A thousand ads at once in every tenth minute, a few in between.
    world.run(0, 30 * HOUR, |last| match last % (10 * MINUTE) {
        since if since < 1000 => last + 1,
        _ => last + 5 * SECOND,
    });

    let most = world.org.most_in_a_day;
    assert!((1_000..=1_200).contains(&most), "{most} calls");
    assert!(world.gone.is_empty());
}

/// With little credit left.
fn spent_world() -> World {
    let mut world = World::new(100_000, 0.8, 1);
    world.run(0, 3 * HOUR, World::steady(20));
    world.run(3 * HOUR, 3 * HOUR + MINUTE, never);
    assert!(world.queue.is_empty());
    world.waits.reset();
    world
}

#[test]
fn after_an_idle_spell_the_first_goes_at_once() {
    let mut world = spent_world();

    let start = 3 * HOUR + 2 * MINUTE;
    world.run(start, start + MINUTE, |last| {
        if last == start { start + 1 } else { u64::MAX }
    });

    assert_eq!((world.waits.len(), world.waits.max()), (1, 0));
}

#[test]
fn full_calls_go_as_long_as_there_is_any_credit() {
    let mut world = spent_world();
    let start = 3 * HOUR + 2 * MINUTE;
    world.queue.extend((0..20_000).map(|_| start));
    let calls = world.org.total;

    world.run(start, start + 10 * SECOND, never);

    assert_eq!(world.org.total - calls, 100);
    assert!(world.waits.max() <= 100, "waited {} ms", world.waits.max());
}

#[test]
fn a_redis_that_forgets_does_not_make_us_spend_more() {
    let mut world = World::new(2_000, 0.8, 2);

    for tenth in 0..30 * 6 {
        let start = tenth * 10 * MINUTE;
        world.run(start, start + 10 * MINUTE, World::steady(3 * SECOND));
        world.forget();
    }

    let most = world.org.most_in_a_day;
    let trials = world.trials.len() as u64;
    assert!(
        trials > 0 && most <= 1_600 + trials,
        "{most} calls, {trials} trials"
    );
}

#[test]
fn what_others_have_used_up_is_tried_once_in_ten_minutes_until_it_is_free() {
    let mut world = World::new(100_000, 0.8, 3);
    world.org.others = 90_000;

    world.run(0, 6 * HOUR, World::steady(SECOND));

    let before = world.trials.len() as u64;
    assert!((30..=36).contains(&before), "{before} trials in six hours");
    assert!(world.org.total <= before + 3, "{} calls", world.org.total);
    let closest = world.trials.windows(2).map(|two| two[1] - two[0]).min();
    assert!(closest >= Some(PATIENCE), "{closest:?} ms between trials");

    world.org.others = 10_000;
    world.run(6 * HOUR, 7 * HOUR, World::steady(SECOND));

    assert!(world.trials.len() as u64 <= before + 1);
    assert!(world.queue.len() < 10, "{} wait still", world.queue.len());
}

#[test]
fn on_the_brink_it_does_not_go_on_for_a_single_call() {
    let mut world = World::new(100_000, 0.8, 1);
    world.org.others = 80_000;
    world.run(0, HOUR, World::steady(SECOND));
    world.gone.clear();

    world.org.others = 79_500;
    world.run(HOUR, 2 * HOUR, World::steady(SECOND));

    assert!(world.org.total < 20, "{} calls", world.org.total);
}

#[test]
fn the_smallest_orgs_are_neither_overdrawn_nor_given_up() {
    for allowed in [0, 1, 7] {
        for share in [0.2, 1.0] {
            let mut world = World::new(allowed, share, 2);

            world.run(0, 50 * HOUR, World::steady(HOUR));

            let budget = (allowed as f64 * share) as u64;
            let most = world.org.most_in_a_day;
            // While nothing may be spent, it can only be asked what is new.
            let asked = DAY / PATIENCE;
            assert!(
                most <= budget.max(1) + asked,
                "{most} calls at {share} of {allowed}"
            );
            assert!(world.org.total > 0);
        }
    }
}

#[test]
fn a_clock_that_falls_back_costs_no_more_than_a_pause() {
    let mut world = spent_world();
    world.queue.push_back(0);

    let (verdict, pause, _) = world.ask(HOUR);
    if verdict != "go" {
        assert_eq!(verdict, "wait");
        assert!(pause < 1500, "{pause} ms");
    }
    assert_eq!(world.ask(HOUR + pause).0, "go");
}
