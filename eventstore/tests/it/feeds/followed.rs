//! A log with whichever feed over it.

use std::time::Instant;

use eventstore::{Checkpoint, EventStore, Feed, FeedSource, RecordedEvent};
use testing::Database;

use crate::publishing::{LONG, RunningRelay, topics};
use crate::support::open;

/// A log, and a way to follow it.
pub struct Followed {
    pub source: FeedSource,
    _relay: Option<RunningRelay>,
    pub store: EventStore,
    pub database: Database,
}

impl Followed {
    pub async fn over(kafka: bool) -> Self {
        let database = testing::database().await;
        let store = open(&database.pool).await;
        Self::of(kafka, store, database).await
    }

    pub async fn of(kafka: bool, store: EventStore, database: Database) -> Self {
        let (source, relay) = if kafka {
            let settings = topics().await;
            let relay = RunningRelay::start(&store, &settings, "relay");
            (FeedSource::Kafka(settings), Some(relay))
        } else {
            (FeedSource::Store, None)
        };
        Self {
            source,
            _relay: relay,
            store,
            database,
        }
    }

    pub async fn open(&self, checkpoint: Checkpoint) -> Box<dyn Feed> {
        self.source
            .open(&self.store, "test", checkpoint)
            .await
            .unwrap()
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
