//! Faults on demand, the daily limit, and the locks of parents.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::{Answer, Org};
use crate::support::{PATIENCE, wait_until};

const UPSERT: &str = "/composite/sobjects/Usage__c/External_Id__c";

fn usage(key: &str, product: &str) -> Value {
    json!({"attributes": {"type": "Usage__c"}, "External_Id__c": key, "Quantity__c": 1, "Contract_Product__r": {"External_Id__c": product}})
}

fn batch(key: &str) -> String {
    json!({"records": [usage(key, "CP-1")]}).to_string()
}

/// Longer than a loaded machine takes to meet somebody who is at work.
const AT_WORK: u64 = 4000;

/// Waits for a number of usage records; fails when they do not come.
async fn wait_for_rows(org: &Org, count: usize) {
    wait_until(&format!("{count} usage records"), PATIENCE, async || {
        org.sandbox.records("Usage__c").unwrap().len() == count
    })
    .await;
}

#[tokio::test]
async fn a_lost_reply_leaves_the_record_and_a_lost_request_does_not() {
    let org = Org::start().await;
    org.fault(&json!({"effect": {"kind": "drop_after"}, "body": "u-1", "times": 1}));
    org.fault(&json!({"effect": {"kind": "drop_before"}, "body": "u-2", "times": 1}));

    let lost_reply = org.send(Method::PATCH, UPSERT, Some(batch("u-1"))).await;
    let lost_request = org.send(Method::PATCH, UPSERT, Some(batch("u-2"))).await;

    assert!(lost_reply.is_err_and(|error| !error.is_connect()));
    assert!(lost_request.is_err_and(|error| !error.is_connect()));
    let rows = org.sandbox.records("Usage__c").unwrap();
    assert_eq!(
        (rows.len(), rows[0]["External_Id__c"].clone()),
        (1, json!("u-1"))
    );
    assert_eq!(
        org.upsert(&json!([usage("u-2", "CP-1")])).await.status,
        200,
        "the fault is used up"
    );
}

#[tokio::test]
async fn a_late_request_lands_after_its_connection_is_gone() {
    let org = Org::start().await;
    org.fault(&json!({"effect": {"kind": "late_landing", "after_ms": 50}}));

    let lost = org.send(Method::PATCH, UPSERT, Some(batch("u-1"))).await;

    assert!(lost.is_err());
    wait_for_rows(&org, 1).await;
}

/// Waits until a request has reached the sandbox.
async fn wait_for_request(org: &Org) {
    wait_until("the request", PATIENCE, async || {
        org.sandbox.stats().in_flight > 0
    })
    .await;
}

#[tokio::test]
async fn a_client_that_gives_up_does_not_stop_its_request() {
    let org = Org::start().await;
    org.sandbox.settings(&json!({"base_ms": AT_WORK})).unwrap();
    let request = org.http.patch(org.url(UPSERT)).bearer_auth(&org.token);
    let request = request
        .header("content-type", "application/json")
        .body(batch("u-1"));

    let client = tokio::spawn(request.send());
    wait_for_request(&org).await;
    client.abort();

    assert!(client.await.unwrap_err().is_cancelled());
    wait_for_rows(&org, 1).await;
}

#[tokio::test]
async fn an_outage_answers_as_salesforce_and_its_edge_do() {
    let org = Org::start().await;
    for (effect, status, kind, text) in [
        (
            json!({"kind": "error", "status": 500, "code": "UNKNOWN_EXCEPTION", "message": "An unexpected error occurred."}),
            500,
            "application/json;charset=UTF-8",
            "[{\"message\":\"An unexpected error occurred.\",\"errorCode\":\"UNKNOWN_EXCEPTION\"}]",
        ),
        (
            json!({"kind": "error", "status": 400, "code": "JSON_PARSER_ERROR", "message": "no"}),
            400,
            "application/json;charset=UTF-8",
            "[{\"message\":\"no\",\"errorCode\":\"JSON_PARSER_ERROR\"}]",
        ),
        (json!({"kind": "empty_body", "status": 503}), 503, "", ""),
        (
            json!({"kind": "request_limit"}),
            403,
            "application/json;charset=UTF-8",
            "[{\"message\":\"TotalRequests Limit exceeded.\",\"errorCode\":\"REQUEST_LIMIT_EXCEEDED\"}]",
        ),
        (
            json!({"kind": "request_limit", "concurrent": true}),
            403,
            "application/json;charset=UTF-8",
            "[{\"message\":\"ConcurrentPerOrgLongTxn Limit exceeded.\",\"errorCode\":\"REQUEST_LIMIT_EXCEEDED\"}]",
        ),
    ] {
        org.fault(&json!({"effect": effect, "times": 1, "path": "composite"}));
        let answer = org.upsert(&json!([usage("u-1", "CP-1")])).await;
        assert_eq!(
            (
                answer.status,
                answer.header("content-type"),
                answer.text.as_str()
            ),
            (status, kind, text),
            "{effect}"
        );
    }
    org.fault(&json!({"effect": {"kind": "html_page", "status": 503}, "times": 1}));
    let page = org.get("/limits").await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (503, "text/html")
    );
    assert!(page.text.contains("Service Unavailable"));
    assert!(org.sandbox.records("Usage__c").unwrap().is_empty());
}

#[tokio::test]
async fn an_error_may_deny_what_was_done() {
    let org = Org::start().await;
    org.fault(
        &json!({"effect": {"kind": "html_page", "status": 502}, "processed": true, "times": 1}),
    );

    let answer = org.upsert(&json!([usage("u-1", "CP-1")])).await;

    assert_eq!(
        (
            answer.status,
            org.sandbox.records("Usage__c").unwrap().len()
        ),
        (502, 1)
    );
}

#[tokio::test]
async fn bodies_come_short_cut_long_or_without_end() {
    let org = Org::start().await;

    org.fault(&json!({"effect": {"kind": "truncate"}, "times": 1}));
    let short = org
        .send(Method::PATCH, UPSERT, Some(batch("u-1")))
        .await
        .unwrap();
    assert_eq!(short.status(), 200);
    assert!(short.bytes().await.is_err(), "less came than was promised");

    org.fault(&json!({"effect": {"kind": "cut_json"}, "times": 1}));
    let cut = org.upsert(&json!([usage("u-2", "CP-1")])).await;
    assert!(cut.status == 200 && serde_json::from_str::<Value>(&cut.text).is_err());

    org.fault(&json!({"effect": {"kind": "oversized_body", "bytes": 3_000_000}, "times": 1}));
    assert_eq!(
        org.upsert(&json!([usage("u-3", "CP-1")])).await.text.len(),
        3_000_000
    );

    org.fault(&json!({"effect": {"kind": "endless_body"}, "times": 1}));
    let mut endless = org
        .send(Method::PATCH, UPSERT, Some(batch("u-4")))
        .await
        .unwrap();
    let mut received = 0;
    while received < 1_000_000 {
        received += endless.chunk().await.unwrap().expect("more comes").len();
    }
    assert_eq!(
        org.sandbox.records("Usage__c").unwrap().len(),
        4,
        "all of them were carried out"
    );
}

#[tokio::test]
async fn a_hanging_request_is_answered_never() {
    let org = Org::start().await;
    org.fault(&json!({"effect": {"kind": "hang"}, "method": "GET"}));

    let hung = org
        .http
        .get(org.url("/limits"))
        .bearer_auth(&org.token)
        .timeout(Duration::from_millis(100))
        .send()
        .await;

    assert!(hung.unwrap_err().is_timeout());
}

#[tokio::test]
async fn an_expired_session_is_told_so_and_a_new_login_helps() {
    let mut org = Org::start().await;
    org.fault(&json!({"effect": {"kind": "session_expired", "all": true}, "times": 1}));

    let expired = org.get("/limits").await;
    let still = org.get("/limits").await;
    org.token = org
        .form("/services/oauth2/token", &org.assertion(&json!({})))
        .await
        .json()["access_token"]
        .as_str()
        .unwrap()
        .to_owned();

    for answer in [expired, still] {
        assert_eq!(answer.status, 401);
        assert_eq!(
            answer.text,
            "[{\"message\":\"Session expired or invalid\",\"errorCode\":\"INVALID_SESSION_ID\"}]"
        );
        assert_eq!(
            (
                answer.header("www-authenticate"),
                answer.header("sforce-limit-info")
            ),
            ("Token", "")
        );
    }
    assert_eq!(org.get("/limits").await.status, 200);
}

#[tokio::test]
async fn single_records_of_a_request_can_be_refused() {
    let org = Org::start().await;
    org.fault(&json!({"effect": {"kind": "record_error", "code": "STORAGE_LIMIT_EXCEEDED", "message": "storage limit exceeded", "external_ids": ["7:*", "u-2"]}, "times": 1}));

    let answer = org
        .upsert(&json!([
            usage("u-1", "CP-1"),
            usage("u-2", "CP-1"),
            usage("7:x", "CP-1")
        ]))
        .await
        .json();

    assert_eq!(answer[0]["success"], true);
    for refused in [1, 2] {
        assert_eq!(
            answer[refused]["errors"][0],
            json!({"statusCode": "STORAGE_LIMIT_EXCEEDED", "message": "storage limit exceeded", "fields": []})
        );
    }

    org.fault(&json!({"effect": {"kind": "lock_row", "every_row": 2}, "times": 1}));
    let answer = org
        .upsert(&json!([
            usage("a", "CP-1"),
            usage("b", "CP-1"),
            usage("c", "CP-1")
        ]))
        .await
        .json();
    assert_eq!(
        (answer[0]["success"].clone(), answer[2]["success"].clone()),
        (json!(true), json!(true))
    );
    assert_eq!(answer[1]["errors"][0]["statusCode"], "UNABLE_TO_LOCK_ROW");
}

#[tokio::test]
async fn the_token_endpoint_can_be_down_too() {
    let org = Org::start().await;
    let fault = org
        .fault(&json!({"effect": {"kind": "empty_body", "status": 503}, "path": "/oauth2/token"}));

    let answer = org
        .form("/services/oauth2/token", &org.assertion(&json!({})))
        .await;

    assert_eq!((answer.status, org.sandbox.fault_hits(fault)), (503, 1));
    org.sandbox.clear_faults();
    assert_eq!(
        org.form("/services/oauth2/token", &org.assertion(&json!({})))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn calls_over_the_daily_limit_are_refused_unless_the_org_may_overshoot() {
    let org = Org::start().await;
    org.sandbox
        .settings(&json!({"daily_limit": 100, "daily_used": 99}))
        .unwrap();

    let last = org.get("/limits").await;
    let over = org.get("/limits").await;
    let free = org.get("/services/data").await;
    org.sandbox
        .settings(&json!({"limit_enforced": false}))
        .unwrap();
    let overshot = org.get("/sobjects").await;

    assert_eq!(
        (last.status, last.header("sforce-limit-info")),
        (200, "api-usage=100/100")
    );
    assert_eq!(
        last.json()["DailyApiRequests"],
        json!({"Max": 100, "Remaining": 0})
    );
    assert_eq!(
        over.text,
        "[{\"message\":\"TotalRequests Limit exceeded.\",\"errorCode\":\"REQUEST_LIMIT_EXCEEDED\"}]"
    );
    assert_eq!((over.status, free.status), (403, 200));
    assert_eq!(
        (overshot.status, overshot.header("sforce-limit-info")),
        (200, "api-usage=101/100")
    );
}

#[tokio::test]
async fn a_call_takes_as_long_as_it_was_told_to() {
    let org = Org::start().await;
    org.sandbox
        .settings(&json!({"base_ms": 40, "per_record_ms": 20}))
        .unwrap();

    let start = Instant::now();
    org.upsert(&json!([usage("u-1", "CP-1"), usage("u-2", "CP-1")]))
        .await;

    assert!(start.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn who_meets_a_locked_parent_waits_and_then_gets_its_turn() {
    let org = Org::start().await;
    org.sandbox
        .settings(&json!({"base_ms": AT_WORK, "lock_wait_ms": 60_000}))
        .unwrap();
    let (one, other) = (json!([usage("u-1", "CP-1")]), json!([usage("u-2", "CP-2")]));

    let other = async {
        wait_for_request(&org).await;
        org.upsert(&other).await
    };
    let (one, other): (Answer, Answer) = tokio::join!(org.upsert(&one), other);

    for answer in [one, other] {
        assert_eq!(answer.json()[0]["success"], true, "{}", answer.text);
    }
    assert_eq!(
        org.sandbox.stats().lock_meetings,
        1,
        "two products of one contract share its lock"
    );
}

#[tokio::test]
async fn who_waits_too_long_for_a_parent_loses_the_rows_under_it_only() {
    let org = Org::start().await;
    let contract = org
        .sandbox
        .seed("Contract", &json!({"AccountId": org.account}))
        .unwrap();
    org.sandbox
        .seed(
            "Contract_Product__c",
            &json!({"Contract__c": contract, "External_Id__c": "CP-9"}),
        )
        .unwrap();
    org.sandbox
        .settings(&json!({"base_ms": AT_WORK, "lock_wait_ms": 20}))
        .unwrap();
    let (holder, late) = (
        json!([usage("u-1", "CP-1")]),
        json!([usage("u-2", "CP-1"), usage("u-3", "CP-9")]),
    );

    let late = async {
        wait_for_request(&org).await;
        org.upsert(&late).await
    };
    let (holder, late) = tokio::join!(org.upsert(&holder), late);

    assert_eq!(holder.json()[0]["success"], true);
    let late = late.json();
    assert_eq!(late[0]["errors"][0]["statusCode"], "UNABLE_TO_LOCK_ROW");
    let message = late[0]["errors"][0]["message"].as_str().unwrap().to_owned();
    assert!(
        message.starts_with("unable to obtain exclusive access to this record or 2 records: "),
        "{message}"
    );
    assert!(
        message.contains(&org.products[0]) && message.contains(&org.contract),
        "{message}"
    );
    assert_eq!(late[1]["success"], true);
    assert_eq!(
        (
            org.sandbox.stats().lock_meetings,
            org.sandbox.stats().lock_timeouts
        ),
        (1, 1)
    );
}
