//! Requests that no upstream could take.

use serde_json::Value;
use testing::UpstreamBehaviour;

use crate::door::Door;

async fn problem(answer: reqwest::Response) -> (u16, String, String) {
    let status = answer.status().as_u16();
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["trace_id"].as_str().unwrap().len(), 32);
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    assert!(!text("detail").contains("127.0.0.1"), "{body}");
    (status, text("code"), text("detail"))
}

#[tokio::test]
async fn where_nobody_is_nothing_was_done() {
    let mut door = Door::open(UpstreamBehaviour::answer(200)).await;
    door.upstream.kill();
    for (request, service) in [
        (door.get("/api/v1/products"), "queries"),
        (
            door.post("/api/v1/orders").header("idempotency-key", "k"),
            "orders",
        ),
        (door.post("/api/v1/users/login"), "users"),
    ] {
        let (status, code, detail) = problem(request.send().await.unwrap()).await;
        assert_eq!((status, code.as_str()), (503, "service-unreachable"));
        assert!(detail.contains(service), "{detail}");
    }
}

#[tokio::test]
async fn a_command_that_broke_off_may_have_had_its_effect_and_a_query_has_none() {
    let door = Door::open(UpstreamBehaviour::reset()).await;
    let order = door.post("/api/v1/orders").header("idempotency-key", "k");
    let (status, code, _) = problem(order.send().await.unwrap()).await;
    assert_eq!((status, code.as_str()), (503, "outcome-unknown"));
    let asked = door.upstream.requests().len();
    assert!(asked > 1, "a keyed command is repeated");

    let login = door.post("/api/v1/users/login").send().await.unwrap();
    let (status, code, _) = problem(login).await;
    assert_eq!((status, code.as_str()), (503, "outcome-unknown"));
    // Without its key nobody knows whether it happened.
    let order = door.post("/api/v1/orders").send().await.unwrap();
    let (status, code, _) = problem(order).await;
    assert_eq!((status, code.as_str()), (503, "outcome-unknown"));
    assert_eq!(
        door.upstream.requests().len(),
        asked + 2,
        "each of them was sent once"
    );
}

#[tokio::test]
async fn what_a_query_met_is_told_by_its_status() {
    let door = Door::open(UpstreamBehaviour::hang_up()).await;
    let query = door.get("/api/v1/products").send().await.unwrap();
    let (status, code, _) = problem(query).await;
    assert_eq!((status, code.as_str()), (502, "service-unreachable"));
}

#[tokio::test]
async fn whoever_has_little_time_is_told_in_time() {
    let door = Door::open(UpstreamBehaviour::silent()).await;
    let query = door.get("/api/v1/products");
    let query = query.header("nakku-timeout-ms", "400");
    let began = std::time::Instant::now();
    let (status, code, _) = problem(query.send().await.unwrap()).await;
    assert_eq!((status, code.as_str()), (504, "service-unreachable"));
    // The default would be ten seconds.
    assert!(began.elapsed().as_secs() < 5);
    let late = door.get("/api/v1/products");
    let late = late.header("nakku-timeout-ms", "0").send().await.unwrap();
    assert_eq!(late.status().as_u16(), 503);
    assert_eq!(door.upstream.requests().len(), 1, "nothing was begun");
}

#[tokio::test]
async fn problems_of_an_upstream_are_its_own() {
    let door = Door::open(UpstreamBehaviour::problem(422, "unknown-items")).await;
    let order = door.post("/api/v1/orders").header("idempotency-key", "k");
    let answer = order.send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 422);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["code"], "unknown-items");
}
