//! A shop on a database of its own: products, stock, customers and orders, and the reactors that work for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use domain::fulfilment::Patience;
use domain::order::{self, Customer, Item, Placement};
use domain::product::{Create, Details};
use domain::stock::{self, Levels, StockId};
use domain::{
    Currency, DeliveryId, EmailClaim, Fulfilment, NotificationPreferences, Order, OrderId, Payment,
    PaymentId, Price, Product, ProductId, Quantity, Return, Role, Sealed, SkuClaim, Stock, StoreId,
    User, UserId, capacity, user,
};
use eventstore::{
    CommandContext, EventStore, FeedSource, Feeds, Keys, Options, Reactions, Reactor,
    RecordedEvent, Stream, TimerHandler, Timers,
};
use reactors::delivery::Deliveries;
use reactors::fulfilment::{SagaTimers, Sagas};
use reactors::inventory::Inventory;
use reactors::payment::{PaymentCalls, Payments, Refunds};
use reactors::payment_provider::PaymentProvider;
use testing::until;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Generous: the machine may be busy.
pub const LONG: Duration = Duration::from_secs(60);

/// Short enough for tests that want a participant to be silent.
pub const SHORT: Patience = Patience {
    payment: Duration::from_millis(500),
    reply: Duration::from_millis(300),
};

/// For tests in which everybody answers, however busy the machine.
pub const PATIENT: Patience = Patience {
    payment: Duration::from_secs(60),
    reply: Duration::from_secs(60),
};

pub struct Shop {
    pub store: EventStore,
    /// What its reactors share.
    pub feeds: Feeds,
    _database: testing::Database,
    stop: CancellationToken,
    workers: JoinSet<()>,
}

impl Shop {
    pub async fn open() -> Self {
        let database = testing::database().await;
        let options = Options {
            keys: Keys {
                master: [7; 64],
                pepper: [9; 32],
            },
            upcasters: domain::upcasters(),
            snapshot_shapes: HashMap::new(),
        };
        let store = EventStore::open(database.pool.clone(), options)
            .await
            .unwrap();
        Self {
            feeds: Feeds::new(store.clone(), FeedSource::Store),
            store,
            _database: database,
            stop: CancellationToken::new(),
            workers: JoinSet::new(),
        }
    }

    pub fn react(&mut self, reactor: impl Reactor) {
        let (feeds, stop) = (self.feeds.clone(), self.stop.clone());
        let reactions = Reactions::new(feeds, Arc::new(reactor), "test");
        self.workers.spawn(async move {
            reactions.run(stop).await.unwrap();
        });
    }

    pub fn time(&mut self, handler: impl TimerHandler) {
        self.time_at_once(handler, 64);
    }

    pub fn time_at_once(&mut self, handler: impl TimerHandler, at_once: usize) {
        let timers = Timers::new(self.store.clone(), Arc::new(handler), "test").at_once(at_once);
        let stop = self.stop.clone();
        self.workers.spawn(async move { timers.run(stop).await });
    }

    pub fn sagas(&mut self, patience: Patience) {
        let sagas = Sagas::new(self.store.clone(), patience);
        self.react(sagas.clone());
        self.time(SagaTimers::<Fulfilment>::new(sagas.clone()));
        self.time(SagaTimers::<Return>::new(sagas));
    }

    pub fn payments(&mut self, provider: impl PaymentProvider) {
        self.react(Payments::new(self.store.clone()));
        self.react(Refunds::new(self.store.clone()));
        self.time(PaymentCalls::new(self.store.clone(), Arc::new(provider)));
    }

    /// Everybody that an order needs.
    pub fn everybody(&mut self, provider: impl PaymentProvider, patience: Patience) {
        self.sagas(patience);
        self.payments(provider);
        self.react(Inventory::new(self.store.clone()));
        self.react(Deliveries::new(self.store.clone()));
    }

    /// Asks the workers to end, and waits until they have.
    pub async fn stop_working(&mut self) {
        self.stop.cancel();
        while let Some(ended) = self.workers.join_next().await {
            ended.unwrap();
        }
    }

    pub async fn close(mut self) {
        self.stop_working().await;
    }

    /// A customer who can be reached at `<name>@example.org`.
    pub async fn customer(&self, name: &str) -> UserId {
        let user_id = UserId::new(Uuid::now_v7());
        let key = self.store.sealer().new_key(&user_id.to_string());
        let subject = user_id.to_string();
        let email = format!("{name}@example.org");
        let register = user::Register {
            user_id,
            email: Sealed::new(&subject, key.seal(email.as_bytes())),
            name: Sealed::new(&subject, key.seal(name.as_bytes())),
            phone: None,
            role: Role::Customer,
        };
        let streams = (
            Stream::<User>::new(user_id.to_string()),
            Stream::<EmailClaim>::new(email),
        );
        let context = CommandContext {
            data_keys: vec![key],
            ..CommandContext::new("register")
        };
        let registered = self
            .store
            .execute(streams, context, move |(user, claim)| {
                user::register(user, claim, register.clone())
            })
            .await;
        registered.unwrap();
        user_id
    }

    pub async fn prefer(&self, user_id: UserId, preferences: NotificationPreferences) {
        let stream = Stream::<User>::new(user_id.to_string());
        let context = CommandContext::new("change-preferences");
        let changed = self.store.execute(stream, context, move |user| {
            user.decide(user::Command::ChangePreferences(preferences))
        });
        changed.await.unwrap();
    }

    /// A product at 2.50 EUR, with so many pieces in the store.
    pub async fn product(&self, sku: &str, pieces: u32) -> ProductId {
        let product_id = ProductId::new(Uuid::now_v7());
        let create = Create {
            product_id,
            sku: sku.parse().unwrap(),
            price: Price::new(250, Currency::EUR).unwrap(),
            details: Details {
                name: format!("Product {sku}").parse().unwrap(),
                brand: None,
                description: None,
                category: Default::default(),
                size: None,
                attributes: Default::default(),
            },
        };
        let streams = (
            Stream::<Product>::new(product_id.to_string()),
            Stream::<SkuClaim>::new(sku),
        );
        let created = self
            .store
            .execute(
                streams,
                CommandContext::new("create"),
                move |(product, claim)| domain::product::create(product, claim, create.clone()),
            )
            .await;
        created.unwrap();
        if pieces > 0 {
            let id = StockId::new(store_id(), sku.parse().unwrap());
            let quantity = Quantity::new(pieces).unwrap();
            let stream = Stream::<Stock>::new(id.to_string());
            let received = self
                .store
                .execute(stream, CommandContext::new("receive"), move |stock| {
                    let id = id.clone();
                    stock.decide(stock::Command::Receive { id, quantity })
                })
                .await;
            received.unwrap();
        }
        product_id
    }

    /// Places an order for so many pieces of one product.
    pub async fn place(
        &self,
        customer_id: UserId,
        (product_id, sku): (ProductId, &str),
        pieces: u32,
        token: &str,
    ) -> OrderId {
        let order_id = OrderId::new(Uuid::now_v7());
        let subject = customer_id.to_string();
        let key = self.store.sealer().key(&subject).await.unwrap().unwrap();
        let placement = Placement {
            customer_id,
            store_id: store_id(),
            items: vec![Item {
                sku: sku.parse().unwrap(),
                product_id,
                name: "as it was looked up".parse().unwrap(),
                quantity: Quantity::new(pieces).unwrap(),
                unit_price: Price::new(1, Currency::EUR).unwrap(),
            }],
            payment_id: PaymentId::new(Uuid::now_v7()),
            delivery_id: DeliveryId::new(Uuid::now_v7()),
            payment_token: Sealed::new(&subject, key.seal(token.as_bytes())),
            address: None,
        };
        let streams = (
            Stream::<Order>::beginning(order_id.to_string()),
            Stream::<User>::new(subject),
            Stream::<Product>::new(product_id.to_string()),
        );
        let context = CommandContext {
            correlation_id: Some(order_id.to_string()),
            deadline: tokio::time::Instant::now() + LONG,
            ..CommandContext::new("place")
        };
        let placed = self
            .store
            .execute(streams, context, move |(order, user, product)| {
                let customer = Customer::Here(user);
                let placed = order::place(order, customer, &[product], placement.clone())?;
                Ok::<_, order::Error>((placed, vec![], vec![]))
            })
            .await;
        placed.unwrap();
        order_id
    }

    pub async fn cancel(&self, order_id: OrderId) {
        let stream = Stream::<Order>::new(order_id.to_string());
        let context = CommandContext::new("cancel");
        let cancelled = self.store.execute(stream, context, move |order| {
            order.decide(order::Command::RequestCancellation { reason: None })
        });
        cancelled.await.unwrap();
    }

    /// Lets the store make so many deliveries an hour.
    pub async fn capacity(&self, per_hour: u32) {
        let stream = Stream::<domain::Capacity>::new(store_id().as_str());
        let context = CommandContext::new("change");
        let changed = self.store.execute(stream, context, move |capacity| {
            let store_id = store_id();
            capacity.decide(capacity::Command::Change { store_id, per_hour })
        });
        changed.await.unwrap();
    }

    /// Waits until the order has ended; how, and why if it was cancelled.
    pub async fn end(&self, order_id: OrderId) -> String {
        let ended = async || self.ending(order_id).await.is_some();
        until(&format!("order {order_id} ends"), LONG, ended).await;
        self.ending(order_id).await.unwrap()
    }

    async fn ending(&self, order_id: OrderId) -> Option<String> {
        let id = order_id.to_string();
        self.stream::<order::Event>(Order::TYPE, &id)
            .await
            .into_iter()
            .rev()
            .find_map(|event| match event {
                order::Event::Completed => Some("completed".to_owned()),
                order::Event::Cancelled { reason } => Some(reason.as_str().to_owned()),
                order::Event::Returned => Some("returned".to_owned()),
                _ => None,
            })
    }

    pub async fn stream<E: cqrs_es::DomainEvent>(&self, of: &str, id: &str) -> Vec<E> {
        let events = self.store.stream_events(of, id, 0, 1_000).await.unwrap();
        events.iter().map(|event| event.decode().unwrap()).collect()
    }

    pub async fn levels(&self, sku: &str) -> Levels {
        let id = StockId::new(store_id(), sku.parse().unwrap()).to_string();
        let states = self.store.states::<Stock>(std::slice::from_ref(&id));
        states.await.unwrap()[&id].0.levels()
    }

    pub async fn payment_of(&self, order_id: OrderId) -> (PaymentId, Option<Payment>) {
        let events = self
            .stream::<order::Event>(Order::TYPE, &order_id.to_string())
            .await;
        let Some(order::Event::Created { payment_id, .. }) = events.first() else {
            panic!("order {order_id} was not placed");
        };
        let id = payment_id.to_string();
        let states = self.store.states::<Payment>(std::slice::from_ref(&id));
        let known = states.await.unwrap().remove(&id);
        (*payment_id, known.map(|(payment, _)| payment))
    }

    /// The whole log.
    pub async fn log(&self) -> Vec<RecordedEvent> {
        let mut log = Vec::new();
        loop {
            let page = self
                .store
                .read_after(log.len() as i64, 5_000)
                .await
                .unwrap();
            if page.is_empty() {
                return log;
            }
            log.extend(page);
        }
    }

    /// The types of an order's events, its participants' included, in order.
    pub async fn story(&self, order_id: OrderId) -> Vec<String> {
        let correlation = format!("\"{order_id}\"");
        let of_order = |event: &RecordedEvent| {
            event.metadata.contains(&correlation) || event.aggregate_id == order_id.to_string()
        };
        let log = self.log().await;
        let events = log.into_iter().filter(of_order);
        events.map(|event| event.event_type).collect()
    }

    pub async fn timers(&self) -> Vec<(String, DateTime<Utc>)> {
        sqlx::query_as("select name, due_at from timers order by name")
            .fetch_all(self.store.pool())
            .await
            .unwrap()
    }
}

pub fn store_id() -> StoreId {
    "store-1".parse().unwrap()
}
