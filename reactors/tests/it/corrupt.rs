//! Histories that cannot be folded: who needs one is parked, and nobody else waits for it.

use domain::fulfilment::Patience;
use eventstore::dead_letters::{self, DeadLetter};
use reactors::delivery::Deliveries;
use reactors::fulfilment::Sagas;
use serde_json::{Value, json};
use testing::until;
use uuid::Uuid;

use crate::shop::{LONG, Shop};

/// Writes an event past every rule, as the first of its stream.
async fn plant(shop: &Shop, stream: (&str, &Uuid), event_type: &str, mut payload: Value) {
    payload["type"] = json!(event_type);
    sqlx::query(
        "insert into events (position, event_id, aggregate_type, aggregate_id, sequence,
                             event_type, event_version, payload, metadata, recorded_at)
         select head.position + 1, gen_random_uuid(), $1, $2, 1, $3, '1.0', $4::json, '{}',
                clock_timestamp()
           from (select coalesce(max(position), 0) as position from events) head",
    )
    .bind(stream.0)
    .bind(stream.1.to_string())
    .bind(event_type)
    .bind(payload.to_string())
    .execute(shop.store.pool())
    .await
    .unwrap();
}

async fn letter(shop: &Shop, consumer: &str) -> DeadLetter {
    let pool = shop.store.pool();
    let letters = async || dead_letters::list(pool, Some(consumer), None, 10).await;
    let parked = async || letters().await.unwrap().len() == 1;
    until("it is parked", LONG, parked).await;
    letters().await.unwrap().remove(0)
}

#[tokio::test]
async fn who_needs_a_history_that_cannot_be_folded_is_parked() {
    let mut shop = Shop::open().await;
    let [order, other, broken, well] = [(); 4].map(|()| Uuid::now_v7());
    plant(
        &shop,
        ("delivery", &broken),
        "delivery.scheduled",
        json!({}),
    )
    .await;
    for (order, delivery) in [(order, broken), (other, well)] {
        let payload = json!({"delivery_id": delivery, "attempt": 1});
        let asked = "fulfilment.delivery-cancellation-requested";
        plant(&shop, ("fulfilment", &order), asked, payload).await;
    }
    shop.react(Deliveries::new(shop.store.clone()));
    let parked = letter(&shop, "delivery").await;
    assert_eq!(parked.stream_id, order.to_string());
    let error = parked.error.unwrap();
    assert!(error.contains(&format!("delivery/{broken}")), "{error}");
    // The other one, which is not known, leaves its tombstone.
    let answered = async || shop.log().await.last().unwrap().aggregate_id == well.to_string();
    until("the other one is answered", LONG, answered).await;
    shop.close().await;
}

#[tokio::test]
async fn a_saga_whose_beginning_cannot_be_read_is_parked() {
    let mut shop = Shop::open().await;
    let [order, payment] = [(); 2].map(|()| Uuid::now_v7());
    plant(
        &shop,
        ("fulfilment", &order),
        "fulfilment.started",
        json!({}),
    )
    .await;
    let amount = json!({"amount_minor": 750, "currency": "EUR"});
    let payload = json!({"order_id": order, "amount": amount, "reference": "re_1"});
    plant(&shop, ("payment", &payment), "payment.refunded", payload).await;
    shop.react(Sagas::new(shop.store.clone(), Patience::default()));
    let parked = letter(&shop, "fulfilment").await;
    assert_eq!(parked.stream_id, payment.to_string());
    let error = parked.error.unwrap();
    assert!(error.contains("fulfilment.started"), "{error}");
    shop.close().await;
}
