//! The sagas of an order, and what its customer is told.

use domain::notification::{Channel, Subject};
use domain::order::CancelReason;
use domain::{fulfilment, notification, return_goods};

use super::orders::{delivery_id, lines, payment_id, store_id, total};
use super::{Sample, order_id, samples, seal, user_id};

const NO_ANSWER: &str = "no answer came in time";

pub(super) fn all() -> Vec<Sample> {
    [
        samples("fulfilment", &fulfilment_requests()),
        samples("fulfilment", &fulfilment_decisions()),
        samples("return", &return_events()),
        samples("notification", &notification_events()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn fulfilment_requests() -> Vec<fulfilment::Event> {
    use fulfilment::Event::{
        CommitRequested, DeliveryCancellationRequested, DeliveryRequested, PaymentRequested,
        RefundRequested, ReleaseRequested, ReservationRequested,
    };
    let (store_id, items) = (store_id(), lines());
    let (payment_id, delivery_id) = (payment_id(), delivery_id());
    let attempt = 1;
    vec![
        ReservationRequested {
            store_id: store_id.clone(),
            items: items.clone(),
            attempt,
        },
        PaymentRequested {
            payment_id,
            customer_id: user_id(),
            amount: total(),
            token: seal(0),
            attempt,
        },
        DeliveryRequested {
            delivery_id,
            customer_id: user_id(),
            store_id: store_id.clone(),
            address: Some(seal(32)),
            attempt,
        },
        CommitRequested {
            store_id: store_id.clone(),
            items: items.clone(),
            attempt,
        },
        DeliveryCancellationRequested {
            delivery_id,
            attempt,
        },
        RefundRequested {
            payment_id,
            attempt,
        },
        ReleaseRequested {
            store_id,
            items,
            attempt,
        },
    ]
}

fn fulfilment_decisions() -> Vec<fulfilment::Event> {
    use fulfilment::{Event, Plan, Step};
    let reason = CancelReason::PaymentTimeout;
    vec![
        Event::Started(Plan {
            customer_id: user_id(),
            store_id: store_id(),
            items: lines(),
            total: total(),
            payment_id: payment_id(),
            delivery_id: delivery_id(),
            payment_token: seal(0),
            address: Some(seal(32)),
        }),
        Event::CompensationStarted { reason },
        Event::AttemptFailed {
            step: Step::CancelDelivery,
            attempt: 1,
            error: NO_ANSWER.to_owned(),
        },
        Event::Parked {
            step: Step::Refund,
            error: NO_ANSWER.to_owned(),
        },
        Event::Retried,
        Event::Completed,
        Event::Cancelled { reason },
    ]
}

fn return_events() -> Vec<return_goods::Event> {
    use return_goods::{Event, Plan, Step};
    vec![
        Event::Started(Plan {
            store_id: store_id(),
            items: lines(),
            payment_id: payment_id(),
        }),
        Event::RefundRequested {
            payment_id: payment_id(),
            attempt: 1,
        },
        Event::RestockRequested {
            store_id: store_id(),
            items: lines(),
            attempt: 1,
        },
        Event::AttemptFailed {
            step: Step::Refund,
            attempt: 1,
            error: NO_ANSWER.to_owned(),
        },
        Event::Parked {
            step: Step::Restock,
            error: NO_ANSWER.to_owned(),
        },
        Event::Retried,
        Event::Completed,
    ]
}

fn notification_events() -> Vec<notification::Event> {
    use notification::Event;
    let subject = || Subject {
        user_id: user_id(),
        channel: Channel::Webhook,
        about: "order.completed".to_owned(),
        order_id: Some(order_id()),
        occurred_at: None,
        facts: serde_json::Value::Null,
    };
    vec![
        Event::Attempted {
            subject: subject(),
            attempt: 2,
        },
        Event::Sent {
            subject: subject(),
            attempt: 2,
        },
        Event::Failed {
            subject: subject(),
            attempt: 2,
            error: "connection refused".to_owned(),
            is_final: false,
        },
    ]
}
