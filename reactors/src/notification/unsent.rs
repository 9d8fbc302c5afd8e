//! What could not be sent: a dead letter each, until an operator retries or discards it.

use async_trait::async_trait;
use chrono::Utc;
use cqrs_es::Aggregate;
use domain::Notification;
use domain::notification::{self, Event};
use eventstore::{
    Begins, CommandContext, Decided, EventStore, ReactError, Reactor, RecordedEvent, Stream, Timer,
    TimerChange, dead_letters,
};

use super::{Due, timer_name};
use crate::command::{answering, cause, read, settled, with_cause};

/// The consumer's name in dead letters.
pub const UNSENT: &str = "unsent";

/// Parks notifications that were given up. Each is a stream of its own, so none holds up another.
pub struct Unsent {
    store: EventStore,
}

impl Unsent {
    /// Appends to `store` what operators want sent after all.
    #[must_use]
    pub fn new(store: EventStore) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Reactor for Unsent {
    fn name(&self) -> &'static str {
        UNSENT
    }

    fn reads(&self) -> &'static [&'static str] {
        &[Notification::TYPE]
    }

    fn begins(&self) -> Begins {
        Begins::AtInstallation
    }

    async fn react(&self, event: &RecordedEvent) -> Result<(), ReactError> {
        let Event::Failed {
            is_final: true,
            error,
            subject,
            ..
        } = read(event)?
        else {
            return Ok(());
        };
        let pool = self.store.pool();
        let held = dead_letters::holds(pool, UNSENT, event.position).await;
        if !held.map_err(anyhow::Error::from)? {
            return Err(ReactError::Poison(error));
        }
        let due = Due {
            id: event.aggregate_id.clone(),
            subject,
            occurred_at: event.recorded_at,
            // What there was to say beyond that stands in the event that it is about.
            facts: serde_json::Value::Null,
            retry: true,
        };
        let payload = serde_json::to_value(&due).map_err(anyhow::Error::from)?;
        let timer = Timer {
            name: timer_name(&due.id),
            due_at: Utc::now(),
            payload: with_cause(payload, cause(event)),
        };
        let context = CommandContext {
            command: None,
            ..answering(&self.store, UNSENT, "retry", event)
        };
        let stream = Stream::<Notification>::new(due.id);
        let set = self
            .store
            .execute(stream, context, move |notification| {
                let given_up = matches!(notification, Notification::GivenUp(_));
                let timers = given_up.then(|| TimerChange::Set(timer.clone()));
                let decided = Decided::with_timers(vec![], timers.into_iter().collect());
                Ok::<_, notification::Error>(decided)
            })
            .await;
        settled(set)?;
        Ok(())
    }
}
