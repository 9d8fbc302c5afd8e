//! `orders`: one row an order, fed by the order, its payment, its delivery and its saga. Each writes a part of its own,
//! so it does not matter which of them comes first.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use domain::{Delivery, Fulfilment, Order, Payment, delivery, fulfilment, order, payment};
use eventstore::{EventStore, HandleError, RecordedEvent};
use read_models::orders::{
    self, Delivery as DeliveryShown, DeliveryPart, Item, OrderPart, PaymentPart, Row, SagaPart,
    Status,
};
use read_models::tables::Model;
use sqlx::PgConnection;

use crate::products::{amount, money};
use crate::recorded::{self, Recorded};
use crate::rows::Rows;
use crate::{deliveries, payments};

/// An event of an order that no row shows: its creation was discarded, or the row was lost.
const NOT_PLACED: &str = "the order's creation has not been projected";

pub(crate) struct Orders;

/// What is told, and by whom.
pub(crate) enum Told {
    Order(order::Event),
    Payment(payment::Event),
    Delivery(delivery::Event),
    /// Whether the saga halts.
    Saga {
        parked: bool,
    },
}

impl Rows for Orders {
    const MODEL: &'static Model = &orders::MODEL;
    const READS: &'static [&'static str] =
        &[Order::TYPE, Payment::TYPE, Delivery::TYPE, Fulfilment::TYPE];
    type Event = Told;
    type Key = String;
    type Row = Row;

    async fn read<'a>(
        _store: &EventStore,
        events: &[&'a RecordedEvent],
    ) -> Result<Vec<Recorded<'a, Told>>, HandleError> {
        let read = events.iter().copied().map(read);
        read.filter_map(Result::transpose).collect()
    }

    fn key(recorded: &Recorded<'_, Told>) -> Option<String> {
        Some(match &recorded.event {
            Told::Order(_) | Told::Saga { .. } => recorded.id.to_owned(),
            Told::Payment(event) => payments::order_id(event).to_string(),
            Told::Delivery(event) => event.order_id().to_string(),
        })
    }

    fn shows(row: &Row, recorded: &Recorded<'_, Told>) -> bool {
        let shown = match recorded.event {
            Told::Order(_) => row.order.as_ref().map(|part| part.version),
            Told::Payment(_) => row.payment.as_ref().map(|part| part.version),
            Told::Delivery(_) => row.delivery.as_ref().map(|part| part.version),
            Told::Saga { .. } => row.saga.as_ref().map(|part| part.version),
        };
        shown.is_some_and(|version| version >= recorded.version)
    }

    fn apply(row: Option<Row>, recorded: Recorded<'_, Told>) -> Result<Row, &'static str> {
        let Some(id) = Self::key(&recorded) else {
            return Err(NOT_PLACED);
        };
        let row = row.unwrap_or(Row {
            id,
            ..Row::default()
        });
        let version = recorded.version;
        let (stream, at) = (recorded.id, recorded.at);
        Ok(match recorded.event {
            Told::Order(event) => Row {
                order: Some(placed(row.order, event, version, at)?),
                ..row
            },
            Told::Payment(event) => {
                let before = row.payment.map(|part| part.status);
                let status = payments::status(before, &event);
                Row {
                    payment: Some(PaymentPart { version, status }),
                    ..row
                }
            }
            Told::Delivery(event) => {
                let slot = match &event {
                    delivery::Event::Scheduled(schedule) => Some(schedule.slot),
                    delivery::Event::Assigned { .. }
                    | delivery::Event::PickedUp { .. }
                    | delivery::Event::Completed { .. }
                    | delivery::Event::Failed { .. }
                    | delivery::Event::Cancelled { .. } => {
                        row.delivery.and_then(|part| part.delivery.slot)
                    }
                };
                let delivery = DeliveryShown {
                    id: stream.to_owned(),
                    status: deliveries::status(&event),
                    slot,
                };
                Row {
                    delivery: Some(DeliveryPart { version, delivery }),
                    ..row
                }
            }
            Told::Saga { parked } => Row {
                saga: Some(SagaPart { version, parked }),
                ..row
            },
        })
    }

    async fn load(
        connection: &mut PgConnection,
        generation: i32,
        keys: &[String],
    ) -> sqlx::Result<HashMap<String, Row>> {
        orders::load(connection, generation, keys).await
    }

    async fn upsert(
        connection: &mut PgConnection,
        generation: i32,
        rows: &[Row],
    ) -> sqlx::Result<()> {
        orders::upsert(connection, generation, rows).await
    }
}

/// Parses an event; none that changes nothing.
fn read(event: &RecordedEvent) -> Result<Option<Recorded<'_, Told>>, HandleError> {
    Ok(match event.aggregate_type.as_str() {
        Payment::TYPE => Some(recorded::read(event)?.map(Told::Payment)),
        Delivery::TYPE => Some(recorded::read(event)?.map(Told::Delivery)),
        Fulfilment::TYPE => {
            let recorded = recorded::read::<fulfilment::Event>(event)?;
            let parked = parked(&recorded.event);
            parked.map(|parked| recorded.map(|_| Told::Saga { parked }))
        }
        _ => Some(recorded::read(event)?.map(Told::Order)),
    })
}

/// Whether the saga halts after an event; none where the event does not say so. Whatever it asks for anew, because an
/// operator said to go on or a customer called the order off, it does not halt any more.
fn parked(event: &fulfilment::Event) -> Option<bool> {
    match event {
        fulfilment::Event::Parked { .. } => Some(true),
        fulfilment::Event::ReservationRequested { .. }
        | fulfilment::Event::PaymentRequested { .. }
        | fulfilment::Event::DeliveryRequested { .. }
        | fulfilment::Event::CommitRequested { .. }
        | fulfilment::Event::DeliveryCancellationRequested { .. }
        | fulfilment::Event::RefundRequested { .. }
        | fulfilment::Event::ReleaseRequested { .. }
        | fulfilment::Event::Retried
        | fulfilment::Event::Completed
        | fulfilment::Event::Cancelled { .. } => Some(false),
        fulfilment::Event::Started(_)
        | fulfilment::Event::CompensationStarted { .. }
        | fulfilment::Event::AttemptFailed { .. } => None,
    }
}

/// The order's own part after an event.
fn placed(
    part: Option<OrderPart>,
    event: order::Event,
    version: i64,
    at: DateTime<Utc>,
) -> Result<OrderPart, &'static str> {
    // At another stage, if any.
    let moved = |stage: Option<Status>| {
        let part = part.ok_or(NOT_PLACED)?;
        Ok(OrderPart {
            stage: stage.unwrap_or(part.stage),
            version,
            ..part
        })
    };
    match event {
        order::Event::Created {
            customer_id,
            store_id,
            items,
            total,
            payment_id,
            ..
        } => Ok(OrderPart {
            version,
            customer_id: customer_id.to_string(),
            store_id: store_id.into(),
            stage: Status::Pending,
            reason: None,
            items: items.into_iter().map(item).collect(),
            total: amount(total),
            payment_id: payment_id.to_string(),
            placed_at: at,
            ended_at: None,
            returned_at: None,
        }),
        order::Event::Reserved => moved(Some(Status::Reserved)),
        order::Event::Paid => moved(Some(Status::Paid)),
        order::Event::Scheduled { .. } => moved(Some(Status::Scheduled)),
        order::Event::CancellationRequested { .. } => moved(None),
        order::Event::Completed => moved(Some(Status::Completed)).map(|part| OrderPart {
            ended_at: Some(at),
            ..part
        }),
        order::Event::Cancelled { reason } => {
            moved(Some(Status::Cancelled)).map(|part| OrderPart {
                reason: Some(reason.as_str().to_owned()),
                ended_at: Some(at),
                ..part
            })
        }
        order::Event::Returned => moved(Some(Status::Returned)).map(|part| OrderPart {
            returned_at: Some(at),
            ..part
        }),
    }
}

fn item(item: order::Item) -> Item {
    Item {
        sku: item.sku.into(),
        product_id: item.product_id.to_string(),
        name: item.name.into(),
        quantity: item.quantity.get().into(),
        unit_price: money(item.unit_price),
    }
}

#[cfg(test)]
mod tests;
