//! Health, version, metrics, documents.

use axum::Router;
use axum::routing::get;
use http_server::health::{Check, operations};
use http_server::{EdgeConfig, Limits, openapi};
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::{Running, problem};

fn ok(name: &str) -> Check {
    Check::new(name, async || Ok("all well".to_owned()))
}

async fn json(server: &Running, path: &str) -> (u16, Value) {
    let answer = server.get(path).await;
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn readiness_names_each_dependency() {
    let broken = Check::new("kafka", async || Err("no broker answers".to_owned()));
    let panicking = Check::new("index", async || panic!("in a check"));
    let good = operations("query-api", vec![ok("database")]);
    let server = Running::start(good, EdgeConfig::default()).await;
    let (status, body) = json(&server, "/health/ready").await;
    assert_eq!(status, 200);
    assert_eq!(body["ready"], true);
    assert_eq!(body["checks"][0]["name"], "database");

    let bad = operations("query-api", vec![ok("database"), broken, panicking]);
    let server = Running::start(bad, EdgeConfig::default()).await;
    let (status, body) = json(&server, "/health/ready").await;
    assert_eq!(status, 503);
    assert_eq!(body["ready"], false);
    let checks = body["checks"].as_array().unwrap();
    let oks: Vec<_> = checks
        .iter()
        .map(|check| check["ok"].as_bool().unwrap())
        .collect();
    assert_eq!(oks, [true, false, false]);
    assert_eq!(checks[1]["detail"], "no broker answers");
    assert_eq!(server.get("/health/live").await.status(), 200);
    let (_, version) = json(&server, "/version").await;
    assert_eq!(version["name"], "nakku");
    assert_eq!(version["role"], "query-api");
}

#[tokio::test]
async fn metrics_count_by_route_and_know_no_unbounded_label() {
    let router = Router::new()
        .nest(
            "/api/v1",
            Router::new().route("/counted/{id}", get(async || "x")),
        )
        .merge(operations("test", Vec::new()));
    let server = Running::start(router, EdgeConfig::default()).await;
    server.get("/api/v1/counted/1").await;
    server.get("/api/v1/counted/2").await;
    server.get("/no/such/secret-path").await;
    let text = server.get("/metrics").await.text().await.unwrap();
    let counted =
        r#"http_requests_total{method="GET",endpoint="/api/v1/counted/{id}",status="200"} 2"#;
    assert!(text.contains(counted), "{text}");
    assert!(
        text.contains(r#"endpoint="unmatched",status="404""#),
        "{text}"
    );
    assert!(!text.contains("secret-path"));
    assert!(
        text.contains("# TYPE http_request_duration_seconds histogram"),
        "{text}"
    );
    assert!(
        text.contains(r#"http_request_duration_seconds_bucket{method="GET""#),
        "{text}"
    );
    assert!(text.contains("nakku_build_info{version="), "{text}");
}

#[tokio::test]
async fn health_answers_beside_the_limits() {
    let limits = Limits {
        rate_per_second: 1,
        rate_burst: 1,
        running: 0,
        ..Limits::default()
    };
    let router = Router::new()
        .route("/", get(async || "x"))
        .merge(operations("test", vec![ok("database")]));
    let server = Running::start(
        router,
        EdgeConfig {
            limits,
            ..EdgeConfig::default()
        },
    )
    .await;
    problem(server.get("/").await, 503, "overloaded").await;
    for _ in 0..3 {
        assert_eq!(server.get("/health/ready").await.status(), 200);
    }
}

/// A thing.
#[utoipa::path(
    get,
    path = "/things",
    responses((status = 200, description = "it", body = http_server::List<String>)),
    params(http_server::page::PageQuery),
    security(("bearer" = []))
)]
async fn things() -> &'static str {
    "it"
}

#[tokio::test]
async fn the_document_and_its_page_are_served_from_the_binary() {
    let documented =
        OpenApiRouter::<()>::new().nest("/api/v1", OpenApiRouter::new().routes(routes!(things)));
    let (router, document) = openapi::split(documented);
    let router = router.merge(openapi::routes(document));
    let server = Running::start(router, EdgeConfig::default()).await;
    let (_, document) = json(&server, "/openapi.json").await;
    let operation = &document["paths"]["/api/v1/things"]["get"];
    let statuses: Vec<&String> = operation["responses"].as_object().unwrap().keys().collect();
    assert_eq!(
        statuses,
        [
            "200", "400", "401", "403", "429", "500", "502", "503", "504"
        ],
        "what a secured operation without a body can answer"
    );
    assert_eq!(
        operation["responses"]["403"]["$ref"],
        "#/components/responses/Forbidden"
    );
    assert_eq!(
        document["components"]["securitySchemes"]["bearer"]["scheme"],
        "bearer"
    );
    assert!(document["components"]["schemas"]["Problem"]["properties"]["trace_id"].is_object());
    assert!(document["components"]["schemas"]["FieldError"].is_object());

    let page = server.get("/docs").await;
    assert_eq!(page.url().path(), "/docs/");
    assert!(page.text().await.unwrap().contains("swagger-ui"));
    assert_eq!(server.get("/docs/swagger-ui-bundle.js").await.status(), 200);
    assert_eq!(
        server.get("/api/v1/things").await.text().await.unwrap(),
        "it"
    );
}
