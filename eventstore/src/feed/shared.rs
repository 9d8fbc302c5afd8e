//! One reading of the log for all followers of a process.
//!
//! A dozen read models need not each read the log, or every record of every topic, for themselves. Those that have caught
//! up share one feed: a task reads it, what it yields is kept for a while, and each follower takes from there at its own
//! pace. Whoever is behind what is kept, as after a start or a long batch, reads on its own until it has caught up.
//!
//! A follower changes from one to the other only where the very event that it stands at is known there: it misses nothing
//! and is told nothing twice. Errors are not hidden: they end what is shared, and each follower meets them by itself.

mod reading;

use std::sync::{Arc, Mutex, Weak};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use self::reading::Reading;
use super::{FEED_WAIT_MAX, Feed, FeedError, FeedSource, StoreFeed};
use crate::checkpoint::Checkpoint;
use crate::event::RecordedEvent;
use crate::kafka::{Hints, KafkaFeed, Mark};
use crate::store::EventStore;

/// Where the followers of a process get their feeds. Clones share one reading.
#[derive(Clone)]
pub struct Feeds {
    inner: Arc<Inner>,
}

struct Inner {
    store: EventStore,
    source: FeedSource,
    reading: Mutex<Weak<Reading>>,
}

impl Feeds {
    /// Feeds of this log, from `source`.
    pub fn new(store: EventStore, source: FeedSource) -> Self {
        let reading = Mutex::default();
        let inner = Inner {
            store,
            source,
            reading,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The log.
    pub fn store(&self) -> &EventStore {
        &self.inner.store
    }

    /// Where it is followed.
    pub fn source(&self) -> &FeedSource {
        &self.inner.source
    }

    /// A feed for `consumer` of everything after `checkpoint`.
    ///
    /// # Errors
    /// [`FeedError::Rewound`] where the log does not hold the checkpoint's event, [`FeedError::Kafka`] where librdkafka
    /// refuses a setting.
    pub async fn open(
        &self,
        consumer: &str,
        checkpoint: Checkpoint,
    ) -> Result<Box<dyn Feed>, FeedError> {
        let store = self.store();
        let mut feed = SharedFeed {
            feeds: self.clone(),
            consumer: consumer.to_owned(),
            checkpoint,
            from: Reads::Nothing,
            hints: match self.source() {
                FeedSource::Store => None,
                FeedSource::Kafka(settings) => Some(Hints::of(settings, consumer)),
            },
        };
        let is_at_head = checkpoint.position >= *store.head().borrow();
        if is_at_head && !checkpoint.is_in_log(store.pool()).await? {
            let position = checkpoint.position;
            return Err(FeedError::Rewound { position });
        }
        if !feed.join(is_at_head) {
            feed.from = Reads::Own(self.own(consumer, checkpoint).await?);
        }
        Ok(Box::new(feed))
    }

    /// A feed that is shared with nobody.
    async fn own(&self, consumer: &str, checkpoint: Checkpoint) -> Result<OwnFeed, FeedError> {
        let store = self.store();
        Ok(match self.source() {
            FeedSource::Store => OwnFeed::Store(StoreFeed::open(store, checkpoint).await?),
            FeedSource::Kafka(settings) => {
                let feed = KafkaFeed::open(store, settings, consumer, checkpoint).await?;
                OwnFeed::Kafka(Box::new(feed))
            }
        })
    }

    /// What is shared, if it can be gone on with after a checkpoint. It begins with the first follower that has caught up.
    fn shared(&self, checkpoint: Checkpoint, has_caught_up: bool) -> Option<Arc<Reading>> {
        let mut current = self.inner.reading.lock().expect("no panic while held");
        match current.upgrade().filter(|reading| !reading.is_over()) {
            Some(reading) => reading.goes_on_after(checkpoint).then_some(reading),
            None if has_caught_up => {
                let reading = Reading::start(self, checkpoint);
                *current = Arc::downgrade(&reading);
                Some(reading)
            }
            None => None,
        }
    }
}

enum OwnFeed {
    Store(StoreFeed),
    Kafka(Box<KafkaFeed>),
}

impl OwnFeed {
    async fn next(&mut self, limit: usize) -> Result<Vec<RecordedEvent>, FeedError> {
        match self {
            Self::Store(feed) => feed.next(limit).await,
            Self::Kafka(feed) => feed.next(limit).await,
        }
    }

    fn mark(&self) -> Option<Mark> {
        match self {
            Self::Store(_) => None,
            Self::Kafka(feed) => feed.mark(),
        }
    }
}

/// A follower's feed.
struct SharedFeed {
    feeds: Feeds,
    consumer: String,
    /// The last event handed out.
    checkpoint: Checkpoint,
    from: Reads,
    /// Over Kafka.
    hints: Option<Hints>,
}

/// What a follower reads from.
enum Reads {
    /// What it shared is over, or does not reach back to where it stands.
    Nothing,
    Own(OwnFeed),
    Shared {
        reading: Arc<Reading>,
        grown: watch::Receiver<i64>,
    },
}

impl SharedFeed {
    /// Shares what others read, if it goes on where this one stands.
    fn join(&mut self, has_caught_up: bool) -> bool {
        let Some(reading) = self.feeds.shared(self.checkpoint, has_caught_up) else {
            return false;
        };
        let grown = reading.grown();
        self.from = Reads::Shared { reading, grown };
        true
    }

    /// The next events; empty when none came until `deadline`.
    async fn read(
        &mut self,
        limit: usize,
        deadline: Instant,
    ) -> Result<Vec<RecordedEvent>, FeedError> {
        loop {
            match &mut self.from {
                Reads::Shared { reading, grown } => match reading.take(self.checkpoint, limit) {
                    Some(events) if events.is_empty() => {
                        if timeout_at(deadline, grown.changed()).await.is_err() {
                            return Ok(events);
                        }
                    }
                    Some(events) => return Ok(events),
                    None => self.from = Reads::Nothing,
                },
                Reads::Own(own) => return own.next(limit).await,
                Reads::Nothing => {
                    let own = self.feeds.own(&self.consumer, self.checkpoint).await?;
                    self.from = Reads::Own(own);
                }
            }
        }
    }
}

#[async_trait]
impl Feed for SharedFeed {
    async fn next(&mut self, limit: usize) -> Result<Vec<RecordedEvent>, FeedError> {
        let limit = limit.max(1);
        let events = self.read(limit, Instant::now() + FEED_WAIT_MAX).await?;
        if let Some(last) = events.last() {
            self.checkpoint = Checkpoint::at(last);
        }
        if let Some(hints) = &mut self.hints {
            hints.reached(self.checkpoint.position, || match &self.from {
                Reads::Own(own) => own.mark(),
                Reads::Shared { reading, .. } => reading.mark(),
                Reads::Nothing => None,
            });
        }
        if matches!(self.from, Reads::Own(_)) {
            self.join(events.len() < limit);
        }
        Ok(events)
    }
}
