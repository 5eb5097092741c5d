//! What one ad or one silent connection must not do: hold up all the others.

use crate::support::{Mode, PATIENCE, Proxy, World, wait_until};

#[tokio::test]
async fn an_ad_whose_rows_take_for_ever_is_rejected_alone() {
    let world = World::new(1).await;
    // What Postgres says when a statement's time is over, without the wait.
    world
        .reads_13_by(
            "create function quantity_of_13() returns numeric language plpgsql as $$ \
             begin raise exception 'canceling statement due to statement timeout' \
             using errcode = 'query_canceled'; end $$",
        )
        .await;
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 40) n")
        .await;
    let _daemon = world.daemon();

    wait_until("the healthy ads to be reported", PATIENCE, async || {
        world.sandbox.stats().records.created == 39
    })
    .await;
    world.ad_is("13", "rejected").await;
    assert_eq!(world.status("13").await.1.as_deref(), Some("VIEW_57014"));
}

#[tokio::test]
async fn an_answer_of_postgres_that_never_comes_holds_up_nothing() {
    let world = World::new(1).await;
    let proxy = Proxy::in_front_of(&world.database.url).await;
    let _daemon = world.daemon_with(&[("DATABASE_URL", &proxy.url())]);
    world
        .app("insert into ad_product values (1, 'small', 0, 1)")
        .await;
    world.in_step().await;

    // Transactions that were begun and of which the daemon hears nothing: those that
    // wait for it, and those that Postgres has ended for that.
    let begun = async || -> i64 {
        let begun = "select (select count(*) from pg_stat_activity \
                     where application_name = 'usage-sync' and state = 'idle in transaction') \
                     + (select sessions_fatal from pg_stat_database where datname = current_database())";
        let begun = sqlx::query_scalar(begun).fetch_one(&world.pool);
        begun.await.expect("it can be read")
    };
    let ended: i64 = sqlx::query_scalar(
        "select sessions_fatal from pg_stat_database where datname = current_database()",
    )
    .fetch_one(&world.pool)
    .await
    .expect("it can be read");

    proxy.set(Mode::SwallowReplies);
    world
        .app("insert into ad_product values (2, 'small', 0, 1)")
        .await;
    wait_until("an answer to get lost", PATIENCE, async || {
        begun().await > ended
    })
    .await;
    proxy.set(Mode::Pass);

    wait_until("the ad to be reported", PATIENCE * 2, async || {
        world.sandbox.stats().records.created == 2
    })
    .await;
}
