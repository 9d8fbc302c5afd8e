//! How far an order has come, and why it ended.

use serde::{Deserialize, Serialize};

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Placed.
    Pending,
    /// Its goods are promised.
    Reserved,
    /// Its money is taken.
    Paid,
    /// Its delivery is booked.
    Scheduled,
    /// Everything is arranged.
    Completed,
    /// Everything is undone.
    Cancelled,
    /// Brought back.
    Returned,
}

impl Status {
    /// As it is stored, as `pending`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Reserved => "reserved",
            Status::Paid => "paid",
            Status::Scheduled => "scheduled",
            Status::Completed => "completed",
            Status::Cancelled => "cancelled",
            Status::Returned => "returned",
        }
    }

    /// Whether the saga of fulfilment is through with it.
    #[must_use]
    pub const fn is_ended(self) -> bool {
        matches!(
            self,
            Status::Completed | Status::Cancelled | Status::Returned
        )
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an order was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CancelReason {
    /// The store does not have what was ordered.
    OutOfStock,
    /// The payment provider refused.
    PaymentDeclined,
    /// The payment provider did not answer in time.
    PaymentTimeout,
    /// Nobody can bring it.
    DeliveryUnavailable,
    /// The customer does not want it any more.
    Customer,
}

impl CancelReason {
    /// As it is stored, as `out-of-stock`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            CancelReason::OutOfStock => "out-of-stock",
            CancelReason::PaymentDeclined => "payment-declined",
            CancelReason::PaymentTimeout => "payment-timeout",
            CancelReason::DeliveryUnavailable => "delivery-unavailable",
            CancelReason::Customer => "customer",
        }
    }
}
