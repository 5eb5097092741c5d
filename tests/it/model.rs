//! The model test: random histories of an app, a sales team and everything
//! that can break, against real daemons; and what must hold all the same.
//!
//! One seed gives one history (`history`): what the app does, when contracts
//! are locked, which faults (`fault`) strike when. It is played step by step on
//! real servers (`stage`, `fleet`). `watch` looks throughout: no record
//! stands twice, no revision goes down, no locked contract changes, Redis
//! holds no more ids than it may. Whenever the faults are over, `quiet` asks
//! for the end state: Salesforce holds what the app wants, except where a lock
//! forbids it, and there the app is told so; ledger and journal agree with
//! Salesforce; nothing is left in hand; the log has an end for each beginning.
//!
//! What a seed cannot fix is the moment at which a request of the daemon
//! meets a fault: a failure may take a few runs to come back.
//!
//! `bin/soak` plays fresh histories for as long as one likes.

mod app;
mod contracts;
mod fault;
mod fleet;
mod history;
mod log;
mod quiet;
mod soak;
mod stage;
mod watch;

use std::time::Duration;

use fault::Kind;
use history::History;
use soak::{Request, play, soak};

/// Why a history did not end well.
#[derive(Debug)]
struct Failed(String);

/// The seeds that every run of the tests plays: one to three daemons, orgs with
/// and without the revision field.
const SEEDS: [u64; 4] = [1, 4, 7, 49];

async fn holds(seed: u64) {
    if let Err(defeat) = play(seed, &[]).await {
        panic!("{defeat}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_random_history_ends_as_the_app_wants() {
    holds(SEEDS[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_random_history_ends_as_the_app_wants() {
    holds(SEEDS[1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_third_random_history_ends_as_the_app_wants() {
    holds(SEEDS[2]).await;
}

/// What `bin/soak` runs, by its environment; by itself one more fixed seed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_hold_for_as_long_as_was_asked() {
    match soak(&asked()).await {
        Ok(tally) => println!("{tally}"),
        Err(defeat) => panic!("{defeat}"),
    }
}

#[test]
fn the_fixed_histories_are_of_every_sort() {
    let histories = SEEDS.map(|seed| History::of(seed, &[]));

    for daemons in 1..=3 {
        assert!(histories.iter().any(|history| history.daemons == daemons));
    }
    for revision in [true, false] {
        assert!(histories.iter().any(|history| history.revision == revision));
    }
    for movable in [true, false] {
        assert!(histories.iter().any(|history| history.movable == movable));
    }
}

fn asked() -> Request {
    let set = |name: &str| {
        let value = std::env::var(name).unwrap_or_default();
        (!value.is_empty()).then_some(value)
    };
    let number = |name: &str| {
        set(name).map(|value| match value.parse::<u64>() {
            Ok(number) => number,
            Err(error) => panic!("{name} is {value:?}: {error}"),
        })
    };
    let names = set("SOAK_WITHOUT").unwrap_or_default();
    let names = names.split(',').filter(|name| !name.is_empty());
    let Some(seed) = number("SOAK_SEED") else {
        return Request {
            time: Duration::ZERO,
            seed: SEEDS[3],
            fixed: true,
            without: Vec::new(),
        };
    };
    Request {
        time: Duration::from_secs(60 * number("SOAK_MINUTES").unwrap_or(0)),
        seed,
        fixed: set("SOAK_FIXED").is_some(),
        without: names.map(known).collect(),
    }
}

fn known(name: &str) -> Kind {
    let kind = Kind::ALL.iter().find(|kind| kind.name() == name);
    let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    *kind.unwrap_or_else(|| panic!("no fault {name:?}: there are {}", names.join(", ")))
}
