//! Every event of sagas and notifications.

use chrono::DateTime;
use domain::notification::{Channel, Subject};
use domain::{fulfilment, notification, return_goods};
use proptest::prelude::*;

use super::super::returns;
use super::{Parts, parts};

fn fulfilment_events(parts: &Parts) -> Vec<fulfilment::Event> {
    use fulfilment::{Event, Step};
    let (store_id, items) = (|| parts.store_id.clone(), || parts.lines());
    let (payment_id, delivery_id) = (parts.payment_id(), parts.delivery_id());
    let (customer_id, attempt) = (parts.customer_id(), parts.number);
    let reason = parts.cancel_reason;
    let step = if parts.flag {
        Step::CancelDelivery
    } else {
        Step::Charge
    };
    vec![
        Event::Started(fulfilment::Plan {
            customer_id,
            store_id: store_id(),
            items: items(),
            total: parts.amount,
            payment_id,
            delivery_id,
            payment_token: parts.token.clone(),
            address: parts.address.clone(),
        }),
        Event::ReservationRequested {
            store_id: store_id(),
            items: items(),
            attempt,
        },
        Event::PaymentRequested {
            payment_id,
            customer_id,
            amount: parts.amount,
            token: parts.token.clone(),
            attempt,
        },
        Event::DeliveryRequested {
            delivery_id,
            customer_id,
            store_id: store_id(),
            address: parts.address.clone(),
            attempt,
        },
        Event::CommitRequested {
            store_id: store_id(),
            items: items(),
            attempt,
        },
        Event::DeliveryCancellationRequested {
            delivery_id,
            attempt,
        },
        Event::RefundRequested {
            payment_id,
            attempt,
        },
        Event::ReleaseRequested {
            store_id: store_id(),
            items: items(),
            attempt,
        },
        Event::CompensationStarted { reason },
        Event::AttemptFailed {
            step,
            attempt,
            error: parts.words.clone(),
        },
        Event::Parked {
            step,
            error: parts.words.clone(),
        },
        Event::Retried,
        Event::Completed,
        Event::Cancelled { reason },
    ]
}

fn return_events(parts: &Parts) -> Vec<return_goods::Event> {
    use return_goods::{Event, Step};
    let (payment_id, attempt) = (parts.payment_id(), parts.number);
    let step = if parts.flag {
        Step::Refund
    } else {
        Step::Restock
    };
    vec![
        Event::Started(return_goods::Plan {
            store_id: parts.store_id.clone(),
            items: parts.lines(),
            payment_id,
        }),
        Event::RefundRequested {
            payment_id,
            attempt,
        },
        Event::RestockRequested {
            store_id: parts.store_id.clone(),
            items: parts.lines(),
            attempt,
        },
        Event::AttemptFailed {
            step,
            attempt,
            error: parts.words.clone(),
        },
        Event::Parked {
            step,
            error: parts.words.clone(),
        },
        Event::Retried,
        Event::Completed,
    ]
}

fn notification_events(parts: &Parts) -> Vec<notification::Event> {
    use notification::Event;
    let channel = Channel::ALL[parts.number as usize % Channel::ALL.len()];
    let subject = || Subject {
        user_id: parts.customer_id(),
        channel,
        about: parts.words.clone(),
        order_id: parts.flag.then(|| parts.order_id()),
        occurred_at: parts.flag.then_some(DateTime::UNIX_EPOCH),
        facts: serde_json::json!({"reason": parts.words, "amount": parts.number}),
    };
    let attempt = parts.number;
    vec![
        Event::Attempted {
            subject: subject(),
            attempt,
        },
        Event::Sent {
            subject: subject(),
            attempt,
        },
        Event::Failed {
            subject: subject(),
            attempt,
            error: parts.words.clone(),
            is_final: parts.flag,
        },
    ]
}

proptest! {
    #[test]
    fn the_events_of_sagas_and_notifications_return(parts in parts()) {
        fulfilment_events(&parts).iter().try_for_each(returns)?;
        return_events(&parts).iter().try_for_each(returns)?;
        notification_events(&parts).iter().try_for_each(returns)?;
    }
}
