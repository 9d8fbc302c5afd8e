//! Baskets and their lines: what the commands of a bench are about.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use eventstore::{CommandContext, EventStore, Stream};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Lines that a client puts into a basket before it takes the next.
pub(super) const LINES: u32 = 10;

/// More is refused; no bench comes near it.
const LINES_MAX: u32 = 1_000;

/// Baskets appended at once while a log is filled: enough to fill batches.
const FILLED_AT_ONCE: usize = 512;

/// What a line of an order looks like: some 300 bytes of JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "basket.line-added")]
pub(super) struct LineAdded {
    sku: String,
    name: String,
    pub(super) quantity: u32,
    amount_minor: i64,
    currency: String,
    discount_minor: i64,
    store_id: String,
    customer_id: String,
    added_by: String,
    note: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Basket {
    lines: u32,
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("the basket is full")]
pub(super) struct Full;

impl DomainEvent for LineAdded {
    fn event_type(&self) -> String {
        "basket.line-added".to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

impl Basket {
    /// What every side decides for every line.
    pub(super) fn add(&self, line: LineAdded) -> Result<Vec<LineAdded>, Full> {
        if self.lines >= LINES_MAX {
            return Err(Full);
        }
        Ok(vec![line])
    }
}

impl Aggregate for Basket {
    const TYPE: &'static str = "basket";
    type Command = LineAdded;
    type Event = LineAdded;
    type Error = Full;
    type Services = ();

    async fn handle(
        &mut self,
        line: LineAdded,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Full> {
        for event in self.add(line)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, line: LineAdded) {
        self.lines += line.quantity.min(1);
    }
}

/// A line of a customer's.
pub(super) fn line(customer: &str) -> LineAdded {
    LineAdded {
        sku: "AB-BEE-001".to_owned(),
        name: "SummitForge Brewery Craft Lager 500 ml bottle".to_owned(),
        quantity: 2,
        amount_minor: 499,
        currency: "EUR".to_owned(),
        discount_minor: 0,
        store_id: "store-1".to_owned(),
        customer_id: customer.to_owned(),
        added_by: "checkout".to_owned(),
        note: "leave it at the door if nobody answers".to_owned(),
    }
}

/// Appends whole baskets, ten lines a command, until the log has at least this many events.
pub(super) async fn fill(store: &EventStore, events: u64) -> anyhow::Result<()> {
    let appended = Arc::new(AtomicU64::new(0));
    let basket = |_| {
        let appended = Arc::clone(&appended);
        async move {
            let id = Uuid::now_v7().to_string();
            let line = line(&id);
            let mut context = CommandContext::new("fill");
            context.correlation_id = Some(id.clone());
            let executed = store
                .execute(
                    Stream::<Basket>::beginning(id),
                    context,
                    move |_: &Basket| {
                        let lines = (0..LINES).map(|_| line.clone()).collect::<Vec<_>>();
                        Ok::<_, Full>(lines)
                    },
                )
                .await
                .context("fill the log")?;
            let events = u64::try_from(executed.events).unwrap_or_default();
            appended.fetch_add(events, Ordering::Relaxed);
            anyhow::Ok(())
        }
    };
    stream::iter(0..events.div_ceil(u64::from(LINES)))
        .map(basket)
        .buffer_unordered(FILLED_AT_ONCE)
        .try_collect::<()>()
        .await?;
    tracing::info!(
        events = appended.load(Ordering::Relaxed),
        "the log is filled"
    );
    Ok(())
}
