//! A router inside a route of another one, both behind one edge.

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{get, post};
use garde::Validate;
use http_server::edge::{hand_in, inner};
use http_server::health::operations;
use http_server::{Ctx, EdgeConfig, Json, Path, Problem};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::{Running, problem, within};

const BODY_BYTES: usize = 100;

#[derive(Deserialize, Validate)]
struct Body {
    #[garde(skip)]
    text: String,
}

fn service() -> Router {
    let one = async |Path(id): Path<String>, context: Ctx| {
        // Runs as a task of the server, of which the context knows.
        let id = context.detached(async move { id }).await;
        Json(
            json!({"id": id, "trace_id": context.trace.trace_id(), "key": context.idempotency_key}),
        )
    };
    let refused = async || -> Result<(), Problem> { Err(Problem::not_found("not here")) };
    let broken = async || -> String { panic!("inside") };
    let taken = async |Json(body): Json<Body>| body.text;
    let router = Router::new()
        .route("/inside/{id}", get(one))
        .route("/inside/{id}/refused", get(refused))
        .route("/inside/{id}/broken", get(broken))
        .route("/inside/{id}/taken", post(taken))
        .route("/once/{id}", get(async || "once"));
    inner(router, BODY_BYTES)
}

async fn start() -> Running {
    let service = service();
    let outside = move |request: Request| {
        let service = service.clone();
        async move {
            let answer: Response = service.oneshot(hand_in(request)).await.unwrap();
            answer
        }
    };
    let router = Router::new()
        .route("/inside/{id}", get(outside.clone()).post(outside.clone()))
        .route(
            "/inside/{id}/{what}",
            get(outside.clone()).post(outside.clone()),
        )
        .route("/once/{id}", get(outside))
        .merge(operations("outside", Vec::new()));
    Running::start(router, EdgeConfig::default()).await
}

#[tokio::test]
async fn the_inner_route_gets_its_own_parameters_and_what_the_edge_found() {
    let server = start().await;
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let answer = reqwest::Client::new()
        .get(server.url("/inside/7"))
        .header("traceparent", format!("00-{trace_id}-00f067aa0ba902b7-01"))
        .header("idempotency-key", "k")
        .send()
        .await
        .unwrap();
    assert!(answer.headers().contains_key("nakku-correlation-id"));
    let expected = json!({"id": "7", "trace_id": trace_id, "key": "k"});
    assert_eq!(answer.json::<Value>().await.unwrap(), expected);

    let head = reqwest::Client::new().head(server.url("/inside/7"));
    let head = head.send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["content-type"], "application/json");
    assert!(head.bytes().await.unwrap().is_empty());
    server.stop().await;
}

#[tokio::test]
async fn problems_from_inside_are_like_any_other() {
    let server = start().await;
    problem(server.get("/inside/7/refused").await, 404, "not-found").await;
    problem(server.get("/inside/7/broken").await, 500, "internal").await;
    problem(server.get("/inside/7/nowhere").await, 404, "not-found").await;
    let answer = reqwest::Client::new().post(server.url("/inside/7"));
    let answer = answer.send().await.unwrap();
    problem(answer, 405, "method-not-allowed").await;
}

#[tokio::test]
async fn a_body_is_bounded_inside_too() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let server = start().await;
    let post = async |text: &str| {
        // In chunks, so that its size is not announced.
        let body = json!({"text": text}).to_string();
        let request = format!(
            "POST /inside/7/taken HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
             Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        );
        let mut stream = tokio::net::TcpStream::connect(server.address)
            .await
            .unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        within(stream.read_to_string(&mut answer)).await.unwrap();
        answer
    };
    let answer = post("short").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = post(&"x".repeat(BODY_BYTES)).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("payload-too-large"), "{answer}");
}

#[tokio::test]
async fn a_request_is_counted_once() {
    let server = start().await;
    // No other test of this process asks for it.
    let answer = server.get("/once/7").await;
    assert_eq!(answer.text().await.unwrap(), "once");
    let text = server.get("/metrics").await.text().await.unwrap();
    let counted: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("http_requests_total") && line.contains("/once/"))
        .collect();
    let expected = r#"http_requests_total{method="GET",endpoint="/once/{id}",status="200"} 1"#;
    assert_eq!(counted, [expected]);
}
