//! A shop for logs that are long: products, and stock that follows its product.

use std::collections::HashMap;
use std::ops::Range;

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use eventstore::{CommandContext, EventStore, Options, Stream};
use faults::accounts::KEYS;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use super::LONG;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub(super) enum Event {
    #[serde(rename = "product.created")]
    Created { name: String },
    #[serde(rename = "stock.received")]
    Received { quantity: i64, note: String },
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("nothing is refused")]
pub(super) struct Refused;

impl DomainEvent for Event {
    fn event_type(&self) -> String {
        match self {
            Self::Created { .. } => "product.created".to_owned(),
            Self::Received { .. } => "stock.received".to_owned(),
        }
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

macro_rules! aggregate {
    ($name:ident, $type:literal) => {
        #[derive(Clone, Debug, Default, Serialize, Deserialize)]
        struct $name {}

        impl Aggregate for $name {
            const TYPE: &'static str = $type;
            type Command = ();
            type Event = Event;
            type Error = Refused;
            type Services = ();

            async fn handle(
                &mut self,
                (): (),
                (): &(),
                _: &EventSink<Self>,
            ) -> Result<(), Refused> {
                Ok(())
            }

            fn apply(&mut self, _: Event) {}
        }
    };
}

aggregate!(Product, "product");
aggregate!(Stock, "stock");

pub(super) async fn open(pool: &PgPool) -> EventStore {
    let options = Options {
        keys: KEYS,
        upcasters: Vec::new(),
        snapshot_shapes: HashMap::new(),
    };
    EventStore::open(pool.clone(), options).await.unwrap()
}

/// The id of a product and of its stock.
pub(super) fn id(number: usize) -> String {
    format!("sku-{number}")
}

/// Creates products, an event each, all of them at once.
pub(super) async fn create(store: &EventStore, numbers: Range<usize>) {
    let created = |number| Event::Created {
        name: format!("product {number}"),
    };
    append::<Product>(store, numbers, move |number| vec![created(number)]).await;
}

/// Receives stock for products, so many events each, all of them at once.
pub(super) async fn receive(store: &EventStore, numbers: Range<usize>, times: i64, note: &str) {
    let note = note.to_owned();
    let received = move |quantity| Event::Received {
        quantity,
        note: note.clone(),
    };
    append::<Stock>(store, numbers, move |_| {
        (1..=times).map(&received).collect()
    })
    .await;
}

async fn append<A>(
    store: &EventStore,
    numbers: Range<usize>,
    events: impl Fn(usize) -> Vec<Event> + Clone + Send + Sync + 'static,
) where
    A: Aggregate<Event = Event> + Clone + 'static,
{
    let commands: Vec<_> = numbers
        .map(|number| {
            let (store, events) = (store.clone(), events.clone());
            tokio::spawn(async move {
                let stream = Stream::<A>::new(id(number));
                let mut context = CommandContext::new("append");
                context.deadline = tokio::time::Instant::now() + LONG;
                let decide = move |_: &A| Ok::<_, Refused>(events(number));
                store.execute(stream, context, decide).await.unwrap();
            })
        })
        .collect();
    for command in commands {
        command.await.unwrap();
    }
}
