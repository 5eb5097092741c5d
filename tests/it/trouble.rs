//! Requests that fail as a whole, through the real daemon: the culprit is
//! found, and nobody waits for ever.

use usage_sync::sandbox::{Effect, Plan};

use crate::support::{PATIENCE, World, wait_until};

const COLLECTIONS: &str = "/composite/sobjects";

fn fault(method: &str, effect: Effect) -> Plan {
    Plan {
        method: Some(method.to_owned()),
        path: Some(COLLECTIONS.to_owned()),
        ..Plan::always(effect)
    }
}

#[tokio::test]
async fn one_record_that_fails_every_request_to_delete_it_holds_up_no_other() {
    let world = World::new(1).await;
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 50) n")
        .await;
    let _daemon = world.daemon();
    world.in_step().await;
    let poison: String = sqlx::query_scalar(
        "select salesforce_id from usage_sync.record where external_id = '13:small'",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    let mut fault = fault(
        "DELETE",
        Effect::Error {
            status: 400,
            code: String::from("JSON_PARSER_ERROR"),
            message: String::from("this one again"),
        },
    );
    fault.path = Some(poison);
    world.sandbox.fault(fault);

    world.app("delete from ad_product").await;

    world.ad_is("13", "rejected").await;
    wait_until("the other 49", PATIENCE, async || {
        world.sandbox.stats().records.deleted == 49
    })
    .await;
}

#[tokio::test]
async fn reporting_goes_on_after_two_failures_of_which_the_second_came_late() {
    let world = World::new(2).await;
    let _daemon = world.daemon_with(&[
        ("SALESFORCE_TIMEOUT", "2s"),
        ("SALESFORCE_CONNECT_TIMEOUT", "1s"),
    ]);
    world
        .app("insert into ad_product values (1, 'other', 1, 1)")
        .await;
    world.in_step().await;
    for (method, effect) in [
        ("POST", Effect::Delay { ms: 60_000 }),
        ("PATCH", Effect::HtmlPage { status: 503 }),
    ] {
        let mut fault = fault(method, effect);
        fault.times = Some(1);
        world.sandbox.fault(fault);
    }

    // More of one contract than is claimed ahead, so that some wait behind the
    // request that hangs.
    world
        .app(
            "update ad_product set quantity = 2;
             insert into ad_product select n, 'small', 0, 1 from generate_series(2, 4000) n",
        )
        .await;

    world.in_step().await;
}
