//! What the lines of the transition table are made of.

use super::{CancelReason, Event, Line, Plan, Step, Waiting};
use crate::aggregate::illegal;
use crate::saga::Says;

impl Says<Step> for Plan {
    type Event = Event;

    fn request(&self, step: Step, attempt: u32) -> Event {
        let store_id = || self.store_id.clone();
        let items = || -> Vec<Line> { self.items.clone() };
        match step {
            Step::Reserve => Event::ReservationRequested {
                store_id: store_id(),
                items: items(),
                attempt,
            },
            Step::Charge => Event::PaymentRequested {
                payment_id: self.payment_id,
                customer_id: self.customer_id,
                amount: self.total,
                token: self.payment_token.clone(),
                attempt,
            },
            Step::Schedule => Event::DeliveryRequested {
                delivery_id: self.delivery_id,
                customer_id: self.customer_id,
                store_id: store_id(),
                address: self.address.clone(),
                attempt,
            },
            Step::Commit => Event::CommitRequested {
                store_id: store_id(),
                items: items(),
                attempt,
            },
            Step::CancelDelivery => Event::DeliveryCancellationRequested {
                delivery_id: self.delivery_id,
                attempt,
            },
            Step::Refund => Event::RefundRequested {
                payment_id: self.payment_id,
                attempt,
            },
            Step::Release => Event::ReleaseRequested {
                store_id: store_id(),
                items: items(),
                attempt,
            },
        }
    }

    fn attempt_failed(step: Step, attempt: u32, error: String) -> Event {
        Event::AttemptFailed {
            step,
            attempt,
            error,
        }
    }

    fn parked(step: Step, error: String) -> Event {
        Event::Parked { step, error }
    }

    fn retried() -> Event {
        Event::Retried
    }
}

impl Waiting {
    pub(super) fn go_on(&self, step: Step) -> Vec<Event> {
        vec![self.ask(step)]
    }

    pub(super) fn turn_back(&self, reason: CancelReason, from: Step) -> Vec<Event> {
        vec![Event::CompensationStarted { reason }, self.ask(from)]
    }

    pub(super) fn apply(&mut self, event: Event) {
        match event {
            Event::ReservationRequested { attempt, .. } => self.has_asked(Step::Reserve, attempt),
            Event::PaymentRequested { attempt, .. } => self.has_asked(Step::Charge, attempt),
            Event::DeliveryRequested { attempt, .. } => self.has_asked(Step::Schedule, attempt),
            Event::CommitRequested { attempt, .. } => self.has_asked(Step::Commit, attempt),
            Event::DeliveryCancellationRequested { attempt, .. } => {
                self.has_asked(Step::CancelDelivery, attempt);
            }
            Event::RefundRequested { attempt, .. } => self.has_asked(Step::Refund, attempt),
            Event::ReleaseRequested { attempt, .. } => self.has_asked(Step::Release, attempt),
            Event::AttemptFailed { error, .. } => self.has_failed(error),
            Event::Parked { error, .. } => self.has_parked(error),
            Event::Retried => self.has_resumed(),
            event @ (Event::Started(_)
            | Event::CompensationStarted { .. }
            | Event::Completed
            | Event::Cancelled { .. }) => illegal(self, &event),
        }
    }
}
