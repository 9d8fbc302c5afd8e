//! What is told of each event: by whom, why, and which attempt it is. Nothing sealed, no token, no address.

use domain::reservation::Shortage;
use domain::{delivery, fulfilment, order, payment, reservation, return_goods};
use uuid::Uuid;

/// Shortages of one rejection that are told one by one: a screen full.
const SHORTAGES_TOLD_MAX: usize = 10;

const ORDER: &str = "order";
const INVENTORY: &str = "inventory";
const PAYMENT: &str = "payment";
const DELIVERY: &str = "delivery";
const FULFILMENT: &str = "fulfilment";
const RETURN: &str = "return";
const OPERATOR: &str = "operator";

/// Who an event is by.
#[derive(Clone, Copy)]
pub(super) enum Actor {
    /// The user who asked for it, if somebody did.
    WhoAsked {
        else_part: &'static str,
    },
    Part(&'static str),
}

pub(super) struct Told {
    pub(super) actor: Actor,
    pub(super) reason: Option<String>,
    pub(super) attempt: Option<u32>,
}

fn by(part: &'static str) -> Told {
    Told {
        actor: Actor::Part(part),
        reason: None,
        attempt: None,
    }
}

fn asked(else_part: &'static str) -> Told {
    Told {
        actor: Actor::WhoAsked { else_part },
        ..by(else_part)
    }
}

impl Told {
    fn because(self, reason: impl Into<String>) -> Self {
        Self {
            reason: Some(reason.into()),
            ..self
        }
    }

    fn attempt(self, attempt: u32) -> Self {
        Self {
            attempt: Some(attempt),
            ..self
        }
    }
}

pub(super) fn order(event: &order::Event) -> Told {
    use order::Event;
    match event {
        Event::Created { .. } => asked(ORDER),
        Event::CancellationRequested { reason } => Told {
            reason: reason.as_ref().map(|reason| reason.as_str().to_owned()),
            ..asked(ORDER)
        },
        // The sagas write how far the order has come.
        Event::Reserved | Event::Paid | Event::Scheduled { .. } | Event::Completed => {
            by(FULFILMENT)
        }
        Event::Cancelled { reason } => by(FULFILMENT).because(reason.as_str()),
        Event::Returned => by(RETURN),
    }
}

pub(super) fn reservation(event: &reservation::Event) -> Told {
    use reservation::Event;
    match event {
        Event::Confirmed { .. } | Event::Released { .. } | Event::Committed { .. } => by(INVENTORY),
        Event::Rejected { shortages, .. } => by(INVENTORY).because(short(shortages)),
    }
}

/// As `ALE: requested 3, available 1; STOUT: requested 2, available 0`.
fn short(shortages: &[Shortage]) -> String {
    let told = |shortage: &Shortage| {
        let Shortage {
            sku,
            requested,
            available,
        } = shortage;
        format!("{sku}: requested {requested}, available {available}")
    };
    let mut lines: Vec<String> = shortages
        .iter()
        .take(SHORTAGES_TOLD_MAX)
        .map(told)
        .collect();
    if shortages.len() > SHORTAGES_TOLD_MAX {
        lines.push(format!("{} more", shortages.len() - SHORTAGES_TOLD_MAX));
    }
    lines.join("; ")
}

pub(super) fn order_of_payment(event: &payment::Event) -> Uuid {
    use payment::Event;
    match event {
        Event::Initiated { order_id, .. }
        | Event::Completed { order_id, .. }
        | Event::Failed { order_id, .. }
        | Event::RefundRequested { order_id, .. }
        | Event::Refunded { order_id, .. }
        | Event::RefundFailed { order_id, .. } => order_id.as_uuid(),
    }
}

pub(super) fn payment(event: &payment::Event) -> Told {
    use payment::{Event, Failure};
    match event {
        Event::Initiated { .. } | Event::Completed { .. } | Event::Refunded { .. } => by(PAYMENT),
        Event::Failed { reason, detail, .. } => {
            let reason = match reason {
                Failure::Declined => "declined",
                Failure::Cancelled => "cancelled",
            };
            by(PAYMENT).because(match detail {
                Some(detail) => format!("{reason}: {detail}"),
                None => reason.to_owned(),
            })
        }
        // Staff may ask for one.
        Event::RefundRequested { attempt, .. } => asked(PAYMENT).attempt(*attempt),
        Event::RefundFailed { attempt, error, .. } => {
            by(PAYMENT).because(error.as_str()).attempt(*attempt)
        }
    }
}

pub(super) fn delivery(event: &delivery::Event) -> Told {
    use delivery::Event;
    match event {
        Event::Scheduled(_) | Event::Cancelled { .. } => by(DELIVERY),
        Event::Assigned { .. } | Event::PickedUp { .. } | Event::Completed { .. } => {
            asked(DELIVERY)
        }
        // A courier's, or nobody could have brought it.
        Event::Failed { reason, .. } => asked(DELIVERY).because(reason.as_str()),
    }
}

pub(super) fn fulfilment(event: &fulfilment::Event) -> Told {
    use fulfilment::Event;
    match event {
        Event::Started(_) | Event::Completed => by(FULFILMENT),
        Event::ReservationRequested { attempt, .. }
        | Event::PaymentRequested { attempt, .. }
        | Event::DeliveryRequested { attempt, .. }
        | Event::CommitRequested { attempt, .. }
        | Event::DeliveryCancellationRequested { attempt, .. }
        | Event::RefundRequested { attempt, .. }
        | Event::ReleaseRequested { attempt, .. } => by(FULFILMENT).attempt(*attempt),
        Event::CompensationStarted { reason } | Event::Cancelled { reason } => {
            by(FULFILMENT).because(reason.as_str())
        }
        Event::AttemptFailed { attempt, error, .. } => {
            by(FULFILMENT).because(error.as_str()).attempt(*attempt)
        }
        Event::Parked { error, .. } => by(FULFILMENT).because(error.as_str()),
        Event::Retried => by(OPERATOR),
    }
}

pub(super) fn return_goods(event: &return_goods::Event) -> Told {
    use return_goods::Event;
    match event {
        Event::Started(_) | Event::Completed => by(RETURN),
        Event::RefundRequested { attempt, .. } | Event::RestockRequested { attempt, .. } => {
            by(RETURN).attempt(*attempt)
        }
        Event::AttemptFailed { attempt, error, .. } => {
            by(RETURN).because(error.as_str()).attempt(*attempt)
        }
        Event::Parked { error, .. } => by(RETURN).because(error.as_str()),
        Event::Retried => by(OPERATOR),
    }
}
