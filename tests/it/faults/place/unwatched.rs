//! Tables that are no longer watched.

use crate::support::World;

#[tokio::test]
async fn f19_triggers_that_are_gone_or_disabled_raise_one_alarm() {
    let world = World::new(1).await;
    let daemon = world.daemon();
    world
        .app("insert into ad_product values (1, 'small', 0, 1)")
        .await;
    world.in_step().await;
    assert!(world.status_json().await["unwatched"].is_null());

    world
        .app("alter table ad_product disable trigger usage_sync_update")
        .await;
    daemon
        .logged("triggers are missing or disabled on ad_product")
        .await;
    let status = world.status_json().await;
    assert!(
        status["unwatched"]
            .as_str()
            .expect("a reason")
            .contains("ad_product"),
        "{status}"
    );
    let (exit, state, message, remedy) = world.checked("watched tables").await;
    assert_eq!((exit, state.as_str()), (1, "failed"), "{message}");
    assert!(remedy.contains("backfill"), "{remedy}");

    world
        .app("select usage_sync.unwatch('ad'); select usage_sync.unwatch('ad_product')")
        .await;
    daemon.logged("no table is watched").await;

    // What was missed meanwhile, a backfill finds.
    world
        .app(
            "update ad_product set quantity = 5; \
             select usage_sync.watch('ad', 'id'); select usage_sync.watch('ad_product', 'ad_id')",
        )
        .await;
    daemon.logged("changes of the app are captured again").await;
    let (exit, out) = world.command(&["backfill"]).await;
    assert_eq!(exit, 0, "{out}");
    world.in_step().await;
    assert_eq!(
        daemon
            .log()
            .matches("changes of the app are missed")
            .count(),
        2
    );
}

/// A load that keeps the triggers from firing is seen by nobody; a backfill
/// finds what it wrote.
#[tokio::test]
async fn f19_a_load_past_the_triggers_is_repaired_by_a_backfill() {
    let world = World::new(1).await;
    let _daemon = world.daemon();
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 5) n")
        .await;
    world.in_step().await;
    world
        .app(
            "begin; set local session_replication_role = replica; \
             insert into ad_product select n, 'small', 0, 1 from generate_series(6, 9) n; \
             update ad_product set quantity = 3 where ad_id = 1; \
             delete from ad_product where ad_id = 2; commit",
        )
        .await;

    let (exit, out) = world.command(&["backfill"]).await;
    assert_eq!(exit, 0, "{out}");
    world.in_step().await;
}
