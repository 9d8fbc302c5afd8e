//! Which event tells a saga what.

use cqrs_es::Aggregate;
use domain::fulfilment::{Input, Plan};
use domain::reservation::Line;
use domain::{
    Delivery, Order, OrderId, Payment, Reservation, delivery, order, payment, reservation,
    return_goods,
};
use eventstore::{ReactError, RecordedEvent};

use crate::command::{read, stream_id};

/// What a saga hears.
pub(super) enum Heard {
    /// For the saga of fulfilment.
    Forward(Input),
    /// For whichever of the two undoes something.
    Undone(Input, return_goods::Input),
    /// A delivery failed for good: for the one that has the order.
    DeliveryFailed,
}

impl Heard {
    /// The command's name in metrics.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Heard::Forward(_) => "advance",
            Heard::Undone(..) => "undo",
            Heard::DeliveryFailed => "delivery-failed",
        }
    }
}

type OfOrder = Option<(OrderId, Heard)>;

/// What the event tells the sagas of its order; nothing where it concerns neither.
pub(super) fn heard(event: &RecordedEvent) -> Result<OfOrder, ReactError> {
    match event.aggregate_type.as_str() {
        Order::TYPE => {
            let order_id = stream_id(event)?;
            Ok(of_order(read(event)?).map(|heard| (order_id, heard)))
        }
        Reservation::TYPE => {
            let order_id = stream_id(event)?;
            Ok(Some((order_id, of_reservation(&read(event)?))))
        }
        Payment::TYPE => Ok(of_payment(read(event)?)),
        Delivery::TYPE => Ok(of_delivery(&read(event)?)),
        _ => Ok(None),
    }
}

fn of_order(event: order::Event) -> Option<Heard> {
    match event {
        order::Event::Created {
            customer_id,
            store_id,
            items,
            total,
            payment_id,
            delivery_id,
            payment_token,
            address,
        } => Some(Heard::Forward(Input::Started(Box::new(Plan {
            customer_id,
            store_id,
            items: items.into_iter().map(line).collect(),
            total,
            payment_id,
            delivery_id,
            payment_token,
            address,
        })))),
        order::Event::CancellationRequested { .. } => {
            Some(Heard::Forward(Input::CancellationRequested))
        }
        order::Event::Reserved
        | order::Event::Paid
        | order::Event::Scheduled { .. }
        | order::Event::Completed
        | order::Event::Cancelled { .. }
        | order::Event::Returned => None,
    }
}

fn line(item: order::Item) -> Line {
    Line {
        sku: item.sku,
        quantity: item.quantity,
    }
}

fn of_reservation(event: &reservation::Event) -> Heard {
    use reservation::Event;
    match event {
        Event::Confirmed { .. } => Heard::Forward(Input::ReservationConfirmed),
        Event::Rejected { .. } => Heard::Forward(Input::ReservationRejected),
        Event::Committed { .. } => Heard::Forward(Input::ReservationCommitted),
        Event::Released { .. } => Heard::Undone(
            Input::ReservationReleased,
            return_goods::Input::ReservationReleased,
        ),
    }
}

fn of_payment(event: payment::Event) -> OfOrder {
    use payment::Event;
    match event {
        Event::Completed { order_id, .. } => {
            Some((order_id, Heard::Forward(Input::PaymentCompleted)))
        }
        Event::Failed { order_id, .. } => Some((order_id, Heard::Forward(Input::PaymentFailed))),
        Event::Refunded { order_id, .. } => Some((
            order_id,
            Heard::Undone(Input::PaymentRefunded, return_goods::Input::PaymentRefunded),
        )),
        Event::RefundFailed {
            order_id,
            attempt,
            error,
        } => Some((
            order_id,
            Heard::Undone(
                Input::RefundFailed {
                    attempt,
                    error: error.clone(),
                },
                return_goods::Input::RefundFailed { attempt, error },
            ),
        )),
        Event::Initiated { .. } | Event::RefundRequested { .. } => None,
    }
}

fn of_delivery(event: &delivery::Event) -> OfOrder {
    use delivery::Event;
    let heard = match event {
        Event::Scheduled(schedule) => Heard::Forward(Input::DeliveryScheduled {
            slot: schedule.slot,
        }),
        Event::Failed { is_final: true, .. } => Heard::DeliveryFailed,
        Event::Cancelled { .. } => Heard::Forward(Input::DeliveryCancelled),
        Event::Failed {
            is_final: false, ..
        }
        | Event::Assigned { .. }
        | Event::PickedUp { .. }
        | Event::Completed { .. } => return None,
    };
    Some((event.order_id(), heard))
}
