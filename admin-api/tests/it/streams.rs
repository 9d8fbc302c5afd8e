use serde_json::{Value, json};

use crate::seed::{Because, receive, receive_many};
use crate::{Api, each};

#[tokio::test]
async fn the_events_of_a_stream_are_walked_by_version() {
    let api = Api::start().await;
    receive(&api.store, "store-1:A", Because::of("c-1")).await;
    receive_many(&api.store, "store-2:A", 1).await;
    receive_many(&api.store, "store-1:A", 4).await;

    let first = api.get("streams/stock/store-1:A?limit=3").await.is(200);
    assert_eq!(each(&first, "version"), [1, 2, 3]);
    assert_eq!(each(&first, "position"), [1, 3, 4]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let path = format!("streams/stock/store-1:A?limit=3&cursor={cursor}");
    let second = api.get(&path).await.is(200);
    assert_eq!(each(&second, "version"), [4, 5]);
    assert_eq!(second["next_cursor"], Value::Null);

    let event = &first["items"][0];
    for (name, value) in [
        ("stream_type", json!("stock")),
        ("stream_id", json!("store-1:A")),
        ("type", json!("inventory.received")),
        ("event_version", json!("1.0")),
        ("correlation_id", json!("c-1")),
        ("causation_id", Value::Null),
        ("user_id", json!("u-staff")),
    ] {
        assert_eq!(event[name], value, "{name}");
    }
    assert_eq!(event["payload"]["type"], "inventory.received");
    assert!(event["id"].is_string());
    assert!(event["recorded_at"].as_str().unwrap().ends_with('Z'));
    let unknown = api.get("streams/stock/store-9:A").await;
    unknown.problem(404, "not-found");
}

#[tokio::test]
async fn a_state_is_told_as_of_a_version_or_a_time() {
    let api = Api::start().await;
    receive_many(&api.store, "store-1:A", 3).await;
    let on_hand = |body: &Value| body["state"]["tracked"]["on_hand"].clone();

    let now = api.get("streams/stock/store-1:A/state").await.is(200);
    assert_eq!(now["version"], 3);
    assert_eq!(on_hand(&now), 30);
    let second = api.get("streams/stock/store-1:A/state?version=2").await;
    let second = second.is(200);
    assert_eq!(second["version"], 2);
    assert_eq!(on_hand(&second), 20);

    let events = api.get("streams/stock/store-1:A").await.is(200);
    let at = events["items"][0]["recorded_at"].as_str().unwrap();
    let then = api
        .get(&format!("streams/stock/store-1:A/state?at={at}"))
        .await;
    let then = then.is(200);
    assert_eq!(then["version"], 1);
    assert_eq!(on_hand(&then), 10);

    for (query, status, code) in [
        ("store-1:A/state?version=4", 404, "not-found"),
        ("store-1:A/state?at=2000-01-01T00:00:00Z", 404, "not-found"),
        ("store-9:A/state", 404, "not-found"),
        ("store-1:A/state?version=0", 400, "bad-request"),
        ("store-1:A/state?at=yesterday", 400, "bad-request"),
        (
            "store-1:A/state?version=1&at=2030-01-01T00:00:00Z",
            400,
            "bad-request",
        ),
    ] {
        let answer = api.get(&format!("streams/stock/{query}")).await;
        answer.problem(status, code);
    }
    let answer = api.get("streams/spaceship/x/state").await;
    answer.problem(404, "not-found");
}
