//! Which aggregate type goes to which Kafka topic, and how the brokers are reached.

use eventstore::{FeedSource, KafkaSettings, Topics};

use crate::config::Config;

/// Aggregate type and topic. One topic a context, so that what belongs together is ordered by its streams only.
pub const TOPICS: [(&str, &str); 14] = [
    ("user", "user-events"),
    ("email", "user-events"),
    ("product", "product-events"),
    ("sku", "product-events"),
    ("stock", "inventory-events"),
    ("reservation", "inventory-events"),
    ("order", "order-events"),
    ("payment", "payment-events"),
    ("delivery", "delivery-events"),
    ("capacity", "delivery-events"),
    ("slot", "delivery-events"),
    ("notification", "notification-events"),
    ("fulfilment", "fulfilment-events"),
    ("return", "fulfilment-events"),
];

/// What the configuration says about Kafka; none where the log is followed directly.
pub fn kafka_settings(config: &Config) -> Option<KafkaSettings> {
    let brokers = config.kafka_brokers.clone()?;
    Some(KafkaSettings {
        brokers,
        topic_prefix: config.topic_prefix.clone(),
        options: config.kafka_options.clone(),
        topics: Topics::new(TOPICS),
        partitions: config.topic_partitions,
    })
}

/// Where workers read events from.
pub fn feed_source(config: &Config) -> FeedSource {
    kafka_settings(config).map_or(FeedSource::Store, FeedSource::Kafka)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_aggregate_type_has_a_topic() {
        let topics = Topics::new(TOPICS);
        for aggregate in domain::AGGREGATE_TYPES {
            assert!(topics.of(aggregate.name).is_some(), "{}", aggregate.name);
        }
        assert_eq!(TOPICS.len(), domain::AGGREGATE_TYPES.len());
    }
}
