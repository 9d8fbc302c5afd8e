//! A feed that ends where it is told to.

use std::time::Duration;

use async_trait::async_trait;
use eventstore::{Feed, FeedError, RecordedEvent};

/// How soon a reader at the bound looks again: the bound may have moved.
const BOUND_POLL: Duration = Duration::from_millis(10);

/// Yields nothing after a bound, so that two generations can be brought to exactly one position.
pub(crate) struct Bounded {
    feed: Box<dyn Feed>,
    /// The last position handed out.
    delivered: i64,
    bound: i64,
}

impl Bounded {
    /// Over a feed that was opened at `position`; unbounded at first.
    pub(crate) fn new(feed: Box<dyn Feed>, position: i64) -> Self {
        Self {
            feed,
            delivered: position,
            bound: i64::MAX,
        }
    }

    pub(crate) fn delivered(&self) -> i64 {
        self.delivered
    }

    /// Nothing is yielded beyond this position.
    pub(crate) fn bound_to(&mut self, position: i64) {
        self.bound = position;
    }

    pub(crate) fn unbound(&mut self) {
        self.bound = i64::MAX;
    }
}

#[async_trait]
impl Feed for Bounded {
    async fn next(&mut self, limit: usize) -> Result<Vec<RecordedEvent>, FeedError> {
        let room = usize::try_from(self.bound.saturating_sub(self.delivered)).unwrap_or(0);
        if room == 0 {
            tokio::time::sleep(BOUND_POLL).await;
            return Ok(Vec::new());
        }
        let events = self.feed.next(limit.min(room)).await?;
        if let Some(last) = events.last() {
            self.delivered = last.position;
        }
        Ok(events)
    }
}
