//! How long the sagas wait: one timer a saga, set with each request, cleared with the last answer.

use std::marker::PhantomData;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use domain::fulfilment::Patience;
use domain::saga::{Awaited, Saga};
use domain::{Order, OrderId};
use eventstore::{
    CommandContext, Decided, DueTimer, ExecuteError, Executed, Metadata, RecordedEvent, Stream,
    Timer, TimerChange, TimerHandler,
};

use super::Sagas;
use crate::command::{acted, acting_on, give};

/// Now, and what for.
#[derive(Clone)]
pub(super) struct Clock {
    now: DateTime<Utc>,
    cause: Metadata,
}

impl Clock {
    /// Waiting begins when the saga asks, not when that happened which made it ask.
    pub(super) fn answering(event: &RecordedEvent) -> Self {
        Self {
            now: Utc::now().max(event.recorded_at),
            cause: event.as_cause(),
        }
    }

    fn acting_on(timer: &DueTimer) -> Self {
        Self {
            now: Utc::now().max(timer.due_at),
            cause: timer.cause(),
        }
    }

    /// What becomes of the timer of a saga that these events are appended to.
    pub(super) fn timer<S: Saga>(
        &self,
        order_id: OrderId,
        before: &S,
        events: &[S::Event],
        patience: &Patience,
    ) -> Option<TimerChange> {
        if events.is_empty() {
            return None;
        }
        let after = before.after(events);
        let name = S::timer_name(order_id);
        let awaited = after.awaited(order_id);
        let (Some(wait), Some(awaited)) = (after.patience(patience), awaited) else {
            return Some(TimerChange::Clear { name });
        };
        if before.awaited(order_id) == Some(awaited) {
            // An attempt failed: the next one comes when its time is up.
            return None;
        }
        let due_at = self.now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX);
        Some(TimerChange::Set(Timer::new(
            name,
            due_at,
            awaited,
            &self.cause,
        )))
    }
}

/// Tells sagas of one kind whose participants are silent.
pub struct SagaTimers<S> {
    sagas: Sagas,
    kind: PhantomData<fn() -> S>,
}

impl<S: Saga> SagaTimers<S> {
    /// Keeps the time of these.
    #[must_use]
    pub fn new(sagas: Sagas) -> Self {
        let kind = PhantomData;
        Self { sagas, kind }
    }

    async fn timed_out(
        &self,
        context: CommandContext,
        clock: Clock,
        awaited: Awaited<S::Step>,
    ) -> Result<Executed, ExecuteError<S::Error>> {
        let Awaited {
            order_id,
            step,
            attempt,
        } = awaited;
        let streams = (
            Stream::<S>::new(order_id.to_string()),
            Stream::<Order>::new(order_id.to_string()),
        );
        let patience = self.sagas.patience;
        let decide = move |(saga, order): (&S, &Order)| {
            let events = saga.advance(order, S::timed_out(step, attempt))?;
            let mut timer = clock.timer(order_id, saga, &events.0, &patience);
            let is_over = saga.waiting().is_none_or(|waiting| waiting.parked);
            let is_own = is_over || saga.awaited(order_id) == Some(awaited);
            if events.0.is_empty() && is_own {
                // It waits no more. A timer that was moved meanwhile stays: it is another step's by now.
                let name = S::timer_name(order_id);
                timer = Some(TimerChange::Clear { name });
            }
            Ok(Decided::with_timers(events, Vec::from_iter(timer)))
        };
        self.sagas.store.execute(streams, context, decide).await
    }
}

#[async_trait]
impl<S: Saga> TimerHandler for SagaTimers<S> {
    fn prefix(&self) -> &'static str {
        S::TIMERS
    }

    fn are_due_at_once(&self) -> bool {
        false
    }

    async fn fire(&self, timer: &DueTimer) -> anyhow::Result<()> {
        let awaited: Awaited<S::Step> = serde_json::from_value(timer.payload.clone())?;
        let clock = Clock::acting_on(timer);
        let context = acting_on(&self.sagas.store, "time-out", timer);
        let time_out = |context| self.timed_out(context, clock.clone(), awaited);
        fail::fail_point!("saga-time-is-up");
        acted(give(context, time_out).await)?;
        fail::fail_point!("saga-timed-out");
        Ok(())
    }
}
