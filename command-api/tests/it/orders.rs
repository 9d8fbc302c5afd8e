//! `/orders`: what is ordered, for how much, and by whom.

use domain::{Address, order};
use http_server::Role;
use serde_json::{Value, json};

use crate::app::Person;
use crate::shop::{Shop, basket, payload};

#[tokio::test]
async fn an_order_keeps_names_and_prices_of_its_moment() {
    let shop = Shop::open().await;
    let answer = shop
        .order("1", &basket(&[("ALE-1", 6), ("BREAD-1", 1)]))
        .await;
    let id = answer.id();
    assert_eq!(answer.status, 201);
    assert_eq!(answer.headers["location"], format!("/api/v1/orders/{id}"));
    let position = answer.headers["nakku-position"].to_str().unwrap();
    let position: i64 = position.parse().unwrap();
    let expected =
        json!({"id": id, "version": 1, "position": position, "status": "pending", "reason": null});
    assert_eq!(answer.body, expected);
    assert!(!answer.headers.contains_key("preference-applied"));

    let created = shop.created(id).await;
    assert_eq!(created["customer_id"], shop.customer.id);
    assert_eq!(created["store_id"], "store-1");
    assert_eq!(
        created["total"],
        json!({"amount_minor": 1899, "currency": "EUR"})
    );
    let ale = &created["items"][0];
    assert_eq!(
        (&ale["sku"], &ale["name"]),
        (&json!("ALE-1"), &json!("A ALE-1"))
    );
    assert_eq!(ale["unit_price"]["amount_minor"], 250);
    assert_eq!(ale["quantity"], 6);

    // A dearer product changes the next order only.
    let ale = ale["product_id"].as_str().unwrap();
    let path = format!("/products/{ale}/change-price");
    let price = json!({"price": {"amount_minor": 300, "currency": "EUR"}});
    shop.app.post(&path).by(&shop.staff).json(&price).await.ok();
    let next = shop.order("2", &basket(&[("ALE-1", 1)])).await.ok();
    assert_eq!(shop.created(next.id()).await["total"]["amount_minor"], 300);
    assert_eq!(shop.created(id).await["total"]["amount_minor"], 1899);
}

#[tokio::test]
async fn an_order_is_one_event_of_its_own_with_its_cause() {
    let shop = Shop::open().await;
    let before = shop.app.count("events").await;
    let call = shop.app.post("/orders").by(&shop.customer).key("1");
    let correlation = "0198f000-0000-7000-8000-000000000001";
    let call = call.header("nakku-correlation-id", correlation);
    call.json(&basket(&[("ALE-1", 1)])).await.ok();
    assert_eq!(shop.app.count("events").await, before + 1);
    let event = shop.app.events().await.pop().unwrap();
    let metadata = event.metadata();
    assert_eq!(metadata.correlation_id.as_deref(), Some(correlation));
    assert_eq!(metadata.user_id, Some(shop.customer.id.clone()));
}

/// What the customer's key opens.
async fn opened(shop: &Shop, sealed: &Value) -> Vec<u8> {
    use base64::Engine as _;
    let ciphertext = sealed["ciphertext"].as_str().unwrap();
    let ciphertext = base64::engine::general_purpose::STANDARD
        .decode(ciphertext)
        .unwrap();
    let key = shop
        .app
        .store
        .sealer()
        .key(&shop.customer.id)
        .await
        .unwrap();
    key.unwrap().open(&ciphertext).unwrap()
}

#[tokio::test]
async fn how_it_is_paid_is_sealed() {
    let shop = Shop::open().await;
    let id = shop.ordered("1").await;
    let created = shop.created(&id).await;
    assert!(!created.to_string().contains("tok_ok"));
    assert_eq!(created["payment_token"]["subject"], shop.customer.id);
    assert_eq!(opened(&shop, &created["payment_token"]).await, b"tok_ok");
}

#[tokio::test]
async fn it_is_brought_where_it_is_said_or_to_the_first_address() {
    let shop = Shop::open().await;
    let body = basket(&[("ALE-1", 1)]);
    let nowhere = shop.order("1", &body).await.ok();
    assert_eq!(shop.created(nowhere.id()).await.get("address"), None);

    let address = |street: &str| json!({"lines": [street], "city": "Berlin", "country": "DE"});
    let path = format!("/users/{}/addresses", shop.customer.id);
    for street in ["Dorset Street 1", "Elsewhere 2"] {
        let call = shop.app.post(&path).by(&shop.customer);
        call.json(&address(street)).await.ok();
    }
    let home = shop.order("2", &body).await.ok();
    let mut elsewhere = body.clone();
    elsewhere["address"] = address("At the Lake 3");
    let elsewhere = shop.order("3", &elsewhere).await.ok();
    for (order, street) in [
        (home.id(), "Dorset Street 1"),
        (elsewhere.id(), "At the Lake 3"),
    ] {
        let created = shop.created(order).await;
        assert!(!created.to_string().contains(street));
        let json = opened(&shop, &created["address"]).await;
        let address: Address = serde_json::from_slice(&json).unwrap();
        assert_eq!(
            serde_json::to_value(&address).unwrap()["lines"],
            json!([street])
        );
    }
}

#[tokio::test]
async fn what_is_not_on_sale_is_pointed_at() {
    let shop = Shop::open().await;
    let gone = shop.product("GONE-1", 100, "EUR").await;
    let path = format!("/products/{gone}/discontinue");
    shop.app.post(&path).by(&shop.staff).empty().await.ok();
    let before = shop.app.count("events").await;
    let items = [
        ("ALE-1", 1),
        ("NONE-1", 1),
        ("GONE-1", 2),
        ("BREAD-1", 1),
        ("NONE-2", 1),
    ];
    let answer = shop
        .order("1", &basket(&items))
        .await
        .refused(422, "unknown-items");
    assert_eq!(
        answer.pointers(),
        ["/items/1/sku", "/items/2/sku", "/items/4/sku"]
    );
    let answer = shop
        .order("2", &basket(&[("NONE-1", 1)]))
        .await
        .refused(422, "unknown-items");
    assert_eq!(answer.pointers(), ["/items/0/sku"]);
    assert_eq!(shop.app.count("events").await, before);
}

#[tokio::test]
async fn wrong_orders_are_refused_with_their_places() {
    let shop = Shop::open().await;
    let good = basket(&[("ALE-1", 1), ("BREAD-1", 1)]);
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let many: Vec<Value> = (0..101)
        .map(|n| json!({"sku": format!("S-{n}"), "quantity": 1}))
        .collect();
    for (body, pointer) in [
        (with("/items", json!([])), "/items"),
        (with("/items", json!(many)), "/items"),
        (with("/items/1/sku", json!("ALE-1")), "/items/1/sku"),
        (with("/items/1/sku", json!("ALE 1")), "/items/1/sku"),
        (with("/items/0/quantity", json!(0)), "/items/0/quantity"),
        (with("/items/0/quantity", json!(-1)), "/items/0/quantity"),
        (
            with("/items/0/quantity", json!(1_000_001)),
            "/items/0/quantity",
        ),
        (with("/items/0/quantity", json!(1.5)), "/items/0/quantity"),
        (
            with("/items/0", json!({"sku": "ALE-1"})),
            "/items/0/quantity",
        ),
        (
            with(
                "/items/0",
                json!({"sku": "ALE-1", "quantity": 1, "price": 1}),
            ),
            "/items/0/price",
        ),
        (with("/store_id", json!("Store")), "/store_id"),
        (with("/payment", json!({})), "/payment/token"),
        (with("/payment/token", json!("")), "/payment/token"),
        (with("/payment/token", json!("tok ok")), "/payment/token"),
        (
            with("/payment", json!({"token": "tok_ok", "card": "4711"})),
            "/payment/card",
        ),
    ] {
        let answer = shop.order("k", &body).await.refused(422, "invalid-body");
        assert_eq!(answer.pointers(), [pointer], "{body}");
    }
    let mut misspelt = good.clone();
    misspelt["adress"] = json!(null);
    let answer = shop
        .order("k", &misspelt)
        .await
        .refused(422, "invalid-body");
    assert_eq!(answer.pointers(), ["/adress"]);
    let mut nowhere = good.clone();
    nowhere["address"] = json!({"lines": [], "city": "", "country": "Germany"});
    let answer = shop.order("k", &nowhere).await.refused(422, "invalid-body");
    assert_eq!(
        answer.pointers(),
        ["/address/city", "/address/country", "/address/lines"]
    );
    // None of them has used the key up.
    assert!(!shop.order("k", &good).await.ok().is_replayed());
}

#[tokio::test]
async fn an_order_has_one_currency_and_a_total_that_can_be_charged() {
    let shop = Shop::open().await;
    shop.product("SAKE-1", 800, "JPY").await;
    let answer = shop
        .order("1", &basket(&[("ALE-1", 1), ("SAKE-1", 1)]))
        .await;
    let answer = answer.refused(422, "mixed-currencies");
    assert_eq!(answer.pointers(), ["/items"]);
    let mut items = Vec::new();
    let skus: Vec<String> = (0..10).map(|n| format!("GOLD-{n}")).collect();
    for sku in &skus {
        shop.product(sku, 1_000_000_000_000, "EUR").await;
        items.push((sku.as_str(), 1_000_000));
    }
    let answer = shop
        .order("2", &basket(&items))
        .await
        .refused(422, "total-too-large");
    assert_eq!(answer.pointers(), ["/items"]);
    shop.order("3", &basket(&items[..9])).await.ok();
}

#[tokio::test]
async fn only_active_users_order() {
    let shop = Shop::open().await;
    let app = &shop.app;
    let body = basket(&[("ALE-1", 1)]);
    let order = async |person: &Person| app.post("/orders").by(person).key("k").json(&body).await;
    // A token outlives its user by minutes.
    order(&app.person(Role::Customer))
        .await
        .refused(422, "customer-not-active");
    for step in ["deactivate", "erase"] {
        let person = app.customer(&format!("{step}@example.org")).await;
        let path = format!("/users/{}/{step}", person.id);
        app.post(&path).by(&person).empty().await.ok();
        order(&person).await.refused(422, "customer-not-active");
    }
    let call = app.post("/orders").key("k");
    call.json(&body).await.refused(401, "unauthenticated");
    // Staff are customers, too.
    let clerk = app.customer("clerk@example.org").await;
    order(&app.person_of(&clerk.id, Role::Staff)).await.ok();
    assert_eq!(shop.orders().await, 1);
}

#[tokio::test]
async fn a_customer_cancels_their_own_orders_only() {
    let shop = Shop::open().await;
    let id = shop.ordered("1").await;
    let other = shop.app.customer("bob@example.org").await;
    shop.cancel(&id, &other).await.refused(404, "not-found");
    // Not even which version it has.
    let call = shop.app.post(&format!("/orders/{id}/cancel")).by(&other);
    let call = call.header("if-match", "\"9\"");
    call.empty().await.refused(404, "not-found");
    let nobodys = "0198f000-0000-7000-8000-000000000001";
    shop.cancel(nobodys, &shop.customer)
        .await
        .refused(404, "not-found");
    shop.cancel(nobodys, &shop.staff)
        .await
        .refused(404, "not-found");
    shop.cancel("4711", &shop.customer)
        .await
        .refused(400, "bad-request");
    let call = shop.app.post(&format!("/orders/{id}/cancel"));
    call.empty().await.refused(401, "unauthenticated");

    let answer = shop.cancel(&id, &shop.customer).await.ok();
    assert_eq!(
        (answer.status.as_u16(), &answer.body["version"]),
        (200, &json!(2))
    );
    assert_eq!(answer.body["status"], Value::Null);
    let again = shop.cancel(&id, &shop.staff).await.ok();
    assert_eq!(again.body["version"], 2);
    let types = shop.app.event_types().await;
    let requested = |kind: &&String| *kind == "order.cancellation-requested";
    assert_eq!(types.iter().filter(requested).count(), 1);
}

#[tokio::test]
async fn staff_cancel_any_order_with_a_reason() {
    let shop = Shop::open().await;
    let id = shop.ordered("1").await;
    let path = format!("/orders/{id}/cancel");
    let cancel = |body: Value| {
        let call = shop.app.post(&path).by(&shop.staff).key("k");
        async move { call.json(&body).await }
    };
    for reason in [json!(""), json!("x".repeat(201)), json!(7)] {
        let answer = cancel(json!({"reason": reason}))
            .await
            .refused(422, "invalid-body");
        assert_eq!(answer.pointers(), ["/reason"]);
    }
    cancel(json!({"why": "?"}))
        .await
        .refused(422, "invalid-body");
    cancel(json!({"reason": " ordered twice "})).await.ok();
    let event = shop.app.events().await.pop().unwrap();
    assert_eq!(payload(&event)["reason"], "ordered twice");
    assert_eq!(event.metadata().user_id, Some(shop.staff.id.clone()));
    assert!(
        cancel(json!({"reason": "ordered twice"}))
            .await
            .ok()
            .is_replayed()
    );
}

#[tokio::test]
async fn what_has_ended_is_not_cancelled_any_more() {
    let shop = Shop::open().await;
    let completed = shop.ordered("1").await;
    shop.complete(&completed).await;
    shop.cancel(&completed, &shop.customer)
        .await
        .refused(409, "order-ended");
    let cancelled = shop.ordered("2").await;
    let reason = order::CancelReason::OutOfStock;
    shop.advance(&cancelled, order::Command::Cancel { reason })
        .await;
    shop.cancel(&cancelled, &shop.customer)
        .await
        .refused(409, "order-ended");
    // The rules come before the version: this one would be another by now.
    let with_version = async |order: &str, version: &str| {
        let path = format!("/orders/{order}/cancel");
        let call = shop.app.post(&path).by(&shop.customer);
        call.header("if-match", version).empty().await
    };
    with_version(&cancelled, "\"1\"")
        .await
        .refused(409, "order-ended");
    let open = shop.ordered("3").await;
    with_version(&open, "\"9\"")
        .await
        .refused(412, "version-mismatch");
}
