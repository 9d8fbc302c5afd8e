//! `inventory`: promises the goods of an order, lets them go, takes them back. Each request is one append over the order's
//! reservation and all its stocks.

use async_trait::async_trait;
use cqrs_es::Aggregate;
use domain::reservation::{self, Request};
use domain::{Fulfilment, Reservation, Return, Stock, fulfilment, return_goods};
use eventstore::{
    Begins, CommandContext, EventStore, ExecuteError, Executed, ReactError, Reactor, RecordedEvent,
    Stream,
};

use crate::command::{answering, give, read, settled, stream_id};

/// The reactor's name.
pub const NAME: &str = "inventory";

/// Answers the sagas' requests for goods.
pub struct Inventory {
    store: EventStore,
}

impl Inventory {
    /// Appends to `store`.
    #[must_use]
    pub fn new(store: EventStore) -> Self {
        Self { store }
    }

    async fn act(
        &self,
        context: CommandContext,
        asked: Asked,
        request: Request,
    ) -> Result<Executed, ExecuteError<reservation::Error>> {
        let order_id = request.order_id.to_string();
        let reserved = Stream::<Reservation>::new(order_id);
        let stocks: Vec<_> = request
            .stocks()
            .map(|id| Stream::<Stock>::new(id.to_string()))
            .collect();
        self.store
            .execute(
                (reserved, stocks),
                context,
                move |(reserved, stocks)| match asked {
                    Asked::Reserve => reservation::reserve(reserved, &stocks, request.clone()),
                    Asked::Commit => reservation::commit(reserved, &stocks, &request),
                    Asked::Release => reservation::release(reserved, &stocks, &request),
                },
            )
            .await
    }
}

/// What a saga wants of a store.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Reserve,
    Commit,
    Release,
}

impl Asked {
    /// The command's name in metrics.
    fn name(self) -> &'static str {
        match self {
            Asked::Reserve => "reserve",
            Asked::Commit => "commit",
            Asked::Release => "release",
        }
    }
}

#[async_trait]
impl Reactor for Inventory {
    fn name(&self) -> &'static str {
        NAME
    }

    fn reads(&self) -> &'static [&'static str] {
        &[Fulfilment::TYPE, Return::TYPE]
    }

    fn begins(&self) -> Begins {
        Begins::AtStart
    }

    async fn react(&self, event: &RecordedEvent) -> Result<(), ReactError> {
        let Some((asked, store_id, items)) = asked(event)? else {
            return Ok(());
        };
        let request = Request {
            order_id: stream_id(event)?,
            store_id,
            items,
        };
        let context = answering(&self.store, NAME, asked.name(), event);
        let act = |context| self.act(context, asked, request.clone());
        fail::fail_point!("inventory-asked");
        settled(give(context, act).await)?;
        fail::fail_point!("inventory-answered");
        Ok(())
    }
}

type Lines = (Asked, domain::StoreId, Vec<reservation::Line>);

/// What the event asks of inventory, if anything.
fn asked(event: &RecordedEvent) -> Result<Option<Lines>, ReactError> {
    if event.aggregate_type == Return::TYPE {
        return Ok(match read(event)? {
            return_goods::Event::RestockRequested {
                store_id, items, ..
            } => Some((Asked::Release, store_id, items)),
            return_goods::Event::Started(_)
            | return_goods::Event::RefundRequested { .. }
            | return_goods::Event::AttemptFailed { .. }
            | return_goods::Event::Parked { .. }
            | return_goods::Event::Retried
            | return_goods::Event::Completed => None,
        });
    }
    use fulfilment::Event;
    Ok(match read(event)? {
        Event::ReservationRequested {
            store_id, items, ..
        } => Some((Asked::Reserve, store_id, items)),
        Event::CommitRequested {
            store_id, items, ..
        } => Some((Asked::Commit, store_id, items)),
        Event::ReleaseRequested {
            store_id, items, ..
        } => Some((Asked::Release, store_id, items)),
        Event::Started(_)
        | Event::PaymentRequested { .. }
        | Event::DeliveryRequested { .. }
        | Event::DeliveryCancellationRequested { .. }
        | Event::RefundRequested { .. }
        | Event::CompensationStarted { .. }
        | Event::AttemptFailed { .. }
        | Event::Parked { .. }
        | Event::Retried
        | Event::Completed
        | Event::Cancelled { .. } => None,
    })
}
