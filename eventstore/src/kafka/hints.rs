//! Offsets for those who watch lags with the tools of Kafka. Nothing rests on them.

use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::time::Instant;

use super::consumer::Consumer;
use super::{Context, KafkaSettings, Place};

/// How often a follower tells how far it has come: what watches lags looks no oftener, and brokers keep each commit.
pub(crate) const HINT_INTERVAL: Duration = Duration::from_secs(5);

/// What the client has to say that is taken from its queue each time: its answers, and what it complains about while brokers
/// are away.
const SAYINGS_MAX: usize = 100;

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
    settings: KafkaSettings,
    group: String,
    /// Made when there is something to tell.
    consumer: Option<Consumer<Context>>,
    tell_at: Instant,
    /// The mark that the follower has not come past yet.
    next: Option<Mark>,
    /// The position of the last one that was told.
    told: i64,
}

/// The group that stands for a follower.
pub(super) fn group(follower: &str) -> String {
    format!("projection-{follower}")
}

impl Hints {
    /// For the follower of this name.
    pub(crate) fn of(settings: &KafkaSettings, follower: &str) -> Self {
        Self {
            settings: settings.clone(),
            group: group(follower),
            consumer: None,
            tell_at: Instant::now() + HINT_INTERVAL,
            next: None,
            told: 0,
        }
    }

    /// Tells now and then how far the follower has come: past the newest mark as of some moment before. Nobody waits for
    /// the answer, and a failure is nothing.
    pub(crate) fn reached(&mut self, position: i64, newest: impl FnOnce() -> Option<Mark>) {
        let now = Instant::now();
        if now < self.tell_at {
            return;
        }
        let next = self.next.take().or_else(newest);
        match next.filter(|mark| mark.position > self.told) {
            Some(mark) if mark.position > position => {
                self.next = Some(mark);
                return;
            }
            Some(mark) => {
                if let Err(error) = self.tell(&mark) {
                    tracing::debug!(%error, group = self.group, "lag hint not committed");
                }
                self.told = mark.position;
            }
            None => {}
        }
        self.tell_at = now + HINT_INTERVAL;
        if let Some(consumer) = &self.consumer {
            for _ in 0..SAYINGS_MAX {
                if consumer.poll(Duration::ZERO).is_none() {
                    break;
                }
            }
        }
    }

    fn tell(&mut self, mark: &Mark) -> KafkaResult<()> {
        let consumer = match &mut self.consumer {
            Some(consumer) => consumer,
            none => {
                let config = self.settings.consumer(&self.group);
                none.insert(Consumer::new(&config, Context)?)
            }
        };
        let mut offsets = TopicPartitionList::with_capacity(mark.offsets.len());
        for ((topic, partition), offset) in &mark.offsets {
            offsets.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
        }
        consumer.commit(&offsets, CommitMode::Async)
    }
}
