//! `analytics`: figures about orders, products, stock and customers, of six kinds of streams.
//!
//! What a stream has told is a row of its own, which knows the version of that stream, or, of a refund, whether it was
//! counted; sums change by what is new in such a row, in the same transaction. So an event that comes twice, or late because its stream was parked, counts once,
//! in the hour in which it was recorded.

mod changes;
mod customers;
mod halts;
mod low_stock;
mod orders;
mod refunds;

use cqrs_es::Aggregate;
use domain::{Fulfilment, Order, Payment, Return, Stock, User, fulfilment, return_goods};
use eventstore::{EventStore, HandleError, RecordedEvent};
use read_models::analytics;
use read_models::tables::Model;
use sqlx::PgConnection;

use crate::projection::Projection;
use crate::recorded::{self, Recorded, poison};

pub(crate) struct Analytics;

/// What is read, as the part that it changes.
pub(crate) enum Event {
    Order(orders::Change),
    Payment(refunds::Change),
    Saga(halts::Change),
    Stock(low_stock::Change),
    User(customers::Change),
}

impl Projection for Analytics {
    const MODEL: &'static Model = &analytics::MODEL;
    const READS: &'static [&'static str] = &[
        Order::TYPE,
        Payment::TYPE,
        Fulfilment::TYPE,
        Return::TYPE,
        Stock::TYPE,
        User::TYPE,
    ];
    type Event = Event;

    async fn read<'a>(
        _store: &EventStore,
        events: &[&'a RecordedEvent],
    ) -> Result<Vec<Recorded<'a, Event>>, HandleError> {
        let read = events.iter().copied().map(read);
        read.filter_map(Result::transpose).collect()
    }

    async fn write(
        connection: &mut PgConnection,
        generation: i32,
        events: Vec<Recorded<'_, Event>>,
    ) -> Result<(), HandleError> {
        let (mut orders, mut payments, mut sagas) = (vec![], vec![], vec![]);
        let (mut stock, mut users) = (vec![], vec![]);
        for recorded in events {
            let (place, event) = recorded.split();
            match event {
                Event::Order(change) => orders.push(place.map(|()| change)),
                Event::Payment(change) => payments.push(place.map(|()| change)),
                Event::Saga(change) => sagas.push(place.map(|()| change)),
                Event::Stock(change) => stock.push(place.map(|()| change)),
                Event::User(change) => users.push(place.map(|()| change)),
            }
        }
        let completed = orders::write(connection, generation, orders).await?;
        refunds::write(connection, generation, &payments, &completed).await?;
        halts::write(connection, generation, sagas).await?;
        low_stock::write(connection, generation, stock).await?;
        customers::write(connection, generation, users).await
    }
}

/// Parses an event of a type that is read; none where it changes no figure.
fn read(event: &RecordedEvent) -> Result<Option<Recorded<'_, Event>>, HandleError> {
    Ok(match event.aggregate_type.as_str() {
        Order::TYPE => some(recorded::read(event)?, orders::change, Event::Order),
        Payment::TYPE => some(recorded::read(event)?, refunds::change, Event::Payment),
        Fulfilment::TYPE => {
            let told = recorded::read::<fulfilment::Event>(event)?;
            Some(told.map(|event| Event::Saga(halts::of_fulfilment(&event))))
        }
        Return::TYPE => {
            let told = recorded::read::<return_goods::Event>(event)?;
            Some(told.map(|event| Event::Saga(halts::of_return(&event))))
        }
        Stock::TYPE => {
            let told = recorded::read(event)?;
            Some(told.map(|event| Event::Stock(low_stock::change(&event))))
        }
        User::TYPE => some(recorded::read(event)?, customers::change, Event::User),
        other => {
            let error = format!("events of {other} are not read");
            return Err(poison(event.position, error));
        }
    })
}

fn some<E, C>(
    recorded: Recorded<'_, E>,
    change: fn(&E) -> Option<C>,
    event: fn(C) -> Event,
) -> Option<Recorded<'_, Event>> {
    let (place, told) = recorded.split();
    let change = change(&told)?;
    Some(place.map(|()| event(change)))
}
