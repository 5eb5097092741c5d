//! What the pages show: figures in their place, lists to their end, and what each
//! button does and does not.

use reqwest::StatusCode;
use usage_sync::sandbox::{Effect, Plan};

use super::{
    Gateway,
    page::{Browser, unescaped},
};
use crate::support::World;

/// What stands between the two, after the first of `start`.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let rest = text.split_once(start);
    let (_, rest) = rest.unwrap_or_else(|| panic!("no {start:?} in {text}"));
    rest.split(end).next().unwrap_or(rest)
}

/// The picture under a caption that begins like this.
fn picture<'a>(page: &'a str, caption: &str) -> &'a str {
    between(page, &format!("<figcaption>{caption}"), "</figure>")
}

#[tokio::test]
async fn charts_show_each_figure_at_its_time() {
    let world = World::new(0).await;
    // In the middle of a column, so that a test that takes its time finds it there:
    // 7 minutes and a half ago in the 8th column from the right.
    world
        .app(
            "insert into usage_sync.journal (at, action, ad_id, version, token) \
             select now() - interval '450 s', case when n < 4 then 'create' else 'reject' end, \
             '1', n, n from generate_series(1, 5) n",
        )
        .await;
    let mut redis = crate::support::redis_connection(&world.redis.url())
        .await
        .expect("a connection");
    let (now, _): (u64, u64) = redis::cmd("TIME")
        .query_async(&mut redis)
        .await
        .expect("the time");
    for (ago, figure) in [(450, "120.0 12 a"), (450, "60.0 30 b"), (7650, "0.0 5 a")] {
        let at = (now - ago) * 1000;
        let _: () = redis::cmd("ZADD")
            .arg("{usage-sync}:samples")
            .arg(at)
            .arg(format!("{at} {figure}"))
            .query_async(&mut redis)
            .await
            .expect("a figure");
    }
    let gateway = Gateway::of(&world).await;
    let browser = Browser::in_session(&gateway).await;

    // Redis is told to be away while it takes more than a few seconds.
    let page = browser.opened_with("/", "<strong>at most 2 minutes").await;

    let column = "<rect x=\"208\" y=\"0.00\" width=\"3\" height=\"60.00\"";
    for (caption, total) in [
        ("Records of the last hour", "<strong>3</strong>"),
        ("Lag of the last hour", "<strong>at most 2 minutes</strong>"),
        ("API calls of the last hour", "<strong>42</strong>"),
    ] {
        let picture = picture(&page.text, caption);
        assert!(picture.contains(total), "{total}: {picture}");
        assert!(picture.contains(column), "{picture}");
        assert_eq!(picture.matches("<rect").count(), 2, "{picture}");
    }
    // A quarter of an hour a column: the newest and the 9th from the right.
    let day = picture(&page.text, "API calls of the last day");
    assert!(day.contains("<strong>47</strong>"), "{day}");
    assert!(day.contains("<rect x=\"380\" y=\"0.00\""), "{day}");
    assert!(day.contains("<rect x=\"348\""), "{day}");
}

#[tokio::test]
async fn each_daemon_is_shown_with_its_version_and_what_it_has_in_hand() {
    let (world, _daemon) = World::reporting().await;
    let gateway = Gateway::of(&world).await;
    let browser = Browser::in_session(&gateway).await;

    let page = browser
        .opened_with("/", "What each daemon has in hand")
        .await;

    let row = between(&page.text, "What each daemon has in hand", "</table>");
    let row = between(row, "<tbody>", "</tbody>");
    assert_eq!(row.matches("<tr>").count(), 1, "{row}");
    let version = format!("<td>{}</td>", env!("CARGO_PKG_VERSION"));
    assert!(row.contains(&version) && row.contains(" ad"), "{row}");
    for tile in [
        "Salesforce",
        "Reporting",
        "Lag",
        "Pending",
        "Queue",
        "Rejected",
        "API calls left",
        "Daemons",
    ] {
        assert!(page.text.contains(&format!("<dt>{tile}</dt>")), "{tile}");
    }
    let calls = between(&page.text, "<dt>API calls left</dt>", "</dd>");
    assert!(calls.contains(" for reports"), "{calls}");
}

#[tokio::test]
async fn one_cause_is_tried_again_and_no_other() {
    let world = World::new(0).await;
    world
        .app(
            "insert into usage_sync.ad (ad_id, state, changed_at, error_code, error_message) \
             select n::text, 'rejected', now(), case when n < 4 then 'ONE' else 'OTHER' end, 'no' \
             from generate_series(1, 5) n",
        )
        .await;
    let gateway = Gateway::of(&world).await;
    let browser = Browser::in_session(&gateway).await;
    let page = browser.open("/rejected").await;

    let done = browser.press(&page, "/retry", "value=\"OTHER\"").await;

    assert_eq!(done.header("location"), "/rejected?done=retried&count=2");
    let queued: Vec<String> =
        sqlx::query_scalar("select ad_id from usage_sync.change order by ad_id")
            .fetch_all(&world.pool)
            .await
            .expect("the outbox");
    assert_eq!(queued, ["4", "5"]);
    let done = browser
        .press(&page, "/retry", "Retry all rejected ads")
        .await;
    assert_eq!(done.header("location"), "/rejected?done=retried&count=5");
}

#[tokio::test]
async fn the_first_page_shows_ten_causes_and_leads_to_all_of_them() {
    let world = World::new(0).await;
    world
        .app(
            "insert into usage_sync.ad (ad_id, state, changed_at, error_code, error_message) \
             select n::text, 'rejected', now(), 'CODE_' || n, 'no' from generate_series(1, 12) n",
        )
        .await;
    let gateway = Gateway::of(&world).await;
    let browser = Browser::in_session(&gateway).await;
    let causes = |page: &str| page.matches("Retry all of this cause").count();

    let first = browser.open("/").await.text;

    assert_eq!(causes(&first), 10);
    assert!(
        first.contains("<a href=\"/rejected\">All 12 causes</a>"),
        "{first}"
    );
    assert_eq!(causes(&browser.open("/rejected").await.text), 12);
}

#[tokio::test]
async fn a_long_journal_of_an_ad_is_read_to_its_beginning() {
    let world = World::new(0).await;
    world
        .app(
            "insert into usage_sync.ad (ad_id, changed_at) values ('a/b', now()); \
             insert into usage_sync.journal (action, ad_id, version, token, message, code) \
             select 'reject', 'a/b', n, n, 'entry ' || n || '.', 'CODE' from generate_series(1, 120) n",
        )
        .await;
    let gateway = Gateway::of(&world).await;
    let browser = Browser::in_session(&gateway).await;

    let mut path = String::from("/ad/a%2Fb");
    let mut seen: Vec<u32> = Vec::new();
    loop {
        let page = browser.open(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{page:?}");
        let entries = page.text.split("entry ").skip(1);
        seen.extend(entries.filter_map(|entry| entry.split('.').next()?.parse::<u32>().ok()));
        match page.text.split("rel=\"next\" href=\"").nth(1) {
            Some(next) => path = unescaped(next.split('"').next().expect("its end")),
            None => break,
        }
    }

    assert_eq!(seen, (1..=120).rev().collect::<Vec<u32>>());
}

#[tokio::test]
async fn a_contract_is_shown_with_what_is_used_and_what_is_on_its_way() {
    let world = World::new(1).await;
    let (contract, product) = world.products[0].clone();
    let units = serde_json::json!({"Units__c": 10});
    world
        .sandbox
        .change("Contract_Product__c", &product, &units)
        .expect("fewer units");
    let daemon = world.daemon();
    world
        .app("insert into ad_product values (1, 'small', 0, 2.5)")
        .await;
    world.in_step().await;
    drop(daemon);
    world
        .app("insert into ad_product values (2, 'small', 0, 5)")
        .await;
    let gateway = Gateway::of(&world).await;
    let browser = Browser::in_session(&gateway).await;

    let page = browser.open(&format!("/contract/{contract}")).await.text;

    for shown in [
        "aria-label=\"10 units: 2.5 consumed, 5 pending, 7.5 available\"",
        "<rect class=\"consumed\" x=\"0.00\" y=\"0\" width=\"25.00\"",
        "<rect class=\"pending\" x=\"25.00\" y=\"0\" width=\"50.00\"",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert!(!page.contains("used than was sold"), "{page}");
    world
        .app("update ad_product set quantity = 7.75 where ad_id = 2")
        .await;
    let page = browser.open(&format!("/contract/{contract}")).await.text;
    assert!(page.contains("More may be used than was sold"), "{page}");
}

#[tokio::test]
async fn a_contract_is_found_by_its_number_and_an_ad_without_salesforce() {
    let (world, _daemon) = World::reporting().await;
    let contracts = world.sandbox.records("Contract").expect("contracts");
    let number = contracts[0]["ContractNumber"].as_str().expect("a number");
    let gateway = Gateway::of(&world).await;
    let browser = Browser::in_session(&gateway).await;

    let found = browser.open(&format!("/search?q={number}")).await;
    assert_eq!(
        found.header("location"),
        format!("/contract/{}", world.products[0].0)
    );

    world
        .sandbox
        .fault(Plan::always(Effect::HtmlPage { status: 503 }));
    let found = browser.open("/search?q=1").await;
    assert_eq!(found.status, StatusCode::OK);
    assert!(found.text.contains("<a href=\"/ad/1\">"), "{found:?}");
    assert!(
        found.text.contains("Contracts could not be looked at"),
        "{found:?}"
    );
    let away = browser.open(&format!("/contract/{number}")).await;
    assert_eq!(away.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(away.header("retry-after"), "5");
}
