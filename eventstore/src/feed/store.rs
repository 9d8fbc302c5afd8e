//! A feed straight from the log.

use async_trait::async_trait;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::{FEED_WAIT_MAX, Feed, FeedError};
use crate::checkpoint::Checkpoint;
use crate::event::RecordedEvent;
use crate::log;
use crate::store::EventStore;

/// Most events of a page: with events of ordinary size a few MiB.
const PAGE_MAX: usize = 5_000;

/// From this many events on a page is worth a COPY; followers of a live log read far fewer at a time.
const SCAN_EVENTS_MIN: i64 = 256;

/// Reads the log by position, woken by appends.
pub struct StoreFeed {
    store: EventStore,
    pages: Pages,
}

impl StoreFeed {
    /// A feed of everything after `checkpoint`.
    ///
    /// # Errors
    /// [`FeedError::Rewound`] where the log does not hold the checkpoint's event.
    pub async fn open(store: &EventStore, checkpoint: Checkpoint) -> Result<Self, FeedError> {
        let mut pages = Pages::new(store, checkpoint);
        pages.verify().await?;
        Ok(Self {
            store: store.clone(),
            pages,
        })
    }
}

#[async_trait]
impl Feed for StoreFeed {
    async fn next(&mut self, limit: usize) -> Result<Vec<RecordedEvent>, FeedError> {
        let events = self.pages.next(limit).await?;
        Ok(events
            .into_iter()
            .map(|event| self.store.upcast(event))
            .collect())
    }
}

/// The log as stored, page by page; the relay publishes it so.
pub(crate) struct Pages {
    pool: PgPool,
    head: watch::Receiver<i64>,
    /// The last event handed out.
    checkpoint: Checkpoint,
    /// Whether the checkpoint has to be looked up in the log before going on: after any error the
    /// database may be another one (a failover, a restore).
    unverified: bool,
    /// The page after a full one is read while its reader works on that.
    ahead: Option<Ahead>,
}

struct Ahead {
    after: i64,
    limit: usize,
    page: JoinHandle<sqlx::Result<Vec<RecordedEvent>>>,
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.page.abort();
    }
}

impl Pages {
    pub(crate) fn new(store: &EventStore, checkpoint: Checkpoint) -> Self {
        Self {
            pool: store.pool().clone(),
            head: store.head(),
            checkpoint,
            unverified: true,
            ahead: None,
        }
    }

    /// The next events, up to `limit`; empty when none came within [`FEED_WAIT_MAX`]. Cancel-safe.
    pub(crate) async fn next(&mut self, limit: usize) -> Result<Vec<RecordedEvent>, FeedError> {
        let limit = limit.clamp(1, PAGE_MAX);
        let deadline = Instant::now() + FEED_WAIT_MAX;
        loop {
            let head = *self.head.borrow_and_update();
            if self.unverified || head < self.checkpoint.position {
                self.verify().await?;
            }
            if head > self.checkpoint.position {
                let page = self.read(limit, head).await?;
                let page = self.accept(page, limit)?;
                if !page.is_empty() {
                    return Ok(page);
                }
            }
            match timeout_at(deadline, self.head.changed()).await {
                Ok(Ok(())) => {}
                // The store is gone; whoever follows it is about to end as well.
                Ok(Err(_)) => {
                    tokio::time::sleep_until(deadline).await;
                    return Ok(Vec::new());
                }
                Err(_) => {
                    // Nothing came, and the newest position known never goes back: only the log itself
                    // tells that it was rewound and is shorter now.
                    self.unverified = true;
                    return Ok(Vec::new());
                }
            }
        }
    }

    /// Whether the log still holds what was handed out last.
    pub(crate) async fn verify(&mut self) -> Result<(), FeedError> {
        if !self.checkpoint.is_in_log(&self.pool).await? {
            return Err(FeedError::Rewound {
                position: self.checkpoint.position,
            });
        }
        self.unverified = false;
        Ok(())
    }

    async fn read(&mut self, limit: usize, head: i64) -> Result<Vec<RecordedEvent>, FeedError> {
        let after = self.checkpoint.position;
        let usable = |ahead: &Ahead| ahead.after == after && ahead.limit <= limit;
        let ahead = match self.ahead.as_mut().filter(|ahead| usable(ahead)) {
            // Kept in `self` while awaited: a dropped future loses nothing.
            Some(ahead) => (&mut ahead.page).await.ok(),
            None => None,
        };
        self.ahead = None;
        let page = match ahead {
            Some(page) => page,
            None => read(&self.pool, after, limit, head).await,
        };
        page.map_err(|error| {
            self.unverified = true;
            FeedError::Database(error)
        })
    }

    /// Checks that the page follows what was handed out last, and goes on after it.
    fn accept(
        &mut self,
        mut page: Vec<RecordedEvent>,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, FeedError> {
        let Checkpoint { position, event_id } = self.checkpoint;
        if position > 0 {
            let overlap = page.first().map(|event| event.event_id);
            if overlap.is_none() || overlap != event_id {
                return Err(FeedError::Rewound { position });
            }
            page.remove(0);
        }
        for (position, event) in (position + 1..).zip(&page) {
            if event.position != position {
                return Err(FeedError::Hole { position });
            }
        }
        let Some(last) = page.last() else {
            return Ok(page);
        };
        self.checkpoint = Checkpoint::at(last);
        let (pool, after, head) = (self.pool.clone(), last.position, *self.head.borrow());
        // At the head there is nothing ahead: an empty page would hide what comes until something else does.
        if page.len() == limit && head > after {
            self.ahead = Some(Ahead {
                after,
                limit,
                page: tokio::spawn(async move { read(&pool, after, limit, head).await }),
            });
        }
        Ok(page)
    }
}

/// A page and, before it, the event at `after`: it tells whether the log is still the same one. The log is
/// known to reach to `head`.
async fn read(
    pool: &PgPool,
    after: i64,
    limit: usize,
    head: i64,
) -> sqlx::Result<Vec<RecordedEvent>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX - 1);
    let overlap = i64::from(after > 0);
    if limit.min(head - after) < SCAN_EVENTS_MIN {
        log::read_after(pool, after - overlap, limit + overlap).await
    } else {
        log::scan_after(pool, after - overlap, limit + overlap).await
    }
}
