//! Headers that count from services and proxies only.

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get;
use http_server::auth::Service;
use http_server::{Arrival, Ctx, EdgeConfig, Json, ServiceToken};
use serde_json::{Value, json};

use crate::{Running, problem};

const TOKEN: &str = "a-secret-of-services";

/// A route that tells what its handler sees, and one that is for services only.
fn router() -> Router {
    let seen = async |arrival: Arrival, context: Ctx, headers: HeaderMap| {
        Json(json!({
            "is_from_service": arrival.is_from_service(),
            "client_address": arrival.client_address(),
            "hops": arrival.hops(),
            "hops_of_context": context.hops,
            "token_is_there": headers.contains_key("nakku-service-token"),
        }))
    };
    Router::new()
        .route("/seen", get(seen))
        .route("/internal", get(async |_: Service| "what services ask"))
}

async fn start(service_token: Option<&str>, trusted_proxies: &str) -> Running {
    let config = EdgeConfig {
        service_token: service_token.map(ServiceToken::new),
        trusted_proxies: trusted_proxies.parse().unwrap(),
        ..EdgeConfig::default()
    };
    Running::start(router(), config).await
}

async fn ask(server: &Running, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
    let mut request = reqwest::Client::new().get(server.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

async fn seen(server: &Running, headers: &[(&str, &str)]) -> Value {
    let answer = ask(server, "/seen", headers).await;
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

fn of_client(address: &str) -> Value {
    json!({
        "is_from_service": false, "client_address": address, "hops": 0, "hops_of_context": 0,
        "token_is_there": false,
    })
}

#[tokio::test]
async fn a_service_is_believed_and_its_token_goes_no_further() {
    let server = start(Some(TOKEN), "").await;
    let said = [("nakku-hops", "2"), ("x-forwarded-for", "198.51.100.1")];
    let right = ("nakku-service-token", TOKEN);
    let expected = json!({
        "is_from_service": true, "client_address": "198.51.100.1", "hops": 2, "hops_of_context": 2,
        "token_is_there": false,
    });
    assert_eq!(seen(&server, &[right, said[0], said[1]]).await, expected);

    let wrong = ("nakku-service-token", "a-guess");
    let local = of_client("127.0.0.1");
    assert_eq!(seen(&server, &said).await, local);
    assert_eq!(seen(&server, &[wrong, said[0], said[1]]).await, local);
    assert_eq!(
        seen(&server, &[right, right, said[0], said[1]]).await,
        local
    );
    // At a public door nobody is a service, and nobody learns what was sent.
    let door = start(None, "").await;
    assert_eq!(seen(&door, &[right, said[0], said[1]]).await, local);
}

#[tokio::test]
async fn only_services_pass_their_guard() {
    let server = start(Some(TOKEN), "").await;
    let right = [("nakku-service-token", TOKEN)];
    let answer = ask(&server, "/internal", &right).await;
    assert_eq!(answer.text().await.unwrap(), "what services ask");
    let bearer = format!("Bearer {TOKEN}");
    for wrong in [
        &[][..],
        &[("nakku-service-token", "")],
        &[("nakku-service-token", "a-guess")],
        &[right[0], right[0]],
        &[("authorization", &bearer)],
    ] {
        let answer = ask(&server, "/internal", wrong).await;
        assert!(answer.headers().contains_key("www-authenticate"));
        problem(answer, 401, "unauthenticated").await;
    }
    let door = start(None, "").await;
    problem(
        ask(&door, "/internal", &right).await,
        401,
        "unauthenticated",
    )
    .await;
}

#[tokio::test]
async fn hops_that_are_no_number_are_refused_of_services_only() {
    let server = start(Some(TOKEN), "").await;
    let hops = ("nakku-hops", "many");
    assert_eq!(seen(&server, &[hops]).await, of_client("127.0.0.1"));
    let token = ("nakku-service-token", TOKEN);
    let answer = ask(&server, "/seen", &[token, hops]).await;
    problem(answer, 400, "bad-request").await;
}

#[tokio::test]
async fn proxies_that_are_trusted_name_their_clients() {
    let headers = [("x-forwarded-for", "203.0.113.9, 198.51.100.1")];
    let stranger = start(None, "10.0.0.0/8").await;
    assert_eq!(seen(&stranger, &headers).await, of_client("127.0.0.1"));
    let proxy = start(None, "127.0.0.0/8").await;
    assert_eq!(seen(&proxy, &headers).await, of_client("198.51.100.1"));
    assert_eq!(seen(&proxy, &[]).await, of_client("127.0.0.1"));
}
