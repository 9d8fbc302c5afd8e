use axum::http::Method;
use http_server::Role;
use serde_json::{Value, json};

use crate::Api;
use crate::seed::receive_many;

/// Every operation of the document, with something in place of each parameter.
fn operations() -> Vec<(Method, String)> {
    let document = serde_json::to_value(admin_api::document()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(operation["summary"].is_string(), "{path}");
            assert_eq!(operation["security"], json!([{"bearer": []}]), "{path}");
            assert_documented_once(&operation["parameters"], path);
            let path = path.strip_prefix("/admin/").unwrap();
            let path = path.replace(['{', '}'], "x");
            operations.push((method.to_uppercase().parse().unwrap(), path));
        }
    }
    operations
}

fn names(parameters: &Value) -> Vec<&str> {
    let parameters = parameters.as_array().into_iter().flatten();
    parameters
        .map(|parameter| parameter["name"].as_str().unwrap())
        .collect()
}

fn assert_documented_once(parameters: &Value, path: &str) {
    let mut names = names(parameters);
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "{path} documents a parameter twice");
}

#[test]
fn filters_are_documented() {
    let document = serde_json::to_value(admin_api::document()).unwrap();
    for (path, expected) in [
        (
            "streams/{type}/{id}",
            &["type", "id", "limit", "cursor"][..],
        ),
        (
            "streams/{type}/{id}/state",
            &["type", "id", "version", "at"],
        ),
        (
            "events",
            &["type", "correlation_id", "from_position", "limit", "cursor"],
        ),
        ("events/tail", &["from_position", "Last-Event-ID"]),
        ("correlations/{id}", &["id", "from_position"]),
        (
            "sagas",
            &["status", "limit", "cursor", "Nakku-Min-Position"],
        ),
        (
            "dead-letters",
            &["consumer", "discarded", "limit", "cursor"],
        ),
    ] {
        let operation = &document["paths"][format!("/admin/{path}")]["get"];
        assert_eq!(names(&operation["parameters"]), expected, "{path}");
    }
}

#[tokio::test]
async fn everything_is_for_administrators_only() {
    let api = Api::start().await;
    let operations = operations();
    assert_eq!(operations.len(), 20, "{operations:?}");
    for (method, path) in operations {
        let stranger = api.send(method.clone(), &path, &[], None).await;
        assert_eq!(stranger.status(), 401, "{path}");
        for role in [Role::Customer, Role::Courier, Role::Staff] {
            let token = api.bearer("u1", role);
            let headers = [("authorization", token.as_str())];
            let answer = api.send(method.clone(), &path, &headers, None).await;
            assert_eq!(answer.status(), 403, "{role} on {path}");
        }
    }
}

#[tokio::test]
async fn the_outbox_says_how_far_kafka_is_behind() {
    let api = Api::start().await;
    let empty = api.get("outbox").await.is(200);
    let expected = json!({
        "head": 0, "published": 0, "pending": 0, "oldest_seconds": 0.0, "leader": null,
        "error": null, "attempts": 0,
    });
    assert_eq!(empty, expected);
    receive_many(&api.store, "store-1:A", 3).await;
    let outbox = api.get("outbox").await.is(200);
    assert_eq!(outbox["head"], 3);
    assert_eq!(outbox["pending"], 3);
    assert!(outbox["oldest_seconds"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn what_comes_later_is_absent() {
    let api = Api::start().await;
    for path in ["upstreams", "replays"] {
        api.get(path).await.problem(404, "not-found");
    }
}

#[test]
fn codes_are_unique_and_not_those_that_all_share() {
    let mut codes: Vec<&str> = admin_api::problems::ALL
        .iter()
        .chain(http_server::Kind::SHARED)
        .map(|kind| kind.code)
        .collect();
    let count = codes.len();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), count);
}
