//! Commands and rows to look at.

use std::collections::HashMap;

use domain::stock::{self, StockId};
use domain::{Quantity, Stock};
use eventstore::{CommandContext, EventStore, Executed, Keys, Options, Stream};
use sqlx::PgPool;
use uuid::Uuid;

pub async fn open(pool: &PgPool) -> EventStore {
    let options = Options {
        keys: Keys {
            master: [7; 64],
            pepper: [9; 32],
        },
        upcasters: domain::upcasters(),
        snapshot_shapes: HashMap::new(),
    };
    EventStore::open(pool.clone(), options).await.unwrap()
}

/// Who did it, and why.
#[derive(Default)]
pub struct Because {
    pub correlation_id: Option<String>,
    pub causation_id: Option<String>,
}

impl Because {
    pub fn of(correlation_id: impl Into<String>) -> Self {
        Because {
            correlation_id: Some(correlation_id.into()),
            causation_id: None,
        }
    }
}

/// Ten pieces arrive, more than are few: one event.
pub async fn receive(store: &EventStore, stock_id: &str, because: Because) -> Executed {
    let id: StockId = stock_id.parse().unwrap();
    let context = CommandContext {
        correlation_id: because.correlation_id,
        causation_id: because.causation_id,
        user_id: Some("u-staff".to_owned()),
        ..CommandContext::new("receive")
    };
    let decide = move |stock: &Stock| {
        stock.decide(stock::Command::Receive {
            id: id.clone(),
            quantity: Quantity::new(10).unwrap(),
        })
    };
    store
        .execute(Stream::<Stock>::new(stock_id), context, decide)
        .await
        .unwrap()
}

pub async fn receive_many(store: &EventStore, stock_id: &str, times: usize) {
    for _ in 0..times {
        receive(store, stock_id, Because::default()).await;
    }
}

/// A row as a consumer's runner parks it; the error where it is the first of its stream.
pub async fn park(pool: &PgPool, stream_id: &str, position: i64, error: Option<&str>) -> Uuid {
    let id = Uuid::now_v7();
    sqlx::query(
        "insert into dead_letters
           (id, consumer, stream_type, stream_id, position, event_type, error, attempts)
         values ($1, 'stock', 'stock', $2, $3, 'inventory.received', $4, 1)",
    )
    .bind(id)
    .bind(stream_id)
    .bind(position)
    .bind(error)
    .execute(pool)
    .await
    .unwrap();
    id
}
