//! Publishing with one producer, until it fails, the lease is lost, or the program ends.

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::error::KafkaError;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::ahead::{Ahead, read_ahead};
use super::batches::Batches;
use super::deliveries::{Answer, Producer, Sent};
use super::found::Found;
use super::resume::{self, Acquaintance, PlaceState};
use super::window::Window;
use super::{RelayError, progress};
use crate::event::RecordedEvent;
use crate::feed::FeedError;
use crate::feed::Pages;
use crate::kafka::record::{self, RECORD_OVERHEAD_BYTES};
use crate::kafka::{KafkaSettings, Place, partition_of};
use crate::lease::Lease;
use crate::store::EventStore;

/// Between two looks at the answers and the lease.
const SENT_IN_A_ROW_MAX: usize = 500;

/// How often the checkpoint is stored. What a crash leaves unstored is found by the next start.
const SAVE_INTERVAL: Duration = Duration::from_millis(100);

/// Longest wait at the end for what is under way; what is not answered by then is found by the next start.
const FLUSH_MAX: Duration = Duration::from_secs(10);

/// Without any event passing the checkpoint for so long something is wrong that the client does not call an error: brokers
/// that are away are waited for without end.
const STALLED: Duration = Duration::from_secs(10);

/// Between attempts to set the checkpoint back.
const RESET_RETRY: Duration = Duration::from_millis(200);

/// Why publishing ended well.
#[derive(Debug, PartialEq)]
pub(super) enum Ended {
    Shutdown,
    /// The checkpoint is where full batches may be tried again.
    Passed,
}

/// Publishes from where Kafka ends.
pub(super) async fn publish(
    store: &EventStore,
    settings: &KafkaSettings,
    lease: &Lease,
    batches: Batches,
    shutdown: &CancellationToken,
) -> Result<Ended, RelayError> {
    let start = tokio::select! {
        start = resume::find(store.pool(), settings, lease, lease.lost()) => start?,
        () = lease.lost().cancelled() => return Err(lease.lost_error().into()),
        () = shutdown.cancelled() => return Ok(Ended::Shutdown),
    };
    fail::fail_point!("relay-resumed");
    progress::recovered(store.pool(), start.checkpoint).await?;
    tracing::info!(
        position = start.checkpoint.position,
        epoch = lease.epoch(),
        "publishing to Kafka"
    );
    let mut pages = read_ahead(Pages::new(store, start.checkpoint));
    let mut session = Session {
        store,
        settings,
        lease,
        producer: Producer::new(settings, batches.bytes())?,
        batches,
        window: Window::after(start.checkpoint),
        places: start.places,
        topics: start.topics,
        topic_of: HashMap::new(),
        found: start.found,
        page: Vec::new().into_iter().peekable(),
        key: String::new(),
        saved: start.checkpoint.position,
        moved: Instant::now(),
    };
    let result = session.run(&mut pages, shutdown).await;
    if let Err(error) = &result
        && !matches!(error, RelayError::Lease(_) | RelayError::Database(_))
    {
        // Whatever went wrong, what has arrived is known.
        let _ = session.save().await;
    }
    // Another may lead by now: nothing more of this one is to arrive.
    if lease.is_valid() {
        session.producer.settle().await;
    } else {
        session.producer.close().await;
    }
    if let Err(RelayError::Truncated {
        topic,
        partition,
        offset,
    }) = &result
    {
        let place = (topic.clone(), *partition);
        let kept = resume::kept_below(settings, place, *offset).await;
        forget_after(store, kept.min(session.saved)).await;
    }
    result
}

/// Only this process knows that acknowledged records are gone: it does not rest before the checkpoint says so, whoever leads.
async fn forget_after(store: &EventStore, position: i64) {
    while let Err(error) = progress::reset(store.pool(), position).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the checkpoint of the relay cannot be set back"
        );
        if error.is_final() {
            return;
        }
        tokio::time::sleep(RESET_RETRY).await;
    }
}

struct Session<'a> {
    store: &'a EventStore,
    settings: &'a KafkaSettings,
    lease: &'a Lease,
    producer: Producer,
    batches: Batches,
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
    /// When it was seen to move, or nothing was under way.
    moved: Instant,
}

impl Session<'_> {
    async fn run(
        &mut self,
        pages: &mut Ahead,
        shutdown: &CancellationToken,
    ) -> Result<Ended, RelayError> {
        let lease = self.lease;
        let mut save = tokio::time::interval(SAVE_INTERVAL);
        save.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.take_answers()?;
            if self.batches.have_passed(self.window.checkpoint().position) {
                self.flush().await?;
                return Ok(Ended::Passed);
            }
            let stuck = match self.send_some() {
                // What was taken before it is on its way and belongs into Kafka.
                Err(error @ RelayError::Refused { .. }) => {
                    self.flush().await?;
                    return Err(error);
                }
                sent => sent?,
            };
            let waits = stuck || !self.window.has_room() || self.page.peek().is_none();
            let hungry = self.page.peek().is_none() && self.window.has_room();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {
                    self.flush().await?;
                    return Ok(Ended::Shutdown);
                }
                () = lease.lost().cancelled() => return Err(lease.lost_error().into()),
                // A database that hangs must not keep one that leads no more from stopping.
                _ = save.tick() => tokio::select! {
                    saved = self.keep_up() => saved?,
                    () = lease.lost().cancelled() => return Err(lease.lost_error().into()),
                },
                () = self.producer.answered() => {}
                page = pages.next(), if hungry => match page {
                    Some(page) => {
                        self.page = page?.into_iter().peekable();
                        fail::fail_point!("relay-read");
                    }
                    None => return Err(RelayError::Log(FeedError::Database(sqlx::Error::WorkerCrashed))),
                },
                () = tokio::task::yield_now(), if !waits => {}
            }
        }
    }

    /// Stores the checkpoint, and says so when it stands still.
    async fn keep_up(&mut self) -> Result<(), RelayError> {
        let now = Instant::now();
        let position = self.window.checkpoint().position;
        if position != self.saved || self.window.is_empty() {
            self.moved = now;
        }
        let stalled = now - self.moved;
        if stalled >= STALLED {
            let error = RelayError::Stalled {
                position: position + 1,
                seconds: stalled.as_secs(),
                source: self.producer.trouble(),
            };
            tracing::warn!(error = &error as &dyn std::error::Error, "the relay waits");
            progress::failed(self.store.pool(), self.lease, &error.one_line()).await;
            // Said once in so long.
            self.moved = now;
        }
        self.save().await
    }

    /// Takes what the brokers answered and moves the checkpoint over what has arrived.
    fn take_answers(&mut self) -> Result<(), RelayError> {
        for Answer { position, result } in self.producer.answers() {
            fail::fail_point!("relay-acknowledged");
            match result {
                Ok(offset) => self.acknowledge(position, offset)?,
                Err(source) => return Err(self.not_delivered(position, source)),
            }
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

    /// Offsets of a partition only go up, unless it lost what was acknowledged (a broker that failed before it synced, a
    /// topic that was deleted and created again) and the client went on behind it.
    fn acknowledge(&mut self, position: i64, offset: i64) -> Result<(), RelayError> {
        let Some(place) = self.window.acknowledge(position, offset) else {
            return Ok(());
        };
        let place = &mut self.places[place];
        if offset < place.end {
            return Err(RelayError::Truncated {
                topic: place.place.0.clone(),
                partition: place.place.1,
                offset,
            });
        }
        place.end = offset + 1;
        place.producer = Acquaintance::Known;
        Ok(())
    }

    fn not_delivered(&self, position: i64, source: KafkaError) -> RelayError {
        let place = self.window.place_of(position);
        RelayError::Delivery {
            topic: place.map_or_else(String::new, |place| self.places[place].place.0.clone()),
            position,
            source,
        }
    }

    /// Hands events to the producer. True where the next one has to wait for an answer.
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
            if self.send(&event)? == Sent::Later {
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
        if place.producer == Acquaintance::Introducing {
            return Ok(Sent::Later);
        }
        let sent = self
            .producer
            .send(
                &place.place,
                event.position,
                &self.key,
                &event.payload,
                record::headers(event, self.lease.epoch()),
                event.recorded_at.timestamp_millis(),
            )
            .map_err(|source| RelayError::Refused {
                topic: place.place.0.clone(),
                position: event.position,
                source,
            })?;
        if sent == Sent::Yes {
            if place.producer == Acquaintance::Unknown {
                place.producer = Acquaintance::Introducing;
            }
            fail::fail_point!("relay-sent");
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
        fail::fail_point!("relay-saving");
        progress::save(self.store.pool(), self.lease, checkpoint, &offsets).await?;
        fail::fail_point!("relay-checkpointed");
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
