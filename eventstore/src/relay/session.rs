//! Publishing with one producer, until it fails, the lease is lost, or the program ends.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::deliveries::{Producer, Sent};
use super::found::Found;
use super::resume::{self, PlaceState};
use super::window::Window;
use super::{RelayError, progress};
use crate::event::RecordedEvent;
use crate::feed::FeedError;
use crate::feed::Pages;
use crate::kafka::record::{self, RECORD_OVERHEAD_BYTES};
use crate::kafka::{KafkaSettings, Place, partition_of};
use crate::lease::Lease;
use crate::store::EventStore;

/// Events of a page read from the log.
const PAGE: usize = 2_000;

/// Pages read ahead of the producer.
const PAGES_AHEAD: usize = 2;

/// Between two looks at the answers and the lease.
const SENT_IN_A_ROW_MAX: usize = 500;

/// How often the checkpoint is stored. What a crash leaves unstored is found by the next start.
const SAVE_INTERVAL: Duration = Duration::from_millis(100);

/// Longest wait at the end for what is under way; what is not answered by then is found by the next start.
const FLUSH_MAX: Duration = Duration::from_secs(10);

/// Publishes from where Kafka ends. Ok when `shutdown` was cancelled.
pub(super) async fn publish(
    store: &EventStore,
    settings: &KafkaSettings,
    lease: &Lease,
    shutdown: &CancellationToken,
) -> Result<(), RelayError> {
    let start = tokio::select! {
        start = resume::find(store.pool(), settings, lease, lease.lost()) => start?,
        () = lease.lost().cancelled() => return Err(lease.lost_error().into()),
        () = shutdown.cancelled() => return Ok(()),
    };
    tracing::info!(
        position = start.checkpoint.position,
        epoch = lease.epoch(),
        "publishing to Kafka"
    );
    let mut pages = follow(Pages::new(store, start.checkpoint));
    let mut session = Session {
        store,
        settings,
        lease,
        producer: Producer::new(settings)?,
        window: Window::after(start.checkpoint),
        places: start.places,
        topics: start.topics,
        topic_of: HashMap::new(),
        found: start.found,
        page: Vec::new().into_iter().peekable(),
        key: String::new(),
        saved: start.checkpoint.position,
    };
    let result = session.run(&mut pages, shutdown).await;
    if let Err(error) = &result
        && !matches!(error, RelayError::Lease(_) | RelayError::Database(_))
    {
        // Whatever went wrong, what has arrived is known.
        let _ = session.save().await;
    }
    session.producer.close().await;
    result
}

/// The pages of the log, read ahead by a task of their own.
struct Follower {
    pages: mpsc::Receiver<Result<Vec<RecordedEvent>, FeedError>>,
    _task: AbortOnDropHandle<()>,
}

fn follow(mut log: Pages) -> Follower {
    let (sender, pages) = mpsc::channel(PAGES_AHEAD);
    let task = tokio::spawn(async move {
        loop {
            let page = log.next(PAGE).await;
            let failed = page.is_err();
            let empty = page.as_ref().is_ok_and(Vec::is_empty);
            if !empty && sender.send(page).await.is_err() {
                return;
            }
            if failed {
                return;
            }
        }
    });
    Follower {
        pages,
        _task: AbortOnDropHandle::new(task),
    }
}

struct Session<'a> {
    store: &'a EventStore,
    settings: &'a KafkaSettings,
    lease: &'a Lease,
    producer: Producer,
    window: Window,
    places: Vec<PlaceState>,
    topics: HashMap<String, (usize, i32)>,
    /// By aggregate type: the index of its topic's first partition, and how many there are.
    topic_of: HashMap<String, (usize, i32)>,
    found: Found,
    /// Read from the log, not yet handed to the producer.
    page: std::iter::Peekable<std::vec::IntoIter<RecordedEvent>>,
    key: String,
    /// The position of the checkpoint as stored.
    saved: i64,
}

impl Session<'_> {
    async fn run(
        &mut self,
        pages: &mut Follower,
        shutdown: &CancellationToken,
    ) -> Result<(), RelayError> {
        let mut save = tokio::time::interval(SAVE_INTERVAL);
        save.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.take_answers()?;
            let stuck = self.send_some()?;
            let waits = stuck || !self.window.has_room() || self.page.peek().is_none();
            let hungry = self.page.peek().is_none() && self.window.has_room();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return self.flush().await,
                () = self.lease.lost().cancelled() => return Err(self.lease.lost_error().into()),
                _ = save.tick() => self.save().await?,
                () = self.producer.answered() => {}
                page = pages.pages.recv(), if hungry => match page {
                    Some(page) => self.page = page?.into_iter().peekable(),
                    None => return Err(RelayError::Log(FeedError::Database(sqlx::Error::WorkerCrashed))),
                },
                () = tokio::task::yield_now(), if !waits => {}
            }
        }
    }

    /// Takes what the brokers answered and moves the checkpoint over what has arrived.
    fn take_answers(&mut self) -> Result<(), RelayError> {
        for answer in self.producer.answers() {
            let (position, offset) = answer.map_err(RelayError::Delivery)?;
            self.window.acknowledge(position, offset);
        }
        while let Some(passed) = self.window.pass() {
            let place = &mut self.places[passed.place];
            let next = match (passed.offset, place.last) {
                (Some(offset), _) => offset + 1,
                // The last of those found: everything before the end is at or below the checkpoint.
                (None, Some(last)) if last.position == passed.position => last.end,
                (None, _) => continue,
            };
            if next > place.next {
                place.next = next;
                place.unsaved = true;
            }
        }
        Ok(())
    }

    /// Hands events to the producer. True where its queue is full.
    fn send_some(&mut self) -> Result<bool, RelayError> {
        // A process that was frozen wakes up here: another may lead by now.
        if !self.lease.is_valid() {
            return Err(self.lease.lost_error().into());
        }
        for _ in 0..SENT_IN_A_ROW_MAX {
            if !self.window.has_room() {
                return Ok(false);
            }
            let Some(event) = self.page.next() else {
                return Ok(false);
            };
            if self.send(&event)? == Sent::QueueFull {
                let rest = std::iter::once(event).chain(&mut self.page);
                self.page = rest.collect::<Vec<_>>().into_iter().peekable();
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn send(&mut self, event: &RecordedEvent) -> Result<Sent, RelayError> {
        let (first, partitions) = self.topic_of(&event.aggregate_type)?;
        record::key(event, &mut self.key);
        let partition = partition_of(self.key.as_bytes(), partitions);
        let index = first + usize::try_from(partition).unwrap_or_default();
        let place = &mut self.places[index];
        if !place.publishing && self.found.contains(event.position) {
            self.window.found(event.event_id, index);
            return Ok(Sent::Yes);
        }
        place.publishing = true;
        let sent = self.producer.send(
            &place.place,
            event.position,
            &self.key,
            &event.payload,
            record::headers(event, self.lease.epoch()),
            event.recorded_at.timestamp_millis(),
        )?;
        if sent == Sent::Yes {
            let bytes = RECORD_OVERHEAD_BYTES + self.key.len() + event.payload.len();
            self.window.sent(event.event_id, index, bytes);
        }
        Ok(sent)
    }

    fn topic_of(&mut self, aggregate_type: &str) -> Result<(usize, i32), RelayError> {
        if let Some(topic) = self.topic_of.get(aggregate_type) {
            return Ok(*topic);
        }
        let topic = self
            .settings
            .topic_of(aggregate_type)
            .and_then(|topic| self.topics.get(&topic))
            .copied()
            .ok_or_else(|| RelayError::Unmapped(aggregate_type.to_owned()))?;
        self.topic_of.insert(aggregate_type.to_owned(), topic);
        Ok(topic)
    }

    /// Stores the checkpoint with the offsets that belong to it, if it has moved.
    async fn save(&mut self) -> Result<(), RelayError> {
        let checkpoint = self.window.checkpoint();
        if checkpoint.position == self.saved {
            return Ok(());
        }
        let offsets: Vec<(&Place, i64)> = self
            .places
            .iter()
            .filter(|place| place.unsaved)
            .map(|place| (&place.place, place.next))
            .collect();
        progress::save(self.store.pool(), self.lease, checkpoint, &offsets).await?;
        self.saved = checkpoint.position;
        for place in &mut self.places {
            place.unsaved = false;
        }
        Ok(())
    }

    /// Waits for what is under way, so that whoever leads next has nothing to look for.
    async fn flush(&mut self) -> Result<(), RelayError> {
        let deadline = Instant::now() + FLUSH_MAX;
        while !self.window.is_empty() {
            let answered = tokio::select! {
                answered = tokio::time::timeout_at(deadline, self.producer.answered()) => answered,
                () = self.lease.lost().cancelled() => return Err(self.lease.lost_error().into()),
            };
            if answered.is_err() {
                tracing::warn!(
                    "the brokers did not answer in time; the next start looks what arrived"
                );
                break;
            }
            self.take_answers()?;
        }
        self.save().await
    }
}
