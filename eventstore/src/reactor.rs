//! Acting on what happened: handing events to a reactor, which answers with commands of its own.
//!
//! A reactor needs order within a stream and nowhere else, and what it does is harmless when repeated: its commands carry
//! ids that are derived from the event. So many streams are worked on at once, and progress moves over what is handled
//! without a gap, after the effects have committed. After a crash what lies beyond is handled again.
//!
//! On the store feed one process works, under the lease `reactor-<name>`, and others stand by. On Kafka the processes are
//! members of the consumer group `<name>-group` and share the partitions of the topics that the reactor reads.
//!
//! What may pass is tried again without end, with back-off. An event that can never be handled parks its whole stream for
//! this reactor in `dead_letters`, as the runner of the projections does, until an operator retries or discards it. With too
//! many parked streams a reactor halts, and goes on by itself once there are fewer; one whose dead letters are its purpose
//! parks events alone, and any number ([`Parks`]).

mod group;
mod job;
mod lag;
mod lane;
mod progress;
mod store;
mod work;

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::job::Shared;
use crate::checkpoint::Checkpoint;
use crate::event::{DecodeError, RecordedEvent};
use crate::feed::{FeedError, FeedSource, Feeds};
use crate::runner::{PARKED_STREAMS_MAX, RunnerOptions};
use crate::store::StatesError;

pub use self::progress::{ReactorProgress, reactor_progress};

/// Acts on events.
#[async_trait]
pub trait Reactor: Send + Sync + 'static {
    /// Names it: as a consumer (`payment`), in its lease (`reactor-payment`), its consumer group (`payment-group`), in
    /// dead letters and metrics.
    fn name(&self) -> &'static str;

    /// The aggregate types whose events it is handed.
    fn reads(&self) -> &'static [&'static str];

    /// Which events it begins with where it never ran.
    fn begins(&self) -> Begins;

    /// What is set aside with an event that can never be handled: its stream, unless said otherwise.
    fn parks(&self) -> Parks {
        Parks::default()
    }

    /// Acts on an event, and returns once what that came to is durable. May be asked for the same event again, also while
    /// the first time is not over: what it does is to happen once, as a command does whose id is derived from the event.
    /// The events of one stream come in order, each after the one before it was handled.
    async fn react(&self, event: &RecordedEvent) -> Result<(), ReactError>;
}

/// Where a reactor begins that never ran on this log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// With the first event of the log.
    AtStart,
    /// With what is appended after its first start, which is written down at once: for what must never be done for old
    /// events, as sending mail.
    AtInstallation,
}

/// What is set aside with an event that can never be handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parks {
    /// Its stream: later events of it wait, in order. While more than `max` are parked the reactor handles nothing but what
    /// operators want tried again: that is not a few bad events but a bad reactor, and stepping over them all would only
    /// look healthy.
    Streams { max: usize },
    /// The event alone, and any number of them: for a reactor whose dead letters are its purpose. The next event of the
    /// stream is handled all the same. One that was parked may be handed over again without anybody having asked for it,
    /// as after a crash; [`is_asked_for`](crate::dead_letters::is_asked_for) tells the two apart.
    Events,
}

impl Default for Parks {
    fn default() -> Self {
        Self::Streams {
            max: PARKED_STREAMS_MAX,
        }
    }
}

/// Why an event was not handled.
#[derive(Debug, thiserror::Error)]
pub enum ReactError {
    /// It may work the next time. Tried again without end; the stream waits.
    #[error("the event cannot be handled now")]
    Transient(#[source] anyhow::Error),
    /// It can never be handled as this reactor is: its stream is parked for an operator.
    #[error("the event cannot be handled: {0}")]
    Poison(String),
}

impl From<anyhow::Error> for ReactError {
    fn from(error: anyhow::Error) -> Self {
        Self::Transient(error)
    }
}

impl From<sqlx::Error> for ReactError {
    fn from(error: sqlx::Error) -> Self {
        Self::Transient(error.into())
    }
}

/// A history that cannot be folded now cannot be folded later: trying again would hold up all other streams for good.
impl From<StatesError> for ReactError {
    fn from(error: StatesError) -> Self {
        match error {
            StatesError::Database(error) => error.into(),
            StatesError::Corrupt(reason) => Self::Poison(reason),
        }
    }
}

impl From<DecodeError> for ReactError {
    fn from(error: DecodeError) -> Self {
        Self::Poison(format!("{error}: {}", error.source))
    }
}

/// Why a reactor stopped for good. Each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ReactionsError {
    /// The event up to which it has come is not in the log any more, and positions are being used again.
    #[error(
        "the log was rewound below position {position}, up to which {reactor} had come: run `nakku react {reactor} --from POSITION`"
    )]
    Rewound { reactor: String, position: i64 },
    #[error("events of type {0} have no topic, and a reactor reads them")]
    Unmapped(String),
    /// A setting that librdkafka refuses, or a log with a hole.
    #[error(transparent)]
    Feed(#[from] FeedError),
}

/// One reactor at work in this process.
pub struct Reactions {
    feeds: Feeds,
    reactor: Arc<dyn Reactor>,
    holder: String,
}

impl Reactions {
    /// `holder` names this process in the lease.
    pub fn new(feeds: Feeds, reactor: Arc<dyn Reactor>, holder: impl Into<String>) -> Self {
        Self {
            feeds,
            reactor,
            holder: holder.into(),
        }
    }

    /// Works, or stands by, until `stop` or until it cannot go on. What is under way at the end is finished, within
    /// bounds. Database and brokers that do not answer are waited for.
    ///
    /// # Errors
    /// Where only an operator can help.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), ReactionsError> {
        match self.feeds.source() {
            FeedSource::Store => self.run_on_store(&stop).await,
            FeedSource::Kafka(settings) => self.run_on_kafka(settings, &stop).await,
        }
    }

    /// Lets a reactor begin again after a position, whoever works: what comes after it is handled again, which is harmless
    /// but for what the reactor's commands do not know as done.
    ///
    /// # Errors
    /// [`ResetError::NoPosition`] where the log has no such event.
    pub async fn reset(pool: &PgPool, name: &str, position: i64) -> Result<(), ResetError> {
        let event_id: Option<Uuid> =
            sqlx::query_scalar("select event_id from events where position = $1")
                .bind(position)
                .fetch_optional(pool)
                .await?;
        if position != 0 && event_id.is_none() {
            return Err(ResetError::NoPosition(position));
        }
        progress::reset(pool, name, Checkpoint { position, event_id }).await?;
        Ok(())
    }

    /// What the jobs of a session share; `stop` ends their waiting.
    fn shared(&self, stop: CancellationToken) -> Arc<Shared> {
        let name = self.reactor.name().to_owned();
        Arc::new(Shared {
            store: self.feeds.store().clone(),
            reactor: Arc::clone(&self.reactor),
            consumer: name.clone(),
            options: RunnerOptions {
                metrics_name: Some(name),
                ..RunnerOptions::default()
            },
            stop,
            offsets: std::sync::Mutex::default(),
        })
    }

    fn error(&self, error: FeedError) -> ReactionsError {
        match error {
            FeedError::Rewound { position } => ReactionsError::Rewound {
                reactor: self.reactor.name().to_owned(),
                position,
            },
            error => ReactionsError::Feed(error),
        }
    }
}

/// Why a reactor was not set to begin anew.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    #[error("the log has no event at position {0}")]
    NoPosition(i64),
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

/// The lease of a reactor.
fn lease_name(reactor: &str) -> String {
    format!("reactor-{reactor}")
}
