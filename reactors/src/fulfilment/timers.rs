//! How long the sagas wait: one timer a saga, set with each request, cleared with the last answer.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use cqrs_es::Aggregate;
use domain::fulfilment::{self, Fulfilment, Input, Patience};
use domain::return_goods::{self, Return};
use domain::{Order, OrderId};
use eventstore::{
    CommandContext, Decided, DueTimer, ExecuteError, Executed, RecordedEvent, Stream, Timer,
    TimerChange, TimerHandler,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Sagas;
use crate::command::{acted, acting_on, cause, cause_of, give, with_cause};

const FULFILMENT: &str = "fulfilment/";
const RETURN: &str = "return/";

/// What a saga's timer says: which step went unanswered.
#[derive(Deserialize)]
struct Payload<Step> {
    order_id: OrderId,
    step: Step,
    attempt: u32,
}

/// Now, and what for.
#[derive(Clone)]
pub(super) struct Clock {
    now: DateTime<Utc>,
    cause: Value,
}

impl Clock {
    /// Waiting begins when the saga asks, not when that happened which made it ask.
    pub(super) fn answering(event: &RecordedEvent) -> Self {
        Self {
            now: Utc::now().max(event.recorded_at),
            cause: cause(event),
        }
    }

    fn acting_on(timer: &DueTimer) -> Self {
        Self {
            now: Utc::now().max(timer.due_at),
            cause: cause_of(timer),
        }
    }

    /// What becomes of the timer of a saga that these events are appended to.
    pub(super) fn fulfilment(
        &self,
        order_id: OrderId,
        before: &Fulfilment,
        events: &[fulfilment::Event],
        patience: &Patience,
    ) -> Vec<TimerChange> {
        if events.is_empty() {
            return vec![];
        }
        let after = applied(before, events);
        let payload = after
            .waiting()
            .map(|waiting| json!({"order_id": order_id, "step": waiting.step, "attempt": waiting.attempt}));
        let asks = asked(before.waiting(), after.waiting(), |waiting| {
            (waiting.step.as_str(), waiting.attempt)
        });
        self.change(
            format!("{FULFILMENT}{order_id}"),
            asks,
            after.patience(patience),
            payload,
        )
    }

    /// As [`Clock::fulfilment`].
    pub(super) fn returning(
        &self,
        order_id: OrderId,
        before: &Return,
        events: &[return_goods::Event],
        patience: &Patience,
    ) -> Vec<TimerChange> {
        if events.is_empty() {
            return vec![];
        }
        let after = applied(before, events);
        let payload = after
            .waiting()
            .map(|waiting| json!({"order_id": order_id, "step": waiting.step, "attempt": waiting.attempt}));
        let asks = asked(before.waiting(), after.waiting(), |waiting| {
            (waiting.step.as_str(), waiting.attempt)
        });
        self.change(
            format!("{RETURN}{order_id}"),
            asks,
            after.patience(patience),
            payload,
        )
    }

    fn change(
        &self,
        name: String,
        asks: bool,
        wait: Option<std::time::Duration>,
        payload: Option<Value>,
    ) -> Vec<TimerChange> {
        let (Some(wait), Some(payload)) = (wait, payload) else {
            return vec![TimerChange::Clear { name }];
        };
        if !asks {
            // An attempt failed: the next one comes when its time is up.
            return vec![];
        }
        let wait = TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX);
        vec![TimerChange::Set(Timer {
            name,
            due_at: self.now + wait,
            payload: with_cause(payload, self.cause.clone()),
        })]
    }
}

fn applied<A: Aggregate + Clone>(before: &A, events: &[A::Event]) -> A
where
    A::Event: Clone,
{
    let mut after = before.clone();
    events.iter().for_each(|event| after.apply(event.clone()));
    after
}

/// Whether something was asked for.
fn asked<W, K: PartialEq>(before: Option<&W>, after: Option<&W>, key: impl Fn(&W) -> K) -> bool {
    before.map(&key) != after.map(&key)
}

/// Tells sagas of fulfilment whose participants are silent.
pub struct FulfilmentTimers(pub Sagas);

/// Tells sagas of returns whose participants are silent.
pub struct ReturnTimers(pub Sagas);

#[async_trait]
impl TimerHandler for FulfilmentTimers {
    fn prefix(&self) -> &'static str {
        FULFILMENT
    }

    async fn fire(&self, timer: &DueTimer) -> anyhow::Result<()> {
        let Payload {
            order_id,
            step,
            attempt,
        } = serde_json::from_value(timer.payload.clone())?;
        let clock = Clock::acting_on(timer);
        let context = acting_on(&self.0.store, "time-out", timer);
        let time_out = |context| {
            let (clock, name) = (clock.clone(), timer.name.clone());
            self.0
                .fulfilment_timed_out(context, order_id, clock, (step, attempt), name)
        };
        fail::fail_point!("saga-time-is-up");
        acted(give(context, time_out).await)?;
        fail::fail_point!("saga-timed-out");
        Ok(())
    }
}

#[async_trait]
impl TimerHandler for ReturnTimers {
    fn prefix(&self) -> &'static str {
        RETURN
    }

    async fn fire(&self, timer: &DueTimer) -> anyhow::Result<()> {
        let Payload {
            order_id,
            step,
            attempt,
        } = serde_json::from_value(timer.payload.clone())?;
        let clock = Clock::acting_on(timer);
        let context = acting_on(&self.0.store, "time-out", timer);
        let time_out = |context| {
            let (clock, name) = (clock.clone(), timer.name.clone());
            self.0
                .return_timed_out(context, order_id, clock, (step, attempt), name)
        };
        acted(give(context, time_out).await)?;
        Ok(())
    }
}

impl Sagas {
    async fn fulfilment_timed_out(
        &self,
        context: CommandContext,
        order_id: OrderId,
        clock: Clock,
        awaited: (fulfilment::Step, u32),
        timer: String,
    ) -> Result<Executed, ExecuteError<fulfilment::Error>> {
        let (step, attempt) = awaited;
        let input = Input::TimedOut { step, attempt };
        let streams = (
            Stream::<Fulfilment>::new(order_id.to_string()),
            Stream::<Order>::new(order_id.to_string()),
        );
        let patience = self.patience;
        self.store
            .execute(streams, context, move |(saga, order)| {
                let events = fulfilment::advance(saga, order, input.clone())?;
                let mut timers = clock.fulfilment(order_id, saga, &events.0, &patience);
                let moved = saga.waiting().is_some_and(|waiting| {
                    !waiting.parked && (waiting.step, waiting.attempt) != awaited
                });
                if events.0.is_empty() && !moved {
                    timers.push(clear(&timer));
                }
                Ok(Decided::with_timers(events, timers))
            })
            .await
    }

    async fn return_timed_out(
        &self,
        context: CommandContext,
        order_id: OrderId,
        clock: Clock,
        awaited: (return_goods::Step, u32),
        timer: String,
    ) -> Result<Executed, ExecuteError<return_goods::Error>> {
        let (step, attempt) = awaited;
        let input = return_goods::Input::TimedOut { step, attempt };
        let streams = (
            Stream::<Return>::new(order_id.to_string()),
            Stream::<Order>::new(order_id.to_string()),
        );
        let patience = self.patience;
        self.store
            .execute(streams, context, move |(saga, order)| {
                let events = return_goods::advance(saga, order, input.clone())?;
                let mut timers = clock.returning(order_id, saga, &events.0, &patience);
                let moved = saga.waiting().is_some_and(|waiting| {
                    !waiting.parked && (waiting.step, waiting.attempt) != awaited
                });
                if events.0.is_empty() && !moved {
                    timers.push(clear(&timer));
                }
                Ok(Decided::with_timers(events, timers))
            })
            .await
    }
}

/// A timer of a saga that waits no more goes. One that was moved meanwhile stays: it is another step's by now.
fn clear(timer: &str) -> TimerChange {
    let name = timer.to_owned();
    TimerChange::Clear { name }
}
