//! Where to go on: what the partitions hold beyond the checkpoint, compared with the log.
//!
//! Whatever happened before (a crash, a producer that failed, another leader), this makes the next producer
//! repeat nothing that arrived and leave no hole: each partition is read from the offset that stands with
//! the checkpoint to its end, and publishing begins, partition by partition, with the first event that is
//! not there. What follows such a hole in its partition is published again, so that first occurrences are
//! in order.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::Offset;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::found::Found;
use super::{NAME, RelayError, progress};
use crate::checkpoint::Checkpoint;
use crate::kafka::record::{self, RecordError};
use crate::kafka::{
    Context, KafkaSettings, Metadata, Place, assignment, blocking, request_offsets,
    topic_partitions,
};
use crate::lease::Lease;

/// A client of its own: it commits nothing.
const GROUP: &str = "nakku-relay";

/// Reading that makes no progress for so long counts as failed.
const STALL_MAX: Duration = Duration::from_secs(20);

/// One wait for a record; between two the end is looked for.
const POLL: Duration = Duration::from_millis(100);

/// Where the relay goes on.
pub(super) struct Start {
    pub(super) checkpoint: Checkpoint,
    pub(super) places: Vec<PlaceState>,
    /// For each topic the index of its first partition in `places`, and how many there are.
    pub(super) topics: HashMap<String, (usize, i32)>,
    /// What Kafka holds beyond the checkpoint.
    pub(super) found: Found,
}

/// A partition.
#[derive(Debug)]
pub(super) struct PlaceState {
    pub(super) place: Place,
    /// After the last acknowledged record at or below the checkpoint.
    pub(super) next: i64,
    /// After the last record known, wherever the checkpoint is.
    pub(super) end: i64,
    /// Whether an event was missing: from there on everything is published.
    pub(super) publishing: bool,
    /// Whether the brokers know the producer here.
    pub(super) producer: Acquaintance,
    /// The highest position found, and the partition's end then.
    pub(super) last: Option<Last>,
    /// Whether `next` differs from what is stored.
    pub(super) unsaved: bool,
}

/// Where a producer has not written yet, a broker takes records of it from any sequence number on: were the first ones
/// refused, those behind them would be written all the same. So one goes alone, and the others once it has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acquaintance {
    Unknown,
    /// The first record is on its way.
    Introducing,
    Known,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    pub(super) position: i64,
    event_id: Uuid,
    pub(super) end: i64,
}

/// Finds out where to go on. Waits for the brokers.
pub(super) async fn find(
    pool: &PgPool,
    settings: &KafkaSettings,
    lease: &Lease,
    stop: &CancellationToken,
) -> Result<Start, RelayError> {
    let checkpoint = Checkpoint::read(pool, NAME, 0).await?;
    if !checkpoint.is_in_log(pool).await? {
        return Err(RelayError::Rewound {
            position: checkpoint.position,
        });
    }
    let stored = progress::offsets(pool).await?;
    let existing = topic_partitions(settings).await?;
    let (topics, places) = lay_out(settings, &existing, &stored)?;

    let (settings, stop) = (settings.clone(), stop.child_token());
    // Reading ends with whoever waits for it.
    let _reading = stop.clone().drop_guard();
    let base = checkpoint.position;
    let scan = blocking(move || scan(&settings, places, base, &stop)).await?;
    let (places, found) = match scan {
        Scan::Complete(places, found) => (places, found),
        Scan::Lost { position } => return refill(pool, lease, position).await,
    };
    check_identity(pool, &places).await?;
    if places.iter().any(|place| place.unsaved) {
        // Also notes how many partitions there are.
        let unsaved: Vec<(&Place, i64)> = places
            .iter()
            .filter(|place| place.unsaved)
            .map(|place| (&place.place, place.next))
            .collect();
        progress::save(pool, lease, checkpoint, &unsaved).await?;
    }
    let places = places
        .into_iter()
        .map(|place| PlaceState {
            unsaved: false,
            ..place
        })
        .collect();
    Ok(Start {
        checkpoint,
        places,
        topics,
        found,
    })
}

type Layout = (HashMap<String, (usize, i32)>, Vec<PlaceState>);

/// Every partition of every topic, with its stored offset.
fn lay_out(
    settings: &KafkaSettings,
    existing: &Metadata,
    stored: &[(Place, i64)],
) -> Result<Layout, RelayError> {
    let next: HashMap<&Place, i64> = stored.iter().map(|(place, next)| (place, *next)).collect();
    let mut topics = HashMap::new();
    let mut places = Vec::new();
    for topic in settings.topic_names() {
        let Some(partitions) = existing.get(&topic).copied() else {
            return Err(RelayError::NoTopic(topic));
        };
        let published = stored
            .iter()
            .filter(|((name, _), _)| *name == topic)
            .count();
        let published = i64::try_from(published).unwrap_or(i64::MAX);
        if published != 0 && published != i64::from(partitions) {
            return Err(RelayError::Repartitioned {
                topic,
                published,
                found: i64::from(partitions),
            });
        }
        topics.insert(topic.clone(), (places.len(), partitions));
        for partition in 0..partitions {
            let place = (topic.clone(), partition);
            places.push(PlaceState {
                next: next.get(&place).copied().unwrap_or_default(),
                end: 0,
                publishing: false,
                producer: Acquaintance::Unknown,
                last: None,
                unsaved: !next.contains_key(&place),
                place,
            });
        }
    }
    Ok((topics, places))
}

enum Scan {
    Complete(Vec<PlaceState>, Found),
    /// Kafka has lost acknowledged records; everything up to this position is there.
    Lost {
        position: i64,
    },
}

/// Reads every partition from its offset to its end. Blocks.
fn scan(
    settings: &KafkaSettings,
    mut places: Vec<PlaceState>,
    base: i64,
    stop: &CancellationToken,
) -> Result<Scan, KafkaError> {
    let consumer = BaseConsumer::from_config_and_context(&settings.consumer(GROUP), Context)?;
    let names: Vec<Place> = places.iter().map(|place| place.place.clone()).collect();
    let begins = request_offsets(&consumer, &names, Offset::Beginning)?;
    let ends = request_offsets(&consumer, &names, Offset::End)?;

    // A partition that ends before the last acknowledged record was emptied or truncated: Kafka answers
    // before it syncs. The log still has everything.
    let lost: Vec<usize> = (0..places.len())
        .filter(|&index| ends[index] < places[index].next)
        .collect();
    if !lost.is_empty() {
        let position = last_kept(&consumer, &names, &lost, &begins, &ends, stop)?;
        return Ok(Scan::Lost {
            position: position.min(base),
        });
    }

    for (place, end) in places.iter_mut().zip(&ends) {
        place.end = *end;
    }
    let mut found = Found::after(base);
    let ranges: Vec<Range> = (0..places.len())
        .map(|index| Range {
            place: index,
            begin: places[index].next.max(begins[index]),
            end: ends[index],
        })
        .collect();
    read(&consumer, &names, &ranges, stop, |index, seen| {
        found.insert(seen.position);
        let last = &mut places[index].last;
        if last.is_none_or(|last| last.position < seen.position) {
            *last = Some(Last {
                position: seen.position,
                event_id: seen.event_id,
                end: ends[index],
            });
        }
    })?;
    Ok(Scan::Complete(places, found))
}

/// The lowest of the last positions that truncated partitions still hold; 0 where one is empty.
fn last_kept(
    consumer: &BaseConsumer<Context>,
    names: &[Place],
    lost: &[usize],
    begins: &[i64],
    ends: &[i64],
    stop: &CancellationToken,
) -> Result<i64, KafkaError> {
    let ranges: Vec<Range> = lost
        .iter()
        .map(|&index| Range {
            place: index,
            begin: begins[index].max(ends[index] - 1),
            end: ends[index],
        })
        .collect();
    let mut kept: HashMap<usize, i64> = HashMap::new();
    read(consumer, names, &ranges, stop, |index, seen| {
        kept.insert(index, seen.position);
    })?;
    let position = |index: &usize| kept.get(index).copied().unwrap_or_default();
    Ok(lost.iter().map(position).min().unwrap_or_default())
}

/// Offsets of a partition, the end exclusive.
struct Range {
    place: usize,
    begin: i64,
    end: i64,
}

/// Reads the ranges and hands over the place of every record of this log in them.
fn read(
    consumer: &BaseConsumer<Context>,
    names: &[Place],
    ranges: &[Range],
    stop: &CancellationToken,
    mut each: impl FnMut(usize, record::RecordPlace),
) -> Result<(), KafkaError> {
    let mut unread: HashMap<&str, HashMap<i32, (usize, i64)>> = HashMap::new();
    let mut assigned = Vec::new();
    for range in ranges.iter().filter(|range| range.begin < range.end) {
        let (topic, partition) = &names[range.place];
        unread
            .entry(topic)
            .or_default()
            .insert(*partition, (range.place, range.end));
        assigned.push((&names[range.place], range.begin));
    }
    let mut left = assigned.len();
    if left == 0 {
        return Ok(());
    }
    consumer.assign(&assignment(assigned)?)?;
    let mut progress = Instant::now();
    let mut trouble = KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
    while left > 0 {
        if stop.is_cancelled() {
            return Err(KafkaError::Canceled);
        }
        if progress.elapsed() > STALL_MAX {
            return Err(trouble);
        }
        let message = match consumer.poll(POLL) {
            None => continue,
            Some(Err(error)) => {
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed) {
                    return Err(error);
                }
                tracing::debug!(%error, "Kafka client error while reading what was published");
                trouble = error;
                continue;
            }
            Some(Ok(message)) => message,
        };
        progress = Instant::now();
        let Some(partitions) = unread.get_mut(message.topic()) else {
            continue;
        };
        let Some(&(place, end)) = partitions.get(&message.partition()) else {
            continue;
        };
        match record::place(&message) {
            Ok(seen) => each(place, seen),
            Err(RecordError::OtherLog) => {}
            Err(error) => tracing::warn!(
                topic = message.topic(), offset = message.offset(), %error,
                "record passed over while reading what was published"
            ),
        }
        if message.offset() >= end - 1 {
            partitions.remove(&message.partition());
            left -= 1;
        }
    }
    Ok(())
}

/// The last position that a partition still holds below an offset; 0 where it holds none or does not tell: then everything
/// is compared.
pub(super) async fn kept_below(settings: &KafkaSettings, place: Place, offset: i64) -> i64 {
    let settings = settings.clone();
    let stop = CancellationToken::new();
    let _reading = stop.clone().drop_guard();
    let kept = blocking(move || {
        let consumer = BaseConsumer::from_config_and_context(&settings.consumer(GROUP), Context)?;
        let names = [place];
        let begins = request_offsets(&consumer, &names, Offset::Beginning)?;
        last_kept(&consumer, &names, &[0], &begins, &[offset], &stop)
    });
    kept.await.unwrap_or_default()
}

/// Begins again after the last position that Kafka kept everywhere.
async fn refill(pool: &PgPool, lease: &Lease, position: i64) -> Result<Start, RelayError> {
    if !lease.is_valid() {
        return Err(lease.lost_error().into());
    }
    tracing::warn!(
        position,
        "Kafka has lost acknowledged records: publishing again what is not there after this position"
    );
    progress::reset(pool, position).await?;
    // The reset has ended this lease; it is taken again at once.
    Err(lease.lost_error().into())
}

/// What Kafka holds last in each partition is what the log holds there. Else the log was rewound, or the
/// topics are those of another database, and followers would take the wrong events for those of this log.
async fn check_identity(pool: &PgPool, places: &[PlaceState]) -> Result<(), RelayError> {
    let lasts: Vec<(&Place, Last)> = places
        .iter()
        .filter_map(|place| Some((&place.place, place.last?)))
        .collect();
    let positions: Vec<i64> = lasts.iter().map(|(_, last)| last.position).collect();
    let rows: Vec<(i64, Uuid)> =
        sqlx::query_as("select position, event_id from events where position = any($1)")
            .bind(positions)
            .fetch_all(pool)
            .await?;
    let log: HashMap<i64, Uuid> = rows.into_iter().collect();
    for ((topic, _), last) in lasts {
        if log.get(&last.position) != Some(&last.event_id) {
            return Err(RelayError::OtherLog {
                topic: topic.clone(),
                position: last.position,
            });
        }
    }
    Ok(())
}
