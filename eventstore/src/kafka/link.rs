//! A consumer that is assigned every partition of the log's topics.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::consumer::Consumer;
use super::hints::Mark;
use super::order::Order;
use super::record::{self, RecordError};
use super::refused::{Reason, Refused};
use super::{Context, KafkaSettings, Place, REQUEST_TIMEOUT, assignment};
use crate::event::RecordedEvent;

/// A partition this far ahead of what was handed out is paused: the buffer is for those that are late.
const AHEAD_POSITIONS_MAX: i64 = 50_000;

/// It goes on once it is only this far ahead: pausing throws away what was fetched, so not at each step.
const AHEAD_POSITIONS_RESUMED: i64 = 25_000;

/// Most records taken from the client's queue in one go, so that other tasks get their turn.
const DRAIN_MAX: usize = 4_096;

/// Further beyond the known end of the log no record can be: the relay publishes what was committed, and the
/// end is read every few milliseconds. Not beyond where a paused partition goes on, lest it never does.
const BEYOND_LOG_MAX: i64 = AHEAD_POSITIONS_RESUMED;

/// How often what the client complains about is told.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(5);

/// Topics of the brokers by name, with the number of their partitions.
pub(crate) type Metadata = HashMap<String, i32>;

/// Why there is no link. All of it is waited for.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("topic {0} does not exist, run `nakku topics`")]
    NoTopic(String),
    #[error("Kafka does not answer")]
    Kafka(#[from] KafkaError),
}

/// All partitions of all topics of the log, from a point in time on.
pub(super) struct Link {
    consumer: Consumer<Context>,
    partitions: HashMap<String, Vec<Partition>>,
    complain_at: Instant,
}

#[derive(Clone, Default)]
struct Partition {
    /// Highest position seen.
    position: i64,
    /// After that record.
    next_offset: i64,
    paused: bool,
}

impl Link {
    /// Begins at the records of `since` (milliseconds; from the beginning where none): record timestamps
    /// never go back along the positions. Blocks for as long as the brokers take.
    pub(super) fn open(
        settings: &KafkaSettings,
        group: &str,
        since: Option<i64>,
    ) -> Result<Self, LinkError> {
        let consumer = Consumer::new(&settings.consumer(group), Context)?;
        let existing = metadata(&consumer)?;
        let mut partitions = HashMap::new();
        for topic in settings.topic_names() {
            let Some(count) = existing.get(&topic) else {
                return Err(LinkError::NoTopic(topic));
            };
            let count = usize::try_from(*count).unwrap_or_default();
            partitions.insert(topic, vec![Partition::default(); count]);
        }
        let places: Vec<Place> = places(&partitions);
        let begin = begin(&consumer, &places, since)?;
        consumer.assign(&assignment(places.iter().zip(begin))?)?;
        Ok(Self {
            consumer,
            partitions,
            complain_at: Instant::now(),
        })
    }

    pub(super) fn nonempty(&self) -> Arc<Notify> {
        self.consumer.nonempty()
    }

    /// Moves what was fetched into the order: until nothing is left (true), or enough for one go, or the
    /// order is full (false). Never waits. `head` is the newest position known.
    ///
    /// # Errors
    /// Where the client has to be made anew.
    pub(super) fn drain(
        &mut self,
        order: &mut Order,
        head: i64,
        refused: &mut Refused,
    ) -> KafkaResult<bool> {
        for _ in 0..DRAIN_MAX {
            if order.is_full() {
                return Ok(false);
            }
            match self.consumer.poll(Duration::ZERO) {
                None => return Ok(true),
                Some(Err(error)) if is_final(&error) => return Err(error),
                Some(Err(error)) => complain(&mut self.complain_at, &error),
                Some(Ok(message)) => match read(&message, head) {
                    Ok(event) => {
                        note(&mut self.partitions, &message, event.position);
                        order.offer(event);
                    }
                    Err(reason) => refused.count(reason, || {
                        let (topic, partition) = (message.topic(), message.partition());
                        format!("{topic}/{partition} at offset {}", message.offset())
                    }),
                },
            }
        }
        Ok(false)
    }

    /// Forgets positions beyond this one, which were not the log's.
    pub(super) fn forget_beyond(&mut self, position: i64) {
        for partition in self.partitions.values_mut().flatten() {
            partition.position = partition.position.min(position);
        }
    }

    /// Pauses partitions that are too far ahead and resumes those that are not any more; to be called on
    /// every turn, also those that brought nothing: else all of them end paused.
    pub(super) fn balance(&mut self, position: i64) -> KafkaResult<()> {
        let mut pause = TopicPartitionList::new();
        let mut resume = TopicPartitionList::new();
        for (topic, partitions) in &mut self.partitions {
            for (number, partition) in (0..).zip(partitions) {
                let ahead = partition.position - position;
                if !partition.paused && ahead > AHEAD_POSITIONS_MAX {
                    partition.paused = true;
                    pause.add_partition(topic, number);
                } else if partition.paused && ahead <= AHEAD_POSITIONS_RESUMED {
                    partition.paused = false;
                    resume.add_partition(topic, number);
                }
            }
        }
        if pause.count() > 0 {
            self.consumer.pause(&pause)?;
        }
        if resume.count() > 0 {
            self.consumer.resume(&resume)?;
        }
        Ok(())
    }

    /// How far the partitions were read.
    pub(super) fn mark(&self) -> Mark {
        let mut mark = Mark::default();
        for (topic, partitions) in &self.partitions {
            for (number, partition) in (0..).zip(partitions) {
                if partition.next_offset > 0 {
                    mark.position = mark.position.max(partition.position);
                    let place = (topic.clone(), number);
                    mark.offsets.push((place, partition.next_offset));
                }
            }
        }
        mark
    }
}

/// The event of a record, if it may be one of this log, whose newest position known is `head`.
pub(crate) fn read(message: &BorrowedMessage<'_>, head: i64) -> Result<RecordedEvent, Reason> {
    let event = record::decode(message).map_err(|error| match error {
        RecordError::OtherLog => Reason::OtherLog,
        RecordError::Header(_) | RecordError::Value => {
            let offset = message.offset();
            tracing::debug!(offset, %error, "record unreadable");
            Reason::Unreadable
        }
    })?;
    if event.position > head.saturating_add(BEYOND_LOG_MAX) {
        return Err(Reason::BeyondLog);
    }
    Ok(event)
}

/// Notes how far the record's partition has come.
fn note(
    partitions: &mut HashMap<String, Vec<Partition>>,
    message: &BorrowedMessage<'_>,
    position: i64,
) {
    let index = usize::try_from(message.partition()).unwrap_or(usize::MAX);
    let partition = partitions
        .get_mut(message.topic())
        .and_then(|partitions| partitions.get_mut(index));
    if let Some(partition) = partition {
        partition.position = partition.position.max(position);
        partition.next_offset = partition.next_offset.max(message.offset() + 1);
    }
}

/// An error of the client from which it recovers by itself. Repeated several times a second while a broker is
/// away, so told now and then.
pub(crate) fn complain(at: &mut Instant, error: &KafkaError) {
    let now = Instant::now();
    if now >= *at {
        *at = now + COMPLAINT_INTERVAL;
        tracing::warn!(%error, "Kafka client error, what it does not bring comes from the log");
    }
}

/// Whether the client has to be made anew. Of everything else librdkafka recovers by itself.
pub(crate) fn is_final(error: &KafkaError) -> bool {
    match error {
        KafkaError::MessageConsumptionFatal(_) => true,
        KafkaError::MessageConsumption(code) => matches!(
            code,
            RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopicId
        ),
        _ => false,
    }
}

fn places(partitions: &HashMap<String, Vec<Partition>>) -> Vec<Place> {
    partitions
        .iter()
        .flat_map(|(topic, partitions)| {
            (0..)
                .zip(partitions)
                .map(|(number, _)| (topic.clone(), number))
        })
        .collect()
}

/// Where to begin in each place: the first record not older than `since`.
fn begin(
    consumer: &BaseConsumer<Context>,
    places: &[Place],
    since: Option<i64>,
) -> KafkaResult<Vec<i64>> {
    let Some(since) = since else {
        return request_offsets(consumer, places, Offset::Beginning);
    };
    // Asked first: where no record is young enough, whatever comes after this moment is.
    let ends = request_offsets(consumer, places, Offset::End)?;
    let begins = request_offsets(consumer, places, Offset::Offset(since))?;
    let begin = |(begin, end): (i64, i64)| if begin >= 0 { begin } else { end };
    Ok(begins.into_iter().zip(ends).map(begin).collect())
}

/// The offsets at a moment (in milliseconds, at the beginning or at the end) of each place, in their order,
/// by one request. Negative where there is no record at or after it. Blocks.
pub(crate) fn request_offsets(
    consumer: &BaseConsumer<Context>,
    places: &[Place],
    moment: Offset,
) -> KafkaResult<Vec<i64>> {
    let mut moments = TopicPartitionList::with_capacity(places.len());
    for (topic, partition) in places {
        moments.add_partition_offset(topic, *partition, moment)?;
    }
    let answer = consumer.offsets_for_times(moments, REQUEST_TIMEOUT)?;
    let mut offsets = HashMap::with_capacity(places.len());
    for element in answer.elements() {
        element.error()?;
        let offset = element.offset().to_raw().unwrap_or(-1);
        offsets.insert((element.topic().to_owned(), element.partition()), offset);
    }
    Ok(places
        .iter()
        .map(|place| offsets.get(place).copied().unwrap_or(-1))
        .collect())
}

/// The topics that exist. Blocks.
fn metadata(consumer: &BaseConsumer<Context>) -> KafkaResult<Metadata> {
    let metadata = consumer.fetch_metadata(None, REQUEST_TIMEOUT)?;
    Ok(metadata
        .topics()
        .iter()
        .filter(|topic| topic.error().is_none() && !topic.partitions().is_empty())
        .map(|topic| {
            let partitions = i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX);
            (topic.name().to_owned(), partitions)
        })
        .collect())
}

/// The topics that exist.
///
/// # Errors
/// Where the brokers do not answer.
pub(crate) async fn topic_partitions(settings: &KafkaSettings) -> KafkaResult<Metadata> {
    let config = settings.client(&[]);
    blocking(move || {
        let consumer = BaseConsumer::from_config_and_context(&config, Context)?;
        metadata(&consumer)
    })
    .await
}

/// Runs what waits for the brokers on a thread that may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> KafkaResult<T> + Send + 'static,
) -> KafkaResult<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(KafkaError::Canceled),
    }
}
