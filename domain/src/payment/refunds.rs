//! Giving money back, and seeing to it that none is taken.

use std::time::Duration;

use super::{Charge, Command, Error, Event, Failure, Payment};
use crate::OrderId;
use crate::fulfilment::{self, Fulfilment};
use crate::order::Order;
use crate::return_goods::{self, Return};

/// Attempts of a refund for which no saga waits, before somebody has to look at it. With the waits between them five hours:
/// longer than most outages of a provider.
pub const TRIES_MAX: u32 = 12;

/// Waits between these attempts: doubled from the first to the second.
const WAIT_MIN: Duration = Duration::from_secs(30);
const WAIT_MAX: Duration = Duration::from_secs(3_600);

/// What becomes of a refund whose last attempt has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// It is tried again when this time has passed.
    Again(Duration),
    /// An operator has to look at it.
    GiveUp,
}

/// What becomes of a refund of which this attempt has failed. Nothing where another attempt was begun since, or where a saga
/// waits for it: that one asks again, or halts, by its own rules.
#[must_use]
pub fn after_failure(
    payment: &Payment,
    fulfilment: &Fulfilment,
    returning: &Return,
    attempt: u32,
) -> Option<AfterFailure> {
    let Payment::Refunding(refunding) = payment else {
        return None;
    };
    let forward = fulfilment.waiting().map(|waiting| waiting.step);
    let back = returning.waiting().map(|waiting| waiting.step);
    let is_awaited =
        forward == Some(fulfilment::Step::Refund) || back == Some(return_goods::Step::Refund);
    if is_awaited || !refunding.failed || refunding.attempt != attempt {
        return None;
    }
    // Once somebody has looked at it and asks again, it is tried as often again.
    let tries = attempt.saturating_sub(1) % TRIES_MAX + 1;
    if tries == TRIES_MAX {
        return Some(AfterFailure::GiveUp);
    }
    let wait = WAIT_MIN.saturating_mul(1 << (tries - 1)).min(WAIT_MAX);
    Some(AfterFailure::Again(wait))
}

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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::order::CancelReason;
    use crate::payment::Refunding;
    use crate::saga::Waiting;
    use crate::{Currency, DeliveryId, Money, PaymentId, Sealed, UserId};

    fn failed(attempt: u32) -> Payment {
        Payment::Refunding(Refunding {
            charge: Charge {
                order_id: OrderId::new(Uuid::from_u128(1)),
                customer_id: UserId::new(Uuid::from_u128(2)),
                amount: Money::new(1_299, Currency::EUR),
                token: Sealed::new("user-1", vec![1]),
                reference: None,
            },
            charged: true,
            attempt,
            failed: true,
        })
    }

    fn forward(step: fulfilment::Step) -> Fulfilment {
        let plan = fulfilment::Plan {
            customer_id: UserId::new(Uuid::from_u128(2)),
            store_id: "store-1".parse().unwrap(),
            items: vec![],
            total: Money::new(1_299, Currency::EUR),
            payment_id: PaymentId::new(Uuid::from_u128(3)),
            delivery_id: DeliveryId::new(Uuid::from_u128(4)),
            payment_token: Sealed::new("user-1", vec![1]),
            address: None,
        };
        Fulfilment::Undoing(Box::new(Waiting::new(plan, step)), CancelReason::Customer)
    }

    fn back(step: return_goods::Step) -> Return {
        let plan = return_goods::Plan {
            store_id: "store-1".parse().unwrap(),
            items: vec![],
            payment_id: PaymentId::new(Uuid::from_u128(3)),
        };
        Return::Waiting(Box::new(Waiting::new(plan, step)))
    }

    #[test]
    fn what_no_saga_waits_for_is_tried_for_hours_and_then_given_up() {
        let (forward, back) = (Fulfilment::Cancelled, Return::NotStarted);
        let after = |attempt| after_failure(&failed(attempt), &forward, &back, attempt);
        let mut total = Duration::ZERO;
        for attempt in 1..TRIES_MAX {
            let Some(AfterFailure::Again(wait)) = after(attempt) else {
                panic!("given up after {attempt}");
            };
            // Once it was given up and somebody wants it tried again, it begins anew.
            assert_eq!(after(attempt + TRIES_MAX), Some(AfterFailure::Again(wait)));
            total += wait;
        }
        assert_eq!(after(1), Some(AfterFailure::Again(WAIT_MIN)));
        assert_eq!(after(TRIES_MAX - 1), Some(AfterFailure::Again(WAIT_MAX)));
        assert_eq!(after(TRIES_MAX), Some(AfterFailure::GiveUp));
        assert_eq!(after(2 * TRIES_MAX), Some(AfterFailure::GiveUp));
        assert_eq!(total.as_secs() / 3_600, 5);
    }

    #[test]
    fn what_a_saga_waits_for_or_what_goes_on_is_left_alone() {
        use fulfilment::Step::{Refund, Release};
        let (released, returned) = (forward(Release), back(return_goods::Step::Restock));
        let tried = |forward: &Fulfilment, back: &Return| {
            after_failure(&failed(1), forward, back, 1).is_some()
        };
        assert!(tried(&released, &returned));
        assert!(!tried(&forward(Refund), &returned));
        assert!(!tried(&released, &back(return_goods::Step::Refund)));
        let later = after_failure(&failed(2), &released, &returned, 1);
        assert_eq!(later, None, "it failed again since");
        let none = after_failure(&Payment::Failed(None), &released, &returned, 1);
        assert_eq!(none, None);
    }
}
