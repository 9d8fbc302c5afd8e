//! The saga that fulfils an order, or undoes what it has done. One stream an order, appended together with the order's.
//!
//! What it asks for are events of its own stream, which the participants react to; what they answer comes back as
//! [`Input`]. [`Fulfilment::react`] is pure: it looks at nothing but the state and the input.
//!
//! ```text
//! waiting for     input                   leads to
//! --------------  ----------------------  -------------------------------------
//! (nothing)       started                 Reserve
//! Reserve         reservation confirmed   Charge
//!                 reservation rejected    Cancelled (out-of-stock)
//!                 cancellation requested  Release (customer)
//! Charge          payment completed       Schedule
//!                 payment failed          Release (payment-declined)
//!                 timed out               Refund (payment-timeout)
//!                 cancellation requested  Refund (customer)
//! Schedule        delivery scheduled      Commit
//!                 delivery failed         Refund (delivery-unavailable)
//!                 timed out too often     CancelDelivery (delivery-unavailable)
//!                 cancellation requested  CancelDelivery (customer)
//! Commit          reservation committed   Completed
//!                 delivery failed         Refund (delivery-unavailable)
//!                 cancellation requested  CancelDelivery (customer)
//! CancelDelivery  delivery cancelled      Refund
//!                 delivery failed         Refund
//! Refund          payment refunded        Release
//!                 payment failed          Release
//!                 refund failed           noted; too often: parked
//! Release         reservation released    Cancelled (the reason)
//!                 reservation rejected    Cancelled (the reason)
//! any other       timed out               the same; too often: parked
//! parked          retried                 the same
//! ```
//!
//! In brackets stands why everything is undone from there on. Undoing asks for more than what is known to be done: a step
//! whose answer is outstanding is undone as well, and the participant leaves a tombstone. Whatever is not in the table
//! changes nothing: answers may come twice, late, or in another order. A saga that halts goes on by itself where the answer
//! comes after all. `tests/it/sagas.rs` plays it against its participants under any schedule.

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

use crate::aggregate::{illegal, write};
use crate::order::{self, CancelReason, Order};
use crate::reservation::Line;
use crate::saga::{self, Saga, Says};

mod event;
mod input;
mod steps;

pub use event::{EVENT_TYPES, Event};
pub use input::{Input, Plan};

pub use crate::saga::{Patience, TRIES_MAX};

/// What the saga waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Inventory is to promise the items.
    Reserve,
    /// Payment is to charge the total.
    Charge,
    /// Delivery is to book a slot.
    Schedule,
    /// Inventory is to let the goods go.
    Commit,
    /// Undoes [`Step::Schedule`].
    CancelDelivery,
    /// Undoes [`Step::Charge`].
    Refund,
    /// Undoes [`Step::Reserve`] and [`Step::Commit`].
    Release,
}

impl Step {
    /// As it is stored, as `cancel-delivery`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Step::Reserve => "reserve",
            Step::Charge => "charge",
            Step::Schedule => "schedule",
            Step::Commit => "commit",
            Step::CancelDelivery => "cancel-delivery",
            Step::Refund => "refund",
            Step::Release => "release",
        }
    }

    /// Whether it undoes another.
    #[must_use]
    pub const fn is_compensation(self) -> bool {
        matches!(self, Step::CancelDelivery | Step::Refund | Step::Release)
    }
}

/// Shape of a snapshot of [`Fulfilment`]; changes whenever its serialised form does.
pub const SHAPE: &str = "fulfilment-1";

/// How far an order's fulfilment has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fulfilment {
    /// Not begun.
    #[default]
    NotStarted,
    /// Something was asked for.
    Waiting(Box<Waiting>),
    /// Something was asked for that undoes what was done, and why everything is undone.
    Undoing(Box<Waiting>, CancelReason),
    /// Everything is arranged.
    Completed,
    /// Everything is undone.
    Cancelled,
}

/// What was asked for last.
pub type Waiting = saga::Waiting<Plan, Step>;

/// What never goes wrong: inputs that do not fit change nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Error {
    /// The order is not where its saga is.
    #[error("order and fulfilment disagree: {error}")]
    Order {
        /// What the order says.
        error: order::Error,
    },
}

impl Fulfilment {
    /// What was asked for last; `None` before the beginning and after the end.
    #[must_use]
    pub fn waiting(&self) -> Option<&Waiting> {
        match self {
            Fulfilment::Waiting(waiting) | Fulfilment::Undoing(waiting, _) => Some(waiting),
            Fulfilment::NotStarted | Fulfilment::Completed | Fulfilment::Cancelled => None,
        }
    }

    /// What an input leads to. Nothing where it does not fit the state.
    #[must_use]
    pub fn react(&self, input: Input) -> Vec<Event> {
        match (self, input) {
            (Fulfilment::NotStarted, Input::Started(plan)) => {
                let first = plan.request(Step::Reserve, 1);
                vec![Event::Started(*plan), first]
            }
            (_, Input::TimedOut { step, attempt }) => self.timed_out(step, attempt),
            (_, Input::Retried) => self.waiting().map(Waiting::retried).unwrap_or_default(),
            (Fulfilment::Waiting(waiting), input) => waiting.lead_on(&input),
            (Fulfilment::Undoing(waiting, reason), input) => waiting.undo(*reason, input),
            _ => vec![],
        }
    }

    fn timed_out(&self, step: Step, attempt: u32) -> Vec<Event> {
        let Some(waiting) = self.waiting() else {
            return vec![];
        };
        let is_last = waiting.awaits(step, attempt) && waiting.is_out_of_tries();
        match step {
            Step::Charge if waiting.awaits(step, attempt) => {
                waiting.turn_back(CancelReason::PaymentTimeout, Step::Refund)
            }
            Step::Schedule if is_last => {
                waiting.turn_back(CancelReason::DeliveryUnavailable, Step::CancelDelivery)
            }
            step => waiting.timed_out(step, attempt),
        }
    }
}

impl Waiting {
    fn lead_on(&self, input: &Input) -> Vec<Event> {
        use Input::{
            CancellationRequested, DeliveryFailed, DeliveryScheduled, PaymentCompleted,
            PaymentFailed, ReservationCommitted, ReservationConfirmed, ReservationRejected,
        };
        use Step::{CancelDelivery, Charge, Commit, Refund, Release, Reserve, Schedule};

        match (self.step, input) {
            (Reserve, ReservationConfirmed) => self.go_on(Charge),
            (Charge, PaymentCompleted) => self.go_on(Schedule),
            (Schedule, DeliveryScheduled { .. }) => self.go_on(Commit),
            (Commit, ReservationCommitted) => vec![Event::Completed],

            (Reserve, ReservationRejected) => vec![Event::Cancelled {
                reason: CancelReason::OutOfStock,
            }],
            (Charge, PaymentFailed) => self.turn_back(CancelReason::PaymentDeclined, Release),
            (Schedule | Commit, DeliveryFailed) => {
                self.turn_back(CancelReason::DeliveryUnavailable, Refund)
            }
            (Reserve, CancellationRequested) => self.turn_back(CancelReason::Customer, Release),
            (Charge, CancellationRequested) => self.turn_back(CancelReason::Customer, Refund),
            (Schedule | Commit, CancellationRequested) => {
                self.turn_back(CancelReason::Customer, CancelDelivery)
            }
            _ => vec![],
        }
    }

    fn undo(&self, reason: CancelReason, input: Input) -> Vec<Event> {
        use Input::{
            DeliveryCancelled, DeliveryFailed, PaymentFailed, PaymentRefunded, RefundFailed,
            ReservationRejected, ReservationReleased,
        };
        use Step::{CancelDelivery, Refund, Release};

        match (self.step, input) {
            (CancelDelivery, DeliveryCancelled | DeliveryFailed) => self.go_on(Refund),
            (Refund, PaymentRefunded | PaymentFailed) => self.go_on(Release),
            (Refund, RefundFailed { attempt, error }) => self.attempt_failed(attempt, error),
            (Release, ReservationReleased | ReservationRejected) => {
                vec![Event::Cancelled { reason }]
            }
            _ => vec![],
        }
    }
}

/// What an append to the saga and its order holds.
pub type Decided = Result<(Vec<Event>, Vec<order::Event>), Error>;

/// Takes an input in, and writes into the order how far it has come. A cancellation that the order has accepted beats
/// whatever would lead on: the answer that came tells of something that is undone now.
///
/// # Errors
/// [`Error::Order`] where the order is not where its saga is.
pub fn advance(saga: &Fulfilment, order: &Order, input: Input) -> Decided {
    let slot = match &input {
        Input::DeliveryScheduled { slot } => Some(*slot),
        _ => None,
    };
    let mut events = saga.react(input);
    let called_off = order
        .progress()
        .is_some_and(|progress| progress.cancellation_requested);
    if called_off && events.iter().any(Event::leads_on) {
        events = saga.react(Input::CancellationRequested);
    }
    let mut order_events = Vec::new();
    for event in &events {
        let command = match event {
            Event::PaymentRequested { .. } => order::Command::MarkReserved,
            Event::DeliveryRequested { .. } => order::Command::MarkPaid,
            Event::CommitRequested { .. } => match slot {
                Some(slot) => order::Command::MarkScheduled { slot },
                None => continue,
            },
            Event::Completed => order::Command::Complete,
            Event::Cancelled { reason } => order::Command::Cancel { reason: *reason },
            _ => continue,
        };
        let decided = order.decide(command);
        order_events.extend(decided.map_err(|error| Error::Order { error })?);
    }
    Ok((events, order_events))
}

impl Saga for Fulfilment {
    type Plan = Plan;
    type Step = Step;

    const TIMERS: &'static str = "fulfilment/";
    const CHARGE: Option<Step> = Some(Step::Charge);
    const RETRIED: Input = Input::Retried;

    fn waiting(&self) -> Option<&Waiting> {
        self.waiting()
    }

    fn react(&self, input: Input) -> Vec<Event> {
        self.react(input)
    }

    fn advance(&self, order: &Order, input: Input) -> Decided {
        advance(self, order, input)
    }

    fn timed_out(step: Step, attempt: u32) -> Input {
        Input::TimedOut { step, attempt }
    }
}

impl Aggregate for Fulfilment {
    const TYPE: &'static str = "fulfilment";
    type Command = Input;
    type Event = Event;
    type Error = Error;
    type Services = ();

    async fn handle(&mut self, input: Input, (): &(), sink: &EventSink<Self>) -> Result<(), Error> {
        let decided = Ok(self.react(input));
        write(self, decided, sink).await
    }

    fn apply(&mut self, event: Event) {
        *self = match (std::mem::take(self), event) {
            (Fulfilment::NotStarted, Event::Started(plan)) => {
                Fulfilment::Waiting(Box::new(Waiting::new(plan, Step::Reserve)))
            }
            (Fulfilment::Waiting(_), Event::Completed) => Fulfilment::Completed,
            (Fulfilment::Waiting(_) | Fulfilment::Undoing(..), Event::Cancelled { .. }) => {
                Fulfilment::Cancelled
            }
            (Fulfilment::Waiting(waiting), Event::CompensationStarted { reason }) => {
                Fulfilment::Undoing(waiting, reason)
            }
            (Fulfilment::Waiting(mut waiting), event) => {
                waiting.apply(event);
                Fulfilment::Waiting(waiting)
            }
            (Fulfilment::Undoing(mut waiting, reason), event) => {
                waiting.apply(event);
                Fulfilment::Undoing(waiting, reason)
            }
            (state, event) => illegal(&state, &event),
        };
    }
}

#[cfg(test)]
mod tests;
