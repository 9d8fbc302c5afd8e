//! Sagas as operators see them, and letting one go on that halts.

use std::time::Duration;

use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use domain::fulfilment::{self, Patience};
use domain::{Fulfilment, Return, return_goods};
use eventstore::{
    CommandContext, Decided, EventStore, ExecuteError, Executed, Metadata, Stream, Timer,
    TimerChange,
};
use read_models::sagas::{Kind, SagaId, State, Timed};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

/// A saga: what an order waits for, or how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Saga {
    /// `fulfilment-<order id>`, or `return-<order id>` for the saga that takes an order back.
    pub id: String,
    pub kind: Kind,
    pub state: State,
    pub order_id: Uuid,
    pub started_at: DateTime<Utc>,
    /// `null` while it goes on.
    pub ended_at: Option<DateTime<Utc>>,
    /// The step whose answer is outstanding, or at which it halts, as `refund`; `null` once ended.
    pub waiting_for: Option<String>,
    /// When it asks again, or gives up; `null` where it waits for nothing, or for an operator.
    pub timer_at: Option<DateTime<Utc>>,
    /// How often that step was asked for; of a saga that ended, the last step.
    pub attempts: i32,
    /// Why everything is being undone, or was; `null` while nothing is.
    pub reason: Option<String>,
    /// What went wrong last in this step.
    pub error: Option<String>,
}

impl From<Timed> for Saga {
    fn from(Timed { saga, timer_at }: Timed) -> Self {
        Saga {
            id: saga.id().to_string(),
            kind: saga.kind,
            state: saga.state,
            order_id: saga.order_id,
            started_at: saga.started_at,
            ended_at: saga.ended_at,
            waiting_for: saga.waiting_for,
            timer_at,
            attempts: saga.attempts,
            reason: saga.reason,
            error: saga.error,
        }
    }
}

/// There is nothing to go on with: the saga waits for an answer, or has ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("the saga is not parked")]
pub struct NotParked;

/// Why a saga was not let go on.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    #[error("there is no saga {0}")]
    Unknown(SagaId),
    #[error("database error")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Execute(ExecuteError<NotParked>),
}

/// Lets a saga that halts ask again for the step at which it does, and wait for the answer as if for the first time.
/// Durable when it returns; `context` says who wants it. What it asks for keeps the correlation of its order.
///
/// # Errors
/// [`RetryError::Unknown`] for a saga that never began; [`NotParked`] where it does not halt.
pub async fn retry(
    store: &EventStore,
    id: SagaId,
    context: CommandContext,
) -> Result<Executed, RetryError> {
    let stream_id = id.order_id.to_string();
    let first = store.stream_events(id.kind.as_str(), &stream_id, 0, 1);
    let first = first.await?.into_iter().next();
    let first = first.ok_or(RetryError::Unknown(id))?;
    let context = CommandContext {
        correlation_id: first.metadata().correlation_id,
        ..context
    };
    let asking = Asking {
        id,
        now: Utc::now(),
        cause: Metadata {
            causation_id: Some(first.event_id.to_string()),
            ..first.metadata()
        },
    };
    let executed = match id.kind {
        Kind::Fulfilment => {
            let stream = Stream::<Fulfilment>::new(stream_id);
            let decide = move |saga: &Fulfilment| again(saga, &asking);
            store.execute(stream, context, decide).await
        }
        Kind::Return => {
            let stream = Stream::<Return>::new(stream_id);
            let decide = move |saga: &Return| returning_again(saga, &asking);
            store.execute(stream, context, decide).await
        }
    };
    executed.map_err(RetryError::Execute)
}

fn again(saga: &Fulfilment, asking: &Asking) -> Result<Decided<Vec<fulfilment::Event>>, NotParked> {
    let events = fulfilment::retry(saga).map_err(|_| NotParked)?;
    let after = after(saga, &events);
    let patience = after.patience(&Patience::default());
    let asked = after.waiting().zip(patience);
    let asked = asked
        .map(|(waiting, patience)| asking.timer(waiting.step.as_str(), waiting.attempt, patience));
    Ok(Decided::with_timers(events, asked.into_iter().collect()))
}

fn returning_again(
    saga: &Return,
    asking: &Asking,
) -> Result<Decided<Vec<return_goods::Event>>, NotParked> {
    let events = return_goods::retry(saga).map_err(|_| NotParked)?;
    let after = after(saga, &events);
    let patience = after.patience(&Patience::default());
    let asked = after.waiting().zip(patience);
    let asked = asked
        .map(|(waiting, patience)| asking.timer(waiting.step.as_str(), waiting.attempt, patience));
    Ok(Decided::with_timers(events, asked.into_iter().collect()))
}

fn after<A: Aggregate + Clone>(saga: &A, events: &[A::Event]) -> A {
    let mut after = saga.clone();
    for event in events {
        after.apply(event.clone());
    }
    after
}

/// What goes on, from when on, and what it goes back to.
struct Asking {
    id: SagaId,
    now: DateTime<Utc>,
    cause: Metadata,
}

impl Asking {
    /// Ends the saga's patience with an attempt. As the reactor of the sagas sets it, whose events then carry the cause.
    fn timer(&self, step: &str, attempt: u32, patience: Duration) -> TimerChange {
        TimerChange::Set(Timer {
            name: self.id.timer_name(),
            due_at: self.now + patience,
            payload: json!({
                "order_id": self.id.order_id, "step": step, "attempt": attempt, "cause": self.cause,
            }),
        })
    }
}
