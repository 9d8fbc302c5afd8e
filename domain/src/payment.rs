//! The payment of an order. One stream an order; its id is the key under which the payment provider knows the charge, so
//! that asking it again never charges twice.
//!
//! `Initiated → Completed → Refunding → Refunded`, or `Failed`. A refund that comes while the provider's answer is
//! outstanding voids the charge: the provider says whether there was anything to give back. One that comes before the
//! payment was begun leaves a tombstone.
//!
//! Invariant: what was charged is refunded at most once, and a charge that is told after it was voided is refunded too.

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

use crate::aggregate::{event_types, illegal, write};
use crate::{Money, OrderId, PaymentToken, Sealed, UserId, order};

mod calls;
mod refunds;

pub use calls::{Call, Due, TIMERS};
pub use refunds::{AfterFailure, TRIES_MAX, after_failure, give_back};

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Charge the amount. The provider is called afterwards.
    Initiate {
        /// What for.
        order_id: OrderId,
        /// Who pays.
        customer_id: UserId,
        /// How much.
        amount: Money,
        /// With what.
        token: Sealed<PaymentToken>,
    },
    /// The provider has charged it.
    Complete {
        /// What the provider calls it.
        reference: String,
    },
    /// The provider refuses.
    Decline {
        /// Its reason, for people.
        detail: Option<String>,
    },
    /// Give the money back, or see to it that none is taken.
    Refund {
        /// What for.
        order_id: OrderId,
        /// Which attempt of whoever asks, from 1.
        attempt: u32,
    },
    /// The provider has given it back.
    MarkRefunded {
        /// What the provider calls it.
        reference: String,
    },
    /// The provider says that nothing was charged, and never will be.
    MarkVoided,
    /// The provider could not give it back this time.
    FailRefund {
        /// What it said.
        error: String,
    },
}

/// Why no money was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// The provider refused.
    Declined,
    /// It was called off before.
    Cancelled,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
#[expect(
    missing_docs,
    reason = "the members mean the same in every variant: the order, the amount, the provider's name for what it did"
)]
pub enum Event {
    /// The provider is asked to charge.
    #[serde(rename = "payment.initiated")]
    Initiated {
        order_id: OrderId,
        customer_id: UserId,
        amount: Money,
        token: Sealed<PaymentToken>,
    },
    /// The money is taken.
    #[serde(rename = "payment.completed")]
    Completed {
        order_id: OrderId,
        amount: Money,
        reference: String,
    },
    /// No money is taken, and none will be.
    #[serde(rename = "payment.failed")]
    Failed {
        order_id: OrderId,
        reason: Failure,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// The provider is asked to give it back, or to charge it no more.
    #[serde(rename = "payment.refund-requested")]
    RefundRequested { order_id: OrderId, attempt: u32 },
    /// The money is back.
    #[serde(rename = "payment.refunded")]
    Refunded {
        order_id: OrderId,
        amount: Money,
        reference: String,
    },
    /// The provider did not do it this time. A saga that waits for it asks again; for no other the payment does
    /// ([`after_failure`]).
    #[serde(rename = "payment.refund-failed")]
    RefundFailed {
        order_id: OrderId,
        attempt: u32,
        error: String,
    },
}

event_types! {
    Initiated = "payment.initiated" "1.0",
    Completed = "payment.completed" "1.0",
    Failed = "payment.failed" "1.0",
    RefundRequested = "payment.refund-requested" "1.0",
    Refunded = "payment.refunded" "1.0",
    RefundFailed = "payment.refund-failed" "1.0",
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Error {
    /// No payment has this id.
    #[error("payment does not exist")]
    NotFound,
    /// The order may still need the money; it can be cancelled.
    #[error("order is {status}, its payment is not given back before it has ended")]
    OrderUnderWay {
        /// How far it has come.
        status: order::Status,
    },
    /// No money was taken.
    #[error("nothing was charged")]
    NothingCharged,
}

/// Shape of a snapshot of [`Payment`]; changes whenever its serialised form does.
pub const SHAPE: &str = "payment-1";

/// A payment as decisions see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Payment {
    /// Never asked for.
    #[default]
    Absent,
    /// The provider's answer is outstanding.
    Initiated(Charge),
    /// Taken.
    Completed(Charge),
    /// Not taken, for good. Without a charge where it was called off before it was asked for.
    Failed(Option<Charge>),
    /// To be given back.
    Refunding(Refunding),
    /// Given back.
    Refunded(Charge),
}

/// What is, was or would have been charged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// What for.
    pub order_id: OrderId,
    /// Who pays.
    pub customer_id: UserId,
    /// How much.
    pub amount: Money,
    /// With what.
    pub token: Sealed<PaymentToken>,
    /// What the provider calls it, once it is known to be charged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

impl Charge {
    fn charged(self, reference: String) -> Self {
        Self {
            reference: Some(reference),
            ..self
        }
    }
}

/// A charge on its way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refunding {
    /// What is given back.
    pub charge: Charge,
    /// Whether the provider is known to have charged it.
    pub charged: bool,
    /// The attempt under way, or the last one.
    pub attempt: u32,
    /// Whether that attempt has failed.
    pub failed: bool,
}

impl Payment {
    /// What is, was or would have been charged, if it is known.
    #[must_use]
    pub fn charge(&self) -> Option<&Charge> {
        match self {
            Payment::Absent => None,
            Payment::Initiated(charge)
            | Payment::Completed(charge)
            | Payment::Refunding(Refunding { charge, .. })
            | Payment::Refunded(charge) => Some(charge),
            Payment::Failed(charge) => charge.as_ref(),
        }
    }

    /// # Errors
    /// [`Error`] where the state does not allow it. What changes nothing yields no event.
    pub fn decide(&self, command: Command) -> Result<Vec<Event>, Error> {
        match command {
            Command::Initiate {
                order_id,
                customer_id,
                amount,
                token,
            } => Ok(match self {
                Payment::Absent => vec![Event::Initiated {
                    order_id,
                    customer_id,
                    amount,
                    token,
                }],
                // Asked again, or called off before.
                _ => vec![],
            }),
            Command::Complete { reference } => self.complete(reference),
            Command::Decline { detail } => self.fail(Failure::Declined, detail),
            Command::Refund { order_id, attempt } => Ok(self.refund(order_id, attempt)),
            Command::MarkRefunded { reference } => self.mark_refunded(reference),
            Command::MarkVoided => self.fail(Failure::Cancelled, None),
            Command::FailRefund { error } => self.fail_refund(error),
        }
    }

    fn complete(&self, reference: String) -> Result<Vec<Event>, Error> {
        let completed = |charge: &Charge| Event::Completed {
            order_id: charge.order_id,
            amount: charge.amount,
            reference,
        };
        match self {
            Payment::Absent => Err(Error::NotFound),
            Payment::Initiated(charge) => Ok(vec![completed(charge)]),
            Payment::Refunding(refunding) if !refunding.charged => {
                Ok(vec![completed(&refunding.charge)])
            }
            // Told too late: it was called off. What was taken goes back.
            Payment::Failed(Some(charge)) => Ok(vec![
                completed(charge),
                Event::RefundRequested {
                    order_id: charge.order_id,
                    attempt: 1,
                },
            ]),
            Payment::Completed(_)
            | Payment::Failed(None)
            | Payment::Refunding(_)
            | Payment::Refunded(_) => Ok(vec![]),
        }
    }

    fn fail(&self, reason: Failure, detail: Option<String>) -> Result<Vec<Event>, Error> {
        let charge = match self {
            Payment::Absent => return Err(Error::NotFound),
            Payment::Initiated(charge) => charge,
            Payment::Refunding(refunding) if !refunding.charged => &refunding.charge,
            Payment::Completed(_)
            | Payment::Failed(_)
            | Payment::Refunding(_)
            | Payment::Refunded(_) => return Ok(vec![]),
        };
        Ok(vec![Event::Failed {
            order_id: charge.order_id,
            reason,
            detail,
        }])
    }
}

impl Aggregate for Payment {
    const TYPE: &'static str = "payment";
    type Command = Command;
    type Event = Event;
    type Error = Error;
    type Services = ();

    async fn handle(
        &mut self,
        command: Command,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Error> {
        let decided = self.decide(command);
        write(self, decided, sink).await
    }

    fn apply(&mut self, event: Event) {
        *self = match (std::mem::take(self), event) {
            (
                Payment::Absent,
                Event::Initiated {
                    order_id,
                    customer_id,
                    amount,
                    token,
                },
            ) => Payment::Initiated(Charge {
                order_id,
                customer_id,
                amount,
                token,
                reference: None,
            }),
            (Payment::Absent, Event::Failed { .. }) => Payment::Failed(None),
            (
                Payment::Initiated(charge) | Payment::Failed(Some(charge)),
                Event::Completed { reference, .. },
            ) => Payment::Completed(charge.charged(reference)),
            (Payment::Initiated(charge), Event::Failed { .. }) => Payment::Failed(Some(charge)),
            (Payment::Initiated(charge), Event::RefundRequested { attempt, .. }) => {
                Payment::Refunding(refunding(charge, false, attempt))
            }
            (Payment::Completed(charge), Event::RefundRequested { attempt, .. }) => {
                Payment::Refunding(refunding(charge, true, attempt))
            }
            (Payment::Refunding(before), Event::RefundRequested { attempt, .. }) => {
                Payment::Refunding(refunding(before.charge, before.charged, attempt))
            }
            (Payment::Refunding(before), Event::Completed { reference, .. }) => {
                Payment::Refunding(Refunding {
                    charge: before.charge.charged(reference),
                    charged: true,
                    ..before
                })
            }
            (Payment::Refunding(before), Event::RefundFailed { .. }) => {
                Payment::Refunding(Refunding {
                    failed: true,
                    ..before
                })
            }
            (Payment::Refunding(before), Event::Failed { .. }) => {
                Payment::Failed(Some(before.charge))
            }
            (Payment::Refunding(before), Event::Refunded { .. }) => {
                Payment::Refunded(before.charge)
            }
            (state, event) => illegal(&state, &event),
        };
    }
}

fn refunding(charge: Charge, charged: bool, attempt: u32) -> Refunding {
    Refunding {
        charge,
        charged,
        attempt,
        failed: false,
    }
}

#[cfg(test)]
mod tests;
