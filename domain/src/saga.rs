//! What the sagas share: one request at a time, asked again when its answer stays out, until the saga halts. The sagas
//! themselves are [`crate::fulfilment`] and [`crate::return_goods`].

use std::time::Duration;

use cqrs_es::Aggregate;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::OrderId;
use crate::order::{self, Order};

mod patience;
#[cfg(test)]
pub(crate) mod table;

pub use patience::Patience;

/// How often a step is asked for before the saga halts, or gives the step up.
pub const TRIES_MAX: u32 = 6;

const NO_ANSWER: &str = "no answer came in time";

/// What a saga asked for last, of all that it has to do (`P`), and in which step (`S`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting<P, S> {
    /// What it is all about: what requests are made of.
    pub plan: P,
    /// What was asked for.
    pub step: S,
    /// How often this step was asked for.
    pub attempt: u32,
    /// The same, since the step began or an operator said to go on.
    pub tries: u32,
    /// Whether the last attempt is known to have failed. Another follows when its time is up.
    pub failed: bool,
    /// Whether it halts until an operator says to go on, or the answer comes after all.
    pub parked: bool,
    /// What went wrong last in this step.
    pub error: Option<String>,
}

/// A saga as those see it who keep its time, or let it go on.
pub trait Saga:
    Aggregate<Error: Serialize + DeserializeOwned + Send + Sync> + Clone + 'static
{
    /// All that it has to do.
    type Plan;
    /// What it asks for, one after the other.
    type Step: Copy + Eq + Serialize + DeserializeOwned + Send + Sync + 'static;

    /// What the names of its timers begin with.
    const TIMERS: &'static str;
    /// The step in which it waits for the payment provider, if it ever does.
    const CHARGE: Option<Self::Step>;

    /// What was asked for last; `None` before the beginning and after the end.
    fn waiting(&self) -> Option<&Waiting<Self::Plan, Self::Step>>;

    /// What an input leads to. Nothing where it does not fit the state.
    fn react(&self, input: Self::Command) -> Vec<Self::Event>;

    /// The same, with what is written into the order.
    ///
    /// # Errors
    /// Where the order is not where its saga is.
    fn advance(&self, order: &Order, input: Self::Command) -> Advanced<Self>;

    /// The input: no answer came in time to this attempt.
    fn timed_out(step: Self::Step, attempt: u32) -> Self::Command;

    /// The input: an operator says to go on.
    const RETRIED: Self::Command;

    /// Goes on with one that halts, as an operator wants it.
    ///
    /// # Errors
    /// [`NotParked`].
    fn retry(&self) -> Result<Vec<Self::Event>, NotParked> {
        let events = self.react(Self::RETRIED);
        if events.is_empty() {
            return Err(NotParked);
        }
        Ok(events)
    }

    /// What these events make of it.
    #[must_use]
    fn after(&self, events: &[Self::Event]) -> Self {
        let mut after = self.clone();
        events.iter().for_each(|event| after.apply(event.clone()));
        after
    }

    /// How long it waits for the answer to what it asked for last; `None` where it waits for nothing.
    fn patience(&self, patience: &Patience) -> Option<Duration> {
        let waiting = self.waiting().filter(|waiting| !waiting.parked)?;
        Some(patience.of(Self::CHARGE == Some(waiting.step), waiting.tries))
    }

    /// The timer that ends the patience of an order's saga.
    fn timer_name(order_id: OrderId) -> String {
        format!("{}{order_id}", Self::TIMERS)
    }

    /// What that timer says.
    fn awaited(&self, order_id: OrderId) -> Option<Awaited<Self::Step>> {
        self.waiting().map(|waiting| Awaited {
            order_id,
            step: waiting.step,
            attempt: waiting.attempt,
        })
    }
}

/// What an append to a saga and its order holds.
pub type Advanced<S> =
    Result<(Vec<<S as Aggregate>::Event>, Vec<order::Event>), <S as Aggregate>::Error>;

/// What a saga's timer says: which attempt goes unanswered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaited<S> {
    /// Of which order.
    pub order_id: OrderId,
    /// What was asked for.
    pub step: S,
    /// How often.
    pub attempt: u32,
}

/// There is nothing to go on with: the saga waits for an answer, or has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("the saga is not parked")]
pub struct NotParked;

/// A saga's own words for what every saga says.
pub(crate) trait Says<S> {
    type Event;

    fn request(&self, step: S, attempt: u32) -> Self::Event;
    fn attempt_failed(step: S, attempt: u32, error: String) -> Self::Event;
    fn parked(step: S, error: String) -> Self::Event;
    fn retried() -> Self::Event;
}

/// What inputs lead to that mean the same in every step.
#[expect(
    private_bounds,
    reason = "the methods are the sagas' own; others read the members"
)]
impl<P: Says<S>, S: Copy + Eq> Waiting<P, S> {
    pub(crate) fn ask(&self, step: S) -> P::Event {
        self.plan.request(step, 1)
    }

    /// Whether this attempt is outstanding.
    pub(crate) fn awaits(&self, step: S, attempt: u32) -> bool {
        !self.parked && (self.step, self.attempt) == (step, attempt)
    }

    pub(crate) fn is_out_of_tries(&self) -> bool {
        self.tries >= TRIES_MAX
    }

    /// No answer came: the same is asked again, or the saga halts.
    pub(crate) fn timed_out(&self, step: S, attempt: u32) -> Vec<P::Event> {
        if !self.awaits(step, attempt) {
            return vec![];
        }
        if self.is_out_of_tries() {
            let error = self.error.clone().unwrap_or_else(|| NO_ANSWER.to_owned());
            return vec![P::parked(step, error)];
        }
        vec![self.plan.request(step, attempt + 1)]
    }

    /// An attempt failed. It may be told of twice.
    pub(crate) fn attempt_failed(&self, attempt: u32, error: String) -> Vec<P::Event> {
        if self.failed || !self.awaits(self.step, attempt) {
            return vec![];
        }
        let mut events = vec![P::attempt_failed(self.step, attempt, error.clone())];
        if self.is_out_of_tries() {
            events.push(P::parked(self.step, error));
        }
        events
    }

    /// An operator says to go on.
    pub(crate) fn retried(&self) -> Vec<P::Event> {
        if !self.parked {
            return vec![];
        }
        vec![P::retried(), self.plan.request(self.step, self.attempt + 1)]
    }
}

/// What the events of a saga make of it.
impl<P, S: Copy + Eq> Waiting<P, S> {
    pub(crate) fn new(plan: P, first: S) -> Self {
        Self {
            plan,
            step: first,
            attempt: 0,
            tries: 0,
            failed: false,
            parked: false,
            error: None,
        }
    }

    pub(crate) fn has_asked(&mut self, step: S, attempt: u32) {
        if step != self.step {
            self.tries = 0;
            self.error = None;
        }
        self.step = step;
        self.attempt = attempt;
        self.tries += 1;
        self.failed = false;
        self.parked = false;
    }

    pub(crate) fn has_failed(&mut self, error: String) {
        self.failed = true;
        self.error = Some(error);
    }

    pub(crate) fn has_parked(&mut self, error: String) {
        self.parked = true;
        self.error = Some(error);
    }

    pub(crate) fn has_resumed(&mut self) {
        self.parked = false;
        self.tries = 0;
    }
}
