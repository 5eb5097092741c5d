//! What the worker does with an ad, from the app's commit to Salesforce's
//! record, through the real daemon.

use serde_json::json;
use usage_sync::sandbox::{Effect, Plan};

use crate::support::{PATIENCE, Usage, World, redis_connection, wait_until};

/// A fault that strikes requests of one method and path.
fn fault(method: &str, path: &str, effect: Effect) -> Plan {
    Plan {
        method: Some(method.to_owned()),
        path: Some(path.to_owned()),
        ..Plan::always(effect)
    }
}

const COLLECTIONS: &str = "/composite/sobjects";

#[tokio::test]
async fn a_committed_ad_becomes_one_record_for_each_product() {
    let world = World::new(2).await;
    let _daemon = world.daemon();

    world
        .app("insert into ad_product values (1, 'gigantic', 0, 5), (1, 'small', 1, 3)")
        .await;
    world.in_step().await;

    assert_eq!(world.held().await.len(), 2);
    assert_eq!(world.status("1").await.0, "reported");
    assert_eq!(world.consumed(0), Some(5.0));
    // One for the report, and one at the start for the newest revision.
    assert_eq!(world.sandbox.stats().api_calls, 2);
}

#[tokio::test]
async fn the_app_is_told_of_every_change_of_state() {
    let world = World::new(1).await;
    let mut listener = sqlx::postgres::PgListener::connect(&world.database.url)
        .await
        .expect("the app listens");
    listener.listen("usage_sync_status").await.expect("it may");
    let _daemon = world.daemon();

    world
        .app("insert into ad_product values (7, 'small', 0, 1)")
        .await;
    world.in_step().await;
    world.app("update ad_product set quantity = 2").await;
    world.in_step().await;

    // Pending and reported, twice.
    for _ in 0..4 {
        let told = tokio::time::timeout(PATIENCE, listener.recv()).await;
        assert_eq!(
            told.expect("in time").expect("a notification").payload(),
            "7"
        );
    }
}

#[tokio::test]
async fn a_rolled_back_ad_is_never_reported() {
    let world = World::new(1).await;
    let _daemon = world.daemon();

    world
        .app("begin; insert into ad_product values (1, 'small', 0, 3); rollback")
        .await;
    world
        .app("insert into ad_product values (2, 'small', 0, 3)")
        .await;
    world.in_step().await;

    assert_eq!(world.held().await.len(), 1);
}

#[tokio::test]
async fn a_changed_ad_is_updated_and_a_removed_one_withdrawn() {
    let world = World::new(2).await;
    let _daemon = world.daemon();
    world
        .app("insert into ad_product values (1, 'gigantic', 0, 5), (1, 'small', 1, 3), (2, 'small', 0, 1)")
        .await;
    world.in_step().await;

    world
        .app("update ad_product set quantity = 7 where ad_id = 1")
        .await;
    world.in_step().await;
    world
        .app("update ad_product set contract_product = 1 where ad_id = 2")
        .await;
    world.in_step().await;
    world.app("delete from ad_product where ad_id = 1").await;
    world.in_step().await;

    assert_eq!(world.held().await.len(), 1);
    assert_eq!(world.sandbox.stats().records.created, 3);
    assert_eq!(world.sandbox.stats().records.deleted, 2);
}

#[tokio::test]
async fn a_correction_of_several_kinds_leaves_what_the_app_wants() {
    let world = World::new(1).await;
    let _daemon = world.daemon();
    world
        .app("insert into ad_product values (1, 'small', 0, 3), (1, 'large', 0, 1)")
        .await;
    world.in_step().await;

    world
        .app(
            "begin; delete from ad_product where product = 'small'; \
             update ad_product set quantity = 2; \
             insert into ad_product values (1, 'gigantic', 0, 1); commit",
        )
        .await;
    world.in_step().await;

    assert_eq!(world.consumed(0), Some(3.0));
}

#[tokio::test]
async fn a_save_that_changes_nothing_costs_no_call() {
    let world = World::new(1).await;
    let _daemon = world.daemon();
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 50) n")
        .await;
    world.in_step().await;
    let before = world.sandbox.stats().api_calls;

    world.app("update ad_product set quantity = quantity").await;
    world.in_step().await;

    assert_eq!(world.sandbox.stats().api_calls, before);
}

#[tokio::test]
async fn twenty_thousand_new_records_cost_at_most_110_calls() {
    let world = World::new(50).await;
    world
        .app(
            "insert into ad_product select n, product, n % 50, 1 \
             from generate_series(1, 10000) n, unnest(array['gigantic', 'small']) product",
        )
        .await;

    let _daemon = world.daemon();
    world.in_step().await;

    let stats = world.sandbox.stats();
    assert_eq!(stats.records.created, 20_000);
    assert!(stats.api_calls <= 110, "{} calls", stats.api_calls);
    assert_eq!(stats.lock_meetings, 0);
}

#[tokio::test]
async fn numbers_arrive_with_the_digits_that_the_app_wrote() {
    let world = World::new(1).await;
    let _daemon = world.daemon();

    world
        .app("insert into ad_product values (1, 'a', 0, 0.10), (1, 'b', 0, 12345678901234.5678), (1, 'c', 0, 3)")
        .await;
    world.in_step().await;

    let digits: Vec<String> = world
        .held()
        .await
        .into_iter()
        .map(|usage| usage.quantity)
        .collect();
    assert_eq!(digits, ["0.10", "12345678901234.5678", "3"]);
}

#[tokio::test]
async fn truncate_withdraws_every_ad() {
    let world = World::new(1).await;
    let _daemon = world.daemon();
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 300) n")
        .await;
    world.in_step().await;

    world.app("truncate ad_product").await;
    world.in_step().await;

    assert_eq!(world.held().await, []);
}

#[tokio::test]
async fn an_ad_that_cannot_be_reported_is_rejected_alone_with_the_reason() {
    let world = World::new(2).await;
    world.set_contract(1, "Fulfilled");
    let _daemon = world.daemon();

    world
        .app(
            "insert into ad_product values (1, 'small', 1, 1), (2, 'small', 0, 1), (4, '', 0, 1), \
             (5, 'small', 0, 'NaN'), (6, repeat('x', 260), 0, 1), (7, 'small', 0, null), (8, 'small', 0, 1)",
        )
        .await;
    for ad in ["1", "4", "5", "6", "7"] {
        world.ad_is(ad, "rejected").await;
    }
    world.ad_is("2", "reported").await;
    world.ad_is("8", "reported").await;

    let code = async |ad| world.status(ad).await.1.unwrap_or_default();
    assert_eq!(code("1").await, "FIELD_CUSTOM_VALIDATION_EXCEPTION");
    assert_eq!(code("4").await, "VIEW_NO_LINE");
    assert_eq!(code("5").await, "VIEW_NOT_A_NUMBER");
    assert_eq!(code("6").await, "VIEW_EXTERNAL_ID_TOO_LONG");
    assert_eq!(code("7").await, "REQUIRED_FIELD_MISSING");
    let held: Vec<Usage> = world.held().await;
    assert_eq!(held.len(), 2);

    // Its cause gone, a rejected ad is reported on the next try.
    world.set_contract(1, "Activated");
    let (exit, _) = world.command(&["retry", "--rejected"]).await;
    assert_eq!(exit, 0);
    world.ad_is("1", "reported").await;
}

#[tokio::test]
async fn ads_whose_rows_make_the_view_fail_are_rejected_alone() {
    let world = World::new(1).await;
    world
        .app(
            "create or replace view usage_sync.usage as \
             select ad_id, product as line, null::text as contract, \
             jsonb_build_object('Contract_Product__c', salesforce_id, 'Quantity__c', 10 / quantity) as fields \
             from ad_product join contract_product on contract_product.id = contract_product",
        )
        .await;
    world
        .app("insert into ad_product select n, 'small', 0, n % 7 from generate_series(1, 40) n")
        .await;
    let _daemon = world.daemon();

    for ad in ["7", "14", "35"] {
        world.ad_is(ad, "rejected").await;
    }
    wait_until("the healthy ads to be reported", PATIENCE, async || {
        world.sandbox.stats().records.created == 35
    })
    .await;
    assert_eq!(world.status("7").await.1.as_deref(), Some("VIEW_22012"));
}

#[tokio::test]
async fn one_poison_record_that_fails_the_whole_request_is_found() {
    let world = World::new(1).await;
    let mut poison = fault(
        "POST",
        COLLECTIONS,
        Effect::Error {
            status: 400,
            code: String::from("JSON_PARSER_ERROR"),
            message: String::from("Cannot deserialize instance of double"),
        },
    );
    poison.body = Some(String::from("\"13:small\""));
    world.sandbox.fault(poison);
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 100) n")
        .await;
    let _daemon = world.daemon();

    world.ad_is("13", "rejected").await;
    wait_until("the other 99", PATIENCE, async || {
        world.sandbox.stats().records.created == 99
    })
    .await;
    assert_eq!(
        world.status("13").await.1.as_deref(),
        Some("JSON_PARSER_ERROR")
    );
}

#[tokio::test]
async fn one_record_that_no_delete_call_survives_is_found() {
    let world = World::new(1).await;
    let _daemon = world.daemon();
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 20) n")
        .await;
    world.in_step().await;
    let rows = world.sandbox.records("Usage__c").expect("records");
    let poison = rows
        .iter()
        .find(|row| row["External_Id__c"] == "7:small")
        .expect("a record");
    let crash = Effect::Error {
        status: 500,
        code: String::from("UNKNOWN_EXCEPTION"),
        message: String::from("ErrorId: 1"),
    };
    let id = poison["Id"].as_str().expect("an id");
    world.sandbox.fault(fault("DELETE", id, crash));

    world.app("delete from ad_product").await;
    wait_until("the other 19 to be withdrawn", PATIENCE, async || {
        world.held().await.len() == 1
    })
    .await;

    wait_until("the app to be told why", PATIENCE, async || {
        world.status("7").await.1.as_deref() == Some("UNKNOWN_EXCEPTION")
    })
    .await;
    world.sandbox.clear_faults();
    world.in_step().await;
}

#[tokio::test]
async fn an_outage_ends_also_when_nothing_waits_any_more() {
    let (world, daemon) = World::reporting().await;
    for method in ["POST", "PATCH", "GET"] {
        world.sandbox.fault(fault(
            method,
            "/services",
            Effect::EmptyBody { status: 503 },
        ));
    }
    world.app("update ad_product set quantity = 2").await;
    daemon.logged("salesforce is down").await;
    world.app("update ad_product set quantity = 1").await;
    world
        .app("delete from ad_product; insert into ad_product values (1, 'small', 0, 1)")
        .await;

    world.sandbox.clear_faults();

    daemon.logged("salesforce is back").await;
    world.in_step().await;
}

#[tokio::test]
async fn a_locked_contract_keeps_its_records_and_a_later_change_is_refused() {
    let world = World::new(1).await;
    let _daemon = world.daemon();
    world
        .app("insert into ad_product values (1, 'small', 0, 3)")
        .await;
    world.in_step().await;

    world.set_contract(0, "Fulfilled");
    world.app("update ad_product set quantity = 4").await;
    world.ad_is("1", "rejected").await;
    assert_eq!(world.consumed(0), Some(3.0));
    world.app("delete from ad_product").await;
    wait_until("the withdrawal to be refused", PATIENCE, async || {
        world.pending().await == 0 && world.status("1").await.0 == "rejected"
    })
    .await;

    let (_, code, message) = world.status("1").await;
    assert_eq!(code.as_deref(), Some("FIELD_CUSTOM_VALIDATION_EXCEPTION"));
    assert_eq!(
        message.as_deref(),
        Some("Contract is fulfilled; usage is locked.")
    );
    assert_eq!(world.consumed(0), Some(3.0));
}

#[tokio::test]
async fn a_rejected_ad_is_reported_by_itself_once_its_cause_is_gone() {
    let world = World::new(1).await;
    world.set_contract(0, "Fulfilled");
    let _daemon = world.daemon_with(&[("RETRY_REJECTED", "1s")]);
    world
        .app("insert into ad_product values (1, 'small', 0, 1)")
        .await;
    world.ad_is("1", "rejected").await;

    world.set_contract(0, "Activated");

    world.ad_is("1", "reported").await;
    world.in_step().await;
}

#[tokio::test]
async fn an_ad_whose_view_has_a_line_twice_or_no_object_is_rejected_alone() {
    let world = World::new(1).await;
    world
        .app(
            "create or replace view usage_sync.usage as \
             select ad_id, regexp_replace(product, '[0-9]', '') as line, contract, \
             case when product = 'list' then '[1]'::jsonb \
             else jsonb_build_object('Contract_Product__c', salesforce_id, 'Quantity__c', quantity) end as fields \
             from ad_product join contract_product on contract_product.id = contract_product",
        )
        .await;
    let _daemon = world.daemon();

    world
        .app("insert into ad_product values (1, 'a1', 0, 1), (1, 'a2', 0, 1), (2, 'list', 0, 1), (3, 'a', 0, 1)")
        .await;
    world.ad_is("1", "rejected").await;
    world.ad_is("2", "rejected").await;
    world.ad_is("3", "reported").await;

    let code = async |ad| world.status(ad).await.1.unwrap_or_default();
    assert_eq!(code("1").await, "VIEW_LINE_TWICE");
    assert_eq!(code("2").await, "VIEW_FIELDS_NO_OBJECT");
    assert_eq!(world.held().await.len(), 1);
}

#[tokio::test]
async fn a_lost_answer_clears_no_field_that_only_a_neighbour_has() {
    let world = World::new(1).await;
    world
        .app(
            "create or replace view usage_sync.usage as \
             select ad_id, product as line, contract, \
             jsonb_build_object('Contract_Product__c', salesforce_id, 'Quantity__c', quantity) \
             || case when ad_id = 1 then jsonb_build_object('Ad_Id__c', ad_id::text) else '{}' end as fields \
             from ad_product join contract_product on contract_product.id = contract_product",
        )
        .await;
    world
        .app("insert into ad_product values (1, 'small', 0, 1), (2, 'small', 0, 1)")
        .await;
    let mut lost = fault("POST", COLLECTIONS, Effect::DropAfter);
    lost.times = Some(1);
    let lost = world.sandbox.fault(lost);
    let mut down = fault("PATCH", COLLECTIONS, Effect::EmptyBody { status: 503 });
    down.times = Some(2);
    world.sandbox.fault(down);
    let _daemon = world.daemon();
    wait_until("the answer to be lost", PATIENCE, async || {
        world.sandbox.fault_hits(lost) == 1
    })
    .await;

    // What somebody else keeps in a field that the app does not name for ad 2.
    wait_until("the records", PATIENCE, async || {
        world.held().await.len() == 2
    })
    .await;
    let rows = world.sandbox.records("Usage__c").expect("records");
    let second = rows
        .iter()
        .find(|row| row["External_Id__c"] == "2:small")
        .expect("a record");
    let id = second["Id"].as_str().expect("an id");
    world
        .sandbox
        .change("Usage__c", id, &json!({"Ad_Id__c": "kept by sales"}))
        .expect("sales may");
    world.in_step().await;

    let rows = world.sandbox.records("Usage__c").expect("records");
    let second = rows
        .iter()
        .find(|row| row["External_Id__c"] == "2:small")
        .expect("a record");
    assert_eq!(second["Ad_Id__c"], "kept by sales");
}

#[tokio::test]
async fn lost_answers_leave_neither_doubles_nor_gaps() {
    let world = World::new(20).await;
    for method in ["POST", "PATCH", "DELETE"] {
        let mut lost = fault(method, COLLECTIONS, Effect::DropAfter);
        lost.every = Some(2);
        world.sandbox.fault(lost);
    }
    let _daemon = world.daemon();

    world
        .app("insert into ad_product select n, 'small', n % 20, 1 from generate_series(1, 500) n")
        .await;
    world.in_step().await;
    world
        .app("update ad_product set quantity = 2 where ad_id % 3 = 0")
        .await;
    world
        .app("delete from ad_product where ad_id % 5 = 0")
        .await;
    world.in_step().await;
}

#[tokio::test]
async fn an_update_whose_answer_was_lost_is_taken_back_when_the_app_reverts_it() {
    let world = World::new(1).await;
    let _daemon = world.daemon();
    world
        .app("insert into ad_product values (1, 'small', 0, 3)")
        .await;
    world.in_step().await;
    let mut lost = fault("PATCH", COLLECTIONS, Effect::DropAfter);
    lost.times = Some(1);
    let lost = world.sandbox.fault(lost);
    let back = fault("PATCH", COLLECTIONS, Effect::EmptyBody { status: 503 });

    world.app("update ad_product set quantity = 4").await;
    wait_until("the answer to be lost", PATIENCE, async || {
        world.sandbox.fault_hits(lost) == 1
    })
    .await;
    world.sandbox.fault(back);
    wait_until("its effect", PATIENCE, async || {
        world.consumed(0) == Some(4.0)
    })
    .await;
    world.app("update ad_product set quantity = 3").await;
    world.sandbox.clear_faults();
    world.in_step().await;

    assert_eq!(world.consumed(0), Some(3.0));
}

#[tokio::test]
async fn an_outage_is_said_once_costs_no_attempt_and_heals_by_itself() {
    let world = World::new(1).await;
    let daemon = world.daemon();
    let down = Effect::HtmlPage { status: 503 };
    for method in ["POST", "PATCH", "DELETE", "GET"] {
        world
            .sandbox
            .fault(fault(method, "/services", down.clone()));
    }

    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 500) n")
        .await;
    daemon.logged("salesforce is down").await;
    let attempts: i64 =
        sqlx::query_scalar("select coalesce(max(attempts), 0)::bigint from usage_sync.ad")
            .fetch_one(&world.pool)
            .await
            .expect("the ledger can be read");
    world.sandbox.clear_faults();
    world.in_step().await;
    daemon.logged("salesforce is back").await;

    assert_eq!(attempts, 0);
    assert_eq!(daemon.log().matches("salesforce is down").count(), 1);
}

#[tokio::test]
async fn an_expired_token_is_renewed_without_a_trace() {
    let (world, daemon) = World::reporting().await;
    // A busy machine may have made the first login late.
    let before = daemon.log().len();

    world.sandbox.expire_tokens();
    world
        .app("insert into ad_product values (2, 'small', 0, 1)")
        .await;
    world.in_step().await;

    let since = &daemon.log()[before..];
    assert!(!since.contains("level=warn"), "{since}");
}

#[tokio::test]
async fn a_contract_that_others_write_is_tried_again_until_it_is_free() {
    let world = World::new(1).await;
    let mut locked = fault("POST", COLLECTIONS, Effect::LockRow { every_row: 0 });
    locked.times = Some(3);
    world.sandbox.fault(locked);
    let _daemon = world.daemon();

    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 30) n")
        .await;
    world.in_step().await;
}

#[tokio::test]
async fn a_record_that_the_ledger_has_no_memory_of_is_taken_over() {
    let world = World::new(1).await;
    let product = &world.products[0].1;
    let stray = json!({
        "External_Id__c": "1:small", "Contract_Product__c": product, "Quantity__c": 99,
    });
    world.sandbox.seed("Usage__c", &stray).expect("a record");
    let _daemon = world.daemon();

    world
        .app("insert into ad_product values (1, 'small', 0, 3)")
        .await;
    world.in_step().await;

    assert_eq!(world.consumed(0), Some(3.0));
}

#[tokio::test]
async fn ids_that_other_programs_push_are_looked_at() {
    let world = World::new(1).await;
    world
        .app("alter table ad_product disable trigger all")
        .await;
    world
        .app("insert into ad_product values (42, 'small', 0, 1)")
        .await;
    let mut connection = redis_connection(&world.redis.url()).await.expect("redis");
    let _: () = redis::cmd("RPUSH")
        .arg("{usage-sync}:queue")
        .arg("no such ad")
        .arg(&b"\xff\xfe\x00"[..])
        .arg("42")
        .query_async(&mut connection)
        .await
        .expect("redis takes it");

    let daemon = world.daemon();
    world.ad_is("42", "reported").await;

    daemon.logged("that no ad has").await;
    world.in_step().await;
}

#[tokio::test]
async fn an_ad_in_two_contracts_and_many_lines_is_reported_whole() {
    let world = World::new(3).await;
    let _daemon = world.daemon();

    world
        .app("insert into ad_product select 1, 'line ' || n, n % 3, 1 from generate_series(1, 450) n")
        .await;
    world.in_step().await;
    world.app("update ad_product set quantity = 2").await;
    world.in_step().await;
    world.app("delete from ad_product").await;
    world.in_step().await;

    assert_eq!(world.held().await, []);
}

#[tokio::test]
async fn a_backfill_reports_what_was_there_before_and_withdraws_what_is_gone() {
    let world = World::new(1).await;
    world
        .app("alter table ad_product disable trigger all")
        .await;
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 2500) n")
        .await;
    let _daemon = world.daemon();

    let (exit, log) = world.command(&["backfill", "--dry-run"]).await;
    assert_eq!((exit, log.contains("2500 ads")), (0, true), "{log}");
    let (exit, log) = world.command(&["backfill"]).await;
    assert_eq!((exit, log.contains("2500 ads")), (0, true), "{log}");
    world.in_step().await;
    world.app("delete from ad_product where ad_id <= 10").await;
    let (exit, log) = world.command(&["backfill"]).await;
    assert_eq!((exit, log.contains("10 ads")), (0, true), "{log}");
    world.in_step().await;

    assert_eq!(world.held().await.len(), 2490);
}

#[tokio::test]
async fn two_daemons_share_the_work_and_double_nothing() {
    let world = World::new(10).await;
    let daemons = [world.daemon(), world.daemon()];

    for round in 0..5 {
        sqlx::query(
            "insert into ad_product select n, 'small', n % 10, 1 from generate_series($1::int, $1 + 299) n",
        )
        .bind(round * 300)
        .execute(&world.pool)
        .await
        .expect("the app writes");
        world
            .app("update ad_product set quantity = quantity + 1 where ad_id % 7 = 0")
            .await;
    }
    world.in_step().await;

    drop(daemons);
    assert_eq!(world.held().await.len(), 1500);
}

#[tokio::test]
async fn a_stopped_daemon_exits_zero_and_gives_everything_back() {
    let world = World::new(1).await;
    let mut slow = fault("POST", COLLECTIONS, Effect::Delay { ms: 300 });
    slow.times = Some(3);
    let slow = world.sandbox.fault(slow);
    let mut daemon = world.daemon();
    world
        .app("insert into ad_product select n, 'small', 0, 1 from generate_series(1, 3000) n")
        .await;
    // One that is over by now counts as well.
    wait_until("the first call", PATIENCE, async || {
        world.sandbox.fault_hits(slow) > 0
    })
    .await;

    for _ in 0..5 {
        daemon.sigterm();
    }
    let status = daemon.ended().await;

    assert_eq!(status.code(), Some(0), "{}", daemon.log());
    let (exit, log) = world.command(&["status", "--json"]).await;
    assert_eq!(exit, 0);
    assert!(log.contains("\"claimed\":0"), "{log}");
    let _next = world.daemon();
    world.in_step().await;
}
