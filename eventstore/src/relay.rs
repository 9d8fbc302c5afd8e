//! Publishing the log to Kafka. The log is the outbox: nothing is written twice.
//!
//! One leader reads from its checkpoint in position order and publishes with an idempotent producer, in
//! order, many in flight. The checkpoint is the end of the contiguous acknowledged prefix; with it stands,
//! for each partition, the offset after the last acknowledged record at or below it. Whoever begins (at
//! start, at take-over, after any delivery error) reads what the partitions hold beyond those offsets and
//! publishes from the first event that one of them lacks: see [`resume`].

mod ahead;
mod batches;
mod deliveries;
mod found;
mod progress;
mod resume;
mod session;
mod window;

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use rdkafka::error::KafkaError;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::feed::FeedError;
use crate::kafka::KafkaSettings;
use crate::lease::{Lease, LeaseError};
use crate::store::EventStore;

use batches::Batches;
use session::Ended;

pub use progress::RelayStatus;

/// The lease and the checkpoint of the relay.
pub(crate) const NAME: &str = "relay";

/// Waits between attempts after an error: doubled from the first to the second.
const RESTART_MIN: Duration = Duration::from_millis(100);
const RESTART_MAX: Duration = Duration::from_secs(5);

/// Work that held this long ends a series of attempts: the next error waits the shortest time again.
const RESTART_RESET: Duration = Duration::from_secs(30);

/// How often the metrics are brought up to date.
const METRICS_INTERVAL: Duration = Duration::from_secs(1);

/// Publishes the log of `store` to the topics of `settings`, as leader or stand-by.
pub struct Relay {
    store: EventStore,
    settings: KafkaSettings,
    holder: String,
}

/// Why the relay does not publish. [`RelayError::is_final`] tells what waiting cannot mend.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    #[error("no topic is set for aggregate type {0}")]
    Unmapped(String),
    #[error("topic {0} does not exist or is hidden from this user, run `nakku topics`")]
    NoTopic(String),
    #[error(
        "topic {topic} has {found} partitions, the relay published to {published}: empty it, then run `nakku relay --from 0`"
    )]
    Repartitioned {
        topic: String,
        published: i64,
        found: i64,
    },
    #[error(
        "the log was rewound below position {position}: empty the topics, then run `nakku relay --from 0`"
    )]
    Rewound { position: i64 },
    #[error(
        "topic {topic} holds another event at position {position} than the log: empty the topics, then run `nakku relay --from 0`"
    )]
    OtherLog { topic: String, position: i64 },
    #[error("the log has no event at position {0}")]
    NoPosition(i64),
    #[error("reading the log failed")]
    Log(#[source] FeedError),
    #[error("the event at position {position} was not delivered to topic {topic}")]
    Delivery {
        topic: String,
        position: i64,
        source: KafkaError,
    },
    #[error("the client took no event at position {position} for topic {topic}")]
    Refused {
        topic: String,
        position: i64,
        source: KafkaError,
    },
    #[error("the event at position {position} is under way to Kafka for {seconds} s")]
    Stalled {
        position: i64,
        seconds: u64,
        /// What the client said last about the brokers.
        source: Option<KafkaError>,
    },
    #[error(
        "topic {topic} lost acknowledged records: partition {partition} goes on at offset {offset}"
    )]
    Truncated {
        topic: String,
        partition: i32,
        offset: i64,
    },
    #[error("Kafka failed")]
    Kafka(#[from] KafkaError),
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Lease(#[from] LeaseError),
}

impl RelayError {
    /// Whether only an operator can mend it.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Unmapped(_)
            | Self::Repartitioned { .. }
            | Self::Rewound { .. }
            | Self::OtherLog { .. }
            | Self::NoPosition(_) => true,
            Self::Kafka(error) => matches!(
                error,
                KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_)
            ),
            Self::Log(error) => !error.is_transient(),
            Self::NoTopic(_)
            | Self::Delivery { .. }
            | Self::Refused { .. }
            | Self::Stalled { .. }
            | Self::Truncated { .. }
            | Self::Database(_)
            | Self::Lease(_) => false,
        }
    }
}

impl RelayError {
    /// With its causes, on one line. A cause that its successor already quotes is not said twice.
    fn one_line(&self) -> String {
        let mut line = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let text = error.to_string();
            if !line.ends_with(&text) {
                line.push_str(": ");
                line.push_str(&text);
            }
            cause = error.source();
        }
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

impl From<FeedError> for RelayError {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Rewound { position } => Self::Rewound { position },
            FeedError::Database(error) => Self::Database(error),
            error @ (FeedError::Hole { .. } | FeedError::Kafka(_)) => Self::Log(error),
        }
    }
}

impl Relay {
    /// `holder` names this process in the relay's lease.
    pub fn new(store: EventStore, settings: KafkaSettings, holder: impl Into<String>) -> Self {
        Self {
            store,
            settings,
            holder: holder.into(),
        }
    }

    /// Leads or stands by until `shutdown`; then what is in flight is delivered, and the lease released.
    ///
    /// # Errors
    /// Only what an operator has to mend, in one line that says how.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), RelayError> {
        let reporting = report(self.store.pool().clone());
        tokio::select! {
            result = self.lead_or_stand_by(&shutdown) => result,
            () = reporting => Ok(()),
        }
    }

    /// The settings of its producer, for whoever wants to compare what else could be done with them.
    pub fn producer_settings(settings: &KafkaSettings) -> rdkafka::ClientConfig {
        deliveries::config(settings, None)
    }

    /// What the relay has published and what it has yet to.
    pub async fn status(pool: &PgPool) -> sqlx::Result<RelayStatus> {
        progress::status(pool).await
    }

    /// Lets the relay begin again after `position`, whoever leads: 0 refills Kafka from the log. What the
    /// topics still hold is not published again.
    ///
    /// # Errors
    /// [`RelayError::NoPosition`] where the log has no such event.
    pub async fn reset(pool: &PgPool, position: i64) -> Result<(), RelayError> {
        progress::reset(pool, position).await
    }

    async fn lead_or_stand_by(&self, shutdown: &CancellationToken) -> Result<(), RelayError> {
        loop {
            self.check_topics(shutdown).await?;
            let pool = self.store.pool();
            let Some(lease) = Lease::acquire_when_free(pool, NAME, &self.holder, shutdown).await
            else {
                return Ok(());
            };
            let result = self.lead(&lease, shutdown).await;
            let lost = lease.lost().is_cancelled();
            if !lost && let Err(error) = lease.release().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "lease not released"
                );
            }
            match result {
                Err(RelayError::Lease(_)) => tracing::warn!("the relay does not lead any more"),
                result => return result,
            }
        }
    }

    /// Publishes under the lease, beginning again after each error that may pass.
    async fn lead(&self, lease: &Lease, shutdown: &CancellationToken) -> Result<(), RelayError> {
        let mut waits = restarts();
        let mut batches = Batches::Full;
        loop {
            let began = tokio::time::Instant::now();
            let published =
                session::publish(&self.store, &self.settings, lease, batches, shutdown).await;
            let error = match published {
                Ok(Ended::Shutdown) => return Ok(()),
                Ok(Ended::Passed) => {
                    batches = Batches::Full;
                    continue;
                }
                Err(error) => error,
            };
            if !lease.is_valid() {
                return Err(lease.lost_error().into());
            }
            if matches!(error, RelayError::Lease(_)) {
                return Err(error);
            }
            progress::failed(self.store.pool(), lease, &error.one_line()).await;
            if error.is_final() {
                return Err(error);
            }
            batches = batches.after(&error);
            if began.elapsed() > RESTART_RESET {
                waits = restarts();
            }
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the relay begins again"
            );
            tokio::select! {
                () = tokio::time::sleep(waits.next().unwrap_or(RESTART_MAX)) => {}
                () = lease.lost().cancelled() => return Err(lease.lost_error().into()),
                () = shutdown.cancelled() => return Ok(()),
            }
        }
    }

    /// Every aggregate type in the log has its topic; later types are checked as they come.
    async fn check_topics(&self, shutdown: &CancellationToken) -> Result<(), RelayError> {
        let mut waits = restarts();
        let types = loop {
            match progress::aggregate_types(self.store.pool()).await {
                Ok(types) => break types,
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the relay cannot read the log"
                ),
            }
            tokio::select! {
                () = tokio::time::sleep(waits.next().unwrap_or(RESTART_MAX)) => {}
                () = shutdown.cancelled() => return Ok(()),
            }
        };
        let unmapped = |aggregate_type: &String| self.settings.topics.of(aggregate_type).is_none();
        match types.into_iter().find(unmapped) {
            Some(aggregate_type) => Err(RelayError::Unmapped(aggregate_type)),
            None => Ok(()),
        }
    }
}

fn restarts() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(RESTART_MIN)
        .with_max_delay(RESTART_MAX)
        .with_jitter()
        .without_max_times()
        .build()
}

/// Keeps the metrics of the outbox, on the leader and on stand-bys alike: they say how far Kafka is behind
/// the log, so a leader that hangs shows.
async fn report(pool: PgPool) {
    let mut ticks = tokio::time::interval(METRICS_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match progress::status(&pool).await {
            Ok(status) => status.record(),
            Err(error) => tracing::debug!(%error, "outbox not measured"),
        }
    }
}
