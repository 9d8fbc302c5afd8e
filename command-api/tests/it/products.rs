//! `/products`.

use http_server::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::{Person, TestApp};

fn ale() -> Value {
    json!({
        "sku": "ALE-1", "name": " Pale Ale ", "price": {"amount_minor": 1299, "currency": "EUR"}, "brand": "Summit",
        "description": null, "category": ["Beverages", "Beer"], "size": "500 ml", "attributes": {"abv": "5.2 %"},
    })
}

async fn with_ale() -> (TestApp, Person, String) {
    let app = TestApp::start().await;
    let staff = app.person(Role::Staff);
    let created = app.post("/products").by(&staff).json(&ale()).await.ok();
    let id = created.id().to_owned();
    (app, staff, id)
}

#[tokio::test]
async fn a_product_is_created_with_its_claim() {
    let app = TestApp::start().await;
    let staff = app.person(Role::Staff);
    let answer = app.post("/products").by(&staff).json(&ale()).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let id = answer.id();
    assert_eq!(id.parse::<Uuid>().unwrap().get_version_num(), 7);
    assert_eq!(answer.headers["location"], format!("/api/v1/products/{id}"));
    assert_eq!(answer.headers["etag"], "\"1\"");
    assert_eq!(answer.headers["nakku-position"], "2");
    assert_eq!(answer.body["version"], 1);
    assert_eq!(answer.body["position"], 2);
    assert!(!answer.is_replayed());

    assert_eq!(app.event_types().await, ["product.created", "sku.claimed"]);
    let events = app.events().await;
    let payload: Value = serde_json::from_str(&events[0].payload).unwrap();
    assert_eq!(payload["name"], "Pale Ale");
    assert_eq!(
        payload["price"],
        json!({"amount_minor": 1299, "currency": "EUR"})
    );
    let metadata = events[0].metadata();
    assert_eq!(metadata.user_id.as_deref(), Some(staff.id.as_str()));
    assert!(metadata.correlation_id.is_some() && metadata.traceparent.is_some());
}

#[tokio::test]
async fn a_correlation_id_is_carried_into_the_log() {
    let app = TestApp::start().await;
    let id = Uuid::now_v7().to_string();
    let call = app.post("/products").by(&app.person(Role::Staff));
    call.header("nakku-correlation-id", &id)
        .json(&ale())
        .await
        .ok();
    for event in app.events().await {
        assert_eq!(
            event.metadata().correlation_id.as_deref(),
            Some(id.as_str())
        );
    }
}

#[tokio::test]
async fn a_sku_is_taken_once() {
    let (app, staff, _) = with_ale().await;
    app.post("/products")
        .by(&staff)
        .json(&ale())
        .await
        .refused(409, "sku-taken");
}

#[tokio::test]
async fn every_wrong_member_of_a_product_is_pointed_at() {
    let app = TestApp::start().await;
    let staff = app.person(Role::Staff);
    let body = json!({
        "sku": "a:b", "name": "", "price": {"amount_minor": -1, "currency": "EUR"}, "category": ["", "b"],
        "attributes": {"k": "\n"},
    });
    let answer = app
        .post("/products")
        .by(&staff)
        .json(&body)
        .await
        .refused(422, "invalid-body");
    assert_eq!(
        answer.pointers(),
        ["/attributes", "/category", "/name", "/price", "/sku"]
    );

    let mut unknown = ale();
    unknown["colour"] = json!("amber");
    let answer = app
        .post("/products")
        .by(&staff)
        .json(&unknown)
        .await
        .refused(422, "invalid-body");
    assert_eq!(answer.pointers(), ["/colour"]);
    let mut currency = ale();
    currency["price"]["currency"] = json!("XXQ");
    let answer = app
        .post("/products")
        .by(&staff)
        .json(&currency)
        .await
        .refused(422, "invalid-body");
    assert_eq!(answer.pointers(), ["/price/currency"]);
    app.post("/products")
        .by(&staff)
        .json(&json!({"sku": "x"}))
        .await
        .refused(422, "invalid-body");
    assert_eq!(app.count("events").await, 0);
}

#[tokio::test]
async fn details_change_by_what_is_named() {
    let (app, staff, id) = with_ale().await;
    let path = format!("/products/{id}/update-details");
    let body = json!({"name": "Amber Ale", "brand": null});
    let answer = app.post(&path).by(&staff).json(&body).await.ok();
    assert_eq!((answer.status.as_u16(), answer.id()), (200, id.as_str()));
    assert_eq!(answer.headers["etag"], "\"2\"");
    let event = app.events().await.pop().unwrap();
    let payload: Value = serde_json::from_str(&event.payload).unwrap();
    assert_eq!(payload["type"], "product.updated");
    assert_eq!(payload["name"], "Amber Ale");
    assert_eq!(payload.get("brand"), None);
    assert_eq!(payload["size"], "500 ml");

    // Nothing changes: nothing is appended, the answer stands at the head.
    let answer = app.post(&path).by(&staff).json(&json!({})).await.ok();
    assert_eq!(
        (&answer.body["version"], &answer.body["position"]),
        (&json!(2), &json!(3))
    );
    let answer = app
        .post(&path)
        .by(&staff)
        .json(&json!({"name": null}))
        .await
        .refused(422, "invalid-body");
    assert_eq!(answer.pointers(), ["/name"]);
}

#[tokio::test]
async fn a_price_changes() {
    let (app, staff, id) = with_ale().await;
    let path = format!("/products/{id}/change-price");
    let price = json!({"price": {"amount_minor": 999, "currency": "EUR"}});
    let answer = app.post(&path).by(&staff).json(&price).await.ok();
    assert_eq!(answer.body["version"], 2);
    assert_eq!(
        app.event_types().await.pop().unwrap(),
        "product.price-changed"
    );
    let low = json!({"price": {"amount_minor": -1, "currency": "EUR"}});
    app.post(&path)
        .by(&staff)
        .json(&low)
        .await
        .refused(422, "invalid-body");
}

#[tokio::test]
async fn a_discontinued_product_changes_no_more() {
    let (app, staff, id) = with_ale().await;
    let discontinue = format!("/products/{id}/discontinue");
    app.post(&discontinue).by(&staff).empty().await.ok();
    let again = app
        .post(&discontinue)
        .by(&staff)
        .json(&json!({}))
        .await
        .ok();
    assert_eq!(again.body["version"], 2);
    app.post(&discontinue)
        .by(&staff)
        .json(&json!({"why": 1}))
        .await
        .refused(422, "invalid-body");

    let change = app
        .post(&format!("/products/{id}/update-details"))
        .by(&staff);
    change
        .json(&json!({"name": "x"}))
        .await
        .refused(409, "product-discontinued");
    let change = app.post(&format!("/products/{id}/change-price")).by(&staff);
    let price = json!({"price": {"amount_minor": 1, "currency": "EUR"}});
    change
        .json(&price)
        .await
        .refused(409, "product-discontinued");
    // And keeps its SKU.
    app.post("/products")
        .by(&staff)
        .json(&ale())
        .await
        .refused(409, "sku-taken");
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let app = TestApp::start().await;
    let staff = app.person(Role::Staff);
    let id = Uuid::now_v7();
    let price = json!({"price": {"amount_minor": 1, "currency": "EUR"}});
    let call = |verb: &str| app.post(&format!("/products/{id}/{verb}")).by(&staff);
    call("update-details")
        .json(&json!({"name": "x"}))
        .await
        .refused(404, "not-found");
    call("change-price")
        .json(&price)
        .await
        .refused(404, "not-found");
    call("discontinue").empty().await.refused(404, "not-found");
    app.post("/products/4711/discontinue")
        .by(&staff)
        .empty()
        .await
        .refused(400, "bad-request");
}

#[tokio::test]
async fn another_version_is_a_mismatch() {
    let (app, staff, id) = with_ale().await;
    let path = format!("/products/{id}/discontinue");
    let answer = app
        .post(&path)
        .by(&staff)
        .header("if-match", "\"7\"")
        .empty()
        .await;
    answer.refused(412, "version-mismatch");
    app.post(&path)
        .by(&staff)
        .header("if-match", "1")
        .empty()
        .await
        .refused(400, "bad-request");
    app.post(&path)
        .by(&staff)
        .header("if-match", "\"1\"")
        .empty()
        .await
        .ok();
}

#[tokio::test]
async fn the_catalogue_is_the_staffs() {
    let (app, _, id) = with_ale().await;
    let customer = app.person(Role::Customer);
    let courier = app.person(Role::Courier);
    for path in [
        "/products".to_owned(),
        format!("/products/{id}/update-details"),
        format!("/products/{id}/change-price"),
        format!("/products/{id}/discontinue"),
    ] {
        // Before the body is looked at.
        app.post(&path)
            .json(&json!({}))
            .await
            .refused(401, "unauthenticated");
        app.post(&path)
            .by(&customer)
            .json(&json!({}))
            .await
            .refused(403, "forbidden");
        app.post(&path)
            .by(&courier)
            .json(&json!({}))
            .await
            .refused(403, "forbidden");
    }
    let admin = app.person(Role::Admin);
    app.post(&format!("/products/{id}/discontinue"))
        .by(&admin)
        .empty()
        .await
        .ok();
}
