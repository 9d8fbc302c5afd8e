//! `timeline`: one row an event of an order and of whatever serves it.
//!
//! Who an event is told to be by: what only people ask for is by the user who asked, whose id stands beside it
//! (`order.created`, `order.cancellation-requested`, the steps of a courier, and a refund, where nothing but the request
//! caused it). `*.retried` is by an operator, whoever that was. All else is by a part of the system, even where it was
//! done on a user's behalf and carries that user's id.

mod told;

use cqrs_es::Aggregate;
use domain::{Delivery, Fulfilment, Order, Payment, Reservation, Return};
use domain::{delivery, fulfilment, order, payment, reservation, return_goods};
use eventstore::{EventStore, HandleError, RecordedEvent};
use read_models::tables::Model;
use read_models::timeline::{self, Entry, Item};
use serde::Deserialize;
use sqlx::PgConnection;
use uuid::Uuid;

use self::told::{Actor, Told};
use crate::projection::Projection;
use crate::recorded::{self, Recorded, poison};

pub(crate) struct Timeline;

impl Projection for Timeline {
    const MODEL: &'static Model = &timeline::MODEL;
    const READS: &'static [&'static str] = &[
        Order::TYPE,
        Reservation::TYPE,
        Payment::TYPE,
        Delivery::TYPE,
        Fulfilment::TYPE,
        Return::TYPE,
    ];
    type Event = Entry;

    async fn read<'a>(
        _store: &EventStore,
        events: &[&'a RecordedEvent],
    ) -> Result<Vec<Recorded<'a, Entry>>, HandleError> {
        events.iter().copied().map(read).collect()
    }

    /// An item depends on nothing but its event: what is there already is as it should be.
    async fn write(
        connection: &mut PgConnection,
        generation: i32,
        events: Vec<Recorded<'_, Entry>>,
    ) -> Result<(), HandleError> {
        let entries: Vec<Entry> = events.into_iter().map(|recorded| recorded.event).collect();
        Ok(timeline::insert(connection, generation, &entries).await?)
    }
}

impl Timeline {
    /// With its order: who follows a timeline asks for what comes after the last item, so nothing may come late.
    pub(crate) fn parks_with(event: &RecordedEvent) -> (String, String) {
        let order_id = match event.aggregate_type.as_str() {
            Payment::TYPE | Delivery::TYPE => serde_json::from_str(&event.payload)
                .ok()
                .map(|OfOrder { order_id }| order_id),
            Order::TYPE | Reservation::TYPE | Fulfilment::TYPE | Return::TYPE => {
                Some(event.aggregate_id.clone())
            }
            _ => None,
        };
        match order_id {
            Some(id) => (Order::TYPE.to_owned(), id),
            None => event.stream(),
        }
    }
}

/// What each version of an event says of its order.
#[derive(Deserialize)]
struct OfOrder {
    order_id: String,
}

fn read(recorded: &RecordedEvent) -> Result<Recorded<'_, Entry>, HandleError> {
    match recorded.aggregate_type.as_str() {
        Order::TYPE => entry(recorded, |event: &order::Event, id| {
            let customer_id = match event {
                order::Event::Created { customer_id, .. } => Some(customer_id.as_uuid()),
                order::Event::Reserved
                | order::Event::Paid
                | order::Event::Scheduled { .. }
                | order::Event::Completed
                | order::Event::CancellationRequested { .. }
                | order::Event::Cancelled { .. }
                | order::Event::Returned => None,
            };
            Some((id?, customer_id, told::order(event)))
        }),
        Reservation::TYPE => entry(recorded, |event: &reservation::Event, id| {
            Some((id?, None, told::reservation(event)))
        }),
        Payment::TYPE => entry(recorded, |event: &payment::Event, _| {
            Some((told::order_of_payment(event), None, told::payment(event)))
        }),
        Delivery::TYPE => entry(recorded, |event: &delivery::Event, _| {
            Some((event.order_id().as_uuid(), None, told::delivery(event)))
        }),
        Fulfilment::TYPE => entry(recorded, |event: &fulfilment::Event, id| {
            Some((id?, None, told::fulfilment(event)))
        }),
        Return::TYPE => entry(recorded, |event: &return_goods::Event, id| {
            Some((id?, None, told::return_goods(event)))
        }),
        other => Err(poison(
            recorded.position,
            format!("{other} has no place in a timeline"),
        )),
    }
}

/// What `tell` makes of the parsed event, given the id of its stream where that is the order's. None of a stream that
/// should have an order's id and has not.
fn entry<E: cqrs_es::DomainEvent>(
    recorded: &RecordedEvent,
    tell: impl FnOnce(&E, Option<Uuid>) -> Option<(Uuid, Option<Uuid>, Told)>,
) -> Result<Recorded<'_, Entry>, HandleError> {
    let stream_id = Uuid::try_parse(&recorded.aggregate_id).ok();
    recorded::read::<E>(recorded)?
        .try_map(|event| {
            let (order_id, customer_id, told) =
                tell(&event, stream_id).ok_or("the stream's id is no order's")?;
            Ok(Entry {
                order_id,
                customer_id,
                item: item(recorded, told),
            })
        })
        .map_err(|error: &'static str| poison(recorded.position, error))
}

fn item(recorded: &RecordedEvent, told: Told) -> Item {
    Item {
        at: recorded.recorded_at,
        position: recorded.position,
        event_type: recorded.event_type.clone(),
        actor: actor(recorded, told.actor),
        reason: told.reason,
        attempt: told
            .attempt
            .map(|attempt| i32::try_from(attempt).unwrap_or(i32::MAX)),
    }
}

/// What a person asked for has no cause in the log; what a part of the system does in answer to an event has.
fn actor(recorded: &RecordedEvent, actor: Actor) -> String {
    let part = match actor {
        Actor::Part(part) => part,
        Actor::WhoAsked { else_part } => {
            let metadata = recorded.metadata();
            match (metadata.user_id, metadata.causation_id) {
                (Some(user_id), None) => return user_id,
                (Some(_) | None, _) => else_part,
            }
        }
    };
    part.to_owned()
}
