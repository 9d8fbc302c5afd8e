//! `/inventory/{store_id}/{sku}`.

use http_server::Role;
use serde_json::{Value, json};

use crate::app::{Answer, Person, TestApp};

const STOCK: &str = "/inventory/store-1/ALE-1";

async fn receive(app: &TestApp, staff: &Person, key: &str, quantity: i64) -> Answer {
    let call = app.post(&format!("{STOCK}/receive")).by(staff).key(key);
    call.json(&json!({"quantity": quantity})).await
}

async fn adjust(app: &TestApp, staff: &Person, key: &str, delta: i64) -> Answer {
    let call = app.post(&format!("{STOCK}/adjust")).by(staff).key(key);
    call.json(&json!({"delta": delta, "reason": "counted"}))
        .await
}

#[tokio::test]
async fn the_first_pieces_begin_a_stock() {
    let app = TestApp::start().await;
    let staff = app.person(Role::Staff);
    let first = receive(&app, &staff, "1", 24).await;
    assert_eq!((first.status.as_u16(), first.id()), (201, "store-1:ALE-1"));
    assert_eq!(first.headers["location"], "/api/v1/inventory/store-1/ALE-1");
    let second = receive(&app, &staff, "2", 6).await;
    assert_eq!(
        (second.status.as_u16(), &second.body["version"]),
        (200, &json!(2))
    );
    assert!(!second.headers.contains_key("location"));

    let event = app.events().await.pop().unwrap();
    let payload: Value = serde_json::from_str(&event.payload).unwrap();
    assert_eq!(payload["on_hand"], 30);

    let again = receive(&app, &staff, "1", 24).await;
    assert!(again.is_replayed());
    assert_eq!((again.status.as_u16(), again.body), (201, first.body));
}

#[tokio::test]
async fn a_count_is_corrected_and_alerts_are_given() {
    let app = TestApp::start().await;
    let staff = app.person(Role::Staff);
    receive(&app, &staff, "1", 24).await.ok();
    let answer = adjust(&app, &staff, "2", -24).await.ok();
    assert_eq!(answer.body["version"], 4);
    let types = app.event_types().await;
    assert_eq!(
        types[1..],
        [
            "inventory.adjusted",
            "inventory.low-stock",
            "inventory.out-of-stock"
        ]
    );
    adjust(&app, &staff, "3", -1)
        .await
        .refused(409, "insufficient-stock");
    let nothing = adjust(&app, &staff, "4", 0).await.ok();
    assert_eq!(
        (nothing.status.as_u16(), &nothing.body["version"]),
        (200, &json!(4))
    );
}

#[tokio::test]
async fn a_store_holds_a_bounded_number() {
    let app = TestApp::start().await;
    let staff = app.person(Role::Staff);
    adjust(&app, &staff, "1", 1_000_000_000).await.ok();
    receive(&app, &staff, "2", 1)
        .await
        .refused(409, "stock-limit-exceeded");
    adjust(&app, &staff, "3", 1)
        .await
        .refused(409, "stock-limit-exceeded");
}

#[tokio::test]
async fn movements_need_a_key() {
    let app = TestApp::start().await;
    let staff = app.person(Role::Staff);
    let call = app.post(&format!("{STOCK}/receive")).by(&staff);
    call.json(&json!({"quantity": 1}))
        .await
        .refused(400, "idempotency-key-missing");
    let call = app.post(&format!("{STOCK}/adjust")).by(&staff);
    let body = json!({"delta": 1, "reason": "counted"});
    call.json(&body)
        .await
        .refused(400, "idempotency-key-missing");
    assert_eq!(app.count("events").await, 0);
}

#[tokio::test]
async fn wrong_movements_are_refused() {
    let app = TestApp::start().await;
    let staff = app.person(Role::Staff);
    for quantity in [0, -1, 1_000_001] {
        let answer = receive(&app, &staff, "k", quantity)
            .await
            .refused(422, "invalid-body");
        assert_eq!(answer.pointers(), ["/quantity"]);
    }
    let call = app.post(&format!("{STOCK}/adjust")).by(&staff).key("k");
    let body = json!({"delta": 2_000_000_000_i64, "reason": ""});
    let answer = call.json(&body).await.refused(422, "invalid-body");
    assert_eq!(answer.pointers(), ["/delta", "/reason"]);
    let call = app.post("/inventory/Store/x/receive").by(&staff).key("k");
    call.json(&json!({"quantity": 1}))
        .await
        .refused(400, "bad-request");
}

#[tokio::test]
async fn stock_is_the_staffs() {
    let app = TestApp::start().await;
    let customer = app.person(Role::Customer);
    receive(&app, &customer, "k", 1)
        .await
        .refused(403, "forbidden");
    adjust(&app, &customer, "k", 1)
        .await
        .refused(403, "forbidden");
    let call = app.post(&format!("{STOCK}/receive")).key("k");
    call.json(&json!({"quantity": 1}))
        .await
        .refused(401, "unauthenticated");
}
