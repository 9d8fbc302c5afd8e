//! Money that must not be kept, whatever the provider and its customers do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use domain::payment::{Call, Command, Due, Error, Event, TRIES_MAX};
use domain::{Currency, Money, OrderId, Payment, PaymentId, Sealed, UserId, fulfilment};
use eventstore::{
    CommandContext, Decided, Metadata, Sealer, Stream, Timer, TimerChange, dead_letters,
};
use reactors::payment::REFUND;
use reactors::payment_provider::{
    Charge, ChargeOutcome, PaymentProvider, Refund, RefundOutcome, Unavailable,
};
use testing::until;
use uuid::Uuid;

use crate::shop::{LONG, Shop};

/// Keeps a record of what it does. Whoever pays is erased while it charges them, and the answer is lost.
struct Erasing {
    sealer: Sealer,
    subject: String,
    record: Arc<Record>,
}

#[derive(Default)]
struct Record {
    charged: AtomicU32,
    refunded: AtomicU32,
}

#[async_trait]
impl PaymentProvider for Erasing {
    async fn charge(&self, _: &Charge) -> Result<ChargeOutcome, Unavailable> {
        self.record.charged.fetch_add(1, Ordering::Relaxed);
        self.sealer.destroy(&self.subject).await.unwrap();
        Err(Unavailable::Failed("the answer was lost".to_owned()))
    }

    async fn refund(&self, _: &Refund) -> Result<RefundOutcome, Unavailable> {
        if self.record.charged.load(Ordering::Relaxed) == 0 {
            return Ok(RefundOutcome::NothingCharged);
        }
        self.record.refunded.fetch_add(1, Ordering::Relaxed);
        let reference = "re_1".to_owned();
        Ok(RefundOutcome::Refunded { reference })
    }
}

#[tokio::test]
async fn money_of_a_customer_who_is_erased_while_it_is_taken_goes_back() {
    let mut shop = Shop::open().await;
    let customer = shop.customer("ada").await;
    let ale = (shop.product("ALE-1", 10).await, "ALE-1");
    let order = shop.place(customer, ale, 3, "tok_ok").await;
    let record = Arc::new(Record::default());
    let provider = Erasing {
        sealer: shop.store.sealer().clone(),
        subject: customer.to_string(),
        record: Arc::clone(&record),
    };
    // Long beside the time after which the provider is called again.
    let patience = fulfilment::Patience {
        payment: std::time::Duration::from_secs(3),
        reply: LONG,
    };
    shop.everybody(provider, patience);
    assert_eq!(shop.end(order).await, "payment-timeout");
    assert_eq!(record.charged.load(Ordering::Relaxed), 1);
    assert_eq!(record.refunded.load(Ordering::Relaxed), 1);
    let (_, payment) = shop.payment_of(order).await;
    assert!(matches!(payment, Some(Payment::Refunded(_))), "{payment:?}");
    assert_eq!(shop.levels("ALE-1").await.available(), 10);
    assert_eq!(shop.timers().await, []);
    shop.close().await;
}

/// Gives nothing back until it is mended.
struct Closed(Arc<AtomicU32>);

#[async_trait]
impl PaymentProvider for Closed {
    async fn charge(&self, _: &Charge) -> Result<ChargeOutcome, Unavailable> {
        unreachable!("nothing is charged here")
    }

    async fn refund(&self, _: &Refund) -> Result<RefundOutcome, Unavailable> {
        if self.0.load(Ordering::Relaxed) == 0 {
            return Err(Unavailable::Failed("the books are closed".to_owned()));
        }
        let reference = "re_1".to_owned();
        Ok(RefundOutcome::Refunded { reference })
    }
}

const CORRELATION: &str = "correlation-1";

/// A payment whose refund was asked for, by nobody who waits for it.
async fn refunding(shop: &Shop, attempt: u32) -> PaymentId {
    let payment_id = PaymentId::new(Uuid::now_v7());
    let order_id = OrderId::new(Uuid::now_v7());
    let initiate = Command::Initiate {
        order_id,
        customer_id: UserId::new(Uuid::now_v7()),
        amount: Money::new(750, Currency::EUR),
        token: Sealed::new("nobody", vec![1]),
    };
    let reference = "ch_1".to_owned();
    let commands = [
        initiate,
        Command::Complete { reference },
        Command::Refund { order_id, attempt },
    ];
    for command in commands {
        let stream = Stream::<Payment>::new(payment_id.to_string());
        let context = CommandContext {
            correlation_id: Some(CORRELATION.to_owned()),
            ..CommandContext::new("pay")
        };
        let decide = move |payment: &Payment| {
            let events = payment.decide(command.clone())?;
            let calls = events.iter().filter_map(Event::begins);
            let set = |call: Call| {
                let attempt = 1;
                let due = Due {
                    payment_id,
                    attempt,
                };
                let cause = Metadata {
                    correlation_id: Some(CORRELATION.to_owned()),
                    ..Metadata::default()
                };
                let name = call.timer_name(payment_id);
                TimerChange::Set(Timer::new(name, DateTime::UNIX_EPOCH, due, &cause))
            };
            let calls = calls.filter(|call| *call == Call::Refund).map(set);
            let timers = calls.collect();
            Ok::<_, Error>(Decided::with_timers(events, timers))
        };
        shop.store.execute(stream, context, decide).await.unwrap();
    }
    payment_id
}

async fn failures(shop: &Shop, payment_id: PaymentId) -> Vec<u32> {
    let id = payment_id.to_string();
    let events = shop.stream::<Event>("payment", &id).await;
    let failed = |event| match event {
        Event::RefundFailed { attempt, .. } => Some(attempt),
        _ => None,
    };
    events.into_iter().filter_map(failed).collect()
}

#[tokio::test]
async fn a_refund_that_no_saga_waits_for_is_tried_for_hours_and_then_an_operators() {
    let mut shop = Shop::open().await;
    let mended = Arc::new(AtomicU32::new(0));
    shop.payments(Closed(Arc::clone(&mended)));
    // Two attempts before the last.
    let first = TRIES_MAX - 2;
    let payment_id = refunding(&shop, first).await;
    let name = Call::Refund.timer_name(payment_id);
    for attempt in first..TRIES_MAX {
        let waits = async || match &shop.timers().await[..] {
            [(set, due_at)] => *set == name && *due_at > Utc::now() + TimeDelta::minutes(30),
            _ => false,
        };
        until(&format!("after attempt {attempt} it waits"), LONG, waits).await;
        assert_eq!(failures(&shop, payment_id).await.last(), Some(&attempt));
        sqlx::query("update timers set due_at = statement_timestamp()")
            .execute(shop.store.pool())
            .await
            .unwrap();
    }
    let pool = shop.store.pool().clone();
    let letters = async || dead_letters::list(&pool, None, None, 10).await.unwrap();
    until("a dead letter", LONG, async || letters().await.len() == 1).await;
    let letter = letters().await.remove(0);
    assert_eq!(
        (letter.consumer.as_str(), letter.stream_id.as_str()),
        (REFUND, payment_id.to_string().as_str())
    );
    assert!(letter.error.unwrap().contains("the books are closed"));
    let tried: Vec<u32> = (first..=TRIES_MAX).collect();
    assert_eq!(failures(&shop, payment_id).await, tried);
    assert_eq!(shop.timers().await, []);

    mended.store(1, Ordering::Relaxed);
    dead_letters::request_retry(&pool, letter.id, "an operator")
        .await
        .unwrap();
    let refunded = async || {
        let log = shop.log().await;
        let refunded = log.iter().filter(|it| it.event_type == "payment.refunded");
        refunded.count() == 1 && letters().await.is_empty()
    };
    until("the money is back", LONG, refunded).await;
    let log = shop.log().await;
    let refunded = log.last().unwrap();
    assert_eq!(refunded.event_type, "payment.refunded");
    let metadata = refunded.metadata();
    assert_eq!(metadata.correlation_id.as_deref(), Some(CORRELATION));
    shop.close().await;
}
