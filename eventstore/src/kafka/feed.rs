//! A feed over Kafka. The log is the truth, Kafka the fast path.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::KafkaSettings;
use super::confirm::{self, Confirmed};
use super::gap::Gap;
use super::hints::{self, Mark};
use super::link::{Link, LinkError};
use super::order::{Buffered, Order};
use super::refused::{Reason, Refused};
use crate::checkpoint::Checkpoint;
use crate::event::RecordedEvent;
use crate::feed::{FEED_WAIT_MAX, Feed, FeedError};
use crate::log;
use crate::store::EventStore;

/// Most events of a page read from the log.
const PAGE_MAX: usize = 5_000;

/// Waits between attempts to reach the brokers: doubled from the first to the second.
const RECONNECT_MIN: Duration = Duration::from_millis(250);
const RECONNECT_MAX: Duration = Duration::from_secs(5);

/// How often a connection under way is looked at.
const CONNECTING_INTERVAL: Duration = Duration::from_millis(20);

/// Follows all partitions of all topics and restores the log's order.
pub struct KafkaFeed {
    store: EventStore,
    settings: KafkaSettings,
    group: String,
    order: Order,
    /// The newest position of the log that is known.
    head: watch::Receiver<i64>,
    refused: Refused,
    /// The last event handed out, and when it was recorded.
    checkpoint: Checkpoint,
    recorded_at: Option<DateTime<Utc>>,
    /// Whether the checkpoint has to be looked up in the log before going on.
    unverified: bool,
    connection: Connection,
    reconnect_after: Duration,
    gap: Gap,
}

enum Connection {
    Up(Link),
    Connecting(JoinHandle<Result<Link, LinkError>>),
    Down { until: Instant },
}

impl KafkaFeed {
    /// A feed for `consumer` of everything after `checkpoint`. Brokers that cannot be reached and topics
    /// that do not exist are waited for in the background, while the log is read about once a second.
    ///
    /// # Errors
    /// [`FeedError::Rewound`] where the log does not hold the checkpoint's event, [`FeedError::Kafka`] where
    /// librdkafka refuses a setting.
    pub async fn open(
        store: &EventStore,
        settings: &KafkaSettings,
        consumer: &str,
        checkpoint: Checkpoint,
    ) -> Result<Self, FeedError> {
        // An option that librdkafka refuses is refused here, not retried in the background.
        settings.consumer(consumer).create_native_config()?;
        let now = Instant::now();
        let mut feed = Self {
            store: store.clone(),
            settings: settings.clone(),
            group: hints::group(consumer),
            order: Order::after(checkpoint.position),
            head: store.head(),
            refused: Refused::none(now),
            checkpoint,
            recorded_at: None,
            unverified: true,
            connection: Connection::Down { until: now },
            reconnect_after: RECONNECT_MIN,
            gap: Gap::none(now),
        };
        feed.verify().await?;
        feed.connect().await;
        Ok(feed)
    }

    async fn verify(&mut self) -> Result<(), FeedError> {
        let pool = self.store.pool();
        if !self.checkpoint.is_in_log(pool).await? {
            return Err(FeedError::Rewound {
                position: self.checkpoint.position,
            });
        }
        self.recorded_at = sqlx::query_scalar("select recorded_at from events where position = $1")
            .bind(self.checkpoint.position)
            .fetch_optional(pool)
            .await?;
        self.unverified = false;
        Ok(())
    }

    /// Goes on with the connection where it stands: begins it, or takes it up when it is ready.
    async fn connect(&mut self) {
        match &mut self.connection {
            Connection::Up(_) => {}
            Connection::Down { until } => {
                if Instant::now() < *until {
                    return;
                }
                let (settings, group) = (self.settings.clone(), self.group.clone());
                let since = self.recorded_at.map(|at| at.timestamp_millis());
                self.connection = Connection::Connecting(tokio::task::spawn_blocking(move || {
                    Link::open(&settings, &group, since)
                }));
            }
            Connection::Connecting(link) => {
                if !link.is_finished() {
                    return;
                }
                match link.await {
                    Ok(Ok(link)) => {
                        tracing::info!(group = self.group, "following Kafka");
                        self.connection = Connection::Up(link);
                        self.reconnect_after = RECONNECT_MIN;
                    }
                    Ok(Err(error)) => self.disconnect(&error),
                    Err(error) => self.disconnect(&error),
                }
            }
        }
    }

    fn disconnect(&mut self, error: &(dyn std::error::Error + 'static)) {
        tracing::warn!(
            group = self.group,
            error,
            "not following Kafka, reading the log until it is back"
        );
        let until = Instant::now() + self.reconnect_after;
        self.connection = Connection::Down { until };
        self.reconnect_after = (self.reconnect_after * 2).min(RECONNECT_MAX);
    }

    /// Takes what the client has fetched. False where there is more.
    fn drain(&mut self) -> bool {
        let (position, head) = (self.order.position(), *self.head.borrow());
        let Connection::Up(link) = &mut self.connection else {
            return true;
        };
        let drained = link.drain(&mut self.order, head, &mut self.refused);
        if self.order.came_late() {
            self.gap.came_late();
        }
        match drained.and_then(|drained| {
            link.balance(position)?;
            Ok(drained)
        }) {
            Ok(drained) => drained,
            Err(error) => {
                self.disconnect(&error);
                true
            }
        }
    }

    /// Notes whether the next position is owed.
    async fn look_around(&mut self) -> Result<(), FeedError> {
        let now = Instant::now();
        // A connection that is being made gets its time as well; one that failed does not.
        let hopeful = !matches!(self.connection, Connection::Down { .. });
        if self.gap.is_owed() {
            return Ok(());
        }
        if self.order.is_full() {
            self.gap.owed_now(now);
        } else if self.order.lowest_ahead().is_some() {
            self.gap.owed(now, hopeful);
        } else if self.gap.is_look_due(now) {
            // A log that was rewound brings nothing by which it could be noticed.
            self.unverified = true;
            self.verify().await?;
            let head = log::head(self.store.pool()).await;
            let head = head.inspect_err(|_| self.unverified = true)?;
            if head.position > self.order.position() {
                self.gap.owed(now, hopeful);
            } else if head != self.checkpoint {
                // The log ends before what was handed out, or with another event.
                self.verify().await?;
            }
        }
        Ok(())
    }

    /// The next events that Kafka brought, as far as the log confirms them. The others are thrown away, and
    /// their positions owed by Kafka for good.
    async fn take(&mut self, limit: usize) -> Result<Vec<RecordedEvent>, FeedError> {
        let ids = self.order.next_ids(limit.min(PAGE_MAX));
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let confirmed = confirm::confirm(self.store.pool(), self.checkpoint, &ids).await;
        let Confirmed { events, log_ends } = confirmed.inspect_err(|_| self.unverified = true)?;
        let taken = self.order.take(events);
        if events < ids.len() {
            if log_ends {
                self.throw_away();
            } else {
                let position = self.order.position() + 1;
                self.order.remove(position);
                self.gap.lost(position);
                let place = || format!("at position {position}");
                self.refused.count(Reason::NotInLog, place);
            }
        }
        Ok(taken)
    }

    /// Everything that waits is beyond the end of the log, which commits before it is published: it is of
    /// another log, or of this one before it was restored.
    fn throw_away(&mut self) {
        let position = self.order.position();
        for _ in 0..self.order.clear() {
            let place = || format!("beyond position {position}");
            self.refused.count(Reason::NotInLog, place);
        }
        if let Connection::Up(link) = &mut self.connection {
            link.forget_beyond(position);
        }
    }

    /// Reads from the log what Kafka owes.
    async fn fill(&mut self, limit: usize) -> Result<Vec<RecordedEvent>, FeedError> {
        let after = self.order.position();
        let limit = limit.min(PAGE_MAX);
        let page = confirm::read(self.store.pool(), self.checkpoint, limit).await;
        let page = page.inspect_err(|_| self.unverified = true)?;
        let last = page.last().map_or(after, |event| event.position);
        let connected = matches!(self.connection, Connection::Up(_));
        if page.is_empty() {
            self.throw_away();
        }
        let until = match self.order.lowest_ahead() {
            Some(lowest) => lowest - 1,
            // A full page: there is more, and Kafka has not brought it. What it brings meanwhile goes first.
            None if page.len() == limit => last + 1,
            None => 0,
        };
        if self.gap.begins(after) {
            self.order.miss_next();
        }
        self.order.skip_to(last);
        self.gap.filled(Instant::now(), after, page.len(), until);
        tracing::debug!(group = self.group, after, last, "read from the log");
        metrics::counter!("nakku_feed_events_from_log_total")
            .increment(page.len().try_into().unwrap_or(u64::MAX));
        if connected && self.gap.is_trouble(Instant::now()) {
            let until = Instant::now();
            self.connection = Connection::Down { until };
        }
        Ok(page)
    }

    /// What waits for its turn.
    pub fn buffered(&self) -> Buffered {
        self.order.buffered()
    }

    /// Records that were not handed out: unreadable ones, those of other logs, and those that the log does
    /// not confirm. Repeats are not among them.
    pub fn records_refused(&self) -> u64 {
        self.refused.records()
    }

    /// Events that were read from the log, because Kafka did not bring them in time.
    pub fn events_from_log(&self) -> u64 {
        self.gap.events()
    }

    fn hand_out(&mut self, events: Vec<RecordedEvent>) -> Vec<RecordedEvent> {
        self.gap.moved(Instant::now());
        if let Some(last) = events.last() {
            self.checkpoint = Checkpoint::at(last);
            self.recorded_at = Some(last.recorded_at);
        }
        events
            .into_iter()
            .map(|event| self.store.upcast(event))
            .collect()
    }

    /// How far Kafka was read; none where it is not followed.
    pub(crate) fn mark(&self) -> Option<Mark> {
        match &self.connection {
            Connection::Up(link) => Some(link.mark()),
            Connection::Connecting(_) | Connection::Down { .. } => None,
        }
    }

    /// Waits for records, for the connection, or for the moment when something is due.
    async fn wait(&mut self, deadline: Instant) {
        let until = deadline.min(self.gap.next());
        match &mut self.connection {
            Connection::Up(link) => {
                let nonempty = link.nonempty();
                tokio::select! {
                    () = nonempty.notified() => {}
                    () = sleep_until(until) => {}
                }
            }
            // Not awaited itself: `connect` takes the result, and a finished task must not be awaited twice.
            Connection::Connecting(_) => {
                sleep_until(until.min(Instant::now() + CONNECTING_INTERVAL)).await;
            }
            Connection::Down { until: reconnect } => sleep_until(until.min(*reconnect)).await,
        }
    }
}

#[async_trait]
impl Feed for KafkaFeed {
    async fn next(&mut self, limit: usize) -> Result<Vec<RecordedEvent>, FeedError> {
        let limit = limit.max(1);
        let deadline = Instant::now() + FEED_WAIT_MAX;
        loop {
            if self.unverified {
                self.verify().await?;
            }
            self.connect().await;
            let drained = self.drain();
            let events = self.take(limit).await?;
            if !events.is_empty() {
                return Ok(self.hand_out(events));
            }
            self.look_around().await?;
            if self.gap.is_due(Instant::now(), self.order.position()) {
                let events = self.fill(limit).await?;
                if !events.is_empty() {
                    return Ok(self.hand_out(events));
                }
            }
            if Instant::now() >= deadline {
                return Ok(Vec::new());
            }
            if drained || self.order.is_full() {
                self.wait(deadline).await;
            } else {
                tokio::task::yield_now().await;
            }
        }
    }
}
