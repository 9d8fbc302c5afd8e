//! The layer around every route.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use futures::future::join_all;
use garde::Validate;
use http_server::{
    CommandAnswer, Ctx, EdgeConfig, Json, Limits, MinPosition, Page, Path, Problem, Query,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{Running, problem, within};

#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
struct Body {
    #[garde(length(min = 1, max = 64))]
    sku: String,
    #[garde(skip)]
    #[expect(dead_code, reason = "only its shape is of interest")]
    price: Option<Price>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its shape is of interest")]
struct Price {
    amount_minor: i64,
}

#[derive(Deserialize)]
struct Filter {
    #[expect(dead_code, reason = "only its shape is of interest")]
    in_stock: Option<bool>,
}

async fn conditions(context: Ctx, min: MinPosition, page: Page, _: Query<Filter>) -> Json<Value> {
    Json(json!({
        "caller": context.caller.map(|caller| caller.user_id),
        "trace_id": context.trace.trace_id(),
        "correlation_id": context.correlation_id,
        "idempotency_key": context.idempotency_key,
        "expected_version": context.expected_version,
        "wait": context.wait.map(|wait| wait.as_secs()),
        "min_position": min.on("main"),
        "limit": page.limit,
    }))
}

fn router() -> Router {
    Router::new()
        .route("/things", post(async |Json(body): Json<Body>| body.sku))
        .route(
            "/things/{number}",
            get(async |Path(number): Path<u32>| number.to_string()),
        )
        .route(
            "/optional",
            post(async |body: Option<Json<Body>>| body.is_some().to_string()),
        )
        .route("/ignored", post(async || "not read"))
        .route("/conditions", get(conditions))
        .route("/panic", get(async || -> String { panic!("at the disco") }))
        .route(
            "/failure",
            get(async || -> Result<(), Problem> { Err(anyhow::anyhow!("secret").into()) }),
        )
        .route(
            "/command",
            post(async || CommandAnswer::new("a", 1, 7).created("/things/a")),
        )
}

fn limited(limits: Limits) -> EdgeConfig {
    EdgeConfig {
        limits,
        ..EdgeConfig::default()
    }
}

async fn post_json(server: &Running, path: &str, body: impl Into<String>) -> reqwest::Response {
    reqwest::Client::new()
        .post(server.url(path))
        .header("content-type", "application/json")
        .body(body.into())
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let server = Running::start(router(), EdgeConfig::default()).await;
    problem(server.get("/nowhere").await, 404, "not-found").await;
    let answer = server.get("/things").await;
    assert_eq!(answer.headers()["allow"], "POST");
    problem(answer, 405, "method-not-allowed").await;
    problem(server.get("/things/x").await, 400, "bad-request").await;
    problem(server.get("/things/1?q=%00").await, 400, "bad-request").await;
    assert_eq!(server.get("/things/7").await.text().await.unwrap(), "7");
}

#[tokio::test]
async fn a_request_of_http_1_1_names_its_host_once() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = Running::start(router(), EdgeConfig::default()).await;
    for (head, status) in [
        ("GET /things/7 HTTP/1.1\r\n", 400),
        ("GET /things/7 HTTP/1.1\r\nHost: a\r\nHost: b\r\n", 400),
        ("GET /things/7 HTTP/1.1\r\nHost: a\r\n", 200),
        ("GET /things/7 HTTP/1.0\r\n", 200),
    ] {
        let mut stream = tokio::net::TcpStream::connect(server.address)
            .await
            .unwrap();
        let request = format!("{head}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        within(stream.read_to_string(&mut answer)).await.unwrap();
        let line = answer.lines().next().unwrap_or_default();
        assert!(line.contains(&status.to_string()), "{head}: {answer}");
    }
}

/// A thing.
#[utoipa::path(
    get, path = "/documented",
    params(("limit" = Option<u32>, Query, description = "at most")),
    responses((status = 200, description = "it"))
)]
async fn documented() -> &'static str {
    "it"
}

#[tokio::test]
async fn a_parameter_that_the_document_does_not_name_is_refused() {
    use utoipa_axum::{router::OpenApiRouter, routes};
    let (documented, document) =
        http_server::openapi::split(OpenApiRouter::<()>::new().routes(routes!(documented)));
    let config = EdgeConfig {
        queries: http_server::openapi::KnownQueries::of(&document),
        ..EdgeConfig::default()
    };
    let server = Running::start(router().merge(documented), config).await;
    for fine in [
        "/documented",
        "/documented?",
        "/documented?limit=1",
        "/things/7?any=1",
    ] {
        assert_eq!(server.get(fine).await.status(), 200, "{fine}");
    }
    let wrong = problem(server.get("/documented?lmit=1").await, 400, "bad-request").await;
    let detail = wrong["detail"].as_str().unwrap();
    assert!(
        detail.contains("\"lmit\"") && detail.contains("limit"),
        "{detail}"
    );
}

#[tokio::test]
async fn bodies_of_the_wrong_kind_are_problems() {
    let server = Running::start(router(), EdgeConfig::default()).await;
    assert_eq!(
        post_json(&server, "/things", r#"{"sku":"a"}"#)
            .await
            .text()
            .await
            .unwrap(),
        "a"
    );

    let body = r#"{"sku":"a","price":{"amount_minor":"1"}}"#;
    let wrong = problem(
        post_json(&server, "/things", body).await,
        422,
        "invalid-body",
    )
    .await;
    assert_eq!(wrong["errors"][0]["pointer"], "/price/amount_minor");
    let body = r#"{"sku":"a","colour":"red"}"#;
    let wrong = problem(
        post_json(&server, "/things", body).await,
        422,
        "invalid-body",
    )
    .await;
    assert_eq!(wrong["errors"][0]["pointer"], "/colour");
    let wrong = problem(
        post_json(&server, "/things", r#"{"sku":""}"#).await,
        422,
        "invalid-body",
    )
    .await;
    assert_eq!(wrong["errors"][0]["pointer"], "/sku");

    problem(post_json(&server, "/things", "{").await, 400, "bad-request").await;
    let client = reqwest::Client::new();
    let text = client
        .post(server.url("/things"))
        .body("{}")
        .send()
        .await
        .unwrap();
    problem(text, 415, "unsupported-media-type").await;
    let none = client.post(server.url("/optional")).send().await.unwrap();
    assert_eq!(none.text().await.unwrap(), "false");
    let some = post_json(&server, "/optional", r#"{"sku":"a"}"#).await;
    assert_eq!(some.text().await.unwrap(), "true");
    problem(
        post_json(&server, "/optional", "{}").await,
        422,
        "invalid-body",
    )
    .await;
}

#[tokio::test]
async fn bodies_beyond_the_limit_are_refused() {
    let limits = Limits {
        body_bytes: 100,
        ..Limits::default()
    };
    let server = Running::start(router(), limited(limits)).await;
    let long = format!(r#"{{"sku":"{}"}}"#, "x".repeat(100));
    problem(
        post_json(&server, "/things", long.clone()).await,
        413,
        "payload-too-large",
    )
    .await;
    problem(
        post_json(&server, "/ignored", long.clone()).await,
        413,
        "payload-too-large",
    )
    .await;

    // Sent in chunks, its size is not announced.
    let mut stream = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    let request = format!(
        "POST /things HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n",
        long.len()
    );
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn a_panic_is_an_opaque_problem_and_the_server_goes_on() {
    let server = Running::start(router(), EdgeConfig::default()).await;
    for path in ["/panic", "/failure", "/panic"] {
        let body = problem(server.get(path).await, 500, "internal")
            .await
            .to_string();
        assert!(
            !body.contains("disco") && !body.contains("secret"),
            "{body}"
        );
    }
    assert_eq!(server.get("/things/1").await.status(), 200);
    server.stop().await;
}

#[tokio::test]
async fn conditions_reach_the_handler() {
    let server = Running::start(router(), EdgeConfig::default()).await;
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let correlation_id = "0198c1a0-0000-7000-8000-000000000001";
    let ask = |headers: &[(&'static str, &str)]| {
        let mut request = reqwest::Client::new().get(server.url("/conditions?limit=7"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send()
    };
    let answer = ask(&[
        ("traceparent", &format!("00-{trace_id}-00f067aa0ba902b7-01")),
        ("nakku-correlation-id", correlation_id),
        ("idempotency-key", "k 1"),
        ("if-match", "\"3\""),
        ("prefer", "wait=99"),
        ("nakku-min-position", "12, orders:4"),
    ])
    .await
    .unwrap();
    assert_eq!(answer.headers()["nakku-correlation-id"], correlation_id);
    let expected = json!({
        "caller": null, "trace_id": trace_id, "correlation_id": correlation_id,
        "idempotency_key": "k 1", "expected_version": 3, "wait": 30, "min_position": 12, "limit": 7,
    });
    assert_eq!(answer.json::<Value>().await.unwrap(), expected);

    let plain: Value = ask(&[]).await.unwrap().json().await.unwrap();
    let as_uuid = plain["correlation_id"].as_str().unwrap().replace('-', "");
    assert_eq!(plain["trace_id"], as_uuid);
    for wrong in [
        ("nakku-correlation-id", "mine"),
        ("idempotency-key", ""),
        ("if-match", "3"),
        ("nakku-min-position", "x"),
    ] {
        problem(ask(&[wrong]).await.unwrap(), 400, "bad-request").await;
    }
}

#[tokio::test]
async fn a_client_that_runs_wild_is_slowed_down() {
    let limits = Limits {
        rate_per_second: 1,
        rate_burst: 2,
        ..Limits::default()
    };
    let server = Running::start(router(), limited(limits)).await;
    let began = Instant::now();
    let all = (0..20).map(|_| server.get("/things/1"));
    let (served, refused): (Vec<_>, Vec<_>) = join_all(all)
        .await
        .into_iter()
        .partition(|answer| answer.status() == 200);
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!((2..=3 + seconds).contains(&served.len()), "{served:?}");
    let answer = refused.into_iter().next().expect("not all are served");
    assert_eq!(answer.headers()["retry-after"], "1");
    problem(answer, 429, "too-many-requests").await;
}

#[tokio::test]
async fn overload_is_refused_at_once() {
    let began = Arc::new(Notify::new());
    let router = Router::new()
        .route(
            "/",
            get(async |State(began): State<Arc<Notify>>| {
                began.notify_one();
                std::future::pending::<()>().await;
            }),
        )
        .with_state(Arc::clone(&began));
    let limits = Limits {
        running: 1,
        ..Limits::default()
    };
    let server = Running::start(router, limited(limits)).await;
    let url = server.url("/");
    let first = tokio::spawn(reqwest::get(url));
    within(began.notified()).await;
    let answer = server.get("/").await;
    assert!(answer.headers().contains_key("retry-after"));
    problem(answer, 503, "overloaded").await;
    first.abort();
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_given_up() {
    async fn forever() {
        std::future::pending::<()>().await;
    }
    let router = Router::new().route("/", get(forever).post(forever));
    let limits = Limits {
        request: Duration::from_millis(20),
        ..Limits::default()
    };
    let server = Running::start(router, limited(limits)).await;
    problem(server.get("/").await, 503, "overloaded").await;
    let answer = post_json(&server, "/", "").await;
    assert!(answer.headers().contains_key("retry-after"));
    problem(answer, 503, "outcome-unknown").await;
}

#[tokio::test]
async fn a_commands_success_passes_unchanged() {
    let server = Running::start(router(), EdgeConfig::default()).await;
    let answer = post_json(&server, "/command", "").await;
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.headers()["nakku-position"], "7");
    assert_eq!(answer.headers()["location"], "/things/a");
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body, json!({"id": "a", "version": 1, "position": 7}));
}
