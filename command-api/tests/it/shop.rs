//! A shop with something to sell, whose saga is played by the test.

use domain::{Delivery, Order, Payment, delivery, order, payment};
use eventstore::{CommandContext, Executed, RecordedEvent, Stream};
use http_server::Role;
use serde_json::{Value, json};

use crate::app::{Answer, Person, TestApp};

pub struct Shop {
    pub app: TestApp,
    pub staff: Person,
    pub customer: Person,
}

impl Shop {
    /// Sells ale for 250 and bread for 399.
    pub async fn open() -> Self {
        let app = TestApp::start().await;
        let shop = Self {
            staff: app.person(Role::Staff),
            customer: app.customer("ada@example.org").await,
            app,
        };
        shop.product("ALE-1", 250, "EUR").await;
        shop.product("BREAD-1", 399, "EUR").await;
        shop
    }

    /// The id of a new product.
    pub async fn product(&self, sku: &str, price: i64, currency: &str) -> String {
        let price = json!({"amount_minor": price, "currency": currency});
        let body = json!({"sku": sku, "name": format!("A {sku}"), "price": price});
        let call = self.app.post("/products").by(&self.staff);
        call.json(&body).await.ok().id().to_owned()
    }

    pub async fn order(&self, key: &str, body: &Value) -> Answer {
        let call = self.app.post("/orders").by(&self.customer).key(key);
        call.json(body).await
    }

    /// The id of a new order.
    pub async fn ordered(&self, key: &str) -> String {
        let answer = self.order(key, &basket(&[("ALE-1", 6)])).await;
        answer.ok().id().to_owned()
    }

    pub async fn cancel(&self, order: &str, by: &Person) -> Answer {
        let call = self.app.post(&format!("/orders/{order}/cancel")).by(by);
        call.empty().await
    }

    /// What the saga does to an order.
    pub async fn advance(&self, order: &str, command: order::Command) -> Executed {
        let stream = Stream::<Order>::new(order);
        let decide = move |order: &Order| order.decide(command.clone());
        let context = CommandContext::new("test");
        self.app
            .store
            .execute(stream, context, decide)
            .await
            .unwrap()
    }

    /// All that it does, up to the end.
    pub async fn complete(&self, order: &str) -> Executed {
        let slot = "2026-11-23T05:00:00Z".parse().unwrap();
        self.advance(order, order::Command::MarkReserved).await;
        self.advance(order, order::Command::MarkPaid).await;
        self.advance(order, order::Command::MarkScheduled { slot })
            .await;
        self.advance(order, order::Command::Complete).await
    }

    pub async fn payment(&self, payment: &str, command: payment::Command) -> Executed {
        let stream = Stream::<Payment>::new(payment);
        let decide = move |payment: &Payment| payment.decide(command.clone());
        let context = CommandContext::new("test");
        self.app
            .store
            .execute(stream, context, decide)
            .await
            .unwrap()
    }

    pub async fn delivery(&self, delivery: &str, command: delivery::Command) -> Executed {
        let stream = Stream::<Delivery>::new(delivery);
        let decide = move |delivery: &Delivery| delivery.decide(command.clone());
        let context = CommandContext::new("test");
        self.app
            .store
            .execute(stream, context, decide)
            .await
            .unwrap()
    }

    /// How an order was placed.
    pub async fn created(&self, order: &str) -> Value {
        let events = self.app.store.stream_events("order", order, 0, 1).await;
        payload(&events.unwrap()[0])
    }

    /// How many orders there are.
    pub async fn orders(&self) -> usize {
        let types = self.app.event_types().await;
        types.iter().filter(|kind| *kind == "order.created").count()
    }
}

pub fn payload(event: &RecordedEvent) -> Value {
    serde_json::from_str(&event.payload).unwrap()
}

/// An order of so many pieces each, paid with what works.
pub fn basket(items: &[(&str, i64)]) -> Value {
    let item = |(sku, quantity): &(&str, i64)| json!({"sku": sku, "quantity": quantity});
    let items: Vec<Value> = items.iter().map(item).collect();
    json!({"store_id": "store-1", "items": items, "payment": {"token": "tok_ok"}})
}
