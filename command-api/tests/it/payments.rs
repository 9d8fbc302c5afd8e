//! `/payments/{id}/refund`.

use chrono::{DateTime, Utc};
use domain::{Money, OrderId, UserId, payment};
use http_server::Role;
use serde_json::{Value, json};

use crate::app::{Answer, Person};
use crate::shop::{Shop, payload};

/// The timer that has the provider called.
#[derive(Debug, sqlx::FromRow)]
struct Timer {
    name: String,
    due_at: DateTime<Utc>,
    payload: Value,
}

async fn timers(shop: &Shop) -> Vec<Timer> {
    let query = "select name, due_at, payload::jsonb as payload from timers order by name";
    sqlx::query_as(query)
        .fetch_all(&shop.app.database.pool)
        .await
        .unwrap()
}

async fn refund(shop: &Shop, payment: &str, key: &str, by: &Person) -> Answer {
    let call = shop.app.post(&format!("/payments/{payment}/refund")).by(by);
    call.key(key).empty().await
}

/// An order, and its payment as it is asked for.
async fn initiated(shop: &Shop, key: &str) -> (String, String) {
    let order = shop.ordered(key).await;
    let created = shop.created(&order).await;
    let payment = created["payment_id"].as_str().unwrap().to_owned();
    let command = payment::Command::Initiate {
        order_id: order.parse::<OrderId>().unwrap(),
        customer_id: shop.customer.id.parse::<UserId>().unwrap(),
        amount: serde_json::from_value::<Money>(created["total"].clone()).unwrap(),
        token: serde_json::from_value(created["payment_token"].clone()).unwrap(),
    };
    shop.payment(&payment, command).await;
    (order, payment)
}

/// An order that is completed and paid.
async fn paid(shop: &Shop, key: &str) -> (String, String) {
    let (order, payment) = initiated(shop, key).await;
    let reference = "ch_1".to_owned();
    shop.payment(&payment, payment::Command::Complete { reference })
        .await;
    shop.complete(&order).await;
    (order, payment)
}

#[tokio::test]
async fn money_of_an_order_that_has_ended_is_given_back_once() {
    let shop = Shop::open().await;
    let (_, payment) = paid(&shop, "1").await;
    let answer = refund(&shop, &payment, "k", &shop.staff).await.ok();
    assert_eq!(
        (answer.status.as_u16(), answer.id()),
        (200, payment.as_str())
    );
    assert_eq!(answer.body["version"], 3);
    let event = shop.app.events().await.pop().unwrap();
    assert_eq!(event.event_type, "payment.refund-requested");
    assert_eq!(payload(&event)["attempt"], 1);

    let timer = timers(&shop).await.pop().unwrap();
    assert_eq!(timer.name, format!("payment/refund/{payment}"));
    // What comes of it is told with the correlation, the user and the trace of the request.
    let cause: Value = serde_json::from_str(&event.metadata).unwrap();
    assert_eq!(cause["user_id"], shop.staff.id);
    assert!(cause["correlation_id"].is_string(), "{cause}");
    let expected = json!({"payment_id": payment, "attempt": 1, "cause": cause});
    assert_eq!(timer.payload, expected);
    // By the database's clock, and due already.
    let events = shop.app.events().await;
    let completed = events
        .iter()
        .find(|it| it.event_type == "payment.completed");
    assert_eq!(timer.due_at, completed.unwrap().recorded_at);

    assert!(
        refund(&shop, &payment, "k", &shop.staff)
            .await
            .ok()
            .is_replayed()
    );
    // It is on its way, and then it is there.
    assert_eq!(
        refund(&shop, &payment, "on-its-way", &shop.staff)
            .await
            .ok()
            .body["version"],
        3
    );
    let reference = "re_1".to_owned();
    shop.payment(&payment, payment::Command::MarkRefunded { reference })
        .await;
    assert_eq!(
        refund(&shop, &payment, "back", &shop.staff).await.ok().body["version"],
        4
    );
    assert_eq!(timers(&shop).await.len(), 1);
}

#[tokio::test]
async fn a_refund_that_failed_is_asked_for_again() {
    let shop = Shop::open().await;
    let (_, payment) = paid(&shop, "1").await;
    refund(&shop, &payment, "1", &shop.staff).await.ok();
    let error = "out of order".to_owned();
    shop.payment(&payment, payment::Command::FailRefund { error })
        .await;
    sqlx::query("delete from timers")
        .execute(&shop.app.database.pool)
        .await
        .unwrap();
    refund(&shop, &payment, "2", &shop.staff).await.ok();
    let event = shop.app.events().await.pop().unwrap();
    assert_eq!(
        (&*event.event_type, &payload(&event)["attempt"]),
        ("payment.refund-requested", &json!(2))
    );
    assert_eq!(timers(&shop).await.len(), 1);
}

#[tokio::test]
async fn while_its_order_is_under_way_the_money_is_the_sagas() {
    let shop = Shop::open().await;
    let (order, payment) = initiated(&shop, "1").await;
    refund(&shop, &payment, "1", &shop.staff)
        .await
        .refused(409, "order-in-progress");
    let reference = "ch_1".to_owned();
    shop.payment(&payment, payment::Command::Complete { reference })
        .await;
    refund(&shop, &payment, "2", &shop.staff)
        .await
        .refused(409, "order-in-progress");
    assert!(timers(&shop).await.is_empty());
    shop.complete(&order).await;
    refund(&shop, &payment, "3", &shop.staff).await.ok();
    // The key is that of another outcome.
    let again = refund(&shop, &payment, "1", &shop.staff)
        .await
        .refused(409, "order-in-progress");
    assert!(again.is_replayed());
}

#[tokio::test]
async fn what_was_never_taken_is_not_given_back() {
    let shop = Shop::open().await;
    let (order, payment) = initiated(&shop, "1").await;
    shop.payment(&payment, payment::Command::Decline { detail: None })
        .await;
    let reason = domain::order::CancelReason::PaymentDeclined;
    shop.advance(&order, domain::order::Command::Cancel { reason })
        .await;
    refund(&shop, &payment, "k", &shop.staff)
        .await
        .refused(409, "payment-not-completed");
    // One that was called off before it was asked for has no order that it knows of.
    let called_off = "0198f000-0000-7000-8000-000000000002";
    let order_id = order.parse().unwrap();
    shop.payment(
        called_off,
        payment::Command::Refund {
            order_id,
            attempt: 1,
        },
    )
    .await;
    refund(&shop, called_off, "o", &shop.staff)
        .await
        .refused(409, "payment-not-completed");
    let nobodys = "0198f000-0000-7000-8000-000000000001";
    refund(&shop, nobodys, "n", &shop.staff)
        .await
        .refused(404, "not-found");
    refund(&shop, "4711", "n", &shop.staff)
        .await
        .refused(400, "bad-request");
    assert!(timers(&shop).await.is_empty());
}

#[tokio::test]
async fn refunds_are_the_staffs_and_need_a_key() {
    let shop = Shop::open().await;
    let (_, payment) = paid(&shop, "1").await;
    refund(&shop, &payment, "k", &shop.customer)
        .await
        .refused(403, "forbidden");
    let courier = shop.app.person(Role::Courier);
    refund(&shop, &payment, "k", &courier)
        .await
        .refused(403, "forbidden");
    let path = format!("/payments/{payment}/refund");
    shop.app
        .post(&path)
        .key("k")
        .empty()
        .await
        .refused(401, "unauthenticated");
    let call = shop.app.post(&path).by(&shop.staff);
    call.empty().await.refused(400, "idempotency-key-missing");
    let call = shop.app.post(&path).by(&shop.staff).key("k");
    let answer = call
        .json(&json!({"amount": 1}))
        .await
        .refused(422, "invalid-body");
    assert_eq!(answer.pointers(), ["/amount"]);
    assert!(timers(&shop).await.is_empty());
}
