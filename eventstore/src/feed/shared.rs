//! One reading of the log for all followers of a process.
//!
//! A dozen read models need not each read the log, or every record of every topic, for themselves. Those that have caught
//! up share one feed: a task reads it, what it yields is kept for a while, and each follower takes from there at its own
//! pace. Whoever is behind, as after a start or a long batch, reads alone until it has caught up.
//!
//! A follower changes from one to the other only where the very event that it stands at is known there: it misses nothing
//! and is told nothing twice. Errors are not hidden: they end what is shared, and each follower meets them by itself.

mod reading;

use std::sync::{Arc, Mutex, Weak};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use self::reading::{READ_MAX, Reading};
use super::{FEED_WAIT_MAX, Feed, FeedError, FeedSource, OwnFeed};
use crate::checkpoint::Checkpoint;
use crate::event::RecordedEvent;
use crate::kafka::Hints;
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
        let (store, source) = (self.store(), self.source());
        // What is known of the head is old where nobody has followed the log for a while.
        let head = store.read_head().await?.position;
        let shared = self.shared_after(checkpoint);
        let from = match shared.filter(|_| is_near(checkpoint, head)) {
            Some(reading) => Reads::shared(reading),
            None => Reads::Alone(source.own(store, consumer, checkpoint).await?),
        };
        let mut feed = SharedFeed {
            feeds: self.clone(),
            consumer: consumer.to_owned(),
            head: store.head(),
            checkpoint,
            from,
            hints: match source {
                FeedSource::Store => None,
                FeedSource::Kafka(settings) => Some(Hints::of(settings, consumer)),
            },
        };
        feed.share_at(head);
        Ok(Box::new(feed))
    }

    /// What is shared, if it goes on after a checkpoint.
    fn shared_after(&self, checkpoint: Checkpoint) -> Option<Arc<Reading>> {
        let current = self.inner.reading.lock().expect("no panic while held");
        let reading = current.upgrade();
        reading.filter(|reading| reading.goes_on_after(checkpoint))
    }

    /// The same; where nothing is shared it begins with the feed of the first who wants to.
    fn share(&self, own: OwnFeed, checkpoint: Checkpoint) -> Result<Arc<Reading>, OwnFeed> {
        let mut current = self.inner.reading.lock().expect("no panic while held");
        match current.upgrade().filter(|reading| !reading.is_over()) {
            Some(reading) if reading.goes_on_after(checkpoint) => Ok(reading),
            Some(_) => Err(own),
            None => {
                let reading = Reading::go_on(own, checkpoint);
                *current = Arc::downgrade(&reading);
                Ok(reading)
            }
        }
    }
}

/// A follower's feed.
struct SharedFeed {
    feeds: Feeds,
    consumer: String,
    /// The newest position known.
    head: watch::Receiver<i64>,
    /// The last event handed out.
    checkpoint: Checkpoint,
    from: Reads,
    /// Over Kafka.
    hints: Option<Hints>,
}

/// What a follower reads from.
enum Reads {
    Alone(OwnFeed),
    Shared {
        reading: Arc<Reading>,
        grown: watch::Receiver<()>,
    },
    /// What it shared is over, or does not reach back to where it stands any more.
    Nothing,
}

impl Reads {
    fn shared(reading: Arc<Reading>) -> Self {
        let grown = reading.grown();
        Self::Shared { reading, grown }
    }
}

/// Whether a follower at this checkpoint has caught up: it is not a page behind the head.
fn is_near(checkpoint: Checkpoint, head: i64) -> bool {
    let page = i64::try_from(READ_MAX).unwrap_or(i64::MAX);
    head.saturating_sub(checkpoint.position) <= page
}

impl SharedFeed {
    /// Shares what others read, or what others will, if it has caught up with the head.
    fn share_at(&mut self, head: i64) {
        if !is_near(self.checkpoint, head) {
            return;
        }
        self.from = match std::mem::replace(&mut self.from, Reads::Nothing) {
            Reads::Alone(own) => match self.feeds.share(own, self.checkpoint) {
                Ok(reading) => Reads::shared(reading),
                Err(own) => Reads::Alone(own),
            },
            shared @ (Reads::Shared { .. } | Reads::Nothing) => shared,
        };
    }

    /// The next events; empty when none came until `deadline`, or nothing is shared any more.
    async fn read(
        &mut self,
        limit: usize,
        deadline: Instant,
    ) -> Result<Vec<RecordedEvent>, FeedError> {
        if let Reads::Nothing = self.from {
            let Feeds { inner } = &self.feeds;
            let own = inner
                .source
                .own(&inner.store, &self.consumer, self.checkpoint);
            self.from = Reads::Alone(own.await?);
        }
        loop {
            let (reading, grown) = match &mut self.from {
                Reads::Shared { reading, grown } => (reading, grown),
                Reads::Alone(own) => return own.next(limit).await,
                Reads::Nothing => return Ok(Vec::new()),
            };
            match reading.take(self.checkpoint, limit) {
                Some(events) if events.is_empty() => {
                    if timeout_at(deadline, grown.changed()).await.is_err() {
                        return Ok(events);
                    }
                }
                Some(events) => return Ok(events),
                None => self.from = Reads::Nothing,
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
                Reads::Alone(own) => own.mark(),
                Reads::Shared { reading, .. } => reading.mark(),
                Reads::Nothing => None,
            });
        }
        let head = *self.head.borrow();
        self.share_at(head);
        Ok(events)
    }
}
