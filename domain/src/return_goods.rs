//! The saga that takes an order back whose delivery failed for good. One stream an order, begun after the order was
//! completed, appended together with the order's.
//!
//! ```text
//! waiting for  input                     leads to
//! -----------  ------------------------  -----------------------------
//! (nothing)    started                   Refund
//!              started, refunded before  Restock
//! Refund       payment refunded          Restock
//!              refund failed             noted; too often: parked
//! Restock      reservation released      Completed
//! any          timed out                 the same; too often: parked
//! parked       retried                   the same
//! ```
//!
//! The order was paid, so its payment can end as given back only. Staff may have begun that before, or do so meanwhile: it
//! is given back once, and that is the answer to both.

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

use crate::aggregate::{event_types, illegal, write};
use crate::fulfilment::{self, Fulfilment};
use crate::order::{self, Order, Status};
use crate::payment::Payment;
use crate::reservation::Line;
use crate::saga::{self, Saga, Says};
use crate::{PaymentId, StoreId};

/// What the saga waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Payment is to give the total back.
    Refund,
    /// Inventory is to take the goods back.
    Restock,
}

impl Step {
    /// As it is stored, as `refund`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Step::Refund => "refund",
            Step::Restock => "restock",
        }
    }
}

/// What comes back: all that the requests are made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Where the goods were from.
    pub store_id: StoreId,
    /// Which.
    pub items: Vec<Line>,
    /// The stream of the payment.
    pub payment_id: PaymentId,
}

/// What happened, and the silence of a participant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The delivery failed for good.
    Started {
        /// What comes back.
        plan: Box<Plan>,
        /// Whether the money is back already: staff may have given it.
        refunded: bool,
    },
    /// The total was given back.
    PaymentRefunded,
    /// An attempt to give it back failed.
    RefundFailed {
        /// Which one.
        attempt: u32,
        /// Why.
        error: String,
    },
    /// The goods are back.
    ReservationReleased,
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

/// Requests to the participants, and decisions. `attempt` counts from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
#[expect(
    missing_docs,
    reason = "the members of requests are those of `Plan`, and the attempt"
)]
pub enum Event {
    /// The saga has begun.
    #[serde(rename = "return.started")]
    Started(Plan),
    /// To payment: give the total back.
    #[serde(rename = "return.refund-requested")]
    RefundRequested { payment_id: PaymentId, attempt: u32 },
    /// To inventory: take the goods back.
    #[serde(rename = "return.restock-requested")]
    RestockRequested {
        store_id: StoreId,
        items: Vec<Line>,
        attempt: u32,
    },
    /// An attempt failed; another follows, or the saga halts.
    #[serde(rename = "return.attempt-failed")]
    AttemptFailed {
        step: Step,
        attempt: u32,
        error: String,
    },
    /// It halts: a step was asked for too often.
    #[serde(rename = "return.parked")]
    Parked { step: Step, error: String },
    /// An operator said to go on.
    #[serde(rename = "return.retried")]
    Retried,
    /// Money and goods are back.
    #[serde(rename = "return.completed")]
    Completed,
}

event_types! {
    Started = "return.started" "1.0",
    RefundRequested = "return.refund-requested" "1.0",
    RestockRequested = "return.restock-requested" "1.0",
    AttemptFailed = "return.attempt-failed" "1.0",
    Parked = "return.parked" "1.0",
    Retried = "return.retried" "1.0",
    Completed = "return.completed" "1.0",
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Error {
    /// The order is not where its saga is.
    #[error("order and return disagree: {error}")]
    Order {
        /// What the order says.
        error: order::Error,
    },
}

/// Shape of a snapshot of [`Return`]; changes whenever its serialised form does.
pub const SHAPE: &str = "return-1";

/// How far a return has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Return {
    /// Not begun.
    #[default]
    NotStarted,
    /// Something was asked for.
    Waiting(Box<Waiting>),
    /// Money and goods are back.
    Completed,
}

/// What was asked for last.
pub type Waiting = saga::Waiting<Plan, Step>;

impl Return {
    /// What was asked for last; `None` before the beginning and after the end.
    #[must_use]
    pub fn waiting(&self) -> Option<&Waiting> {
        match self {
            Return::Waiting(waiting) => Some(waiting),
            Return::NotStarted | Return::Completed => None,
        }
    }

    /// What an input leads to. Nothing where it does not fit the state.
    #[must_use]
    pub fn react(&self, input: Input) -> Vec<Event> {
        match (self, input) {
            (Return::NotStarted, Input::Started { plan, refunded }) => {
                let step = if refunded {
                    Step::Restock
                } else {
                    Step::Refund
                };
                let first = plan.request(step, 1);
                vec![Event::Started(*plan), first]
            }
            (Return::Waiting(waiting), input) => waiting.react(input),
            _ => vec![],
        }
    }
}

impl Waiting {
    fn react(&self, input: Input) -> Vec<Event> {
        match (self.step, input) {
            (Step::Refund, Input::PaymentRefunded) => vec![self.ask(Step::Restock)],
            (Step::Refund, Input::RefundFailed { attempt, error }) => {
                self.attempt_failed(attempt, error)
            }
            (Step::Restock, Input::ReservationReleased) => vec![Event::Completed],
            (_, Input::TimedOut { step, attempt }) => self.timed_out(step, attempt),
            (_, Input::Retried) => self.retried(),
            _ => vec![],
        }
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::RefundRequested { attempt, .. } => self.has_asked(Step::Refund, attempt),
            Event::RestockRequested { attempt, .. } => self.has_asked(Step::Restock, attempt),
            Event::AttemptFailed { error, .. } => self.has_failed(error),
            Event::Parked { error, .. } => self.has_parked(error),
            Event::Retried => self.has_resumed(),
            event @ (Event::Started(_) | Event::Completed) => illegal(self, &event),
        }
    }
}

impl Says<Step> for Plan {
    type Event = Event;

    fn request(&self, step: Step, attempt: u32) -> Event {
        match step {
            Step::Refund => Event::RefundRequested {
                payment_id: self.payment_id,
                attempt,
            },
            Step::Restock => Event::RestockRequested {
                store_id: self.store_id.clone(),
                items: self.items.clone(),
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

/// What an append to the saga and its order holds.
pub type Decided = Result<(Vec<Event>, Vec<order::Event>), Error>;

/// Takes an input in; when everything is back the order is returned.
///
/// # Errors
/// [`Error::Order`] where the order is not where its saga is.
pub fn advance(saga: &Return, order: &Order, input: Input) -> Decided {
    let events = saga.react(input);
    let mut order_events = Vec::new();
    if events.contains(&Event::Completed) {
        let returned = order.decide(order::Command::MarkReturned);
        order_events = returned.map_err(|error| Error::Order { error })?;
    }
    Ok((events, order_events))
}

/// What an append to both sagas and their order holds.
pub type BothDecided =
    Result<(Vec<fulfilment::Event>, Vec<Event>, Vec<order::Event>), fulfilment::Error>;

/// A delivery has failed for good: of an order that is being fulfilled that saga hears it, of one that was completed this
/// one begins. One decision over both, so that neither leaves it to the other. `plan` is what would come back.
///
/// # Errors
/// [`fulfilment::Error::Order`] where the order is not where its saga is.
pub fn delivery_failed(
    fulfilment: &Fulfilment,
    saga: &Return,
    order: &Order,
    payment: &Payment,
    plan: Plan,
) -> BothDecided {
    let status = order.progress().map(|progress| progress.status);
    if status != Some(Status::Completed) {
        let input = fulfilment::Input::DeliveryFailed;
        let (events, order_events) = fulfilment::advance(fulfilment, order, input)?;
        return Ok((events, vec![], order_events));
    }
    let refunded = matches!(payment, Payment::Refunded(_));
    let plan = Box::new(plan);
    let events = saga.react(Input::Started { plan, refunded });
    Ok((vec![], events, vec![]))
}

impl Saga for Return {
    type Plan = Plan;
    type Step = Step;

    const TIMERS: &'static str = "return/";
    const CHARGE: Option<Step> = None;
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

impl Aggregate for Return {
    const TYPE: &'static str = "return";
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
            (Return::NotStarted, Event::Started(plan)) => {
                Return::Waiting(Box::new(Waiting::new(plan, Step::Refund)))
            }
            (Return::Waiting(_), Event::Completed) => Return::Completed,
            (Return::Waiting(mut waiting), event) => {
                waiting.apply(event);
                Return::Waiting(waiting)
            }
            (state, event) => illegal(&state, &event),
        };
    }
}

#[cfg(test)]
mod tests;
