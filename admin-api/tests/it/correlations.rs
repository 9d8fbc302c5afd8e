use serde_json::{Value, json};
use uuid::Uuid;

use crate::Api;
use crate::seed::{Because, receive, receive_many};

/// Causes and effects by their positions: `[2, [4, [6]], [5]]`.
fn shape(node: &Value) -> Value {
    let mut shape = vec![node["position"].clone()];
    shape.extend(node["effects"].as_array().unwrap().iter().map(shape_of));
    Value::Array(shape)
}

fn shape_of(node: &Value) -> Value {
    shape(node)
}

async fn event_id(api: &Api, position: i64) -> String {
    let path = format!("events?limit=1&from_position={position}");
    let body = api.get(&path).await.is(200);
    body["items"][0]["id"].as_str().unwrap().to_owned()
}

/// An event of the correlation, caused by the event at a position.
async fn effect(api: &Api, correlation_id: &str, cause: i64) -> i64 {
    let because = Because {
        causation_id: Some(event_id(api, cause).await),
        ..Because::of(correlation_id)
    };
    receive(&api.store, "store-1:A", because).await.position
}

async fn tree_of(api: &Api, correlation_id: &str) {
    receive_many(&api.store, "store-1:X", 1).await;
    receive(&api.store, "store-1:A", Because::of(correlation_id)).await;
    receive_many(&api.store, "store-1:X", 1).await;
    assert_eq!(effect(api, correlation_id, 2).await, 4);
    assert_eq!(effect(api, correlation_id, 2).await, 5);
    assert_eq!(effect(api, correlation_id, 4).await, 6);
    receive(&api.store, "store-1:A", Because::of(correlation_id)).await;
}

#[tokio::test]
async fn effects_stand_below_their_cause() {
    for id in [Uuid::now_v7().to_string(), "trace-of-a-stranger".to_owned()] {
        let api = Api::start().await;
        tree_of(&api, &id).await;
        let body = api.get(&format!("correlations/{id}")).await.is(200);
        assert_eq!(body["correlation_id"], id);
        assert_eq!(body["complete"], true);
        assert_eq!(body["searched_to"], 7);
        let shapes: Vec<Value> = body["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(shape)
            .collect();
        assert_eq!(shapes, [json!([2, [4, [6]], [5]]), json!([7])]);
        assert_eq!(body["events"][0]["stream_id"], "store-1:A");

        let path = format!("correlations/{id}?from_position=5");
        let body = api.get(&path).await.is(200);
        assert_eq!(body["searched_from"], 5);
        let shapes: Vec<Value> = body["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(shape)
            .collect();
        assert_eq!(shapes, [json!([5]), json!([6]), json!([7])]);
    }
}

#[tokio::test]
async fn the_search_begins_when_the_id_was_drawn() {
    let api = Api::start().await;
    receive_many(&api.store, "store-1:A", 4).await;
    // Long before this database's first event, and long after its last one.
    let before = Uuid::parse_str("01000000-0000-7000-8000-000000000000").unwrap();
    receive(&api.store, "store-1:A", Because::of(before)).await;
    let body = api.get(&format!("correlations/{before}")).await.is(200);
    assert_eq!(body["searched_from"], 1);
    let after = Uuid::parse_str("0f000000-0000-7000-8000-000000000000").unwrap();
    receive(&api.store, "store-1:A", Because::of(after)).await;
    let answer = api.get(&format!("correlations/{after}")).await;
    answer.problem(404, "not-found");
    let path = format!("correlations/{after}?from_position=1");
    let body = api.get(&path).await.is(200);
    assert_eq!(body["events"][0]["position"], 6);
}

#[tokio::test]
async fn a_correlation_that_left_nothing_is_not_found() {
    let api = Api::start().await;
    let answer = api.get("correlations/unknown").await;
    answer.problem(404, "not-found");
}
