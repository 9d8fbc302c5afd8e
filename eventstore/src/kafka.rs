//! Kafka as a carrier of the log: names, partitions, records, and a feed that restores the log's order.

mod confirm;
mod consumer;
mod feed;
mod gap;
mod hints;
mod link;
mod order;
mod partition;
pub(crate) mod record;
mod refused;
mod topics;

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

pub(crate) use consumer::Consumer;
pub use feed::KafkaFeed;
pub(crate) use hints::{HINT_INTERVAL, Hints, Mark};
pub(crate) use link::{
    Metadata, blocking, complain, is_final, read, request_offsets, topic_partitions,
};
pub use order::Buffered;
pub(crate) use partition::partition_of;
pub(crate) use refused::{Reason, Refused};
pub use topics::{PARTITIONS, TopicState, ensure_topics, missing_topics};

/// Longest wait for an answer of the brokers before the request counts as failed and is tried again.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How the brokers are reached, and where the events are.
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    /// The bootstrap list: `HOST:PORT`, several by comma.
    pub brokers: String,
    /// Stands before every topic's name; may be empty.
    pub topic_prefix: String,
    /// Settings of librdkafka, passed through (security, compression). What the order of the records rests
    /// on cannot be set.
    pub options: Vec<(String, String)>,
    pub topics: Topics,
    /// Of topics that [`ensure_topics`] creates; existing ones keep theirs.
    pub partitions: i32,
}

/// Which aggregate type is published to which topic, names without prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topics(HashMap<String, String>);

impl Topics {
    /// From pairs of aggregate type and topic, as `("product", "product-events")`.
    pub fn new<T: Into<String>, U: Into<String>>(pairs: impl IntoIterator<Item = (T, U)>) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(aggregate_type, topic)| (aggregate_type.into(), topic.into()))
                .collect(),
        )
    }

    /// The topic of an aggregate type, without prefix.
    pub fn of(&self, aggregate_type: &str) -> Option<&str> {
        self.0.get(aggregate_type).map(String::as_str)
    }

    /// Every topic once, by name, without prefix.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.0.values().map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl KafkaSettings {
    /// Every topic once, by name, as the brokers know it.
    pub fn topic_names(&self) -> Vec<String> {
        let prefixed = |topic: &str| format!("{}{topic}", self.topic_prefix);
        self.topics.names().into_iter().map(prefixed).collect()
    }

    /// The topic of an aggregate type as the brokers know it.
    pub fn topic_of(&self, aggregate_type: &str) -> Option<String> {
        let topic = self.topics.of(aggregate_type)?;
        Some(format!("{}{topic}", self.topic_prefix))
    }

    /// A client's configuration: the operator's options first, so that `fixed` wins over them.
    pub(crate) fn client(&self, fixed: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        // Reconnects to a broker that comes back within a second, instead of up to ten.
        config.set("reconnect.backoff.max.ms", "1000");
        // Headers repeat themselves: half again as fast through a feed, more than that on the network.
        config.set("compression.type", "lz4");
        for (name, value) in &self.options {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        for (name, value) in fixed {
            config.set(*name, *value);
        }
        config.set_log_level(RDKafkaLogLevel::Warning);
        config
    }

    /// A consumer that is assigned what it reads and never joins a group. Its queues are bounded, and full
    /// queues are looked at again at once: the default waits a second.
    pub(crate) fn consumer(&self, group: &str) -> ClientConfig {
        self.client(&[
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "earliest"),
            ("queued.min.messages", "20000"),
            ("queued.max.messages.kbytes", "16384"),
            ("fetch.queue.backoff.ms", "5"),
            ("fetch.max.bytes", "8388608"),
            ("fetch.error.backoff.ms", "200"),
            ("fetch.wait.max.ms", "100"),
        ])
    }
}

/// Hands what librdkafka has to say to `tracing`.
pub(crate) struct Context;

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // The options are the same for producers and consumers: that one of them ignores some is no news.
        if facility == "CONFWARN" {
            tracing::debug!(target: "librdkafka", facility, message);
            return;
        }
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => {
                tracing::warn!(target: "librdkafka", facility, message);
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(target: "librdkafka", facility, message);
            }
            RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, message),
        }
    }

    /// Repeated several times a second while a broker is away; what it means for the work is said by whoever
    /// waits.
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason, "client error");
    }
}

impl ConsumerContext for Context {
    /// Committed offsets are hints for those who watch lags; nothing rests on them.
    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(%error, "lag hint not committed");
        }
    }
}

/// A place in Kafka: `(topic, partition)`.
pub(crate) type Place = (String, i32);

/// An assignment of places with the offset to begin at.
pub(crate) fn assignment<'a>(
    places: impl IntoIterator<Item = (&'a Place, i64)>,
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for ((topic, partition), offset) in places {
        list.add_partition_offset(topic, *partition, Offset::from_raw(offset))?;
    }
    Ok(list)
}
