//! The topics of a test, and what an administrator does to them.

use std::collections::HashSet;
use std::time::Duration;

use eventstore::{KafkaSettings, Topics, ensure_topics};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::SOON;

/// Aggregate types and their topics.
pub(super) const TOPICS: [(&str, &str); 2] =
    [("shelf", "shelf-events"), ("basket", "basket-events")];

/// Few enough that a test is quick, more than one so that order across them has to be restored.
const PARTITIONS: i32 = 4;

/// An answer of a broker that is up.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Topics that no other test uses, made on these brokers.
pub(super) async fn make(brokers: String, options: Vec<(String, String)>) -> KafkaSettings {
    let settings = KafkaSettings {
        brokers,
        topic_prefix: testing::topic_prefix(),
        options,
        topics: Topics::new(TOPICS),
        partitions: PARTITIONS,
    };
    // A broker that came up a moment ago may know none of its own leaders yet.
    testing::until("the topics are made", SOON, async || {
        ensure_topics(&settings).await.is_ok()
    })
    .await;
    settings
}

fn admin(settings: &KafkaSettings) -> AdminClient<DefaultClientContext> {
    ClientConfig::new()
        .set("bootstrap.servers", &settings.brokers)
        .create()
        .unwrap()
}

/// Deletes a topic.
pub(super) async fn delete(settings: &KafkaSettings, topic: &str) {
    let deleted = admin(settings)
        .delete_topics(&[topic], &AdminOptions::new())
        .await
        .unwrap();
    assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
}

/// Makes topics again that were deleted.
pub(super) async fn make_again(settings: &KafkaSettings, topics: &[&str]) {
    let mut made = HashSet::new();
    testing::until("the topics are new", SOON, async || {
        // As long as an old one is known, it is not created.
        let states = ensure_topics(settings).await.unwrap_or_default();
        made.extend(
            states
                .into_iter()
                .filter(|topic| topic.created)
                .map(|topic| topic.name),
        );
        topics.iter().all(|topic| made.contains(*topic))
    })
    .await;
}

/// Sets one setting of a topic; its others become what they are by default.
pub(super) async fn configure(settings: &KafkaSettings, topic: &str, name: &str, value: &str) {
    let config = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(name, value);
    let altered = admin(settings)
        .alter_configs([&config], &AdminOptions::new())
        .await
        .unwrap();
    assert!(altered.iter().all(Result::is_ok), "{altered:?}");
}

/// Deletes every record and keeps the topics.
pub(super) async fn empty(settings: &KafkaSettings) {
    let mut records = TopicPartitionList::new();
    for topic in settings.topic_names() {
        for partition in 0..settings.partitions {
            records
                .add_partition_offset(&topic, partition, Offset::End)
                .unwrap();
        }
    }
    admin(settings)
        .delete_records(&records, &AdminOptions::new())
        .await
        .unwrap();
}

/// Offsets of the first record and after the last one of each partition.
pub(super) fn watermarks(consumer: &BaseConsumer, topic: &str, partition: i32) -> (i64, i64) {
    let deadline = std::time::Instant::now() + SOON;
    loop {
        match consumer.fetch_watermarks(topic, partition, ANSWER_MAX) {
            Ok(watermarks) => return watermarks,
            Err(error) => assert!(
                std::time::Instant::now() < deadline,
                "{topic}/{partition}: {error}"
            ),
        }
    }
}
