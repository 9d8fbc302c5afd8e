//! Handing what a feed yields to a handler: batches, retry, parking, lag.
//!
//! What may pass is retried without end, with back-off; nothing is skipped in silence. An event that can
//! never be handled parks its whole stream for this consumer: it and every later event of the stream become
//! rows of `dead_letters`, written before the checkpoint passes them, and wait there in order for an
//! operator's retry or discard.

mod backoff;
mod batch;
pub(crate) mod lag;
mod parked;
mod requests;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

pub(crate) use self::backoff::Backoff;
use self::batch::Batch;
use self::parked::Parked;
use crate::checkpoint::Checkpoint;
use crate::event::RecordedEvent;
use crate::feed::{Feed, FeedError};
use crate::store::EventStore;

/// Most events of a batch, unless the options say otherwise. A commit of a large index costs a tenth of a second, so a
/// consumer that is behind is worth large ones; a batch is over in a fraction of a second all the same.
const BATCH_MAX: usize = 4_000;

/// Most streams parked for a consumer. More is not a few bad events but a bad consumer, and stepping over
/// them all would only look healthy.
pub(crate) const PARKED_STREAMS_MAX: usize = 1_000;

/// How long a batch that changes nothing waits for one that does: queries that want to see its position wait as long.
const IDLE_BATCH_MAX: Duration = Duration::from_millis(20);

/// How often requests of operators (retry, discard) are looked for.
const REQUESTS_INTERVAL: Duration = Duration::from_millis(500);

/// Gives events their effect.
#[async_trait]
pub trait Handler: Send {
    /// How far the effects have come, read from where they are. Asked before the first batch, and again after
    /// a step was broken off: its effect may have become durable or not.
    async fn checkpoint(&mut self) -> anyhow::Result<Checkpoint>;

    /// Whether an event may change anything but the checkpoint.
    fn concerns(&self, _event: &RecordedEvent) -> bool {
        true
    }

    /// Gives the events their effect and moves the checkpoint to `upto`, which become durable together, or
    /// neither. The events are in position order; some up to `upto` may be left out, or all. `upto` may also
    /// be where the checkpoint is already: then the events are older ones of a stream that was parked, and
    /// one of them may have had its effect before.
    async fn handle(
        &mut self,
        events: &[RecordedEvent],
        upto: &Checkpoint,
    ) -> Result<(), HandleError>;
}

/// Why a batch had no effect. None of it was kept.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// The event at this position can never be handled as this consumer is. Its stream is parked, and the
    /// rest of the batch is handed over again.
    #[error("the event at position {position} cannot be handled: {error}")]
    Poison { position: i64, error: String },
    /// It may work the next time. Retried without end.
    #[error("the batch failed")]
    Transient(#[source] anyhow::Error),
    /// Another owner has taken over.
    #[error("another owner has taken over: {0}")]
    Fenced(String),
}

impl From<sqlx::Error> for HandleError {
    fn from(error: sqlx::Error) -> Self {
        Self::Transient(error.into())
    }
}

/// Why a runner ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("another owner has taken over: {0}")]
    Fenced(String),
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error(
        "{consumer} cannot handle events of more than {PARKED_STREAMS_MAX} streams, see `nakku dead-letters list`"
    )]
    TooManyParked { consumer: String },
}

/// How a [`Runner`] works.
#[derive(Clone, Debug)]
pub struct RunnerOptions {
    /// Most events of a batch.
    pub batch_max: usize,
    /// What an event is parked with: those of one name wait for the first of them. Its stream, unless effects of several
    /// streams have to come in the order of the log.
    pub parks_with: fn(&RecordedEvent) -> (String, String),
    /// Other consumers whose discarded events are skipped as well: a rebuild honours those of the live one.
    pub discards_of: Vec<String>,
    /// The consumer's name in metrics, one of few: ids stay out of it. None reports no metrics, as for a
    /// rebuild, whose numbers are not those of the consumer that it will replace.
    pub metrics_name: Option<String>,
}

impl Default for RunnerOptions {
    fn default() -> Self {
        Self {
            batch_max: BATCH_MAX,
            parks_with: RecordedEvent::stream,
            discards_of: Vec::new(),
            metrics_name: None,
        }
    }
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Events read from the feed; 0 where nothing came.
    pub handled: usize,
    /// Everything up to here has had its effect, or is parked.
    pub position: i64,
}

/// Drives one consumer.
pub struct Runner {
    store: EventStore,
    consumer: String,
    options: RunnerOptions,
    /// Where the handler stands; none before the first step, and while that is uncertain.
    checkpoint: Option<Checkpoint>,
    /// What was read from the feed and has not yet had its effect.
    batch: Option<Batch>,
    /// Whether a step is under way; at the beginning of one: whether the last was broken off.
    stepping: bool,
    parked: Parked,
    requests_at: Instant,
    position: Arc<AtomicI64>,
}

/// Why work inside a step broke off.
pub(crate) enum Halt {
    /// The program ends.
    Stopped,
    Failed(RunError),
}

impl<E: Into<RunError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Runner {
    /// `consumer` names it in dead letters; its name in metrics is an option.
    pub fn new(store: EventStore, consumer: impl Into<String>, options: RunnerOptions) -> Self {
        Self {
            store,
            consumer: consumer.into(),
            parked: Parked::of_none(options.parks_with),
            options,
            checkpoint: None,
            batch: None,
            stepping: false,
            requests_at: Instant::now(),
            position: Arc::default(),
        }
    }

    /// Everything up to here has had its effect, or is parked; 0 before the first step.
    pub fn position(&self) -> i64 {
        self.position.load(Ordering::Relaxed)
    }

    /// Lets the next step look for requests of operators, instead of one within half a second.
    pub fn look_for_requests(&mut self) {
        self.requests_at = Instant::now();
    }

    /// Takes up what operators asked for, then hands over one batch; returns without one when nothing came
    /// in half a second. Waits as long as it takes for what may pass. Dropping the future loses nothing: the
    /// next step, over the same feed, goes on from what has had its effect.
    pub async fn step(
        &mut self,
        feed: &mut dyn Feed,
        handler: &mut dyn Handler,
    ) -> Result<Step, RunError> {
        let never = CancellationToken::new();
        match self.advance(feed, handler, &never).await {
            Ok(step) => Ok(step),
            Err(Halt::Failed(error)) => Err(error),
            Err(Halt::Stopped) => Ok(Step {
                handled: 0,
                position: self.position(),
            }),
        }
    }

    /// Steps until `shutdown`, and keeps the metrics of lag. A batch under way is finished.
    pub async fn run(
        &mut self,
        feed: &mut dyn Feed,
        handler: &mut dyn Handler,
        shutdown: CancellationToken,
    ) -> Result<(), RunError> {
        let measuring = lag::measure(
            self.store.pool().clone(),
            self.options.metrics_name.clone(),
            Arc::clone(&self.position),
        );
        let stepping = async {
            while !shutdown.is_cancelled() {
                match self.advance(feed, handler, &shutdown).await {
                    Ok(_) => {}
                    Err(Halt::Stopped) => break,
                    Err(Halt::Failed(error)) => return Err(error),
                }
            }
            Ok(())
        };
        tokio::select! {
            result = stepping => result,
            () = measuring => Ok(()),
        }
    }

    async fn advance(
        &mut self,
        feed: &mut dyn Feed,
        handler: &mut dyn Handler,
        stop: &CancellationToken,
    ) -> Result<Step, Halt> {
        if std::mem::replace(&mut self.stepping, true) {
            self.checkpoint = None;
            self.requests_at = Instant::now();
        }
        let checkpoint = self.begin(handler, stop).await?;
        if Instant::now() >= self.requests_at {
            self.take_requests(handler, checkpoint, stop).await?;
            self.requests_at = Instant::now() + REQUESTS_INTERVAL;
        }
        if self.batch.is_none() {
            self.batch = Batch::of(self.read(feed, stop).await?);
            self.add_to_idle_batch(feed, handler, stop).await;
        }
        let batch = self.batch.take();
        self.batch = batch.and_then(|batch| batch.after(checkpoint.position));
        let handled = self.batch.as_ref().map_or(0, Batch::len);
        fail::fail_point!("feed-read");
        self.hand_over(handler, checkpoint, stop).await?;
        self.stepping = false;
        Ok(Step {
            handled,
            position: self.position(),
        })
    }

    /// Where the handler stands, asked for where it is not known.
    async fn begin(
        &mut self,
        handler: &mut dyn Handler,
        stop: &CancellationToken,
    ) -> Result<Checkpoint, Halt> {
        if let Some(checkpoint) = self.checkpoint {
            return Ok(checkpoint);
        }
        let mut backoff = Backoff::new(&self.consumer, &self.options, stop);
        let checkpoint = loop {
            match handler.checkpoint().await {
                Ok(checkpoint) => break checkpoint,
                Err(error) => backoff.pause("reading the checkpoint", &*error).await?,
            }
        };
        self.reached(checkpoint);
        Ok(checkpoint)
    }

    fn reached(&mut self, checkpoint: Checkpoint) {
        self.checkpoint = Some(checkpoint);
        self.position.store(checkpoint.position, Ordering::Relaxed);
    }

    async fn read(
        &mut self,
        feed: &mut dyn Feed,
        stop: &CancellationToken,
    ) -> Result<Vec<RecordedEvent>, Halt> {
        let mut backoff = Backoff::new(&self.consumer, &self.options, stop);
        loop {
            let events = tokio::select! {
                events = feed.next(self.options.batch_max) => events,
                () = stop.cancelled() => return Err(Halt::Stopped),
            };
            match events {
                Ok(events) => return Ok(events),
                Err(error) if error.is_transient() => {
                    backoff.pause("reading the feed", &error).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A commit that only moves a checkpoint costs as much as one that writes a row, and most events are of no concern to
    /// most consumers: so a batch that changes nothing waits a moment, and goes with what comes meanwhile. Errors of the
    /// feed are met by the next step.
    async fn add_to_idle_batch(
        &mut self,
        feed: &mut dyn Feed,
        handler: &mut dyn Handler,
        stop: &CancellationToken,
    ) {
        let until = Instant::now() + IDLE_BATCH_MAX;
        while let Some(batch) = &mut self.batch
            && batch.len() < self.options.batch_max
            // A log that grows all the while would otherwise fill the batch first.
            && Instant::now() < until
            && !batch.events().iter().any(|event| handler.concerns(event))
        {
            let more = tokio::select! {
                biased;
                more = feed.next(self.options.batch_max - batch.len()) => more,
                () = sleep_until(until) => return,
                () = stop.cancelled() => return,
            };
            match more {
                Ok(events) if !events.is_empty() => batch.add(events),
                Ok(_) | Err(_) => return,
            }
        }
    }
}

fn holds(events: &[RecordedEvent], position: i64) -> bool {
    events.iter().any(|event| event.position == position)
}

/// Of an error and its causes, one line.
pub(crate) fn one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}
