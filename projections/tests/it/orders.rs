//! What orders, payments and notifications show after each of their events.

use domain::order::CancelReason;
use domain::{delivery, fulfilment, notification, order, payment};
use eventstore::dead_letters;
use projections::ReadModel;
use read_models::replays::{Request, State};
use read_models::{notifications, orders, payments};

use crate::ordering::{Basket, slot, total};
use crate::shop::{REPLAY, Shop};

async fn shown(shop: &Shop, basket: &Basket, position: i64) -> orders::Order {
    shop.bring_up(ReadModel::Orders).await;
    let generation = shop.reached(ReadModel::Orders, position).await;
    let id = basket.order_id.to_string();
    let found = orders::by_id(shop.pool(), generation, &id).await.unwrap();
    found.unwrap()
}

/// A rebuild says the same.
pub async fn is_as_rebuilt(shop: &Shop, model: ReadModel) {
    let worker = shop.start(model);
    let compare = Request {
        compare_only: true,
        ..REPLAY
    };
    let compared = shop.replay(model.name(), compare).await;
    worker.stop().await;
    assert_eq!(compared.state, State::Compared, "{compared:?}");
    let differences = compared.differences.unwrap();
    assert!(differences.live_rows > 0);
    assert_eq!(differences.first, []);
}

#[tokio::test]
async fn an_order_is_followed_from_its_placing_to_its_return() {
    let shop = Shop::open().await;
    let basket = Basket::somebodys();
    let position = basket.order(&shop, basket.created()).await;
    let order = shown(&shop, &basket, position).await;
    assert_eq!(order.customer_id, basket.customer_id.to_string());
    assert_eq!(order.store_id, "berlin-1");
    assert_eq!((order.status, order.version), (orders::Status::Pending, 1));
    assert_eq!(order.items[0].sku, "apple");
    assert_eq!(
        (order.items[0].quantity, order.total.amount_minor),
        (2, 300)
    );
    assert_eq!(order.payment_id, basket.payment_id.to_string());
    assert_eq!((&order.delivery, order.payment_status), (&None, None));
    assert_eq!((order.ended_at, order.returned_at), (None, None));

    basket.payment(&shop, basket.initiated()).await;
    let position = basket.order(&shop, order::Event::Reserved).await;
    let order = shown(&shop, &basket, position).await;
    assert_eq!(order.status, orders::Status::Reserved);
    assert_eq!(order.payment_status, Some(payments::Status::Initiated));

    let step = fulfilment::Step::Charge;
    let error = "no answer".to_owned();
    let position = basket
        .saga(&shop, fulfilment::Event::Parked { step, error })
        .await;
    let order = shown(&shop, &basket, position).await;
    assert_eq!((order.status, order.version), (orders::Status::Parked, 2));
    basket.saga(&shop, fulfilment::Event::Retried).await;

    basket.payment(&shop, basket.charged()).await;
    basket.order(&shop, order::Event::Paid).await;
    basket.delivery(&shop, basket.scheduled(None)).await;
    let position = basket
        .order(&shop, order::Event::Scheduled { slot: slot() })
        .await;
    let order = shown(&shop, &basket, position).await;
    assert_eq!(order.status, orders::Status::Scheduled);
    let delivery = order.delivery.unwrap();
    assert_eq!(delivery.id, basket.delivery_id.to_string());
    assert_eq!(
        (delivery.status.as_str(), delivery.slot),
        ("scheduled", Some(slot()))
    );

    basket
        .order(&shop, order::Event::CancellationRequested { reason: None })
        .await;
    let position = basket.order(&shop, order::Event::Completed).await;
    let completed = shown(&shop, &basket, position).await;
    assert_eq!(completed.status, orders::Status::Completed);
    assert!(completed.ended_at >= Some(completed.placed_at));

    let failed = delivery::Event::Failed {
        order_id: basket.order_id,
        reason: "nobody at home".parse().unwrap(),
        is_final: true,
    };
    basket.delivery(&shop, failed).await;
    let position = basket.order(&shop, order::Event::Returned).await;
    let order = shown(&shop, &basket, position).await;
    assert_eq!((order.status, order.version), (orders::Status::Returned, 7));
    assert_eq!(order.delivery.unwrap().status.as_str(), "failed");
    assert_eq!(order.ended_at, completed.ended_at);
    assert!(order.returned_at >= order.ended_at);
    is_as_rebuilt(&shop, ReadModel::Orders).await;
}

#[tokio::test]
async fn a_cancelled_order_says_why() {
    let shop = Shop::open().await;
    let basket = Basket::somebodys();
    basket.order(&shop, basket.created()).await;
    let reason = CancelReason::OutOfStock;
    let position = basket
        .order(&shop, order::Event::Cancelled { reason })
        .await;
    let order = shown(&shop, &basket, position).await;
    assert_eq!(order.status, orders::Status::Cancelled);
    assert_eq!(order.reason.as_deref(), Some("out-of-stock"));
    assert!(order.ended_at.is_some());
}

#[tokio::test]
async fn a_stream_that_was_parked_fills_its_part_in_when_it_is_mended() {
    let shop = Shop::open().await;
    let basket = Basket::somebodys();
    let at = basket.delivery(&shop, basket.scheduled(None)).await;
    let sound = shop.payload(at).await;
    shop.rewrite(at, r#"{"type":"delivery.scheduled"}"#).await;
    let assigned = delivery::Event::Assigned {
        order_id: basket.order_id,
        courier_id: basket.customer_id,
    };
    basket.delivery(&shop, assigned).await;
    let head = basket.complete(&shop).await;
    let order = shown(&shop, &basket, head).await;
    assert_eq!(order.status, orders::Status::Completed);
    assert_eq!(order.delivery, None);

    shop.rewrite(at, &sound).await;
    let letters = dead_letters::list(shop.pool(), Some("orders"), None, 10)
        .await
        .unwrap();
    dead_letters::request_retry(shop.pool(), letters[0].id, "test")
        .await
        .unwrap();
    let order = shown(&shop, &basket, head).await;
    let delivery = order.delivery.unwrap();
    assert_eq!(
        (delivery.status.as_str(), delivery.slot),
        ("assigned", Some(slot()))
    );
    is_as_rebuilt(&shop, ReadModel::Orders).await;
}

#[tokio::test]
async fn a_payment_says_what_became_of_the_money() {
    let shop = Shop::open().await;
    let basket = Basket::somebodys();
    let order_id = basket.order_id;
    let attempt = 1;
    let refunded = payment::Event::Refunded {
        order_id,
        amount: total(),
        reference: "re_1".to_owned(),
    };
    let error = "try later".to_owned();
    let steps = [
        (basket.initiated(), "initiated"),
        (basket.charged(), "completed"),
        (
            payment::Event::RefundRequested { order_id, attempt },
            "refunding",
        ),
        (
            payment::Event::RefundFailed {
                order_id,
                attempt,
                error,
            },
            "refunding",
        ),
        (refunded, "refunded"),
    ];
    let mut errors = Vec::new();
    for (event, status) in steps {
        let position = basket.payment(&shop, event).await;
        let payment = paid(&shop, &basket, position).await.unwrap();
        assert_eq!(payment.status.as_str(), status);
        assert_eq!(payment.customer_id, Some(basket.customer_id.to_string()));
        assert_eq!(payment.amount.as_ref().unwrap().amount_minor, 300);
        errors.push(payment.refund_error);
    }
    let error = Some("try later".to_owned());
    assert_eq!(errors, [None, None, None, error.clone(), error]);
    let head = shop.store.read_head().await.unwrap().position;
    let payment = paid(&shop, &basket, head).await.unwrap();
    assert_eq!(payment.reference.as_deref(), Some("ch_1"));
    assert_eq!(payment.refund_reference.as_deref(), Some("re_1"));
    assert!(payment.updated_at > payment.created_at);

    let voided = Basket::somebodys();
    let order_id = voided.order_id;
    let reason = payment::Failure::Cancelled;
    let detail = None;
    let failed = payment::Event::Failed {
        order_id,
        reason,
        detail,
    };
    let position = voided.payment(&shop, failed).await;
    let payment = paid(&shop, &voided, position).await.unwrap();
    assert_eq!(
        (payment.status.as_str(), payment.customer_id),
        ("failed", None)
    );
    assert_eq!(payment.reason.as_deref(), Some("cancelled"));
    is_as_rebuilt(&shop, ReadModel::Payments).await;
}

async fn paid(shop: &Shop, basket: &Basket, position: i64) -> Option<payments::Payment> {
    shop.bring_up(ReadModel::Payments).await;
    let generation = shop.reached(ReadModel::Payments, position).await;
    let id = basket.payment_id.to_string();
    payments::by_id(shop.pool(), generation, &id).await.unwrap()
}

#[tokio::test]
async fn a_notification_says_what_became_of_it() {
    let shop = Shop::open().await;
    let basket = Basket::somebodys();
    let subject = || notification::Subject {
        user_id: basket.customer_id,
        channel: notification::Channel::Email,
        about: "order.completed".to_owned(),
        order_id: Some(basket.order_id),
        occurred_at: None,
        facts: serde_json::Value::Null,
    };
    let failed = |attempt, is_final| notification::Event::Failed {
        subject: subject(),
        attempt,
        error: "refused".to_owned(),
        is_final,
    };
    let attempted = |attempt| notification::Event::Attempted {
        subject: subject(),
        attempt,
    };
    let sent = notification::Event::Sent {
        subject: subject(),
        attempt: 3,
    };
    let refused = Some("refused");
    let steps = [
        (attempted(1), "pending", 1, None),
        (failed(1, false), "pending", 1, refused),
        (attempted(2), "pending", 2, None),
        (failed(2, true), "failed", 2, refused),
        (attempted(3), "pending", 3, None),
        (sent, "sent", 3, None),
    ];
    let user = basket.customer_id.to_string();
    for (event, status, attempts, error) in steps {
        let position = basket.notification(&shop, event).await;
        shop.bring_up(ReadModel::Notifications).await;
        let generation = shop.reached(ReadModel::Notifications, position).await;
        let listed = notifications::list(shop.pool(), generation, &user, None, 10)
            .await
            .unwrap();
        let [shown] = &listed[..] else {
            panic!("{listed:?}");
        };
        assert_eq!(shown.status.as_str(), status);
        assert_eq!((shown.attempts, shown.error.as_deref()), (attempts, error));
        assert_eq!(
            (&*shown.channel, &*shown.about),
            ("email", "order.completed")
        );
        assert_eq!(shown.order_id, Some(basket.order_id.to_string()));
    }
    is_as_rebuilt(&shop, ReadModel::Notifications).await;
}
