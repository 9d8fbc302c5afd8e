//! Creating the topics that the events are published to.

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use super::{Context, KafkaSettings, REQUEST_TIMEOUT, topic_partitions};

/// Partitions of a topic that is created, unless the settings say otherwise: as many workers of one
/// consumer group can share a topic.
pub const PARTITIONS: i32 = 12;

/// Replicas of a topic that is created: the broker's default.
const REPLICATION: i32 = -1;

/// A topic after [`ensure_topics`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicState {
    /// With its prefix.
    pub name: String,
    pub partitions: i32,
    /// Whether it was created now; existing ones are left as they are.
    pub created: bool,
}

/// Creates the topics that are missing and says what there is, by name.
///
/// # Errors
/// Where the brokers cannot be reached or refuse.
pub async fn ensure_topics(settings: &KafkaSettings) -> KafkaResult<Vec<TopicState>> {
    let admin = AdminClient::from_config_and_context(&settings.client(&[]), Context)?;
    let names = settings.topic_names();
    let existing = topic_partitions(settings).await?;
    let missing: Vec<&String> = names
        .iter()
        .filter(|name| !existing.contains_key(*name))
        .collect();

    let new_topics: Vec<NewTopic<'_>> = missing
        .iter()
        .map(|name| {
            NewTopic::new(
                name,
                settings.partitions,
                TopicReplication::Fixed(REPLICATION),
            )
        })
        .collect();
    let options = AdminOptions::new()
        .request_timeout(Some(REQUEST_TIMEOUT))
        .operation_timeout(Some(REQUEST_TIMEOUT));
    if !new_topics.is_empty() {
        for result in admin.create_topics(&new_topics, &options).await? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(KafkaError::AdminOp(code)),
            }
        }
    }
    Ok(names
        .iter()
        .map(|name| TopicState {
            name: name.clone(),
            partitions: existing.get(name).copied().unwrap_or(settings.partitions),
            created: !existing.contains_key(name),
        })
        .collect())
}

/// The topics of the settings that the brokers do not have, by name. Also says whether the brokers answer.
///
/// # Errors
/// Where the brokers cannot be reached.
pub async fn missing_topics(settings: &KafkaSettings) -> KafkaResult<Vec<String>> {
    let existing = topic_partitions(settings).await?;
    let mut names = settings.topic_names();
    names.retain(|name| !existing.contains_key(name));
    Ok(names)
}
