//! What the topics hold, compared with the log.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use eventstore::KafkaSettings;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sqlx::PgPool;
use uuid::Uuid;

use super::SOON;
use super::topics::{TOPICS, watermarks};

/// Findings of one kind that are shown.
const SHOWN_MAX: usize = 10;

/// An event, in the log or as a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) position: i64,
    pub(super) id: Uuid,
    pub(super) topic: String,
    pub(super) key: String,
    pub(super) version: i64,
    pub(super) payload: String,
}

/// A record, as a reader of another program sees it.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) event: Event,
    pub(super) partition: i32,
    /// Of the relay that published it.
    pub(super) epoch: i64,
}

/// What was counted where nothing is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) events: usize,
    /// Records beyond the first of their event.
    pub(super) repeats: usize,
}

/// Compares records, in the order of their offsets within each partition, with the log. Each line says what is wrong.
pub(super) fn check(log: &[Event], records: &[Record]) -> Result<Counts, Vec<String>> {
    let mut wrong = Vec::new();
    let known: HashMap<i64, &Event> = log.iter().map(|event| (event.position, event)).collect();
    let mut seen: HashSet<i64> = HashSet::new();
    let mut partitions: HashMap<(&str, &str), BTreeSet<i32>> = HashMap::new();
    let mut versions: HashMap<(&str, &str), i64> = HashMap::new();
    for record in records {
        let event = &record.event;
        if known.get(&event.position) != Some(&event) {
            wrong.push(format!("not in the log: {event:?}"));
            continue;
        }
        let key = (event.topic.as_str(), event.key.as_str());
        partitions.entry(key).or_default().insert(record.partition);
        if !seen.insert(event.position) {
            continue;
        }
        let before = versions.insert(key, event.version).unwrap_or_default();
        if event.version != before + 1 {
            wrong.push(format!(
                "{} of {}: version {} first comes after {before}",
                event.position, event.key, event.version
            ));
        }
    }
    for (key, partitions) in partitions.iter().filter(|(_, held)| held.len() > 1) {
        wrong.push(format!("{key:?} is in partitions {partitions:?}"));
    }
    let missing = log.iter().filter(|event| !seen.contains(&event.position));
    wrong.extend(missing.map(|event| format!("missing: {} of {}", event.position, event.key)));
    if !wrong.is_empty() {
        return Err(wrong);
    }
    Ok(Counts {
        events: log.len(),
        repeats: records.len() - seen.len(),
    })
}

/// Fails with what is wrong, or hands back what was counted.
pub(super) async fn checked(pool: &PgPool, settings: &KafkaSettings) -> Counts {
    let (log, records) = (log(pool).await, records(settings).await);
    check(&log, &records).unwrap_or_else(|wrong| {
        panic!(
            "{} findings: {:#?}",
            wrong.len(),
            &wrong[..wrong.len().min(SHOWN_MAX)]
        )
    })
}

/// The events that stand in the topics more than once.
pub(super) async fn repeated(settings: &KafkaSettings) -> Vec<Event> {
    let mut seen = HashSet::new();
    let mut records = records(settings).await;
    records.retain(|record| !seen.insert(record.event.position));
    records.into_iter().map(|record| record.event).collect()
}

/// The whole log.
pub(super) async fn log(pool: &PgPool) -> Vec<Event> {
    let rows: Vec<(i64, Uuid, String, String, i64, String)> = sqlx::query_as(
        "select position, event_id, aggregate_type, aggregate_id, sequence, payload::text
         from events order by position",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    rows.into_iter()
        .map(
            |(position, id, aggregate_type, aggregate_id, version, payload)| Event {
                position,
                id,
                topic: topic_of(&aggregate_type).to_owned(),
                key: format!("{aggregate_type}-{aggregate_id}"),
                version,
                payload,
            },
        )
        .collect()
}

fn topic_of(aggregate_type: &str) -> &'static str {
    let pair = TOPICS.iter().find(|(name, _)| *name == aggregate_type);
    pair.expect("every type has a topic").1
}

/// Everything that the topics hold, each partition in its order.
pub(super) async fn records(settings: &KafkaSettings) -> Vec<Record> {
    let settings = settings.clone();
    tokio::task::spawn_blocking(move || read(&settings))
        .await
        .unwrap()
}

fn read(settings: &KafkaSettings) -> Vec<Record> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &settings.brokers)
        .set("group.id", "dump")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut places = TopicPartitionList::new();
    let mut unread: HashMap<(String, i32), i64> = HashMap::new();
    for topic in settings.topic_names() {
        for partition in 0..settings.partitions {
            let (begin, end) = watermarks(&consumer, &topic, partition);
            if begin < end {
                places
                    .add_partition_offset(&topic, partition, Offset::Offset(begin))
                    .unwrap();
                unread.insert((topic.clone(), partition), end);
            }
        }
    }
    consumer.assign(&places).unwrap();
    let mut records = Vec::new();
    let mut deadline = std::time::Instant::now() + SOON;
    while !unread.is_empty() {
        assert!(
            std::time::Instant::now() < deadline,
            "{unread:?} cannot be read"
        );
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        deadline = std::time::Instant::now() + SOON;
        let place = (message.topic().to_owned(), message.partition());
        let end = unread.get(&place).copied().unwrap_or_default();
        if message.offset() < end {
            records.push(record(settings, &message));
        }
        if message.offset() + 1 >= end {
            unread.remove(&place);
        }
    }
    records
}

fn record(settings: &KafkaSettings, message: &BorrowedMessage<'_>) -> Record {
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    let headers: HashMap<&str, String> = message
        .headers()
        .unwrap()
        .iter()
        .map(|header| (header.key, text(header.value)))
        .collect();
    Record {
        event: Event {
            position: headers["ce_position"].parse().unwrap(),
            id: headers["ce_id"].parse().unwrap(),
            topic: message
                .topic()
                .strip_prefix(&settings.topic_prefix)
                .unwrap()
                .to_owned(),
            key: text(message.key()),
            version: headers["ce_sequence"].parse().unwrap(),
            payload: text(message.payload()),
        },
        partition: message.partition(),
        epoch: headers["ce_epoch"].parse().unwrap(),
    }
}

fn event(position: i64, key: &str, version: i64) -> Event {
    Event {
        position,
        id: Uuid::from_u128(position.unsigned_abs().into()),
        topic: "shelf-events".to_owned(),
        key: key.to_owned(),
        version,
        payload: "{}".to_owned(),
    }
}

/// Three events of one stream and one of another.
fn example() -> (Vec<Event>, Vec<Record>) {
    let log = vec![
        event(1, "a", 1),
        event(2, "a", 2),
        event(3, "b", 1),
        event(4, "a", 3),
    ];
    let published = |event: &Event| Record {
        event: event.clone(),
        partition: 0,
        epoch: 1,
    };
    let records = log.iter().map(published).collect();
    (log, records)
}

#[test]
fn the_checker_counts_repeats_of_what_was_there() {
    let (log, mut records) = example();
    let mut counts = Counts {
        events: 4,
        repeats: 0,
    };
    assert_eq!(check(&log, &records), Ok(counts));
    // A second relay that began before the first one's records had arrived.
    records.extend_from_within(1..);
    counts.repeats = 3;
    assert_eq!(check(&log, &records), Ok(counts));
}

#[test]
fn the_checker_finds_what_is_wrong() {
    type Spoil = fn(&mut Vec<Record>);
    let spoilt: [(&str, Spoil); 7] = [
        ("missing: 3 of b", |records| drop(records.remove(2))),
        ("first comes after", |records| records.swap(0, 1)),
        ("first comes after", |records| {
            let late = records.remove(1);
            records.push(late);
        }),
        ("is in partitions", |records| records[3].partition = 1),
        ("not in the log", |records| {
            records[0].event.id = Uuid::nil();
        }),
        ("not in the log", |records| {
            records[2].event.payload.push('x');
        }),
        ("not in the log", |records| {
            records[3].event = event(5, "a", 4);
        }),
    ];
    for (finding, spoil) in spoilt {
        let (log, mut records) = example();
        spoil(&mut records);
        let wrong = check(&log, &records).unwrap_err();
        assert!(wrong.iter().any(|line| line.contains(finding)), "{wrong:?}");
    }
}
