//! Offsets for those who watch lags with the tools of Kafka. Nothing rests on them.

use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::time::Instant;

use super::consumer::Consumer;
use super::{Context, KafkaSettings, Place};

/// How often a follower tells how far it has come.
pub(crate) const HINT_INTERVAL: Duration = Duration::from_secs(5);

/// How far all partitions were read at some moment: what lies before the offsets is at or below the position.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mark {
    pub(crate) position: i64,
    /// By partition, after what was read.
    pub(crate) offsets: Vec<(Place, i64)>,
}

/// Tells the brokers how far one follower has come, in the name of a group that has no members: what it reads it may share
/// with others.
pub(crate) struct Hints {
    /// None where the client could not be made.
    consumer: Option<Consumer<Context>>,
    tell_at: Instant,
    /// The mark that the follower has not come past yet.
    next: Option<Mark>,
    /// The position of the last one that was told.
    told: i64,
}

impl Hints {
    /// For the follower of this name. Does not wait for the brokers.
    pub(crate) fn of(settings: &KafkaSettings, follower: &str) -> Self {
        let config = settings.consumer(&format!("projection-{follower}"));
        let consumer = Consumer::new(&config, Context);
        Self {
            consumer: consumer
                .inspect_err(|error| tracing::debug!(%error, follower, "no lag hints"))
                .ok(),
            tell_at: Instant::now() + HINT_INTERVAL,
            next: None,
            told: 0,
        }
    }

    /// Tells now and then how far the follower has come: past the newest mark as of some moment before. Nobody waits for
    /// the answer, and a failure is nothing.
    pub(crate) fn reached(&mut self, position: i64, newest: impl FnOnce() -> Option<Mark>) {
        let now = Instant::now();
        let Some(consumer) = self.consumer.as_ref().filter(|_| now >= self.tell_at) else {
            return;
        };
        let next = self.next.take().or_else(newest);
        match next.filter(|mark| mark.position > self.told) {
            Some(mark) if mark.position > position => self.next = Some(mark),
            Some(mark) => {
                if let Err(error) = tell(consumer, &mark) {
                    tracing::debug!(%error, "lag hint not committed");
                }
                self.told = mark.position;
                self.tell_at = now + HINT_INTERVAL;
            }
            None => self.tell_at = now + HINT_INTERVAL,
        }
    }
}

fn tell(consumer: &Consumer<Context>, mark: &Mark) -> KafkaResult<()> {
    // Takes the answers to earlier ones out of the client's queue.
    while consumer.poll(Duration::ZERO).is_some() {}
    let mut offsets = TopicPartitionList::with_capacity(mark.offsets.len());
    for ((topic, partition), offset) in &mark.offsets {
        offsets.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
    }
    consumer.commit(&offsets, CommitMode::Async)
}
