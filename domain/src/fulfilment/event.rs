//! What the saga of fulfilment asks for and decides.

use serde::{Deserialize, Serialize};

use super::{Plan, Step};
use crate::aggregate::event_types;
use crate::order::CancelReason;
use crate::reservation::Line;
use crate::{Address, DeliveryId, Money, PaymentId, PaymentToken, Sealed, StoreId, UserId};

/// Requests to the participants, and decisions. A request holds all that its participant needs; `attempt` counts from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
#[expect(
    missing_docs,
    reason = "the members of requests are those of `Plan`, and the attempt"
)]
pub enum Event {
    /// The saga has begun.
    #[serde(rename = "fulfilment.started")]
    Started(Plan),
    /// To inventory: promise the items.
    #[serde(rename = "fulfilment.reservation-requested")]
    ReservationRequested {
        store_id: StoreId,
        items: Vec<Line>,
        attempt: u32,
    },
    /// To payment: charge the total.
    #[serde(rename = "fulfilment.payment-requested")]
    PaymentRequested {
        payment_id: PaymentId,
        customer_id: UserId,
        amount: Money,
        token: Sealed<PaymentToken>,
        attempt: u32,
    },
    /// To delivery: book a slot.
    #[serde(rename = "fulfilment.delivery-requested")]
    DeliveryRequested {
        delivery_id: DeliveryId,
        customer_id: UserId,
        store_id: StoreId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<Sealed<Address>>,
        attempt: u32,
    },
    /// To inventory: let the goods go.
    #[serde(rename = "fulfilment.commit-requested")]
    CommitRequested {
        store_id: StoreId,
        items: Vec<Line>,
        attempt: u32,
    },
    /// To delivery: do not bring it.
    #[serde(rename = "fulfilment.delivery-cancellation-requested")]
    DeliveryCancellationRequested {
        delivery_id: DeliveryId,
        attempt: u32,
    },
    /// To payment: give back what was charged, and charge no more.
    #[serde(rename = "fulfilment.refund-requested")]
    RefundRequested { payment_id: PaymentId, attempt: u32 },
    /// To inventory: take the promise, or the goods, back.
    #[serde(rename = "fulfilment.release-requested")]
    ReleaseRequested {
        store_id: StoreId,
        items: Vec<Line>,
        attempt: u32,
    },
    /// From here on everything is undone.
    #[serde(rename = "fulfilment.compensation-started")]
    CompensationStarted { reason: CancelReason },
    /// An attempt failed; another follows, or the saga halts.
    #[serde(rename = "fulfilment.attempt-failed")]
    AttemptFailed {
        step: Step,
        attempt: u32,
        error: String,
    },
    /// It halts: a step was asked for too often.
    #[serde(rename = "fulfilment.parked")]
    Parked { step: Step, error: String },
    /// An operator said to go on.
    #[serde(rename = "fulfilment.retried")]
    Retried,
    /// Everything is arranged.
    #[serde(rename = "fulfilment.completed")]
    Completed,
    /// Everything is undone.
    #[serde(rename = "fulfilment.cancelled")]
    Cancelled { reason: CancelReason },
}

event_types! {
    Started = "fulfilment.started" "1.0",
    ReservationRequested = "fulfilment.reservation-requested" "1.0",
    PaymentRequested = "fulfilment.payment-requested" "1.0",
    DeliveryRequested = "fulfilment.delivery-requested" "1.0",
    CommitRequested = "fulfilment.commit-requested" "1.0",
    DeliveryCancellationRequested = "fulfilment.delivery-cancellation-requested" "1.0",
    RefundRequested = "fulfilment.refund-requested" "1.0",
    ReleaseRequested = "fulfilment.release-requested" "1.0",
    CompensationStarted = "fulfilment.compensation-started" "1.0",
    AttemptFailed = "fulfilment.attempt-failed" "1.0",
    Parked = "fulfilment.parked" "1.0",
    Retried = "fulfilment.retried" "1.0",
    Completed = "fulfilment.completed" "1.0",
    Cancelled = "fulfilment.cancelled" "1.0",
}

impl Event {
    /// Whether it brings the order nearer to completion. A first request, not one that is repeated.
    pub(super) fn leads_on(&self) -> bool {
        match self {
            Event::PaymentRequested { attempt, .. }
            | Event::DeliveryRequested { attempt, .. }
            | Event::CommitRequested { attempt, .. } => *attempt == 1,
            Event::Completed => true,
            Event::Started(_)
            | Event::ReservationRequested { .. }
            | Event::DeliveryCancellationRequested { .. }
            | Event::RefundRequested { .. }
            | Event::ReleaseRequested { .. }
            | Event::CompensationStarted { .. }
            | Event::AttemptFailed { .. }
            | Event::Parked { .. }
            | Event::Retried
            | Event::Cancelled { .. } => false,
        }
    }
}
