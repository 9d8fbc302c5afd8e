//! Those who follow the log while it is written.

use std::time::Duration;

use eventstore::{Checkpoint, EventStore, Feed, FeedError, StoreFeed};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use super::evidence::Reading;

/// How long a reader may take for what is left once nobody writes any more.
const CATCHES_UP_WITHIN: Duration = Duration::from_secs(20);

/// Between tries while the database is away.
const RETRY: Duration = Duration::from_millis(20);

/// How often a reader that asks the database itself does so.
const POLL: Duration = Duration::from_millis(1);

/// How a feed is followed.
pub(super) struct Manner {
    pub(super) name: &'static str,
    /// Events asked for at once.
    pub(super) limit: usize,
    /// The longest time after which the reader is ended, wherever it is, and begins anew at its checkpoint.
    pub(super) restarted_after: Option<Duration>,
}

/// What a reader got and how often it began anew.
pub(super) struct Read {
    pub(super) reading: Reading,
    pub(super) restarts: usize,
}

/// Follows a feed until the log's end is known and reached.
pub(super) async fn follow_feed(
    store: EventStore,
    manner: Manner,
    seed: u64,
    mut end: watch::Receiver<Option<i64>>,
) -> Read {
    let mut read = Read {
        reading: Reading {
            reader: manner.name.to_owned(),
            delivered: Vec::new(),
            failure: None,
        },
        restarts: 0,
    };
    let ends = end.clone();
    let caught_up = async {
        let failure = follow(&store, &manner, seed, &ends, &mut read).await;
        read.reading.failure = failure.err().map(|error| error.to_string());
    };
    let failure = bounded(&mut end, caught_up).await;
    read.reading.failure = read.reading.failure.take().or(failure);
    read
}

/// Lets a reader run; from when the end of the log is known on, for a bounded time.
async fn bounded(
    end: &mut watch::Receiver<Option<i64>>,
    reading: impl Future<Output = ()>,
) -> Option<String> {
    let late = async {
        let _ = end.wait_for(Option::is_some).await;
        tokio::time::sleep(CATCHES_UP_WITHIN).await;
    };
    tokio::select! {
        () = reading => None,
        () = late => Some(format!("did not reach the end within {CATCHES_UP_WITHIN:?}")),
    }
}

async fn follow(
    store: &EventStore,
    manner: &Manner,
    seed: u64,
    end: &watch::Receiver<Option<i64>>,
    read: &mut Read,
) -> Result<(), FeedError> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut checkpoint = Checkpoint::START;
    let mut feed: Option<StoreFeed> = None;
    loop {
        if end.borrow().is_some_and(|end| checkpoint.position >= end) {
            return Ok(());
        }
        let found = match feed.as_mut() {
            None => match StoreFeed::open(store, checkpoint).await {
                Ok(opened) => {
                    feed = Some(opened);
                    continue;
                }
                Err(error) => Err(error),
            },
            Some(feed) => {
                let patience = match manner.restarted_after {
                    Some(after) => random.random_range(Duration::ZERO..after),
                    None => Duration::MAX,
                };
                match timeout(patience, feed.next(manner.limit)).await {
                    Ok(found) => found,
                    Err(_) => {
                        read.restarts += 1;
                        // A future that is dropped must lose nothing, with its feed or without.
                        Ok(Vec::new())
                    }
                }
            }
        };
        let is_restarted = manner.restarted_after.is_some() && random.random_ratio(1, 3);
        if is_restarted {
            feed = None;
        }
        match found {
            Ok(events) => {
                for event in events {
                    checkpoint = Checkpoint {
                        position: event.position,
                        event_id: Some(event.event_id),
                    };
                    read.reading
                        .delivered
                        .push((event.position, event.event_id));
                }
            }
            Err(error) if error.is_transient() => tokio::time::sleep(RETRY).await,
            Err(error) => return Err(error),
        }
    }
}

/// Follows the log by a statement that takes the last position and yields what is new: the way that loses events.
pub(super) async fn follow_statement(
    pool: PgPool,
    statement: &'static str,
    mut end: watch::Receiver<Option<i64>>,
) -> Read {
    let mut delivered: Vec<(i64, Uuid)> = Vec::new();
    let mut ends = end.clone();
    let reading = async {
        let mut last = 0;
        while ends.borrow_and_update().is_none_or(|end| last < end) {
            let found: sqlx::Result<Vec<(i64, Uuid)>> =
                sqlx::query_as(statement).bind(last).fetch_all(&pool).await;
            let found = found.unwrap_or_default();
            last = found.last().map_or(last, |(position, _)| *position);
            delivered.extend(found);
            tokio::time::sleep(POLL).await;
        }
    };
    let failure = bounded(&mut end, reading).await;
    Read {
        reading: Reading {
            reader: statement.to_owned(),
            delivered,
            failure,
        },
        restarts: 0,
    }
}
