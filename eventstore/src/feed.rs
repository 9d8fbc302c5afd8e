//! Following the log in position order, without a hole, from either source.

mod shared;
mod store;

use std::time::Duration;

use async_trait::async_trait;
use rdkafka::error::KafkaError;

use crate::checkpoint::Checkpoint;
use crate::event::RecordedEvent;
use crate::kafka::{KafkaFeed, KafkaSettings, Mark};
use crate::store::EventStore;

pub use shared::Feeds;
pub(crate) use store::Pages;
pub use store::StoreFeed;

/// How long [`Feed::next`] waits for something: short enough that whoever follows looks around several
/// times a second (for requests of operators, for the end), long enough to cost nothing.
pub const FEED_WAIT_MAX: Duration = Duration::from_millis(500);

/// A follower of the log: strictly in position order, without a hole after the checkpoint at which it was
/// opened, events in their present shape.
#[async_trait]
pub trait Feed: Send {
    /// The next events, up to `limit`; empty when nothing came within [`FEED_WAIT_MAX`]. Dropping the
    /// future loses nothing. After an error the next call goes on where this one began.
    async fn next(&mut self, limit: usize) -> Result<Vec<RecordedEvent>, FeedError>;
}

/// Why a feed yields nothing.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The event at the checkpoint is not in the log any more, and positions are being used again. For
    /// good: only a rebuild from the log mends it.
    #[error(
        "the log was rewound below position {position}, run `nakku replay --all` to rebuild from it"
    )]
    Rewound { position: i64 },
    /// Positions are gapless by construction: someone deleted from the log.
    #[error("the log has no event at position {position}, run `nakku verify` to see what it lacks")]
    Hole { position: i64 },
    /// Transient: asked again, the feed goes on.
    #[error("reading the log failed")]
    Database(#[from] sqlx::Error),
    /// The client could not be made: a setting that librdkafka refuses.
    #[error("following Kafka failed")]
    Kafka(#[from] KafkaError),
}

impl FeedError {
    /// Whether asking again can help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database(_) => true,
            Self::Rewound { .. } | Self::Hole { .. } | Self::Kafka(_) => false,
        }
    }
}

/// Where feeds come from: one setting, and everything above is the same code.
#[derive(Clone, Debug)]
pub enum FeedSource {
    /// Straight from the log.
    Store,
    /// From what the relay published.
    Kafka(KafkaSettings),
}

impl FeedSource {
    /// A feed for `consumer` alone of everything after `checkpoint`; [`Feeds`] are for all followers of a process.
    ///
    /// # Errors
    /// [`FeedError::Rewound`] where the log does not hold the checkpoint's event, [`FeedError::Kafka`] where librdkafka
    /// refuses a setting.
    pub async fn open(
        &self,
        store: &EventStore,
        consumer: &str,
        checkpoint: Checkpoint,
    ) -> Result<Box<dyn Feed>, FeedError> {
        Ok(Box::new(self.own(store, consumer, checkpoint).await?))
    }

    async fn own(
        &self,
        store: &EventStore,
        consumer: &str,
        checkpoint: Checkpoint,
    ) -> Result<OwnFeed, FeedError> {
        Ok(match self {
            Self::Store => OwnFeed::Store(StoreFeed::open(store, checkpoint).await?),
            Self::Kafka(settings) => {
                let feed = KafkaFeed::open(store, settings, consumer, checkpoint).await?;
                OwnFeed::Kafka(Box::new(feed))
            }
        })
    }
}

/// A feed that one follower has for itself.
enum OwnFeed {
    Store(StoreFeed),
    Kafka(Box<KafkaFeed>),
}

impl OwnFeed {
    /// How far Kafka was read, where it is followed.
    fn mark(&self) -> Option<Mark> {
        match self {
            Self::Store(_) => None,
            Self::Kafka(feed) => feed.mark(),
        }
    }
}

#[async_trait]
impl Feed for OwnFeed {
    async fn next(&mut self, limit: usize) -> Result<Vec<RecordedEvent>, FeedError> {
        match self {
            Self::Store(feed) => feed.next(limit).await,
            Self::Kafka(feed) => feed.next(limit).await,
        }
    }
}
