//! What could not be sent: a dead letter each, until an operator retries or discards it.

use async_trait::async_trait;
use chrono::Utc;
use cqrs_es::Aggregate;
use domain::Notification;
use domain::notification::{self, Event};
use eventstore::{
    Begins, CommandContext, Decided, EventStore, Parks, ReactError, Reactor, RecordedEvent, Stream,
    Timer, TimerChange, dead_letters,
};

use super::{Due, timer_name};
use crate::command::{answering, read, settled};

/// The consumer's name in dead letters.
pub const UNSENT: &str = "unsent";

/// Parks notifications that were given up, however many: none holds up another, or anything else.
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

    fn parks(&self) -> Parks {
        Parks::Events
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
        let asked = dead_letters::is_asked_for(&self.store, UNSENT, event.position).await;
        if !asked.map_err(anyhow::Error::from)? {
            return Err(ReactError::Poison(error));
        }
        let due = Due {
            id: event.aggregate_id.clone(),
            occurred_at: subject.occurred_at.unwrap_or(event.recorded_at),
            subject,
            retry: true,
        };
        let name = timer_name(due.subject.channel, &due.id);
        let timer = Timer::new(name, Utc::now(), &due, &event.as_cause());
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
