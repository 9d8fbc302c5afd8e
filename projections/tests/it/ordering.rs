//! What the streams of an order tell, each in its own words.

use std::fmt::Display;

use chrono::{DateTime, TimeZone as _, Utc};
use cqrs_es::{Aggregate, DomainEvent as _};
use domain::{
    Address, Currency, Delivery, DeliveryId, Fulfilment, Money, Notification, Order, OrderId,
    Payment, PaymentId, Price, ProductId, Quantity, Sealed, UserId, delivery, fulfilment,
    notification, order, payment,
};
use uuid::Uuid;

use crate::shop::Shop;

/// An order that nobody has told of yet.
#[derive(Clone, Copy)]
pub struct Basket {
    pub order_id: OrderId,
    pub customer_id: UserId,
    pub payment_id: PaymentId,
    pub delivery_id: DeliveryId,
}

pub fn slot() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 23, 5, 0, 0).unwrap()
}

pub fn total() -> Money {
    Money::new(300, Currency::EUR)
}

impl Basket {
    /// Of a user by their id.
    pub fn of(customer: &str) -> Self {
        Self {
            order_id: OrderId::new(Uuid::now_v7()),
            customer_id: customer.parse().unwrap(),
            payment_id: PaymentId::new(Uuid::now_v7()),
            delivery_id: DeliveryId::new(Uuid::now_v7()),
        }
    }

    pub fn somebodys() -> Self {
        Self::of(&Uuid::now_v7().to_string())
    }

    fn token(&self) -> Sealed<domain::PaymentToken> {
        Sealed::new(self.customer_id.to_string(), vec![1])
    }

    pub fn created(&self) -> order::Event {
        order::Event::Created {
            customer_id: self.customer_id,
            store_id: "berlin-1".parse().unwrap(),
            items: vec![order::Item {
                sku: "apple".parse().unwrap(),
                product_id: ProductId::new(Uuid::nil()),
                name: "Apple".parse().unwrap(),
                quantity: Quantity::new(2).unwrap(),
                unit_price: Price::new(150, Currency::EUR).unwrap(),
            }],
            total: total(),
            payment_id: self.payment_id,
            delivery_id: self.delivery_id,
            payment_token: self.token(),
            address: None,
        }
    }

    pub fn initiated(&self) -> payment::Event {
        payment::Event::Initiated {
            order_id: self.order_id,
            customer_id: self.customer_id,
            amount: total(),
            token: self.token(),
        }
    }

    pub fn charged(&self) -> payment::Event {
        payment::Event::Completed {
            order_id: self.order_id,
            amount: total(),
            reference: "ch_1".to_owned(),
        }
    }

    pub fn scheduled(&self, address: Option<Sealed<Address>>) -> delivery::Event {
        delivery::Event::Scheduled(delivery::Schedule {
            order_id: self.order_id,
            customer_id: self.customer_id,
            store_id: "berlin-1".parse().unwrap(),
            slot: slot(),
            address,
        })
    }

    pub async fn order(&self, shop: &Shop, event: order::Event) -> i64 {
        tell::<Order>(shop, self.order_id, &event).await
    }

    pub async fn saga(&self, shop: &Shop, event: fulfilment::Event) -> i64 {
        tell::<Fulfilment>(shop, self.order_id, &event).await
    }

    pub async fn payment(&self, shop: &Shop, event: payment::Event) -> i64 {
        tell::<Payment>(shop, self.payment_id, &event).await
    }

    pub async fn delivery(&self, shop: &Shop, event: delivery::Event) -> i64 {
        tell::<Delivery>(shop, self.delivery_id, &event).await
    }

    /// Everything up to its completion, but what its delivery tells; the last position.
    pub async fn complete(&self, shop: &Shop) -> i64 {
        self.order(shop, self.created()).await;
        self.order(shop, order::Event::Reserved).await;
        self.payment(shop, self.initiated()).await;
        self.payment(shop, self.charged()).await;
        self.order(shop, order::Event::Paid).await;
        let scheduled = order::Event::Scheduled { slot: slot() };
        self.order(shop, scheduled).await;
        self.saga(shop, fulfilment::Event::Completed).await;
        self.order(shop, order::Event::Completed).await
    }

    pub async fn notification(&self, shop: &Shop, event: notification::Event) -> i64 {
        tell::<Notification>(shop, format!("{}:email", Uuid::nil()), &event).await
    }
}

/// Writes an event past every rule, as its aggregate would; its position.
pub async fn tell<A: Aggregate>(shop: &Shop, id: impl Display, event: &A::Event) -> i64 {
    let payload = serde_json::to_string(event).unwrap();
    shop.plant(A::TYPE, &id.to_string(), &event.event_type(), &payload)
        .await
}
