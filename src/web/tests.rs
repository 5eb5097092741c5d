//! The description of the routes against the routes. That the answers are as
//! described is tested over HTTP.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{GUARDED, OPEN, status::OPENAPI};

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
