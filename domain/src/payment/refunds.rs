//! Giving money back, and seeing to it that none is taken.

use super::{Charge, Command, Error, Event, Failure, Payment};
use crate::OrderId;
use crate::order::Order;

/// Gives the money of an order back because staff say so. While the order is being fulfilled the money is its saga's: to
/// be given back it is cancelled. Afterwards this is also how a refund is asked for again that has failed.
///
/// # Errors
/// [`Error::NotFound`], [`Error::OrderUnderWay`] before the order has ended, [`Error::NothingCharged`]. What is given back
/// already, or on its way, yields no event.
pub fn give_back(payment: &Payment, order: &Order, order_id: OrderId) -> Result<Vec<Event>, Error> {
    let attempt = match payment {
        Payment::Absent => return Err(Error::NotFound),
        Payment::Failed(_) => return Err(Error::NothingCharged),
        Payment::Refunding(refunding) => refunding.attempt + 1,
        Payment::Initiated(_) | Payment::Completed(_) | Payment::Refunded(_) => 1,
    };
    let status = order.progress().map(|progress| progress.status);
    if let Some(status) = status.filter(|status| !status.is_ended()) {
        return Err(Error::OrderUnderWay { status });
    }
    payment.decide(Command::Refund { order_id, attempt })
}

impl Payment {
    pub(super) fn refund(&self, order_id: OrderId, attempt: u32) -> Vec<Event> {
        match self {
            Payment::Absent => vec![Event::Failed {
                order_id,
                reason: Failure::Cancelled,
                detail: None,
            }],
            Payment::Initiated(_) | Payment::Completed(_) => {
                vec![Event::RefundRequested { order_id, attempt }]
            }
            Payment::Refunding(refunding) if refunding.failed => {
                vec![Event::RefundRequested { order_id, attempt }]
            }
            Payment::Refunding(_) | Payment::Failed(_) | Payment::Refunded(_) => vec![],
        }
    }

    pub(super) fn mark_refunded(&self, reference: String) -> Result<Vec<Event>, Error> {
        let Payment::Refunding(refunding) = self else {
            return match self {
                Payment::Absent => Err(Error::NotFound),
                _ => Ok(vec![]),
            };
        };
        let Charge {
            order_id, amount, ..
        } = refunding.charge;
        let refunded = Event::Refunded {
            order_id,
            amount,
            reference: reference.clone(),
        };
        if refunding.charged {
            return Ok(vec![refunded]);
        }
        // The charge's own answer was lost; that it was given back tells that it was made.
        let completed = Event::Completed {
            order_id,
            amount,
            reference,
        };
        Ok(vec![completed, refunded])
    }

    pub(super) fn fail_refund(&self, error: String) -> Result<Vec<Event>, Error> {
        match self {
            Payment::Absent => Err(Error::NotFound),
            Payment::Refunding(refunding) if !refunding.failed => Ok(vec![Event::RefundFailed {
                order_id: refunding.charge.order_id,
                attempt: refunding.attempt,
                error,
            }]),
            _ => Ok(vec![]),
        }
    }
}
