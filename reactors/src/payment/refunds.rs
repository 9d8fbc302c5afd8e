//! Refunds that failed and for which no saga waits: those of charges that were told too late, and those that staff asked for.
//! They are tried again by themselves, for hours; then each is a dead letter, until an operator retries or discards it.

use async_trait::async_trait;
use chrono::TimeDelta;
use cqrs_es::Aggregate;
use domain::payment::{AfterFailure, Call, Command, Due, Error, Event, after_failure};
use domain::{Fulfilment, Payment, PaymentId, Return};
use eventstore::{
    Begins, CommandContext, Decided, EventStore, Parks, ReactError, Reactor, RecordedEvent, Stream,
    Timer, TimerChange, dead_letters,
};
use serde::{Deserialize, Serialize};

use super::timers;
use crate::command::{answering, read, settled, stream_id};

/// The reactor's name, and that of the consumer in dead letters.
pub const REFUND: &str = "refund";

/// Sees to it that money goes back which nobody else waits for.
pub struct Refunds {
    store: EventStore,
}

/// Why a refund is not tried again.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
enum Refusal {
    /// It was tried often enough.
    #[error("the money was not given back")]
    GivenUp,
    #[error(transparent)]
    Payment(#[from] Error),
}

impl Refunds {
    /// Appends to `store` what is tried again.
    #[must_use]
    pub fn new(store: EventStore) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Reactor for Refunds {
    fn name(&self) -> &'static str {
        REFUND
    }

    fn reads(&self) -> &'static [&'static str] {
        &[Payment::TYPE]
    }

    fn begins(&self) -> Begins {
        Begins::AtStart
    }

    fn parks(&self) -> Parks {
        Parks::Events
    }

    async fn react(&self, event: &RecordedEvent) -> Result<(), ReactError> {
        let Event::RefundFailed {
            order_id,
            attempt,
            error,
        } = read(event)?
        else {
            return Ok(());
        };
        let payment_id: PaymentId = stream_id(event)?;
        let asked = dead_letters::is_asked_for(&self.store, REFUND, event.position).await?;
        // Without an id: the payment's own state says whether there is anything left to do.
        let context = CommandContext {
            command: None,
            ..answering(&self.store, REFUND, "refund-again", event)
        };
        let streams = (
            Stream::<Payment>::new(payment_id.to_string()),
            Stream::<Fulfilment>::new(order_id.to_string()),
            Stream::<Return>::new(order_id.to_string()),
        );
        // By the database's clock, as timers are read by it.
        let (failed_at, cause) = (event.recorded_at, event.as_cause());
        let decide = move |(payment, fulfilment, returning): (&Payment, &Fulfilment, &Return)| {
            let (events, timers) = match after_failure(payment, fulfilment, returning, attempt) {
                None => (vec![], vec![]),
                Some(AfterFailure::Again(wait)) => {
                    let name = Call::Refund.timer_name(payment_id);
                    let due_at = failed_at + TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX);
                    let attempt = attempt + 1;
                    let due = Due {
                        payment_id,
                        attempt,
                    };
                    let timer = Timer::new(name, due_at, due, &cause);
                    (vec![], vec![TimerChange::Set(timer)])
                }
                Some(AfterFailure::GiveUp) if asked => {
                    let attempt = attempt + 1;
                    let events = payment.decide(Command::Refund { order_id, attempt })?;
                    let timers = timers(payment_id, &events, failed_at, &cause);
                    (events, timers)
                }
                Some(AfterFailure::GiveUp) => return Err(Refusal::GivenUp),
            };
            Ok(Decided::with_timers((events, vec![], vec![]), timers))
        };
        fail::fail_point!("refund-failed");
        let outcome = self.store.execute(streams, context, decide).await;
        fail::fail_point!("refund-again");
        settled(outcome).map_err(|refused| match refused {
            ReactError::Poison(reason) => ReactError::Poison(format!("{reason}: {error}")),
            refused @ ReactError::Transient(_) => refused,
        })?;
        Ok(())
    }
}
