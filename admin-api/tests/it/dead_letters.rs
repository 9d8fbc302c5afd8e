use serde_json::{Value, json};
use uuid::Uuid;

use crate::seed::{park, receive_many};
use crate::{Api, each};

#[tokio::test]
async fn blocked_streams_are_listed_by_their_first_event() {
    let api = Api::start().await;
    receive_many(&api.store, "store-1:A", 2).await;
    let first = park(api.pool(), "store-1:A", 1, Some("no such unit")).await;
    park(api.pool(), "store-1:A", 2, None).await;
    park(api.pool(), "store-1:B", 3, Some("no")).await;
    park(api.pool(), "store-1:C", 4, Some("no")).await;

    let page = api.get("dead-letters?limit=2").await.is(200);
    assert_eq!(each(&page, "stream_id"), ["store-1:A", "store-1:B"]);
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = api
        .get(&format!("dead-letters?limit=2&cursor={cursor}"))
        .await;
    assert_eq!(each(&rest.is(200), "stream_id"), ["store-1:C"]);
    let expected = json!({
        "id": first, "consumer": "stock", "stream_type": "stock", "stream_id": "store-1:A",
        "position": 1, "type": "inventory.received", "error": "no such unit", "attempts": 1,
        "blocked": 1, "state": "parked", "decided_by": null, "reason": null,
    });
    assert_eq!(page["items"][0], expected);
    let of_another = api.get("dead-letters?consumer=users").await.is(200);
    assert_eq!(of_another, json!({"items": [], "next_cursor": null}));

    let shown = api.get(&format!("dead-letters/{first}")).await.is(200);
    assert_eq!(shown["blocked"], 1);
    assert_eq!(shown["waiting"][0]["position"], 2);
    assert_eq!(shown["event"]["payload"]["type"], "inventory.received");
    for unknown in ["x".to_owned(), Uuid::now_v7().to_string()] {
        let answer = api.get(&format!("dead-letters/{unknown}")).await;
        answer.problem(404, "not-found");
    }
}

#[tokio::test]
async fn a_retry_is_asked_for_at_the_first_of_a_stream() {
    let api = Api::start().await;
    let first = park(api.pool(), "store-1:A", 1, Some("no")).await;
    let second = park(api.pool(), "store-1:A", 2, None).await;
    let answer = api
        .post(&format!("dead-letters/{second}/retry"), None)
        .await;
    answer.problem(409, "dead-letter-waits");

    let reason = json!({"reason": "the unit exists now"});
    for body in [None, Some(reason), Some(json!({}))] {
        let answer = api.post(&format!("dead-letters/{first}/retry"), body).await;
        let letter = answer.is(202);
        assert_eq!(letter["state"], "retry");
        assert_eq!(letter["decided_by"], "u-admin");
    }
    let shown = api.get(&format!("dead-letters/{first}")).await.is(200);
    assert_eq!(shown["state"], "retry");
    let unknown = format!("dead-letters/{}/retry", Uuid::now_v7());
    api.post(&unknown, None).await.problem(404, "not-found");
}

#[tokio::test]
async fn a_discard_says_who_and_why_and_lets_the_next_try() {
    let api = Api::start().await;
    let first = park(api.pool(), "store-1:A", 1, Some("no")).await;
    let second = park(api.pool(), "store-1:A", 2, None).await;
    let path = format!("dead-letters/{first}/discard");
    for wrong in [
        json!({}),
        json!({"reason": ""}),
        json!({"reason": "x".repeat(501)}),
    ] {
        let answer = api.post(&path, Some(wrong)).await;
        answer.problem(422, "invalid-body");
    }
    let why = json!({"reason": "a test order"});
    for _ in 0..2 {
        let letter = api.post(&path, Some(why.clone())).await.is(200);
        assert_eq!(letter["state"], "discarded");
        assert_eq!(letter["decided_by"], "u-admin");
        assert_eq!(letter["reason"], "a test order");
    }
    let other = api.post(&path, Some(json!({"reason": "another"}))).await;
    other.problem(409, "dead-letter-discarded");
    let retry = api.post(&format!("dead-letters/{first}/retry"), None).await;
    retry.problem(409, "dead-letter-discarded");

    let list = api.get("dead-letters").await.is(200);
    assert_eq!(each(&list, "id"), [&Value::String(second.to_string())]);
    assert_eq!(each(&list, "state"), ["retry"]);
    let discarded = api.get("dead-letters?discarded=true").await.is(200);
    assert_eq!(each(&discarded, "id"), [&Value::String(first.to_string())]);
    assert_eq!(each(&discarded, "reason"), ["a test order"]);
}
