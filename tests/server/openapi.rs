//! The API's description: complete, and changed only on purpose.

use std::{collections::BTreeSet, env, fs};

use serde_json::Value;

use crate::app::TestApp;

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/server/openapi.json");
/// Set, it rewrites the snapshot.
const BLESS: &str = "AIRLIFT_BLESS";

/// A method and a path whose parameters have no names: routes and documents call them differently.
type Operation = (String, String);

fn document() -> Value {
    serde_json::to_value(airlift::http::openapi()).unwrap()
}

fn operation(method: &str, path: &str) -> Operation {
    let path = path
        .split('/')
        .map(|part| if part.starts_with('{') { "{}" } else { part })
        .collect::<Vec<_>>()
        .join("/");
    (method.to_owned(), path)
}

fn documented() -> BTreeSet<Operation> {
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().keys();
            methods.map(|method| operation(method, path))
        })
        .collect()
}

fn routed() -> BTreeSet<Operation> {
    let rules = airlift::http::rules().into_iter();
    rules
        .map(|rule| operation(&rule.method.as_str().to_lowercase(), rule.path))
        .collect()
}

#[test]
fn the_description_changes_only_on_purpose() {
    let text = serde_json::to_string_pretty(&document()).unwrap() + "\n";
    if env::var_os(BLESS).is_some() {
        fs::write(SNAPSHOT, text).unwrap();
        return;
    }
    let snapshot = fs::read_to_string(SNAPSHOT).unwrap_or_default();
    let change = text
        .lines()
        .zip(snapshot.lines().chain(std::iter::repeat("")))
        .position(|(new, old)| new != old);
    assert!(
        text == snapshot,
        "the API's description is not the one in {SNAPSHOT}; first difference in line {}. If that \
         is meant, run this test with {BLESS}=1 and read the diff.",
        change.unwrap_or_else(|| text.lines().count()) + 1
    );
}

#[test]
fn every_route_is_described_and_everything_described_is_routed() {
    let (routed, documented) = (routed(), documented());
    assert!(routed.len() > 15, "{routed:?}");
    assert_eq!(routed, documented);
}

#[test]
fn no_two_operations_have_one_name_as_generators_of_clients_need() {
    let document = document();
    let paths = document["paths"].as_object().unwrap().values();
    let operations = paths.flat_map(|methods| methods.as_object().unwrap().values());
    let mut names = BTreeSet::new();
    for operation in operations {
        let name = operation["operationId"].as_str().unwrap().to_owned();
        assert!(names.insert(name.clone()), "{name} twice");
    }
    assert_eq!(names.len(), documented().len());
}

#[tokio::test]
async fn the_server_serves_its_description() {
    let app = TestApp::start().await;
    let served = app.get("/openapi.json").await;
    assert_eq!(served.status, 200);
    assert_eq!(served.json(), document());
    app.stop().await;
}

#[tokio::test]
async fn every_described_operation_reaches_its_handler() {
    let app = TestApp::start().await;
    for (method, path) in documented() {
        let path = match path.as_str() {
            // Else its answer has no end.
            "/api/ota/events" => format!("{path}?kind=x"),
            path => path.replace("{}", "x"),
        };
        let request = format!(
            "{} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            method.to_uppercase()
        );
        let answer = app.raw(&request).await;
        for refusal in ["no_such_route", "method_not_allowed"] {
            assert!(!answer.contains(refusal), "{method} {path}: {answer}");
        }
    }
    app.stop().await;
}
