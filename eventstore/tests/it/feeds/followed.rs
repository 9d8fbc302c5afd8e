//! A log with whichever feed over it.

use std::time::Instant;

use eventstore::{Checkpoint, EventStore, Feed, FeedError, FeedSource, Feeds, RecordedEvent};
use testing::Database;

use crate::publishing::{LONG, RunningRelay, topics};
use crate::support::open;

/// How a log is followed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Store,
    Kafka,
    /// As all followers of a process do together.
    SharedStore,
    SharedKafka,
}

/// A log, and a way to follow it.
pub struct Followed {
    pub source: FeedSource,
    /// Where it is shared.
    feeds: Option<Feeds>,
    _relay: Option<RunningRelay>,
    pub store: EventStore,
    pub database: Database,
}

impl Followed {
    pub async fn over(kafka: bool) -> Self {
        Self::by(if kafka { Way::Kafka } else { Way::Store }).await
    }

    pub async fn by(way: Way) -> Self {
        let database = testing::database().await;
        let store = open(&database.pool).await;
        Self::of(way, store, database).await
    }

    pub async fn of(way: Way, store: EventStore, database: Database) -> Self {
        let (source, relay) = match way {
            Way::Store | Way::SharedStore => (FeedSource::Store, None),
            Way::Kafka | Way::SharedKafka => {
                let settings = topics().await;
                let relay = RunningRelay::start(&store, &settings, "relay");
                (FeedSource::Kafka(settings), Some(relay))
            }
        };
        let feeds = Feeds::new(store.clone(), source.clone());
        Self {
            source,
            feeds: matches!(way, Way::SharedStore | Way::SharedKafka).then_some(feeds),
            _relay: relay,
            store,
            database,
        }
    }

    pub async fn open(&self, checkpoint: Checkpoint) -> Box<dyn Feed> {
        self.try_open(checkpoint).await.unwrap()
    }

    pub async fn try_open(&self, checkpoint: Checkpoint) -> Result<Box<dyn Feed>, FeedError> {
        match &self.feeds {
            Some(feeds) => feeds.open("test", checkpoint).await,
            None => self.source.open(&self.store, "test", checkpoint).await,
        }
    }
}

/// Reads up to a position. Fails where an event is not the next one.
pub async fn read_to(feed: &mut dyn Feed, from: i64, to: i64, limit: usize) -> Vec<RecordedEvent> {
    let deadline = Instant::now() + LONG;
    let mut events: Vec<RecordedEvent> = Vec::new();
    let mut position = from;
    while position < to {
        assert!(Instant::now() < deadline, "stands at {position} of {to}");
        let page = feed.next(limit).await.unwrap();
        assert!(page.len() <= limit);
        for event in &page {
            assert_eq!(event.position, position + 1, "in order, without a hole");
            position += 1;
        }
        events.extend(page);
    }
    events
}
