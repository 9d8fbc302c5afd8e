//! What the tests of relay and feeds share: topics of their own, a relay at work, and a plain reader.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use eventstore::{EventStore, KafkaSettings, Relay, RelayError, Stream, Topics, ensure_topics};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::{Account, AccountEvent, Error, context};

pub const LONG: Duration = Duration::from_secs(30);

/// Few enough that a test is quick, more than one so that order across them has to be restored.
pub const PARTITIONS: i32 = 4;

/// Topics that no other test uses; not yet created.
pub fn settings() -> KafkaSettings {
    KafkaSettings {
        brokers: testing::kafka_brokers(),
        topic_prefix: testing::topic_prefix(),
        options: Vec::new(),
        topics: Topics::new([("account", "account-events"), ("name", "name-events")]),
        partitions: PARTITIONS,
    }
}

/// Topics that no other test uses.
pub async fn topics() -> KafkaSettings {
    let settings = settings();
    let states = ensure_topics(&settings).await.unwrap();
    assert!(states.iter().all(|topic| topic.created));
    settings
}

/// Appends `count` events to an account, by one command.
pub async fn deposits(store: &EventStore, account: &str, count: usize) {
    store
        .execute(
            Stream::<Account>::new(account),
            context(),
            move |_: &Account| {
                let deposit = |_| AccountEvent::Deposited { amount: 1 };
                Ok::<_, Error>((0..count).map(deposit).collect::<Vec<_>>())
            },
        )
        .await
        .unwrap();
}

/// A relay in the background; dropped, it is gone as by a crash.
pub struct RunningRelay {
    shutdown: CancellationToken,
    task: Mutex<Option<JoinHandle<Result<(), RelayError>>>>,
}

impl RunningRelay {
    pub fn start(store: &EventStore, settings: &KafkaSettings, holder: &str) -> Self {
        let relay = Relay::new(store.clone(), settings.clone(), holder);
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let task = tokio::spawn(async move { relay.run(stop).await });
        Self {
            shutdown,
            task: Mutex::new(Some(task)),
        }
    }

    /// Ends it in order.
    pub async fn stop(&self) -> Result<(), RelayError> {
        self.shutdown.cancel();
        self.ended().await
    }

    /// Waits for its end.
    pub async fn ended(&self) -> Result<(), RelayError> {
        let task = self.task.lock().unwrap().take().unwrap();
        tokio::time::timeout(LONG, task).await.unwrap().unwrap()
    }

    /// Ends it at once, wherever it is, and waits until nothing of it runs any more.
    pub async fn kill(&self) {
        let task = self.task.lock().unwrap().take().unwrap();
        task.abort();
        assert!(task.await.is_err_and(|error| error.is_cancelled()));
    }
}

impl Drop for RunningRelay {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().unwrap().take() {
            task.abort();
        }
    }
}

/// Lets the next relay lead at once, as if the last had been gone for three seconds.
pub async fn expire_lease(pool: &PgPool, name: &str) {
    sqlx::query("update leases set expires_at = clock_timestamp() where name = $1")
        .bind(name)
        .execute(pool)
        .await
        .unwrap();
}

pub async fn until_published(pool: &PgPool, position: i64) {
    testing::until(
        &format!("position {position} is published"),
        LONG,
        async || Relay::status(pool).await.unwrap().published >= position,
    )
    .await;
}

/// A record as a reader of another program sees it.
#[derive(Clone, Debug)]
pub struct Record {
    pub topic: String,
    pub partition: i32,
    pub key: String,
    pub value: String,
    pub timestamp: i64,
    pub headers: HashMap<String, String>,
}

impl Record {
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {:?}", self.headers))
    }

    pub fn position(&self) -> i64 {
        self.header("ce_position").parse().unwrap()
    }
}

/// Everything that the topics hold, partition by partition.
pub async fn read_all(settings: &KafkaSettings) -> Vec<Record> {
    let settings = settings.clone();
    tokio::task::spawn_blocking(move || read_blocking(&settings))
        .await
        .unwrap()
}

fn read_blocking(settings: &KafkaSettings) -> Vec<Record> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &settings.brokers)
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    let mut expected = 0;
    for topic in settings.topic_names() {
        for partition in 0..settings.partitions {
            let (low, high) = watermarks(&consumer, &topic, partition);
            expected += high - low;
            list.add_partition_offset(&topic, partition, Offset::Beginning)
                .unwrap();
        }
    }
    consumer.assign(&list).unwrap();
    let mut records = Vec::new();
    while i64::try_from(records.len()).unwrap() < expected {
        let message = consumer
            .poll(LONG)
            .expect("a record within the deadline")
            .unwrap();
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
        records.push(Record {
            topic: message
                .topic()
                .strip_prefix(&settings.topic_prefix)
                .unwrap()
                .to_owned(),
            partition: message.partition(),
            key: text(message.key()),
            value: text(message.payload()),
            timestamp: message.timestamp().to_millis().unwrap(),
            headers: message
                .headers()
                .map(|headers| {
                    headers
                        .iter()
                        .map(|header| (header.key.to_owned(), text(header.value)))
                        .collect()
                })
                .unwrap_or_default(),
        });
    }
    records
}

/// Topics made a moment ago are not known to every part of a broker at once.
fn watermarks(consumer: &BaseConsumer, topic: &str, partition: i32) -> (i64, i64) {
    let deadline = Instant::now() + LONG;
    loop {
        match consumer.fetch_watermarks(topic, partition, LONG) {
            Ok(watermarks) => return watermarks,
            Err(error) => assert!(Instant::now() < deadline, "{topic}/{partition}: {error}"),
        }
    }
}

/// Fails unless the topics hold the positions 1 to `head` once each, in order within each partition.
pub async fn assert_published_once(settings: &KafkaSettings, head: i64) {
    let records = read_all(settings).await;
    let mut times: HashMap<i64, u32> = HashMap::new();
    for record in &records {
        *times.entry(record.position()).or_default() += 1;
    }
    let missing: Vec<i64> = (1..=head)
        .filter(|position| !times.contains_key(position))
        .collect();
    let repeated: Vec<(i64, u32)> = times.into_iter().filter(|(_, times)| *times > 1).collect();
    assert!(missing.is_empty(), "{} missing: {missing:?}", missing.len());
    assert!(
        repeated.is_empty(),
        "{} repeated: {repeated:?}",
        repeated.len()
    );
    assert_eq!(
        records.len(),
        usize::try_from(head).unwrap(),
        "nothing else"
    );
    assert_in_order(&records);
}

/// Fails unless positions go up within each partition.
pub fn assert_in_order(records: &[Record]) {
    let mut last: HashMap<(&str, i32), i64> = HashMap::new();
    for record in records {
        let place = (record.topic.as_str(), record.partition);
        let before = last.insert(place, record.position()).unwrap_or_default();
        assert!(
            before < record.position(),
            "{place:?}: {before} before {}",
            record.position()
        );
    }
}

/// What a group has committed of the accounts' topic, partition by partition.
pub async fn committed_offsets(settings: &KafkaSettings, group: &str) -> Vec<i64> {
    let (settings, group) = (settings.clone(), group.to_owned());
    let asking = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &settings.brokers)
            .set("group.id", group)
            .create()
            .unwrap();
        let topic = format!("{}account-events", settings.topic_prefix);
        let mut list = TopicPartitionList::new();
        list.add_partition_range(&topic, 0, settings.partitions - 1);
        let committed = consumer.committed_offsets(list, LONG).unwrap();
        let elements = committed.elements();
        let offset = elements
            .iter()
            .map(|element| element.offset().to_raw().unwrap_or(-1).max(0));
        offset.collect()
    });
    asking.await.unwrap()
}
