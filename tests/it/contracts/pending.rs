//! What is pending: units that are taken, though Salesforce does not know yet.

use std::collections::BTreeSet;

use super::{contracts, contracts_with, one, queries};
use crate::support::{PATIENCE, World, wait_until};
use usage_sync::{
    contracts::Contract,
    sandbox::{Effect, Plan},
};

/// Consumed, pending, and what comes back, of the only product.
fn units(contract: &Contract) -> (f64, String, String) {
    let [product] = contract.products.as_slice() else {
        panic!("{:?}", contract.products);
    };
    (
        product.consumed.as_ref().unwrap().approximate(),
        product.pending.to_string(),
        product.pending_return.to_string(),
    )
}

async fn of(world: &World, contract: usize) -> (f64, String, String) {
    units(&one(&contracts(world), &world.products[contract].0).await)
}

fn told(consumed: f64, pending: &str, returned: &str) -> (f64, String, String) {
    (consumed, pending.to_owned(), returned.to_owned())
}

#[tokio::test]
async fn what_no_daemon_has_seen_is_pending_and_what_is_reported_is_not() {
    let world = World::new(2).await;
    world
        .app("insert into ad_product values (1, 'small', 0, 2.5), (1, 'big', 0, 0.25), (2, 'small', 1, 7)")
        .await;
    assert_eq!(of(&world, 0).await, told(0.0, "2.75", "0"));
    assert_eq!(of(&world, 1).await, told(0.0, "7", "0"));

    let daemon = world.daemon();
    world.in_step().await;

    assert_eq!(of(&world, 0).await, told(2.75, "0", "0"));
    assert_eq!(of(&world, 1).await, told(7.0, "0", "0"));
    drop(daemon);
}

#[tokio::test]
async fn corrections_count_by_what_they_add_and_what_they_give_back() {
    let (world, daemon) = World::reporting().await;
    world
        .app("insert into ad_product values (2, 'small', 0, 10)")
        .await;
    world.in_step().await;
    drop(daemon);
    assert_eq!(of(&world, 0).await, told(11.0, "0", "0"));

    // 3 more of one ad; 6 fewer of the other, that Salesforce still counts.
    world
        .app("update ad_product set quantity = 4 where ad_id = 1")
        .await;
    world
        .app("update ad_product set quantity = 4 where ad_id = 2")
        .await;
    assert_eq!(of(&world, 0).await, told(11.0, "3", "6"));

    // Taken from one line and given to another of the same ad: nothing.
    world
        .app("update ad_product set quantity = 10 where ad_id = 2")
        .await;
    world
        .app("update ad_product set quantity = 6 where ad_id = 2")
        .await;
    world
        .app("insert into ad_product values (2, 'big', 0, 4)")
        .await;
    assert_eq!(of(&world, 0).await, told(11.0, "3", "0"));

    world.app("delete from ad_product").await;
    assert_eq!(of(&world, 0).await, told(11.0, "0", "11"));

    let daemon = world.daemon();
    world.in_step().await;
    assert_eq!(of(&world, 0).await, told(0.0, "0", "0"));
    drop(daemon);
}

#[tokio::test]
async fn salesforce_is_asked_only_when_it_is_known_what_is_pending() {
    let world = World::new(1).await;
    world
        .app("insert into ad_product values (1, 'small', 0, 5)")
        .await;
    let contracts = contracts(&world);
    let id = world.products[0].0.clone();
    one(&contracts, &id).await;
    let before = queries(&world);
    let mut migration = world.pool.begin().await.unwrap();
    sqlx::raw_sql("lock table ad_product in access exclusive mode")
        .execute(&mut *migration)
        .await
        .unwrap();

    let asked = tokio::spawn(async move { one(&contracts, &id).await });
    wait_until("the view to be waited for", PATIENCE, async || {
        let waits = "select exists (select from pg_locks \
             where relation = 'ad_product'::regclass and not granted)";
        sqlx::query_scalar(waits)
            .fetch_one(&world.pool)
            .await
            .unwrap()
    })
    .await;

    // What is reported from now on would be missing from both: it was not in
    // Salesforce when that was asked, and is not pending when that is read.
    assert_eq!(queries(&world), before);
    migration.rollback().await.unwrap();
    assert_eq!(units(&asked.await.unwrap()), told(0.0, "5", "0"));
    assert_eq!(queries(&world), before + 1);
}

#[tokio::test]
async fn a_move_takes_from_the_new_contract_at_once_and_frees_the_old_one_in_the_end() {
    let world = World::new(2).await;
    let daemon = world.daemon();
    world
        .app("insert into ad_product values (1, 'small', 0, 5)")
        .await;
    world.in_step().await;
    drop(daemon);

    world
        .app("update ad_product set contract_product = 1")
        .await;

    assert_eq!(of(&world, 0).await, told(5.0, "0", "5"));
    assert_eq!(of(&world, 1).await, told(0.0, "5", "0"));
}

#[tokio::test]
async fn what_is_refused_is_not_on_its_way_until_it_is_changed() {
    let world = World::new(1).await;
    world.set_contract(0, "Fulfilled");
    let daemon = world.daemon();
    world
        .app("insert into ad_product values (1, 'small', 0, 5)")
        .await;
    world.ad_is("1", "rejected").await;
    assert_eq!(of(&world, 0).await, told(0.0, "0", "0"));
    drop(daemon);

    world.app("update ad_product set quantity = 6").await;

    assert_eq!(of(&world, 0).await, told(0.0, "6", "0"));
}

#[tokio::test]
async fn what_nobody_knows_is_taken_to_be_still_to_come() {
    let world = World::new(1).await;
    let daemon = world.daemon();
    world
        .app("insert into ad_product values (1, 'small', 0, 10)")
        .await;
    world.in_step().await;
    // Salesforce lowers it and says nothing: 2 stands there, 10 in the ledger.
    world.sandbox.fault(Plan {
        method: Some("PATCH".to_owned()),
        ..Plan::always(Effect::DropAfter)
    });
    world.sandbox.fault(Plan {
        method: Some("POST".to_owned()),
        path: Some("composite".to_owned()),
        ..Plan::always(Effect::DropAfter)
    });
    world.app("update ad_product set quantity = 2").await;
    wait_until("the change to be in Salesforce", PATIENCE, async || {
        world.consumed(0).is_some_and(|consumed| consumed < 3.0)
    })
    .await;
    drop(daemon);

    world.app("update ad_product set quantity = 10").await;

    // 8 are to come, and 10 by what is known for certain: never fewer than 8.
    assert_eq!(of(&world, 0).await, told(2.0, "10", "0"));
}

#[tokio::test]
async fn a_credit_that_may_be_gone_by_now_is_no_room_for_others() {
    let world = World::new(1).await;
    let daemon = world.daemon();
    world
        .app("insert into ad_product values (1, 'small', 0, -5)")
        .await;
    world.in_step().await;
    assert_eq!(of(&world, 0).await, told(-5.0, "0", "0"));
    let asked = world.sandbox.fault(Plan {
        method: Some("DELETE".to_owned()),
        ..Plan::always(Effect::DropBefore)
    });

    world.app("delete from ad_product").await;
    wait_until("the withdrawal to be in doubt", PATIENCE, async || {
        world.sandbox.fault_hits(asked) > 0
    })
    .await;
    drop(daemon);

    assert_eq!(of(&world, 0).await, told(-5.0, "5", "0"));
}

#[tokio::test]
async fn a_record_in_doubt_counts_as_none_also_when_nobody_has_it_in_hand() {
    let (world, daemon) = World::reporting().await;
    world.ad_is("1", "reported").await;
    drop(daemon);
    assert_eq!(of(&world, 0).await, told(1.0, "0", "0"));

    world
        .app(
            "update usage_sync.record set state = 'sending'; \
             update usage_sync.ad set token = null; \
             update ad_product set quantity = 3",
        )
        .await;

    assert_eq!(of(&world, 0).await, told(1.0, "3", "0"));
}

#[tokio::test]
async fn a_product_may_be_named_by_its_external_id_and_fields_in_any_case() {
    let world = World::new(2).await;
    world
        .app(
            "create or replace view usage_sync.usage as \
             select ad_id, product as line, null::text as contract, case ad_id \
                when 1 then jsonb_build_object('contract_product__R', \
                    jsonb_build_object('external_id__C', 'cp-0'), 'QUANTITY__C', ' 2.50 ') \
                when 2 then jsonb_build_object('Contract_Product__c', left(salesforce_id, 15), \
                    'Quantity__c', quantity) \
                when 3 then jsonb_build_object('Contract_Product__c', salesforce_id, \
                    'Quantity__c', 'many') \
                when 4 then '[]' when 5 then null when 6 then '\"x\"' \
                else jsonb_build_object('Contract_Product__c', salesforce_id, 'Quantity__c', 1e300) end \
                as fields \
             from ad_product join contract_product on contract_product.id = contract_product; \
             insert into ad_product select n, 'small', 0, 4 from generate_series(1, 7) n",
        )
        .await;

    assert_eq!(of(&world, 0).await, told(0.0, "6.5", "0"));
    assert_eq!(of(&world, 1).await, told(0.0, "0", "0"));
}

#[tokio::test]
async fn units_count_in_whatever_way_the_view_writes_them() {
    let world = World::new(1).await;
    // A third has 20 digits behind the point, of which Salesforce keeps some.
    world
        .app(
            "create or replace view usage_sync.usage as \
             select ad_id, product as line, null::text as contract, \
             jsonb_build_object('Contract_Product__c', salesforce_id, 'Quantity__c', case ad_id \
                when 1 then to_jsonb(1 / 3.0) when 2 then to_jsonb('.5'::text) \
                when 3 then to_jsonb('5e-1'::text) when 4 then to_jsonb('1e30'::text) end) as fields \
             from ad_product join contract_product on contract_product.id = contract_product; \
             insert into ad_product select n, 'small', 0, 4 from generate_series(1, 4) n",
        )
        .await;

    let (_, pending, _) = of(&world, 0).await;

    assert!(pending.starts_with("1.3333"), "{pending}");
}

#[tokio::test]
async fn an_ad_that_cannot_be_read_hides_no_other() {
    let world = World::new(1).await;
    world
        .reads_13_by(
            "create function quantity_of_13() returns numeric language plpgsql as \
             $$ begin raise exception 'out of order'; end $$",
        )
        .await;
    world
        .app("insert into ad_product select n, 'small', 0, 2 from generate_series(1, 40) n")
        .await;

    assert_eq!(of(&world, 0).await, told(0.0, "78", "0"));
}

#[tokio::test]
async fn a_view_that_cannot_be_read_at_all_is_said_to_be() {
    let world = World::new(1).await;
    world
        .app("insert into ad_product values (1, 'small', 0, 2); drop view usage_sync.usage")
        .await;

    let error = contracts(&world)
        .one(&world.products[0].0)
        .await
        .unwrap_err();

    assert!(
        matches!(error, usage_sync::contracts::Error::Ledger(_)),
        "{error:?}"
    );
    assert!(error.remedy().is_some());
}

#[tokio::test]
async fn a_view_of_which_no_row_can_be_read_is_not_taken_to_be_empty() {
    let world = World::new(1).await;
    world
        .app(
            "create or replace view usage_sync.usage as \
             select ad_id, product as line, null::text as contract, \
             jsonb_build_object('Quantity__c', 1 / (quantity - quantity)) as fields from ad_product; \
             insert into ad_product select n, 'small', 0, 2 from generate_series(1, 40) n",
        )
        .await;

    let told = contracts(&world).one(&world.products[0].0).await;

    assert!(
        matches!(told, Err(usage_sync::contracts::Error::Ledger(_))),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_short_migration_of_the_app_is_waited_for() {
    let world = World::new(1).await;
    world
        .app("insert into ad_product values (1, 'small', 0, 2)")
        .await;
    let contracts = contracts(&world);
    let mut migration = world.pool.begin().await.unwrap();
    sqlx::raw_sql("lock table ad_product in access exclusive mode")
        .execute(&mut *migration)
        .await
        .unwrap();
    let id = world.products[0].0.clone();
    let asked = tokio::spawn(async move { one(&contracts, &id).await });

    let mut tries = BTreeSet::new();
    wait_until("a read to give way and try again", PATIENCE, async || {
        let begun = "select xact_start::text from pg_stat_activity \
                     where datname = current_database() and wait_event_type = 'Lock'";
        let begun = sqlx::query_scalar::<_, String>(begun).fetch_all(&world.pool);
        tries.extend(begun.await.unwrap());
        tries.len() > 1 || asked.is_finished()
    })
    .await;
    migration.rollback().await.unwrap();

    assert_eq!(units(&asked.await.unwrap()), told(0.0, "2", "0"));
}

#[tokio::test]
async fn a_hundred_thousand_ads_on_their_way_are_counted_once_each() {
    let world = World::new(3).await;
    world
        .app("insert into ad_product select n, 'small', n % 3, 0.01 from generate_series(1, 100000) n; analyze")
        .await;
    // Counting them is what takes its time here, on a loaded machine a long one.
    let contracts = contracts_with(&world, &[("SALESFORCE_READ_TIMEOUT", "2m")]);

    let began = std::time::Instant::now();
    let contract = one(&contracts, &world.products[0].0).await;
    println!("100,000 pending ads took {:?}", began.elapsed());

    assert_eq!(units(&contract), told(0.0, "333.33", "0"));
}

#[tokio::test]
async fn the_view_is_not_read_for_ads_that_are_settled() {
    let (world, daemon) = World::reporting().await;
    drop(daemon);
    // Reading any row of it would fail.
    world
        .app("create or replace view usage_sync.usage as \
              select ad_id, product as line, null::text as contract, \
              jsonb_build_object('Quantity__c', 1 / (quantity - quantity)) as fields from ad_product")
        .await;

    assert_eq!(of(&world, 0).await, told(1.0, "0", "0"));
}
