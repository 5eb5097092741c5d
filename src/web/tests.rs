//! The description of the routes against the routes; that the answers are as
//! described is tested over HTTP. And what no route does as long as it is right:
//! to panic, and to find no end.

use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use axum::{Router, routing::get};
use serde_json::Value;
use tokio::net::TcpListener;

use super::{GUARDED, OPEN, answered, serve::serve, status::OPENAPI};
use crate::shutdown::Shutdown;

fn described() -> Value {
    serde_json::from_str(OPENAPI).expect("openapi.json is JSON")
}

#[test]
fn every_route_is_described_and_no_other() {
    let described = described();
    let paths: BTreeSet<&str> = described["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let routes: BTreeSet<&str> = OPEN.iter().chain(GUARDED).map(|(path, _)| *path).collect();

    assert_eq!(paths, routes);
}

#[test]
fn only_the_open_routes_are_described_to_ask_for_no_token() {
    let described = described();
    let open = described["paths"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, methods)| {
            let mut methods = methods.as_object().unwrap().values();
            methods.any(|operation| operation["security"] == serde_json::json!([]))
        })
        .map(|(path, _)| path.as_str());

    let open: Vec<&str> = open.collect();

    assert_eq!(open, OPEN.iter().map(|(path, _)| *path).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_request_that_panics_or_hangs_is_answered() {
    let routes = Router::new()
        .route("/hangs", get(std::future::pending::<()>))
        .route("/panics", get(async || -> () { panic!("a bug of ours") }));
    let app = answered(routes, Duration::from_millis(10));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_trigger, shutdown) = Shutdown::manual();
    tokio::spawn(async move { serve(listener, app, &shutdown, Duration::ZERO).await });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();

    for (path, status, error) in [("hangs", 503, "unavailable"), ("panics", 500, "bug")] {
        let url = format!("http://{address}/{path}");
        let asked = client.get(url).timeout(Duration::from_mins(1));
        let answer = asked.send().await.unwrap();

        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        let problem: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        assert_eq!(problem["error"], error, "{problem}");
        assert!(!problem.to_string().contains("a bug of ours"), "{problem}");
    }
}
