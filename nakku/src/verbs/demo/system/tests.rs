use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response as Reply};
use tokio::net::TcpListener;

use super::*;

/// A server that answers the first requests like this, and all others with 200 and what it was asked.
async fn serving(first: u32, reply: fn() -> Reply) -> (System, Arc<AtomicU32>) {
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    let router = Router::new().fallback(move |headers: HeaderMap, body: String| async move {
        if counted.fetch_add(1, Ordering::Relaxed) < first {
            return reply();
        }
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let said = json!({"token": header("authorization"), "key": header("idempotency-key"), "body": body});
        axum::Json(said).into_response()
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (System::new(&url).unwrap(), asked)
}

fn problem(status: StatusCode, code: &str) -> Reply {
    let body = json!({"code": code, "detail": "why", "title": "what"});
    (status, axum::Json(body)).into_response()
}

fn call() -> Call<'static> {
    Call::post("/orders", json!({}))
        .with_token("t")
        .with("idempotency-key", "k")
}

#[tokio::test]
async fn what_is_not_now_is_asked_again_with_the_same_key() {
    for reply in [
        || problem(StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
        || problem(StatusCode::CONFLICT, COMMAND_IN_FLIGHT),
        || StatusCode::TOO_MANY_REQUESTS.into_response(),
    ] {
        let (system, asked) = serving(2, reply).await;
        let answer = system.ask(&call()).await.unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), 3);
        let said: Value = answer.read().unwrap();
        assert_eq!(said, json!({"token": "Bearer t", "key": "k", "body": "{}"}));
    }
}

#[tokio::test]
async fn the_system_says_when_to_come_again() {
    let reply = || ([(RETRY_AFTER, "1")], StatusCode::SERVICE_UNAVAILABLE).into_response();
    let (system, _) = serving(1, reply).await;
    let began = std::time::Instant::now();
    assert!(system.ask(&call()).await.unwrap().status.is_success());
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_refusal_by_a_rule_is_an_answer() {
    let (system, asked) = serving(9, || problem(StatusCode::CONFLICT, "sku-taken")).await;
    let answer = system.ask(&call()).await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert_eq!(answer.code(), "sku-taken");
    let error = answer.read::<Value>().unwrap_err().to_string();
    assert_eq!(error, "sku-taken (why)");
}

#[tokio::test]
async fn somebody_else_is_not_taken_for_nakku() {
    let (system, _) = serving(1, || StatusCode::NOT_FOUND.into_response()).await;
    let error = system.takes_orders().await.unwrap_err().to_string();
    assert!(error.contains("is no nakku"), "{error}");

    // A role that takes no orders, and somebody who is not there.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/health/live", axum::routing::get(|| async {}));
    let role = tokio::spawn(async move { axum::serve(listener, router).await });
    let system = System::new(&url).unwrap();
    let error = system.takes_orders().await.unwrap_err().to_string();
    assert!(error.contains("takes no orders"), "{error}");
    role.abort();
    assert!(role.await.is_err());
    let system = System::new(&url).unwrap();
    let error = system.takes_orders().await.unwrap_err().to_string();
    assert!(error.contains("is `nakku up` running"), "{error}");
}
