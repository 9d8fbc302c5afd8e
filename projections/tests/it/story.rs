//! The life of an order, told event by event as its sagas and their participants do.

use std::fmt::Display;

use cqrs_es::{Aggregate, DomainEvent as _};
use domain::order::CancelReason;
use domain::reservation::{Line, Shortage};
use domain::{
    Delivery, Fulfilment, Order, Payment, Quantity, Reservation, Return, Sealed, delivery,
    fulfilment, order, payment, reservation, return_goods,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::ordering::{Basket, slot, total};
use crate::shop::Shop;

/// What somebody other than its customer does is asked for by these.
pub const STAFF: &str = "0198c0de-0000-7000-8000-0000000000aa";
pub const COURIER: &str = "0198c0de-0000-7000-8000-0000000000bb";

/// An event of any stream of an order.
#[derive(Clone)]
pub enum Event {
    Order(order::Event),
    Reservation(reservation::Event),
    Payment(payment::Event),
    Delivery(delivery::Event),
    Fulfilment(fulfilment::Event),
    Return(return_goods::Event),
}

/// What happened, and what stands beside it.
#[derive(Clone)]
pub struct Told {
    pub event: Event,
    pub metadata: Value,
}

/// In answer to another event, on the customer's behalf.
pub fn answer(basket: &Basket, event: Event) -> Told {
    let customer = basket.customer_id.to_string();
    Told {
        event,
        metadata: json!({"user_id": customer, "causation_id": Uuid::now_v7().to_string()}),
    }
}

/// By a person.
pub fn asked(by: impl Display, event: Event) -> Told {
    Told {
        event,
        metadata: json!({"user_id": by.to_string(), "correlation_id": Uuid::now_v7().to_string()}),
    }
}

/// Writes an event past every rule; its position.
pub async fn tell(shop: &Shop, basket: &Basket, told: Told) -> i64 {
    let Told { event, metadata } = told;
    let order = basket.order_id;
    match event {
        Event::Order(event) => write::<Order>(shop, order, event, metadata).await,
        Event::Reservation(event) => write::<Reservation>(shop, order, event, metadata).await,
        Event::Payment(event) => write::<Payment>(shop, basket.payment_id, event, metadata).await,
        Event::Delivery(event) => {
            write::<Delivery>(shop, basket.delivery_id, event, metadata).await
        }
        Event::Fulfilment(event) => write::<Fulfilment>(shop, order, event, metadata).await,
        Event::Return(event) => write::<Return>(shop, order, event, metadata).await,
    }
}

/// Writes several; the last position.
pub async fn tell_all(shop: &Shop, basket: &Basket, told: impl IntoIterator<Item = Told>) -> i64 {
    let mut position = 0;
    for told in told {
        position = tell(shop, basket, told).await;
    }
    position
}

async fn write<A: Aggregate>(
    shop: &Shop,
    id: impl Display,
    event: A::Event,
    metadata: Value,
) -> i64 {
    sqlx::query_scalar(
        "insert into events (position, event_id, aggregate_type, aggregate_id, sequence,
                             event_type, event_version, payload, metadata, recorded_at)
         select coalesce(max(position), 0) + 1, gen_random_uuid(), $1, $2,
                coalesce(max(sequence) filter (where aggregate_type = $1 and aggregate_id = $2), 0) + 1,
                $3, '1.0', $4::json, $5::json, clock_timestamp()
         from events returning position",
    )
    .bind(A::TYPE)
    .bind(id.to_string())
    .bind(event.event_type())
    .bind(serde_json::to_string(&event).unwrap())
    .bind(metadata.to_string())
    .fetch_one(shop.pool())
    .await
    .unwrap()
}

pub fn lines() -> Vec<Line> {
    vec![Line {
        sku: "apple".parse().unwrap(),
        quantity: Quantity::new(2).unwrap(),
    }]
}

pub fn plan(basket: &Basket) -> fulfilment::Plan {
    let customer = basket.customer_id.to_string();
    fulfilment::Plan {
        customer_id: basket.customer_id,
        store_id: "berlin-1".parse().unwrap(),
        items: lines(),
        total: total(),
        payment_id: basket.payment_id,
        delivery_id: basket.delivery_id,
        payment_token: Sealed::new(customer, vec![1]),
        address: None,
    }
}

/// What the saga asks for, by step.
pub fn request(basket: &Basket, step: fulfilment::Step, attempt: u32) -> Event {
    use fulfilment::Event as Saga;
    use fulfilment::Step;
    let plan = plan(basket);
    let (store_id, items) = (plan.store_id, plan.items);
    let (payment_id, delivery_id) = (plan.payment_id, plan.delivery_id);
    let customer_id = plan.customer_id;
    Event::Fulfilment(match step {
        Step::Reserve => Saga::ReservationRequested {
            store_id,
            items,
            attempt,
        },
        Step::Charge => Saga::PaymentRequested {
            payment_id,
            customer_id,
            amount: plan.total,
            token: plan.payment_token,
            attempt,
        },
        Step::Schedule => Saga::DeliveryRequested {
            delivery_id,
            customer_id,
            store_id,
            address: None,
            attempt,
        },
        Step::Commit => Saga::CommitRequested {
            store_id,
            items,
            attempt,
        },
        Step::CancelDelivery => Saga::DeliveryCancellationRequested {
            delivery_id,
            attempt,
        },
        Step::Refund => Saga::RefundRequested {
            payment_id,
            attempt,
        },
        Step::Release => Saga::ReleaseRequested {
            store_id,
            items,
            attempt,
        },
    })
}

/// From its placing to its completion.
pub fn completion(basket: &Basket) -> Vec<Told> {
    use fulfilment::Step;
    let store_id = plan(basket).store_id;
    let items = lines();
    let answered = [
        Event::Fulfilment(fulfilment::Event::Started(plan(basket))),
        request(basket, Step::Reserve, 1),
        Event::Reservation(reservation::Event::Confirmed {
            store_id: store_id.clone(),
            items: items.clone(),
        }),
        request(basket, Step::Charge, 1),
        Event::Order(order::Event::Reserved),
        Event::Payment(basket.initiated()),
        Event::Payment(basket.charged()),
        request(basket, Step::Schedule, 1),
        Event::Order(order::Event::Paid),
        Event::Delivery(basket.scheduled(None)),
        request(basket, Step::Commit, 1),
        Event::Order(order::Event::Scheduled { slot: slot() }),
        Event::Reservation(reservation::Event::Committed { store_id, items }),
        Event::Fulfilment(fulfilment::Event::Completed),
        Event::Order(order::Event::Completed),
    ];
    let placed = asked(basket.customer_id, Event::Order(basket.created()));
    let answered = answered.map(|event| answer(basket, event));
    std::iter::once(placed).chain(answered).collect()
}

/// A delivery that fails for good, and everything is taken back.
pub fn return_of(basket: &Basket) -> Vec<Told> {
    use return_goods::Event as Saga;
    let order_id = basket.order_id;
    let (payment_id, items) = (basket.payment_id, lines());
    let store_id = plan(basket).store_id;
    let courier_id = COURIER.parse().unwrap();
    let failed = delivery::Event::Failed {
        order_id,
        reason: "nobody opened".parse().unwrap(),
        is_final: true,
    };
    let on_the_way = [
        delivery::Event::Assigned {
            order_id,
            courier_id,
        },
        delivery::Event::PickedUp { order_id },
        failed,
    ];
    let refunded = payment::Event::Refunded {
        order_id,
        amount: total(),
        reference: "re_1".to_owned(),
    };
    let taken_back = [
        Event::Return(Saga::Started(return_goods::Plan {
            store_id: store_id.clone(),
            items: items.clone(),
            payment_id,
        })),
        Event::Return(Saga::RefundRequested {
            payment_id,
            attempt: 1,
        }),
        Event::Payment(payment::Event::RefundRequested {
            order_id,
            attempt: 1,
        }),
        Event::Payment(refunded),
        Event::Return(Saga::RestockRequested {
            store_id: store_id.clone(),
            items: items.clone(),
            attempt: 1,
        }),
        Event::Reservation(reservation::Event::Released { store_id, items }),
        Event::Return(Saga::Completed),
        Event::Order(order::Event::Returned),
    ];
    let on_the_way = on_the_way.map(|event| asked(COURIER, Event::Delivery(event)));
    let taken_back = taken_back.map(|event| answer(basket, event));
    on_the_way.into_iter().chain(taken_back).collect()
}

/// A store that is short of this many SKUs.
pub fn rejection(basket: &Basket, skus: usize) -> Event {
    let shortage = |sku: usize| Shortage {
        sku: format!("sku-{sku}").parse().unwrap(),
        requested: 3,
        available: 1,
    };
    Event::Reservation(reservation::Event::Rejected {
        store_id: plan(basket).store_id,
        shortages: (1..=skus).map(shortage).collect(),
    })
}

/// Everything up to a refund that halts the saga, after the customer has called the order off.
pub fn parked(basket: &Basket, error: &str) -> Vec<Told> {
    use fulfilment::Event as Saga;
    use fulfilment::Step;
    let reason = CancelReason::Customer;
    let called_off = order::Event::CancellationRequested {
        reason: Some("ordered twice".parse().unwrap()),
    };
    // Up to the outstanding charge.
    let mut told: Vec<Told> = completion(basket).into_iter().take(7).collect();
    told.push(asked(basket.customer_id, Event::Order(called_off)));
    let failed = |attempt| {
        Event::Fulfilment(Saga::AttemptFailed {
            step: Step::Refund,
            attempt,
            error: error.to_owned(),
        })
    };
    let undone = [
        Event::Fulfilment(Saga::CompensationStarted { reason }),
        request(basket, Step::Refund, 1),
        Event::Payment(payment::Event::RefundRequested {
            order_id: basket.order_id,
            attempt: 1,
        }),
        Event::Payment(payment::Event::RefundFailed {
            order_id: basket.order_id,
            attempt: 1,
            error: error.to_owned(),
        }),
        failed(1),
        request(basket, Step::Refund, 2),
        Event::Fulfilment(Saga::Parked {
            step: Step::Refund,
            error: error.to_owned(),
        }),
    ];
    told.extend(undone.map(|event| answer(basket, event)));
    told
}
