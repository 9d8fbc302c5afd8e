//! Every event of an order, its participants and its sagas, made of whatever their members can be.

use chrono::{DateTime, Utc};
use domain::delivery::Schedule;
use domain::order::{CancelReason, Item};
use domain::payment::Failure;
use domain::reservation::{Line, Shortage};
use domain::{
    Address, DeliveryId, Money, OrderId, PaymentId, PaymentToken, Price, ProductId, Quantity,
    Reason, Sealed, StoreId, UserId, capacity, delivery, order, payment, product, reservation,
    slot,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use uuid::Uuid;

mod sagas;

use super::{TEXT, price, returns, seal, sku, store_id, text, uuid};

/// What the members of all these events are taken from.
#[derive(Debug, Clone)]
struct Parts {
    id: Uuid,
    store_id: StoreId,
    items: Vec<Item>,
    amount: Money,
    token: Sealed<PaymentToken>,
    address: Option<Sealed<Address>>,
    at: DateTime<Utc>,
    number: u32,
    flag: bool,
    words: String,
    reason: Option<Reason>,
    cancel_reason: CancelReason,
}

impl Parts {
    fn lines(&self) -> Vec<Line> {
        let line = |item: &Item| Line {
            sku: item.sku.clone(),
            quantity: item.quantity,
        };
        self.items.iter().map(line).collect()
    }

    fn order_id(&self) -> OrderId {
        OrderId::new(self.id)
    }

    fn customer_id(&self) -> UserId {
        UserId::new(self.id)
    }

    fn payment_id(&self) -> PaymentId {
        PaymentId::new(self.id)
    }

    fn delivery_id(&self) -> DeliveryId {
        DeliveryId::new(self.id)
    }

    fn given_reason(&self) -> Reason {
        self.reason.clone().unwrap_or("none".parse().unwrap())
    }

    fn said(&self) -> Option<String> {
        self.flag.then(|| self.words.clone())
    }
}

fn item() -> impl Strategy<Value = Item> {
    let quantity = (1..=Quantity::MAX).prop_map(|pieces| Quantity::new(pieces).unwrap());
    (sku(), uuid(), text::<product::Name>(), quantity, price()).prop_map(
        |(sku, product_id, name, quantity, unit_price): (_, _, _, _, Price)| Item {
            sku,
            product_id: ProductId::new(product_id),
            name,
            quantity,
            unit_price,
        },
    )
}

fn cancel_reason() -> impl Strategy<Value = CancelReason> {
    prop_oneof![
        Just(CancelReason::OutOfStock),
        Just(CancelReason::PaymentDeclined),
        Just(CancelReason::PaymentTimeout),
        Just(CancelReason::DeliveryUnavailable),
        Just(CancelReason::Customer),
    ]
}

/// Up to the year 9999, which is as far as RFC 3339 goes.
fn moment() -> impl Strategy<Value = DateTime<Utc>> {
    (0..253_402_300_800_i64).prop_map(|seconds| DateTime::from_timestamp(seconds, 0).unwrap())
}

fn parts() -> impl Strategy<Value = Parts> {
    let amount = (any::<i64>(), price())
        .prop_map(|(amount_minor, price)| Money::new(amount_minor, price.currency()));
    let sealed = (seal(), option::of(seal()));
    let rest = (any::<u32>(), any::<bool>(), TEXT, option::of(text()));
    (
        uuid(),
        store_id(),
        vec(item(), 0..4),
        amount,
        sealed,
        moment(),
        rest,
        cancel_reason(),
    )
        .prop_map(
            |(id, store_id, items, amount, (token, address), at, rest, cancel_reason)| {
                let (number, flag, words, reason) = rest;
                Parts {
                    id,
                    store_id,
                    items,
                    amount,
                    token,
                    address,
                    at,
                    number,
                    flag,
                    words,
                    reason,
                    cancel_reason,
                }
            },
        )
}

fn order_events(parts: &Parts) -> Vec<order::Event> {
    vec![
        order::Event::Created {
            customer_id: parts.customer_id(),
            store_id: parts.store_id.clone(),
            items: parts.items.clone(),
            total: parts.amount,
            payment_id: parts.payment_id(),
            delivery_id: parts.delivery_id(),
            payment_token: parts.token.clone(),
            address: parts.address.clone(),
        },
        order::Event::Reserved,
        order::Event::Paid,
        order::Event::Scheduled { slot: parts.at },
        order::Event::Completed,
        order::Event::CancellationRequested {
            reason: parts.reason.clone(),
        },
        order::Event::Cancelled {
            reason: parts.cancel_reason,
        },
        order::Event::Returned,
    ]
}

fn reservation_events(parts: &Parts) -> Vec<reservation::Event> {
    let (store_id, items) = (|| parts.store_id.clone(), || parts.lines());
    let shortage = |line: Line| Shortage {
        sku: line.sku,
        requested: line.quantity.get(),
        available: parts.number,
    };
    vec![
        reservation::Event::Confirmed {
            store_id: store_id(),
            items: items(),
        },
        reservation::Event::Rejected {
            store_id: store_id(),
            shortages: items().into_iter().map(shortage).collect(),
        },
        reservation::Event::Released {
            store_id: store_id(),
            items: items(),
        },
        reservation::Event::Committed {
            store_id: store_id(),
            items: items(),
        },
    ]
}

fn payment_events(parts: &Parts) -> Vec<payment::Event> {
    let (order_id, amount) = (parts.order_id(), parts.amount);
    let (attempt, words) = (parts.number, || parts.words.clone());
    vec![
        payment::Event::Initiated {
            order_id,
            customer_id: parts.customer_id(),
            amount,
            token: parts.token.clone(),
        },
        payment::Event::Completed {
            order_id,
            amount,
            reference: words(),
        },
        payment::Event::Failed {
            order_id,
            reason: if parts.flag {
                Failure::Declined
            } else {
                Failure::Cancelled
            },
            detail: parts.said(),
        },
        payment::Event::RefundRequested { order_id, attempt },
        payment::Event::Refunded {
            order_id,
            amount,
            reference: words(),
        },
        payment::Event::RefundFailed {
            order_id,
            attempt,
            error: words(),
        },
    ]
}

fn delivery_events(parts: &Parts) -> Vec<delivery::Event> {
    let (order_id, courier_id) = (parts.order_id(), parts.customer_id());
    vec![
        delivery::Event::Scheduled(Schedule {
            order_id,
            customer_id: parts.customer_id(),
            store_id: parts.store_id.clone(),
            slot: parts.at,
            address: parts.address.clone(),
        }),
        delivery::Event::Assigned {
            order_id,
            courier_id,
        },
        delivery::Event::PickedUp { order_id },
        delivery::Event::Completed { order_id },
        delivery::Event::Failed {
            order_id,
            reason: parts.given_reason(),
            is_final: parts.flag,
        },
        delivery::Event::Cancelled { order_id },
    ]
}

fn slot_events(parts: &Parts) -> Vec<slot::Event> {
    let (delivery_id, booked) = (parts.delivery_id(), parts.number);
    vec![
        slot::Event::Booked {
            delivery_id,
            booked,
        },
        slot::Event::Released {
            delivery_id,
            booked,
        },
    ]
}

proptest! {
    #[test]
    fn the_events_of_an_order_return(parts in parts()) {
        order_events(&parts).iter().try_for_each(returns)?;
        reservation_events(&parts).iter().try_for_each(returns)?;
        payment_events(&parts).iter().try_for_each(returns)?;
        delivery_events(&parts).iter().try_for_each(returns)?;
        slot_events(&parts).iter().try_for_each(returns)?;
        returns(&capacity::Event::Changed {
            store_id: parts.store_id.clone(),
            per_hour: parts.number,
        })?;
    }
}
