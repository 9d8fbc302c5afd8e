//! The timers that have the provider called: what they are named, and what they say.

use serde::{Deserialize, Serialize};

use super::Event;
use crate::PaymentId;

/// What the names of all of them begin with.
pub const TIMERS: &str = "payment/";

/// What the provider is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// To take the money.
    Charge,
    /// To give it back.
    Refund,
}

/// What such a timer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// The payment's stream, and the provider's key.
    pub payment_id: PaymentId,
    /// Which call for this, from 1.
    pub attempt: u32,
}

impl Call {
    /// The timer that has the provider called.
    #[must_use]
    pub fn timer_name(self, payment_id: PaymentId) -> String {
        let kind = match self {
            Call::Charge => "charge",
            Call::Refund => "refund",
        };
        format!("{TIMERS}{kind}/{payment_id}")
    }
}

impl Event {
    /// The call that begins with it, due at once.
    #[must_use]
    pub fn begins(&self) -> Option<Call> {
        match self {
            Event::Initiated { .. } => Some(Call::Charge),
            Event::RefundRequested { .. } => Some(Call::Refund),
            Event::Completed { .. }
            | Event::Failed { .. }
            | Event::Refunded { .. }
            | Event::RefundFailed { .. } => None,
        }
    }

    /// The calls that end with it, or are not to be made any more.
    #[must_use]
    pub fn ends(&self) -> &'static [Call] {
        match self {
            Event::Initiated { .. } => &[],
            Event::Completed { .. } | Event::RefundRequested { .. } => &[Call::Charge],
            Event::Failed { .. } => &[Call::Charge, Call::Refund],
            Event::Refunded { .. } | Event::RefundFailed { .. } => &[Call::Refund],
        }
    }
}
