//! An order and the participants of its fulfilment.

use chrono::{DateTime, Utc};
use domain::delivery::Schedule;
use domain::order::CancelReason;
use domain::reservation::{Line, Shortage};
use domain::{
    Currency, DeliveryId, Money, PaymentId, Price, StoreId, UserId, capacity, delivery, order,
    payment, reservation, slot,
};

use super::{PRODUCT_ID, Sample, order_id, pieces, samples, seal, user_id};

const PAYMENT_ID: &str = "0198f000-0000-7000-8000-00000000000d";
const DELIVERY_ID: &str = "0198f000-0000-7000-8000-00000000000e";
const COURIER_ID: &str = "0198f000-0000-7000-8000-00000000000f";

pub(super) fn all() -> Vec<Sample> {
    [
        samples("order", &order_events()),
        samples("reservation", &reservation_events()),
        samples("payment", &payment_events()),
        samples("delivery", &delivery_events()),
        samples("capacity", &capacity_events()),
        samples("slot", &slot_events()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

pub(super) fn store_id() -> StoreId {
    "store-1".parse().unwrap()
}

pub(super) fn payment_id() -> PaymentId {
    PAYMENT_ID.parse().unwrap()
}

pub(super) fn delivery_id() -> DeliveryId {
    DELIVERY_ID.parse().unwrap()
}

pub(super) fn total() -> Money {
    Money::new(1497, Currency::EUR)
}

pub(super) fn lines() -> Vec<Line> {
    vec![Line {
        sku: "AB-BEE-001".parse().unwrap(),
        quantity: pieces(3),
    }]
}

fn hour() -> DateTime<Utc> {
    "2026-11-23T05:00:00Z".parse().unwrap()
}

fn order_events() -> Vec<order::Event> {
    let item = order::Item {
        sku: "AB-BEE-001".parse().unwrap(),
        product_id: PRODUCT_ID.parse().unwrap(),
        name: "Craft lager".parse().unwrap(),
        quantity: pieces(3),
        unit_price: Price::new(499, Currency::EUR).unwrap(),
    };
    vec![
        order::Event::Created {
            customer_id: user_id(),
            store_id: store_id(),
            items: vec![item],
            total: total(),
            payment_id: payment_id(),
            delivery_id: delivery_id(),
            payment_token: seal(0),
            address: Some(seal(32)),
        },
        order::Event::Reserved,
        order::Event::Paid,
        order::Event::Scheduled { slot: hour() },
        order::Event::Completed,
        order::Event::CancellationRequested {
            reason: Some("ordered twice".parse().unwrap()),
        },
        order::Event::Cancelled {
            reason: CancelReason::Customer,
        },
        order::Event::Returned,
    ]
}

fn reservation_events() -> Vec<reservation::Event> {
    let (store_id, items) = (store_id(), lines());
    vec![
        reservation::Event::Confirmed {
            store_id: store_id.clone(),
            items: items.clone(),
        },
        reservation::Event::Rejected {
            store_id: store_id.clone(),
            shortages: vec![Shortage {
                sku: "AB-BEE-001".parse().unwrap(),
                requested: 3,
                available: 1,
            }],
        },
        reservation::Event::Released {
            store_id: store_id.clone(),
            items: items.clone(),
        },
        reservation::Event::Committed { store_id, items },
    ]
}

fn payment_events() -> Vec<payment::Event> {
    let (order_id, amount) = (order_id(), total());
    vec![
        payment::Event::Initiated {
            order_id,
            customer_id: user_id(),
            amount,
            token: seal(0),
        },
        payment::Event::Completed {
            order_id,
            amount,
            reference: "ch_1".to_owned(),
        },
        payment::Event::Failed {
            order_id,
            reason: payment::Failure::Declined,
            detail: Some("insufficient funds".to_owned()),
        },
        payment::Event::RefundRequested {
            order_id,
            attempt: 1,
        },
        payment::Event::Refunded {
            order_id,
            amount,
            reference: "re_1".to_owned(),
        },
        payment::Event::RefundFailed {
            order_id,
            attempt: 1,
            error: "the payment provider did not answer within 10s".to_owned(),
        },
    ]
}

fn delivery_events() -> Vec<delivery::Event> {
    let order_id = order_id();
    let courier_id: UserId = COURIER_ID.parse().unwrap();
    vec![
        delivery::Event::Scheduled(Schedule {
            order_id,
            customer_id: user_id(),
            store_id: store_id(),
            slot: hour(),
            address: Some(seal(32)),
        }),
        delivery::Event::Assigned {
            order_id,
            courier_id,
        },
        delivery::Event::PickedUp { order_id },
        delivery::Event::Completed { order_id },
        delivery::Event::Failed {
            order_id,
            reason: "nobody at home".parse().unwrap(),
            is_final: true,
        },
        delivery::Event::Cancelled { order_id },
    ]
}

fn capacity_events() -> Vec<capacity::Event> {
    vec![capacity::Event::Changed {
        store_id: store_id(),
        per_hour: 120,
    }]
}

fn slot_events() -> Vec<slot::Event> {
    let delivery_id = delivery_id();
    vec![
        slot::Event::Booked {
            delivery_id,
            booked: 17,
        },
        slot::Event::Released {
            delivery_id,
            booked: 16,
        },
    ]
}
