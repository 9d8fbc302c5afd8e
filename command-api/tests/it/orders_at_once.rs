//! `POST /orders` repeated, and while something else happens.

use std::time::Duration;

use axum::http::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use testing::until;

use crate::app::{Answer, call};
use crate::shop::{Shop, basket};

/// What the append function locks.
const APPEND_LOCK: i64 = 7_305_801;
const WAIT_MAX: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_same_order_is_placed_once() {
    let shop = Shop::open().await;
    let body = basket(&[("ALE-1", 6)]);
    let call = shop.app.post("/orders").by(&shop.customer);
    call.json(&body)
        .await
        .refused(400, "idempotency-key-missing");
    let first = shop.order("k", &body).await.ok();
    let again = shop.order("k", &body).await.ok();
    assert!(!first.is_replayed() && again.is_replayed());
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.headers["location"], first.headers["location"]);
    let other = shop.order("k", &basket(&[("ALE-1", 7)])).await;
    other.refused(422, "idempotency-key-reused");
    let mut other = body.clone();
    other["payment"]["token"] = json!("tok_declined");
    shop.order("k", &other)
        .await
        .refused(422, "idempotency-key-reused");
    assert_eq!(shop.orders().await, 1);

    let (one, other) = tokio::join!(shop.order("two", &body), shop.order("two", &body));
    for answer in [one, other] {
        assert!(answer.status == 201 || answer.status == 409, "{answer:?}");
    }
    assert_eq!(shop.orders().await, 2);
}

#[tokio::test]
async fn the_outcome_stays_whatever_happens_afterwards() {
    let shop = Shop::open().await;
    let first = shop.order("k", &basket(&[("ALE-1", 6)])).await.ok();
    let refused = shop.order("r", &basket(&[("NEW-1", 1)])).await;
    refused.refused(422, "unknown-items");
    shop.product("NEW-1", 100, "EUR").await;
    let still = shop
        .order("r", &basket(&[("NEW-1", 1)]))
        .await
        .refused(422, "unknown-items");
    assert!(still.is_replayed());
    assert_eq!(still.pointers(), ["/items/0/sku"]);

    let path = format!("/users/{}/erase", shop.customer.id);
    shop.app.post(&path).by(&shop.customer).empty().await.ok();
    let again = shop.order("k", &basket(&[("ALE-1", 6)])).await.ok();
    assert!(again.is_replayed());
    assert_eq!(again.body, first.body);
}

/// Posts `body` to `path` and an order at once, so that the former is decided after the look-ups of the order and before its append.
async fn order_during(shop: &Shop, path: &str, body: &str) -> Answer {
    let mut blocker = PgConnection::connect(&shop.app.database.url).await.unwrap();
    sqlx::query("select pg_advisory_lock($1)")
        .bind(APPEND_LOCK)
        .execute(&mut blocker)
        .await
        .unwrap();
    let waiting = async |appends: i64| {
        until("appends wait", WAIT_MAX, async || {
            let query = "select count(*) from pg_locks where locktype = 'advisory' and not granted
                and database = (select oid from pg_database where datname = current_database())";
            let count: i64 = sqlx::query_scalar(query)
                .fetch_one(&shop.app.database.pool)
                .await
                .unwrap();
            count >= appends
        })
        .await;
    };
    let beside = shop.app.beside().await;
    let by = if path.starts_with("/users") {
        &shop.customer
    } else {
        &shop.staff
    };
    let change = call(&beside, Method::POST, &format!("/api/v1{path}")).by(by);
    let body: Value = serde_json::from_str(body).unwrap();
    let change = tokio::spawn(async move { change.json(&body).await });
    waiting(1).await;
    let order = shop.app.post("/orders").by(&shop.customer).key("k");
    let order = tokio::spawn(async move { order.json(&basket(&[("ALE-1", 2)])).await });
    waiting(2).await;
    blocker.close().await.unwrap();
    change.await.unwrap().ok();
    order.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_changes_meanwhile_is_the_orders() {
    let shop = Shop::open().await;
    let first = shop.ordered("first").await;
    let ale = shop.created(&first).await["items"][0]["product_id"].clone();
    let path = format!("/products/{}/change-price", ale.as_str().unwrap());
    let price = r#"{"price": {"amount_minor": 275, "currency": "EUR"}}"#;
    let answer = order_during(&shop, &path, price).await.ok();
    assert_eq!(
        shop.created(answer.id()).await["total"]["amount_minor"],
        550
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_is_discontinued_meanwhile_is_not_sold() {
    let shop = Shop::open().await;
    let first = shop.ordered("first").await;
    let ale = shop.created(&first).await["items"][0]["product_id"].clone();
    let path = format!("/products/{}/discontinue", ale.as_str().unwrap());
    let answer = order_during(&shop, &path, "{}")
        .await
        .refused(422, "unknown-items");
    assert_eq!(answer.pointers(), ["/items/0/sku"]);
    assert_eq!(shop.orders().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_is_deactivated_meanwhile_does_not_order() {
    let shop = Shop::open().await;
    let path = format!("/users/{}/deactivate", shop.customer.id);
    let answer = order_during(&shop, &path, "{}").await;
    answer.refused(422, "customer-not-active");
    assert_eq!(shop.orders().await, 0);
}
