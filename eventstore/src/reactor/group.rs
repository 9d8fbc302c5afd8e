//! A reactor on Kafka: the members of a consumer group share the partitions of the topics that it reads.
//!
//! The log is the truth and Kafka the fast path, here too. What a partition has to bring is read from the log, of which
//! every member follows the ids; the brokers bring the events, and say which member has which partition. What they do not
//! bring within a second (a topic that was emptied, or trimmed, or that the relay is behind with) is read from the log. So
//! nothing rests on offsets.

mod consumer;
mod inbox;
mod layout;
mod ledger;
mod places;
mod source;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use rdkafka::error::KafkaError;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::consumer::Member;
pub(super) use self::layout::Layout;
use self::source::Source;
use super::progress::{Keeper, Lanes};
use super::work::{Ended, NO_LANES, Work};
use super::{Reactions, ReactionsError, lag};
use crate::feed::FeedError;
use crate::kafka::{KafkaSettings, topic_partitions};
use crate::runner::one_line;

/// Messages that may wait to be taken in.
const MESSAGES_AHEAD: usize = 2;

/// From the first wait to the longest before a session begins again: doubled in between.
const AGAIN_MIN: Duration = Duration::from_millis(250);
const AGAIN_MAX: Duration = Duration::from_secs(5);

/// A session that went well for so long begins again at once.
const AGAIN_RESET: Duration = Duration::from_secs(30);

/// Longest wait for leaving the group: the brokers notice who is gone anyway.
const LEAVE_MAX: Duration = Duration::from_secs(5);

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    /// Only an operator can help.
    #[error(transparent)]
    Final(#[from] ReactionsError),
    #[error("the progress was set anew")]
    SetAnew,
    #[error("topic {0} does not exist, run `nakku topics`")]
    NoTopic(String),
    #[error("Kafka does not answer")]
    Kafka(#[from] KafkaError),
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl Reactions {
    pub(super) async fn run_on_kafka(
        &self,
        settings: &KafkaSettings,
        stop: &CancellationToken,
    ) -> Result<(), ReactionsError> {
        // A setting that librdkafka refuses is refused here, not tried again and again.
        let group = consumer::group(settings, self.reactor.name());
        let config = consumer::config(settings, &group);
        config.create_native_config().map_err(FeedError::Kafka)?;
        let mut waits = waits();
        loop {
            let began = tokio::time::Instant::now();
            let ended = tokio::select! {
                ended = self.join(settings, &group, stop) => ended,
                // What is under way is finished by the session itself, within this time.
                () = stopped_for(stop, 2 * LEAVE_MAX) => return Ok(()),
            };
            if stop.is_cancelled() {
                return Ok(());
            }
            match ended {
                Ok(()) => {}
                Err(SessionError::Final(error)) => return Err(error),
                Err(error) => {
                    let error = one_line(&error);
                    tracing::warn!(group, error, "the reactor begins again");
                }
            }
            if began.elapsed() > AGAIN_RESET {
                waits = self::waits();
            }
            tokio::select! {
                () = tokio::time::sleep(waits.next().unwrap_or(AGAIN_MAX)) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    /// One session as a member of the group.
    async fn join(
        &self,
        settings: &KafkaSettings,
        group: &str,
        stop: &CancellationToken,
    ) -> Result<(), SessionError> {
        let existing = tokio::select! {
            existing = topic_partitions(settings) => existing?,
            () = stop.cancelled() => return Ok(()),
        };
        let layout = Arc::new(Layout::of(settings, self.reactor.reads(), &existing)?);
        let pool = self.feeds.store().pool();
        let (name, begins) = (self.reactor.name(), self.reactor.begins());
        let epoch = places::start(pool, name, begins, &layout).await?;
        let halt = stop.child_token();
        let _halting = halt.clone().drop_guard();
        let shared = self.shared(halt);

        let member = Member::join(settings, group, &layout)?;
        let (sender, inputs) = mpsc::channel(MESSAGES_AHEAD);
        let source = Source::new(Arc::clone(&shared), Arc::clone(&layout), member, sender);
        let mut reading = AbortOnDropHandle::new(tokio::spawn(source.run()));

        let reached = Arc::new(AtomicI64::new(NO_LANES));
        let measuring = lag::measure(pool.clone(), name.to_owned(), Arc::clone(&reached));
        let keeper = Arc::new(Keeper {
            epoch,
            lanes: Lanes::Places(Arc::clone(&layout)),
        });
        let lane_of = Box::new(move |stream: &_| layout.lane_of(stream));
        let work = Work::new(shared, keeper, lane_of, reached);
        let never = CancellationToken::new();
        let ended = tokio::select! {
            ended = work.run(inputs, stop, &never) => ended?,
            () = measuring => Ended::Stopped,
        };
        let left = timeout(LEAVE_MAX, &mut reading).await;
        match (ended, left) {
            (Ended::Fenced, _) => Err(SessionError::SetAnew),
            (Ended::Stopped, Ok(Ok(result))) => result,
            (Ended::Stopped, _) => Ok(()),
        }
    }
}

/// Returns some time after the end was asked for.
async fn stopped_for(stop: &CancellationToken, time: Duration) {
    stop.cancelled().await;
    tokio::time::sleep(time).await;
}

fn waits() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(AGAIN_MIN)
        .with_max_delay(AGAIN_MAX)
        .with_jitter()
        .without_max_times()
        .build()
}
