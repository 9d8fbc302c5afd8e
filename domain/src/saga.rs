//! What the sagas share: one request at a time, asked again when its answer stays out, until the saga halts. The sagas
//! themselves are [`crate::fulfilment`] and [`crate::return_goods`].

use serde::{Deserialize, Serialize};

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
