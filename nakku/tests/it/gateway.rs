//! The gateway's table beside the document, and the words that both sides of a hop use.

use std::collections::BTreeSet;

use gateway::routes::{Deadline, Method, OWN_BUCKETS, ROUTES, Route, STREAMED_ROUTES};
use gateway::{Access, Service};
use http_client::Retry;
use serde_json::Value;

use crate::openapi;

/// Operators' actions that take no key.
const WITHOUT_KEY: [&str; 4] = ["/pause", "/resume", "/discard", "dead-letters/{id}/retry"];

fn operation<'a>(document: &'a Value, route: &Route) -> &'a Value {
    let method = route.method.as_str().to_lowercase();
    &document["paths"][route.path][method]
}

fn takes(operation: &Value, header: &str) -> bool {
    let parameters = operation["parameters"].as_array();
    parameters.is_some_and(|parameters| {
        parameters.iter().any(|parameter| {
            let name = parameter["name"].as_str().unwrap_or_default();
            parameter["in"] == "header" && name.eq_ignore_ascii_case(header)
        })
    })
}

#[test]
fn the_table_has_what_is_documented_and_nothing_else() {
    let document = openapi::committed();
    let mut documented = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            documented.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let row = |route: &Route| format!("{} {}", route.method.as_str(), route.path);
    let routed: BTreeSet<String> = ROUTES.iter().map(row).collect();
    assert_eq!(routed.len(), ROUTES.len(), "a row is there twice");
    assert_eq!(routed, documented);
}

#[test]
fn what_the_table_says_of_a_route_is_what_the_document_says() {
    let document = openapi::committed();
    for route in ROUTES {
        let operation = operation(&document, route);
        let needs_token = operation.get("security").is_some();
        assert_eq!(
            route.access == Access::Bearer,
            needs_token,
            "{}",
            route.path
        );
        let takes_key = takes(operation, "idempotency-key");
        let expected = match (route.method, takes_key) {
            (Method::Get, _) => Retry::Safe,
            (_, true) => Retry::Keyed,
            (_, false) => Retry::Never,
        };
        assert_eq!(route.retry, expected, "{}", route.path);
        let answers = operation["responses"]["200"]["content"].as_object();
        let is_stream = answers.is_some_and(|types| types.contains_key("text/event-stream"))
            || STREAMED_ROUTES.contains(&route.path);
        assert_eq!(
            route.deadline == Deadline::Stream,
            is_stream,
            "{}",
            route.path
        );
        let is_query = route.method == Method::Get && !route.path.starts_with("/.well-known");
        let is_operators = route.path.starts_with("/api/v1/admin/");
        let expected = match route.service {
            Service::Queries => is_query && !is_operators,
            Service::Admin => is_operators,
            _ => !is_query && !is_operators,
        };
        assert!(expected, "{} is not of {:?}", route.path, route.service);
    }
    let never: Vec<&Route> = ROUTES
        .iter()
        .filter(|route| route.retry == Retry::Never && route.service == Service::Admin)
        .collect();
    assert_eq!(never.len(), WITHOUT_KEY.len());
    for route in never {
        assert!(WITHOUT_KEY.iter().any(|end| route.path.ends_with(end)));
    }
}

#[test]
fn nothing_between_services_is_routed() {
    for route in ROUTES {
        assert!(!route.path.starts_with("/internal"), "{}", route.path);
    }
    for path in STREAMED_ROUTES.iter().chain(OWN_BUCKETS) {
        assert!(ROUTES.iter().any(|route| route.path == *path), "{path}");
    }
}

#[test]
fn both_sides_of_a_hop_call_its_headers_the_same() {
    use http_client::headers as sent;
    use http_server::headers as read;
    assert_eq!(sent::SERVICE_TOKEN, read::SERVICE_TOKEN);
    assert_eq!(sent::TIMEOUT_MS, read::TIMEOUT_MS);
    assert_eq!(sent::HOPS, read::HOPS);
}
