//! What the saga of fulfilment hears.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Step;
use crate::reservation::Line;
use crate::{Address, DeliveryId, Money, PaymentId, PaymentToken, Sealed, StoreId, UserId};

/// What an order needs to be fulfilled: all that its requests are made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Who buys.
    pub customer_id: UserId,
    /// Where from.
    pub store_id: StoreId,
    /// What.
    pub items: Vec<Line>,
    /// For how much.
    pub total: Money,
    /// The stream of its payment.
    pub payment_id: PaymentId,
    /// The stream of its delivery.
    pub delivery_id: DeliveryId,
    /// How it is paid.
    pub payment_token: Sealed<PaymentToken>,
    /// Where it is brought, if anywhere but the customer's usual place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Sealed<Address>>,
}

/// What happened to the order or its participants, and the silence of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The order was placed.
    Started(Box<Plan>),
    /// Every item is promised.
    ReservationConfirmed,
    /// The store is short.
    ReservationRejected,
    /// Nothing is promised any more.
    ReservationReleased,
    /// The goods have left the store.
    ReservationCommitted,
    /// The total was charged.
    PaymentCompleted,
    /// Nothing was charged, and nothing will be.
    PaymentFailed,
    /// The total was given back.
    PaymentRefunded,
    /// An attempt to give it back failed.
    RefundFailed {
        /// Which one.
        attempt: u32,
        /// Why.
        error: String,
    },
    /// A slot is booked.
    DeliveryScheduled {
        /// Start of its hour.
        slot: DateTime<Utc>,
    },
    /// Nobody brings it.
    DeliveryFailed,
    /// It is not brought.
    DeliveryCancelled,
    /// The order has accepted its cancellation.
    CancellationRequested,
    /// No answer came in time.
    TimedOut {
        /// To what.
        step: Step,
        /// To which attempt of it.
        attempt: u32,
    },
    /// An operator says to go on.
    Retried,
}
