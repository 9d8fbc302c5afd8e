//! Sagas as operators see them, and letting one go on that halts.

use chrono::{DateTime, Utc};
use domain::saga::{self, NotParked, Patience};
use domain::{Fulfilment, OrderId, Return};
use eventstore::{
    CommandContext, Decided, EventStore, ExecuteError, Executed, Metadata, Stream, Timer,
    TimerChange,
};
use read_models::sagas::{Kind, SagaId, State, Timed};
use serde::Serialize;
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
    patience: Patience,
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
        order_id: OrderId::new(id.order_id),
        patience,
        now: Utc::now(),
        cause: first.as_cause(),
    };
    let executed = match id.kind {
        Kind::Fulfilment => {
            let decide = move |saga: &Fulfilment| asking.again(saga);
            let stream = Stream::new(stream_id);
            store.execute(stream, context, decide).await
        }
        Kind::Return => {
            let decide = move |saga: &Return| asking.again(saga);
            let stream = Stream::new(stream_id);
            store.execute(stream, context, decide).await
        }
    };
    executed.map_err(RetryError::Execute)
}

/// What goes on, from when on, and what it goes back to: as where the reactor of the sagas asks.
struct Asking {
    order_id: OrderId,
    patience: Patience,
    now: DateTime<Utc>,
    cause: Metadata,
}

impl Asking {
    fn again<S: saga::Saga>(&self, saga: &S) -> Result<Decided<Vec<S::Event>>, NotParked> {
        let events = saga.retry()?;
        let after = saga.after(&events);
        let asked = after.awaited(self.order_id);
        let timer = asked.zip(after.patience(&self.patience));
        let timer = timer.map(|(awaited, wait)| {
            let name = S::timer_name(self.order_id);
            TimerChange::Set(Timer::new(name, self.now + wait, awaited, &self.cause))
        });
        Ok(Decided::with_timers(events, Vec::from_iter(timer)))
    }
}
