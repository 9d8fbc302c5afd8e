use serde_json::Value;

use crate::seed::{Because, receive, receive_many};
use crate::{Api, each};

#[tokio::test]
async fn the_log_is_walked_by_position() {
    let api = Api::start().await;
    receive_many(&api.store, "store-1:A", 5).await;
    let first = api.get("events?limit=2&from_position=2").await.is(200);
    assert_eq!(each(&first, "position"), [2, 3]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let next = api.get(&format!("events?limit=2&cursor={cursor}")).await;
    let next = next.is(200);
    assert_eq!(each(&next, "position"), [4, 5]);
    assert_eq!(next["next_cursor"], Value::Null);
    let beyond = api.get("events?from_position=900").await.is(200);
    assert_eq!(beyond["items"].as_array().unwrap().len(), 0);
    assert_eq!(beyond["next_cursor"], Value::Null);
}

#[tokio::test]
async fn events_are_found_by_type_and_by_correlation() {
    let api = Api::start().await;
    receive_many(&api.store, "store-1:A", 2).await;
    receive(&api.store, "store-1:B", Because::of("c-1")).await;
    receive_many(&api.store, "store-1:A", 2).await;
    receive(&api.store, "store-1:C", Because::of("c-1")).await;

    let found = api.get("events?correlation_id=c-1").await.is(200);
    assert_eq!(each(&found, "position"), [3, 6]);
    let path = "events?correlation_id=c-1&limit=1&type=inventory.received";
    let first = api.get(path).await.is(200);
    assert_eq!(each(&first, "position"), [3]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = api.get(&format!("{path}&cursor={cursor}")).await.is(200);
    assert_eq!(each(&rest, "position"), [6]);
    let none = api.get("events?type=order.created").await.is(200);
    assert_eq!(none["items"].as_array().unwrap().len(), 0);
    for wrong in [
        "limit=0",
        "cursor=x",
        "from_position=first",
        "from_position=0",
    ] {
        let answer = api.get(&format!("events?{wrong}")).await;
        answer.problem(400, "bad-request");
    }
}
