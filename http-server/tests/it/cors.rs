//! Answers to pages of other origins.

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get;
use http_server::{Caller, EdgeConfig, Limits};

use crate::{Running, problem, within};

const SHOP: &str = "https://shop.example.org";

async fn start(origins: Option<&str>) -> Running {
    let router = Router::new().route(
        "/things",
        get(async || ([("vary", "accept")], "things")).post(async |_: Caller| "done"),
    );
    let config = EdgeConfig {
        cors: origins.map(|origins| origins.parse().unwrap()),
        limits: Limits {
            rate_per_second: 1,
            rate_burst: 2,
            ..Limits::default()
        },
        ..EdgeConfig::default()
    };
    Running::start(router, config).await
}

async fn ask(server: &Running, method: &str, path: &str, origin: &str) -> reqwest::Response {
    let method = method.parse().unwrap();
    let request = reqwest::Client::new().request(method, server.url(path));
    request
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,if-match")
        .send()
        .await
        .unwrap()
}

fn names(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers.get_all(name).iter();
    values
        .flat_map(|value| value.to_str().unwrap().split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect()
}

fn one<'a>(answer: &'a reqwest::Response, name: &str) -> Option<&'a str> {
    answer
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_page_of_a_listed_origin_may_call_with_credentials() {
    let server = start(Some("https://other.example.org, https://shop.example.org")).await;
    let preflight = ask(&server, "OPTIONS", "/things", SHOP).await;
    assert_eq!(preflight.status(), 200);
    assert_eq!(one(&preflight, "access-control-allow-origin"), Some(SHOP));
    assert_eq!(
        one(&preflight, "access-control-allow-credentials"),
        Some("true")
    );
    assert_eq!(one(&preflight, "access-control-max-age"), Some("7200"));
    let methods = names(preflight.headers(), "access-control-allow-methods");
    assert_eq!(methods, ["get", "head", "post", "put"]);
    let allowed = names(preflight.headers(), "access-control-allow-headers");
    for name in [
        "authorization",
        "idempotency-key",
        "last-event-id",
        "traceparent",
    ] {
        assert!(allowed.iter().any(|allowed| allowed == name), "{allowed:?}");
    }
    assert!(!allowed.iter().any(|name| name.contains("service-token")));
    assert!(preflight.bytes().await.unwrap().is_empty());

    let answer = ask(&server, "GET", "/things", SHOP).await;
    assert_eq!(one(&answer, "access-control-allow-origin"), Some(SHOP));
    let mut vary = names(answer.headers(), "vary");
    vary.sort_unstable();
    assert_eq!(vary, ["accept", "origin"]);
    let mut exposed = names(answer.headers(), "access-control-expose-headers");
    exposed.sort_unstable();
    let expected = [
        "etag",
        "idempotent-replayed",
        "link",
        "location",
        "nakku-correlation-id",
        "nakku-position",
        "retry-after",
    ];
    assert_eq!(exposed, expected);
}

#[tokio::test]
async fn a_page_can_read_why_it_was_refused() {
    let server = start(Some(SHOP)).await;
    let ask = async |method, path| {
        let answer = ask(&server, method, path, SHOP).await;
        assert_eq!(one(&answer, "access-control-allow-origin"), Some(SHOP));
        answer
    };
    problem(ask("POST", "/things").await, 401, "unauthenticated").await;
    problem(ask("GET", "/nowhere").await, 404, "not-found").await;
    let refused = within(async {
        loop {
            let answer = ask("GET", "/things").await;
            if answer.status() != 200 {
                return answer;
            }
        }
    });
    problem(refused.await, 429, "too-many-requests").await;
}

#[tokio::test]
async fn pages_of_other_origins_are_not_let_in() {
    let server = start(Some(SHOP)).await;
    for origin in [
        "https://evil.example.org",
        "http://shop.example.org",
        "https://shop.example.org.evil.org",
        "https://shop.example.org:8443",
        "null",
    ] {
        let preflight = ask(&server, "OPTIONS", "/things", origin).await;
        assert_eq!(
            one(&preflight, "access-control-allow-origin"),
            None,
            "{origin}"
        );
        assert_eq!(one(&preflight, "vary"), Some("origin"), "{origin}");
    }
    let answer = ask(&server, "GET", "/things", "https://evil.example.org").await;
    assert_eq!(one(&answer, "access-control-allow-origin"), None);
}

#[tokio::test]
async fn every_page_may_call_without_credentials_where_all_are_allowed() {
    let server = start(Some("*")).await;
    for method in ["OPTIONS", "GET"] {
        let answer = ask(&server, method, "/things", SHOP).await;
        assert_eq!(one(&answer, "access-control-allow-origin"), Some("*"));
        assert_eq!(one(&answer, "access-control-allow-credentials"), None);
    }
}

#[tokio::test]
async fn without_a_setting_no_page_is_let_in() {
    let server = start(None).await;
    let answer = ask(&server, "GET", "/things", SHOP).await;
    assert_eq!(one(&answer, "access-control-allow-origin"), None);
    let preflight = ask(&server, "OPTIONS", "/things", SHOP).await;
    problem(preflight, 405, "method-not-allowed").await;
}
