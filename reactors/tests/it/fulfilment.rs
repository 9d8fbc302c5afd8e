//! Orders on their way, with every participant at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use cqrs_es::Aggregate;
use domain::saga::{NotParked, Saga};
use domain::stock::Levels;
use domain::{Fulfilment, Payment, fulfilment, payment};
use eventstore::{CommandContext, Decided, Metadata, Stream, Timer, TimerChange};
use reactors::delivery::Deliveries;
use reactors::inventory::Inventory;
use reactors::payment_provider::{
    BuiltInProvider, Charge, ChargeOutcome, Patience as Calls, Patient, PaymentProvider, Refund,
    RefundOutcome, Unavailable,
};
use std::time::Duration;
use testing::until;

use crate::shop::{LONG, PATIENT, SHORT, Shop};

fn built_in() -> impl PaymentProvider {
    let patience = Calls {
        call: Duration::from_millis(400),
        attempt: Duration::from_millis(150),
        pause: Duration::from_millis(10),
    };
    Patient::with_patience(BuiltInProvider, patience)
}

#[tokio::test]
async fn an_order_is_reserved_paid_scheduled_and_completed_under_one_correlation_id() {
    let mut shop = Shop::open().await;
    shop.everybody(built_in(), PATIENT);
    let customer = shop.customer("ada").await;
    let ale = (shop.product("ALE-1", 10).await, "ALE-1");
    let order = shop.place(customer, ale, 3, "tok_ok").await;
    assert_eq!(shop.end(order).await, "completed");

    let expected = [
        "order.created",
        "fulfilment.started",
        "fulfilment.reservation-requested",
        "reservation.confirmed",
        "inventory.reserved",
        "inventory.low-stock",
        "fulfilment.payment-requested",
        "order.reserved",
        "payment.initiated",
        "payment.completed",
        "fulfilment.delivery-requested",
        "order.paid",
        "delivery.scheduled",
        "slot.booked",
        "fulfilment.commit-requested",
        "order.scheduled",
        "reservation.committed",
        "inventory.committed",
        "fulfilment.completed",
        "order.completed",
    ];
    // Ten pieces are at the threshold from the beginning: nothing falls to it.
    let expected: Vec<&str> = expected
        .into_iter()
        .filter(|event| *event != "inventory.low-stock")
        .collect();
    assert_eq!(shop.story(order).await, expected);
    let levels = Levels {
        on_hand: 7,
        reserved: 0,
    };
    assert_eq!(shop.levels("ALE-1").await, levels);
    let (_, paid) = shop.payment_of(order).await;
    let Some(Payment::Completed(charge)) = paid else {
        panic!("{paid:?}");
    };
    // The price is the catalogue's, not what the caller had looked up.
    assert_eq!(charge.amount.amount_minor, 750);
    assert_eq!(shop.timers().await, []);
    shop.close().await;
}

#[tokio::test]
async fn what_fails_is_undone_and_told() {
    let mut shop = Shop::open().await;
    // Long beside what a busy machine takes for a payment that is answered.
    let patience = fulfilment::Patience {
        payment: Duration::from_secs(5),
        reply: LONG,
    };
    shop.everybody(built_in(), patience);
    let customer = shop.customer("ada").await;
    let ale = (shop.product("ALE-1", 10).await, "ALE-1");
    for (pieces, token, end) in [
        (11, "tok_ok", "out-of-stock"),
        (3, "tok_declined", "payment-declined"),
        (3, "tok_timeout", "payment-timeout"),
    ] {
        let order = shop.place(customer, ale, pieces, token).await;
        assert_eq!(shop.end(order).await, end);
        let levels = Levels {
            on_hand: 10,
            reserved: 0,
        };
        assert_eq!(shop.levels("ALE-1").await, levels, "{end}");
        let (_, payment) = shop.payment_of(order).await;
        assert!(
            matches!(payment, None | Some(Payment::Failed(_))),
            "{payment:?}"
        );
    }
    shop.close().await;
}

#[tokio::test]
async fn a_delivery_that_nobody_can_make_gives_the_money_back() {
    let mut shop = Shop::open().await;
    shop.everybody(built_in(), PATIENT);
    shop.capacity(0).await;
    let customer = shop.customer("ada").await;
    let ale = (shop.product("ALE-1", 10).await, "ALE-1");
    let order = shop.place(customer, ale, 3, "tok_ok").await;
    assert_eq!(shop.end(order).await, "delivery-unavailable");
    let (_, payment) = shop.payment_of(order).await;
    assert!(matches!(payment, Some(Payment::Refunded(_))), "{payment:?}");
    assert_eq!(shop.levels("ALE-1").await.available(), 10);
    assert_eq!(shop.timers().await, []);
    shop.close().await;
}

/// Cancels at each step of the way: who would take the next one is not there yet.
#[tokio::test]
async fn a_customer_cancels_wherever_the_order_is() {
    for step in 0..5 {
        let mut shop = Shop::open().await;
        let customer = shop.customer("ada").await;
        let ale = (shop.product("ALE-1", 10).await, "ALE-1");
        let order = shop.place(customer, ale, 3, "tok_ok").await;
        if step > 0 {
            shop.sagas(PATIENT);
            until("it waits", LONG, async || shop.story(order).await.len() > 2).await;
        }
        if step == 2 {
            shop.react(Inventory::new(shop.store.clone()));
            reached(&shop, order, "order.reserved").await;
        }
        if step >= 3 {
            shop.react(Inventory::new(shop.store.clone()));
            shop.payments(built_in());
            reached(&shop, order, "order.paid").await;
        }
        shop.cancel(order).await;
        match step {
            0 => shop.everybody(built_in(), PATIENT),
            1 => {
                shop.react(Inventory::new(shop.store.clone()));
                shop.payments(built_in());
                shop.react(Deliveries::new(shop.store.clone()));
            }
            2 => {
                shop.payments(built_in());
                shop.react(Deliveries::new(shop.store.clone()));
            }
            _ => shop.react(Deliveries::new(shop.store.clone())),
        }
        assert_eq!(shop.end(order).await, "customer", "step {step}");
        assert_eq!(shop.levels("ALE-1").await.reserved, 0, "step {step}");
        assert_eq!(shop.levels("ALE-1").await.on_hand, 10, "step {step}");
        let (_, payment) = shop.payment_of(order).await;
        let is_even = matches!(
            payment,
            None | Some(Payment::Failed(_) | Payment::Refunded(_))
        );
        assert!(is_even, "step {step}: {payment:?}");
        shop.close().await;
    }
}

async fn reached(shop: &Shop, order: domain::OrderId, event: &str) {
    let has = async || shop.story(order).await.iter().any(|it| it == event);
    until(event, LONG, has).await;
}

/// Fails refunds until it is mended, and counts what it does.
struct Stubborn {
    mended: Arc<AtomicU32>,
}

#[async_trait]
impl PaymentProvider for Stubborn {
    async fn charge(&self, charge: &Charge) -> Result<ChargeOutcome, Unavailable> {
        BuiltInProvider.charge(charge).await
    }

    async fn refund(&self, refund: &Refund) -> Result<RefundOutcome, Unavailable> {
        if self.mended.load(Ordering::Relaxed) == 0 {
            return Err(Unavailable::Failed("the books are closed".to_owned()));
        }
        BuiltInProvider.refund(refund).await
    }
}

#[tokio::test]
async fn a_refund_that_keeps_failing_parks_the_saga_until_somebody_retries() {
    let mut shop = Shop::open().await;
    let mended = Arc::new(AtomicU32::new(0));
    let provider = Stubborn {
        mended: Arc::clone(&mended),
    };
    let patience = fulfilment::Patience {
        payment: LONG,
        reply: Duration::from_millis(100),
    };
    shop.everybody(provider, patience);
    shop.capacity(0).await;
    let customer = shop.customer("ada").await;
    let ale = (shop.product("ALE-1", 10).await, "ALE-1");
    let order = shop.place(customer, ale, 3, "tok_ok").await;
    reached(&shop, order, "fulfilment.parked").await;
    let saga = shop
        .stream::<fulfilment::Event>(Fulfilment::TYPE, &order.to_string())
        .await;
    let attempts = saga
        .iter()
        .filter(|event| matches!(event, fulfilment::Event::RefundRequested { .. }));
    assert_eq!(attempts.count(), 6);
    assert!(
        matches!(saga.last(), Some(fulfilment::Event::Parked { error, .. }) if error.contains("the books are closed")),
        "{saga:?}"
    );
    assert_eq!(shop.timers().await, [], "what halts waits for nobody");

    mended.store(1, Ordering::Relaxed);
    retry(&shop, order).await;
    assert_eq!(shop.end(order).await, "delivery-unavailable");
    let (id, _) = shop.payment_of(order).await;
    let payment = shop
        .stream::<payment::Event>(Payment::TYPE, &id.to_string())
        .await;
    let refunded = payment
        .iter()
        .filter(|event| matches!(event, payment::Event::Refunded { .. }));
    assert_eq!(refunded.count(), 1);
    assert_eq!(shop.levels("ALE-1").await.available(), 10);
    shop.close().await;
}

/// As the operators' API does it.
async fn retry(shop: &Shop, order_id: domain::OrderId) {
    let stream = Stream::<Fulfilment>::new(order_id.to_string());
    let decide = move |saga: &Fulfilment| {
        let events = saga.retry()?;
        let due_at = chrono::Utc::now() + LONG;
        let awaited = saga.after(&events).awaited(order_id);
        let name = Fulfilment::timer_name(order_id);
        let timer = Timer::new(name, due_at, awaited, &Metadata::default());
        let timers = vec![TimerChange::Set(timer)];
        Ok::<_, NotParked>(Decided::with_timers(events, timers))
    };
    let context = CommandContext::new("retry");
    let retried = shop.store.execute(stream, context, decide).await;
    retried.unwrap();
}

/// Somebody must have asked twice: the store's answer came before the second request was handled.
#[tokio::test]
async fn a_participant_that_is_asked_twice_acts_once() {
    let mut shop = Shop::open().await;
    shop.sagas(fulfilment::Patience {
        payment: LONG,
        ..SHORT
    });
    let customer = shop.customer("ada").await;
    let ale = (shop.product("ALE-1", 10).await, "ALE-1");
    let order = shop.place(customer, ale, 3, "tok_ok").await;
    let asked = async || {
        let story = shop.story(order).await;
        let requests = story
            .iter()
            .filter(|event| *event == "fulfilment.reservation-requested");
        requests.count() >= 3
    };
    until("the silent store was asked three times", LONG, asked).await;
    shop.react(Inventory::new(shop.store.clone()));
    shop.payments(built_in());
    shop.react(Deliveries::new(shop.store.clone()));
    assert_eq!(shop.end(order).await, "completed");
    let story = shop.story(order).await;
    let count = |wanted: &str| story.iter().filter(|event| *event == wanted).count();
    assert_eq!(count("reservation.confirmed"), 1);
    assert_eq!(count("inventory.reserved"), 1);
    assert_eq!(count("payment.completed"), 1);
    assert_eq!(shop.levels("ALE-1").await.on_hand, 7);
    shop.close().await;
}
