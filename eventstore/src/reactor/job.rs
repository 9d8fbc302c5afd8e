//! What is done about one stream at a time: an event is handled, events are parked, or a parked stream is tried again.

use std::collections::{HashMap, VecDeque};
use std::iter;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use super::lane::LaneId;
use super::{ReactError, Reactor};
use crate::dead_letters::{self, Letter, StreamName};
use crate::event::RecordedEvent;
use crate::log;
use crate::runner::{Backoff, Halt, RunnerOptions};
use crate::state::panic_message;
use crate::store::EventStore;

/// Events of a parked stream read at once.
const PAGE: i64 = 64;

/// What all jobs of a session share.
pub(super) struct Shared {
    pub(super) store: EventStore,
    pub(super) reactor: Arc<dyn Reactor>,
    /// The reactor's name.
    pub(super) consumer: String,
    pub(super) options: RunnerOptions,
    /// Ends waiting for another attempt.
    pub(super) stop: CancellationToken,
    /// By lane the offset after what is handled and saved, for those who watch lags.
    pub(super) offsets: Mutex<HashMap<LaneId, i64>>,
}

/// An event on the way.
pub(super) struct Queued {
    pub(super) lane: LaneId,
    pub(super) event: RecordedEvent,
}

/// What a job came to.
pub(super) enum Outcome {
    Handled(LaneId, i64),
    Poison(Queued, String),
    /// These are in the dead letters.
    Parked(Vec<(LaneId, i64)>),
    /// Whether nothing of the stream waits any more.
    Retried {
        free: bool,
    },
    /// Given up, since the session ends.
    Stopped,
}

impl Shared {
    fn backoff(&self) -> Backoff<'_> {
        Backoff::new(&self.consumer, &self.options, &self.stop)
    }

    /// Handles an event, as often as it takes.
    pub(super) async fn handle(&self, queued: Queued) -> Outcome {
        match self.attempt(&queued.event).await {
            Ok(None) => Outcome::Handled(queued.lane, queued.event.position),
            Ok(Some(error)) => Outcome::Poison(queued, error),
            Err(_) => Outcome::Stopped,
        }
    }

    /// Tries until the event is handled, or turns out to be poison: why.
    async fn attempt(&self, event: &RecordedEvent) -> Result<Option<String>, Halt> {
        let mut backoff = self.backoff();
        loop {
            // What panics over an event will do so again.
            let panicked = |panic: Box<dyn std::any::Any + Send>| {
                let reason = panic_message(&*panic);
                Err(ReactError::Poison(format!("it panicked: {reason}")))
            };
            let reacting = AssertUnwindSafe(self.reactor.react(event)).catch_unwind();
            match reacting.await.unwrap_or_else(panicked) {
                Ok(()) => return Ok(None),
                Err(ReactError::Poison(error)) => return Ok(Some(error)),
                Err(error @ ReactError::Transient(_)) => {
                    backoff.pause("handling an event", &error).await?;
                }
            }
        }
    }

    /// Writes events into the dead letters; the error where the first of them failed.
    pub(super) async fn park(&self, events: VecDeque<Queued>, error: Option<String>) -> Outcome {
        if let (Some(error), Some(first)) = (&error, events.front()) {
            tracing::error!(
                consumer = self.consumer,
                position = first.event.position,
                stream_type = first.event.aggregate_type,
                stream_id = first.event.aggregate_id,
                event_type = first.event.event_type,
                error,
                "event cannot be handled, its stream is parked"
            );
        }
        let errors = iter::once(error.as_deref()).chain(iter::repeat(None));
        let letters: Vec<Letter<'_>> = events
            .iter()
            .zip(errors)
            .map(|(Queued { event, .. }, error)| Letter {
                event,
                stream: event.stream(),
                error,
            })
            .collect();
        let mut backoff = self.backoff();
        let pool = self.store.pool();
        while let Err(error) = dead_letters::park(pool, &self.consumer, &letters).await {
            if backoff.pause("parking events", &error).await.is_err() {
                return Outcome::Stopped;
            }
        }
        fail::fail_point!("reactor-parked");
        Outcome::Parked(
            events
                .iter()
                .map(|queued| (queued.lane, queued.event.position))
                .collect(),
        )
    }

    /// Handles what is parked of a stream up to a position, in order, from the log. What is handled leaves the dead
    /// letters, and so does what is beyond: it is yet to come.
    pub(super) async fn retry(&self, stream: &StreamName, upto: i64) -> Outcome {
        tracing::info!(
            consumer = self.consumer,
            stream_type = stream.0,
            stream_id = stream.1,
            "retrying a parked stream"
        );
        match self.retry_all(stream, upto).await {
            Ok(free) => Outcome::Retried { free },
            Err(_) => Outcome::Stopped,
        }
    }

    async fn retry_all(&self, stream: &StreamName, upto: i64) -> Result<bool, Halt> {
        let (pool, consumer) = (self.store.pool(), &self.consumer);
        let mut backoff = self.backoff();
        let begun = loop {
            match dead_letters::now(pool).await {
                Ok(now) => break now,
                Err(error) => backoff.pause("retrying a parked stream", &error).await?,
            }
        };
        loop {
            let page = self.page(stream, upto).await?;
            let mut backoff = self.backoff();
            if page.is_empty() {
                while let Err(error) =
                    dead_letters::unpark_after(pool, consumer, stream, upto, begun).await
                {
                    backoff.pause("releasing a stream", &error).await?;
                }
                return Ok(true);
            }
            for event in page {
                let failure = self.attempt(&event).await?;
                let position = event.position;
                loop {
                    let written = match &failure {
                        None => dead_letters::handled(pool, consumer, &[position]).await,
                        Some(error) => {
                            dead_letters::failed(pool, consumer, stream, position, error).await
                        }
                    };
                    match written {
                        Ok(()) => break,
                        Err(error) => backoff.pause("noting a retry", &error).await?,
                    }
                }
                if failure.is_some() {
                    return Ok(false);
                }
            }
        }
    }

    /// The first parked events of a stream.
    async fn page(&self, stream: &StreamName, upto: i64) -> Result<Vec<RecordedEvent>, Halt> {
        let pool = self.store.pool();
        let mut backoff = self.backoff();
        loop {
            let read = async {
                let consumer = &self.consumer;
                let positions = dead_letters::waiting(pool, consumer, stream, upto, PAGE).await?;
                log::read_at(pool, &positions).await
            };
            match read.await {
                Ok(events) => {
                    let upcast = |event| self.store.upcast(event);
                    return Ok(events.into_iter().map(upcast).collect());
                }
                Err(error) => backoff.pause("reading parked events", &error).await?,
            }
        }
    }
}
