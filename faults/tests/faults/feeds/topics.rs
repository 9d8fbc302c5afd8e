//! Topics into which the test itself writes, in whatever order and with whatever left out.

use std::time::Duration;

use eventstore::{KafkaSettings, RecordedEvent, Topics, ensure_topics};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::LONG;

pub(super) const PARTITIONS: i32 = 4;

/// Topics of one test.
pub(super) struct TestTopics {
    pub(super) settings: KafkaSettings,
    producer: ThreadedProducer<rdkafka::producer::DefaultProducerContext>,
}

/// The partition of an event: of its product's number, so that a test knows.
pub(super) fn partition(event: &RecordedEvent) -> i32 {
    let number = event.aggregate_id.rsplit('-').next().unwrap();
    number.parse::<i32>().unwrap() % PARTITIONS
}

/// The headers of an event's record.
pub(super) fn headers(event: &RecordedEvent) -> Vec<(&'static str, String)> {
    vec![
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", event.event_id.to_string()),
        ("ce_source", format!("/nakku/{}", event.aggregate_type)),
        ("ce_type", event.event_type.clone()),
        ("ce_subject", event.aggregate_id.clone()),
        ("ce_time", event.recorded_at.to_rfc3339()),
        ("content-type", "application/json".to_owned()),
        ("ce_log", "main".to_owned()),
        ("ce_position", event.position.to_string()),
        ("ce_sequence", event.sequence.to_string()),
        ("ce_streamtype", event.aggregate_type.clone()),
        ("ce_eventversion", event.event_version.clone()),
        ("ce_epoch", "1".to_owned()),
    ]
}

impl TestTopics {
    pub(super) async fn new() -> Self {
        let settings = KafkaSettings {
            brokers: testing::kafka_brokers(),
            topic_prefix: testing::topic_prefix(),
            options: Vec::new(),
            topics: Topics::new([("product", "product-events"), ("stock", "stock-events")]),
            partitions: PARTITIONS,
        };
        ensure_topics(&settings).await.unwrap();
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &settings.brokers)
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            .create()
            .unwrap();
        Self { settings, producer }
    }

    /// Writes events as the relay does, in their order.
    pub(super) fn produce<'a>(&self, events: impl IntoIterator<Item = &'a RecordedEvent>) {
        for event in events {
            self.produce_as(event, &headers(event));
        }
        self.producer.flush(LONG).unwrap();
    }

    /// Writes an event with headers of the test's own.
    pub(super) fn produce_as(&self, event: &RecordedEvent, headers: &[(&str, String)]) {
        let topic = self.settings.topic_of(&event.aggregate_type).unwrap();
        let key = format!("{}-{}", event.aggregate_type, event.aggregate_id);
        let mut set = OwnedHeaders::new_with_capacity(headers.len());
        for (key, value) in headers {
            set = set.insert(Header {
                key,
                value: Some(value.as_str()),
            });
        }
        let mut record = BaseRecord::to(&topic)
            .key(&key)
            .payload(&event.payload)
            .partition(partition(event))
            .timestamp(event.recorded_at.timestamp_millis())
            .headers(set);
        // A full queue empties itself.
        while let Err((error, refused)) = self.producer.send(record) {
            let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            assert_eq!(error, full);
            std::thread::sleep(Duration::from_millis(1));
            record = refused;
        }
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new()
            .set("bootstrap.servers", &self.settings.brokers)
            .create()
            .unwrap()
    }

    /// Deletes the older records of each partition, and leaves so many per cent of them.
    pub(super) async fn delete_records(&self, left: i64) {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.settings.brokers)
            .create()
            .unwrap();
        let mut offsets = TopicPartitionList::new();
        for topic in self.settings.topic_names() {
            for partition in 0..PARTITIONS {
                let (low, high) = consumer.fetch_watermarks(&topic, partition, LONG).unwrap();
                let kept = (high - low) * left / 100;
                let offset = Offset::Offset(high - kept);
                offsets
                    .add_partition_offset(&topic, partition, offset)
                    .unwrap();
            }
        }
        let admin = self.admin();
        let deleted = admin.delete_records(&offsets, &AdminOptions::new());
        for element in deleted.await.unwrap().elements() {
            element.error().unwrap();
        }
    }

    pub(super) async fn delete(&self) {
        let names = self.settings.topic_names();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let admin = self.admin();
        let deleted = admin.delete_topics(&names, &AdminOptions::new());
        for topic in deleted.await.unwrap() {
            topic.unwrap();
        }
    }

    /// Makes them again; the names of deleted ones are not free at once.
    pub(super) async fn create_again(&self) {
        testing::until("the topics are there again", LONG, async || {
            let topics = ensure_topics(&self.settings).await;
            topics.is_ok_and(|topics| topics.iter().all(|topic| topic.created))
        })
        .await;
    }
}
