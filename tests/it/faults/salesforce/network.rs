//! The way to Salesforce, and answers that are none; and locks that meet an
//! edit on its way.

use std::time::{Duration, Instant};

use serde_json::json;
use usage_sync::sandbox::Effect;

use super::{complaints, fault};
use crate::support::{Mode, PATIENCE, Proxy, World, wait_until};

/// A world whose org is reached by way of a proxy.
async fn behind_a_proxy(contracts: usize) -> (World, Proxy) {
    let world = World::new(contracts).await;
    let proxy = Proxy::in_front_of(world.sandbox.base_url()).await;
    let there = json!({"instance_url": proxy.url()});
    world.sandbox.settings(&there).expect("a setting");
    (world, proxy)
}

#[tokio::test]
async fn f31_a_mixed_answer_that_is_cut_is_sorted_out_record_by_record() {
    for cut in [Effect::Truncate, Effect::CutJson] {
        let world = World::new(2).await;
        world.set_contract(1, "Fulfilled");
        let mut cut = fault("POST", "/composite", "", cut);
        cut.times = Some(1);
        let cut = world.sandbox.fault(cut);
        let _daemon = world.daemon();

        world
            .app("insert into ad_product select n, 'small', (n % 5 = 0)::int, 1 from generate_series(1, 50) n")
            .await;
        wait_until("all to be settled", PATIENCE, async || {
            world.pending().await == 0
        })
        .await;

        assert_eq!(world.sandbox.fault_hits(cut), 1);
        // None of its rows is believed before it was read back.
        let doubted: i64 = sqlx::query_scalar("select count(*) from usage_sync.landing")
            .fetch_one(&world.pool)
            .await
            .expect("the ledger can be read");
        assert_eq!(doubted, 50);
        let states: Vec<(String, i64)> =
            sqlx::query_as("select state, count(*) from usage_sync.ad group by 1 order by 1")
                .fetch_all(&world.pool)
                .await
                .expect("the ledger can be read");
        assert_eq!(
            states,
            [
                (String::from("rejected"), 10),
                (String::from("reported"), 40)
            ]
        );
        assert_eq!(world.consumed(0), Some(40.0));
        assert_eq!(world.sandbox.stats().records.created, 40);
    }
}

#[tokio::test]
async fn f37_answers_without_end_or_measure_are_given_up() {
    for effect in [
        Effect::EndlessBody,
        Effect::OversizedBody { bytes: 20 << 20 },
    ] {
        let world = World::new(1).await;
        let mut fault = fault("POST", "/composite", "", effect);
        fault.times = Some(2);
        let fault = world.sandbox.fault(fault);
        let daemon = world.daemon_with(&[
            ("SALESFORCE_TIMEOUT", "30s"),
            ("SALESFORCE_CONNECT_TIMEOUT", "900ms"),
            ("SALESFORCE_READ_TIMEOUT", "900ms"),
        ]);

        world
            .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 20) n")
            .await;
        world.in_step().await;

        assert!(world.sandbox.fault_hits(fault) >= 1);
        assert_eq!(world.sandbox.stats().records.created, 20);
        // What comes without end is cut off, however long there is time for it.
        let peak = daemon.peak_memory();
        assert!(peak < 80 << 20, "{peak} bytes");
    }
}

/// A contract is locked while this edit of an ad is on its way; the ad's own
/// contract is 0. What Salesforce holds afterwards is as before the edit.
async fn locked_on_the_way(edit: &'static str, locked: usize) {
    let world = World::new(2).await;
    let _daemon = world.daemon();
    world
        .app("insert into ad_product values (1, 'small', 0, 3)")
        .await;
    world.in_step().await;
    let before = world.held().await;
    // Time to lock the contract, also for a busy machine.
    let late = Effect::Delay { ms: 4000 };
    let mut late = fault("", "/composite", "", late);
    late.times = Some(1);
    let late = world.sandbox.fault(late);

    world.app(edit).await;
    wait_until("the edit to be on its way", PATIENCE, async || {
        world.sandbox.fault_hits(late) >= 1
    })
    .await;
    world.set_contract(locked, "Fulfilled");
    world.ad_is("1", "rejected").await;

    assert_eq!(world.held().await, before, "{edit}");
    let message = world.status("1").await.2;
    assert_eq!(
        message.as_deref(),
        Some("Contract is fulfilled; usage is locked.")
    );
    world.sandbox.clear_faults();
    world.set_contract(locked, "Activated");
    world.command(&["retry", "1"]).await;
    world.in_step().await;
}

#[tokio::test]
async fn f40_a_lock_that_overtakes_a_change_wins() {
    locked_on_the_way("update ad_product set quantity = 4", 0).await;
}

#[tokio::test]
async fn f40_a_lock_that_overtakes_a_removal_wins() {
    locked_on_the_way("delete from ad_product", 0).await;
}

#[tokio::test]
async fn f40_a_lock_that_overtakes_a_correction_of_several_kinds_wins() {
    let edit = "begin; update ad_product set quantity = 4; \
                insert into ad_product values (1, 'large', 0, 1); commit";
    locked_on_the_way(edit, 0).await;
}

#[tokio::test]
async fn f41_a_move_out_of_a_contract_that_is_locked_meanwhile_counts_once() {
    locked_on_the_way("update ad_product set contract_product = 1", 0).await;
}

#[tokio::test]
async fn f41_a_move_into_a_contract_that_is_locked_meanwhile_counts_once() {
    locked_on_the_way("update ad_product set contract_product = 1", 1).await;
}

#[tokio::test]
async fn f41_a_line_that_takes_the_place_of_another_in_a_locked_contract_counts_once() {
    let edit =
        "begin; delete from ad_product; insert into ad_product values (1, 'large', 1, 3); commit";
    locked_on_the_way(edit, 1).await;
}

#[tokio::test]
async fn f40_a_lock_after_the_edit_keeps_the_edit_though_its_answer_is_lost() {
    let world = World::new(1).await;
    let _daemon = world.daemon();
    world
        .app("insert into ad_product values (1, 'small', 0, 3)")
        .await;
    world.in_step().await;
    let mut lost = fault("PATCH", "/composite", "", Effect::DropAfter);
    lost.times = Some(1);
    let lost = world.sandbox.fault(lost);
    let down = world
        .sandbox
        .fault(fault("PATCH", "/composite", "", Effect::DropBefore));

    world.app("update ad_product set quantity = 4").await;
    wait_until("the answer to be lost", PATIENCE, async || {
        world.sandbox.fault_hits(lost) == 1 && world.sandbox.fault_hits(down) > 0
    })
    .await;
    world.set_contract(0, "Fulfilled");
    world.sandbox.clear_faults();
    // The same once more changes nothing, so that the lock lets it pass.
    world.ad_is("1", "reported").await;

    assert_eq!(world.consumed(0), Some(4.0));
    world.app("delete from ad_product").await;
    wait_until("the removal to be refused", PATIENCE, async || {
        world.pending().await == 0
    })
    .await;
    assert_eq!(world.consumed(0), Some(4.0));
    world.set_contract(0, "Activated");
    world.command(&["retry", "1"]).await;
    world.in_step().await;
}

#[tokio::test]
async fn f49_a_way_that_comes_and_goes_is_one_outage() {
    let (world, proxy) = behind_a_proxy(4).await;
    let daemon = world.daemon_with(&[("OUTAGE_BASE", "400ms"), ("OUTAGE_MAX", "800ms")]);
    world
        .app("insert into ad_product select n, 'small', n % 4, 1 from generate_series(1, 200) n")
        .await;
    world.in_step().await;

    for _ in 0..6 {
        proxy.set(Mode::Cut);
        world
            .app("update ad_product set quantity = quantity + 1")
            .await;
        // The fault's own rhythm; nothing is asserted about it.
        tokio::time::sleep(Duration::from_millis(900)).await;
        proxy.set(Mode::Pass);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    world.in_step().await;
    daemon.logged("salesforce is back").await;

    assert_eq!(daemon.log().matches("salesforce is down").count(), 1);
    assert_eq!(complaints(&daemon.log()), 1, "{}", daemon.log());
}

#[tokio::test]
async fn f49_a_slow_way_and_one_that_swallows_everything_heal() {
    let (world, proxy) = behind_a_proxy(4).await;
    let daemon = world.daemon_with(&[
        ("SALESFORCE_TIMEOUT", "3s"),
        ("SALESFORCE_CONNECT_TIMEOUT", "2s"),
        ("SALESFORCE_READ_TIMEOUT", "2s"),
    ]);
    world
        .app("insert into ad_product select n, 'small', n % 4, 1 from generate_series(1, 400) n")
        .await;
    world.in_step().await;

    proxy.set(Mode::Delay(Duration::from_millis(250)));
    world.app("update ad_product set quantity = 2").await;
    world.in_step().await;
    assert_eq!(complaints(&daemon.log()), 0, "{}", daemon.log());

    for mode in [Mode::Stall, Mode::SwallowReplies] {
        proxy.set(mode);
        let before = daemon.log().matches("salesforce is down").count();
        world
            .app("update ad_product set quantity = quantity + 1")
            .await;
        wait_until("the outage to be noticed", PATIENCE, async || {
            daemon.log().matches("salesforce is down").count() > before
        })
        .await;
        proxy.set(Mode::Pass);
        proxy.reset_connections();
        world.in_step().await;
        wait_until("the end to be said", PATIENCE, async || {
            daemon.log().matches("salesforce is back").count() > before
        })
        .await;
    }
    assert_eq!(complaints(&daemon.log()), 2, "{}", daemon.log());
}

#[tokio::test]
async fn f49_after_a_short_cut_reports_go_on_within_half_a_minute_as_shipped() {
    let (world, proxy) = behind_a_proxy(1).await;
    // The defaults of config/default.toml.
    let daemon = world.daemon_with(&[("OUTAGE_BASE", "1s"), ("OUTAGE_MAX", "1m")]);
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 100) n")
        .await;
    world.in_step().await;

    proxy.set(Mode::Cut);
    world.app("update ad_product set quantity = 2").await;
    daemon.logged("salesforce is down").await;
    proxy.set(Mode::Pass);
    let cleared = Instant::now();
    world.in_step().await;

    assert!(cleared.elapsed() <= Duration::from_secs(30));
}

/// A name that nobody ever has (RFC 6761, "invalid").
#[tokio::test]
async fn f49_a_host_that_has_no_address_is_said_once_and_captures_go_on() {
    let world = World::new(1).await;
    let mut daemon = world.daemon_with(&[("SALESFORCE_LOGIN_URL", "https://salesforce.invalid")]);
    daemon.logged("no login to salesforce yet").await;
    world
        .app("insert into ad_product values (1, 'small', 0, 1)")
        .await;
    world.ad_is("1", "pending").await;
    wait_until("some more lines", PATIENCE, async || {
        daemon.log().matches("message=metrics").count() >= 2
    })
    .await;

    let log = daemon.log();
    assert!(daemon.is_running(), "{log}");
    assert_eq!(
        log.matches("no login to salesforce yet").count(),
        1,
        "{log}"
    );
    assert!(log.contains("salesforce.invalid"), "{log}");
    assert!(log.contains("SALESFORCE_LOGIN_URL"), "{log}");

    // Another one, which finds the name, takes up what waited.
    daemon.sigterm();
    assert!(daemon.ended().await.success());
    let _other = world.daemon();
    world.in_step().await;
}
