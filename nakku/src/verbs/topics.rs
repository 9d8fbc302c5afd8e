//! `nakku topics`.

use anyhow::Context;

use crate::config::{Config, ConfigError};
use crate::{output, topics};

pub(super) async fn run(config: &Config) -> anyhow::Result<()> {
    let Some(kafka) = topics::kafka_settings(config) else {
        return Err(ConfigError::Missing("kafka_brokers").into());
    };
    let states = eventstore::ensure_topics(&kafka)
        .await
        .with_context(|| format!("cannot use Kafka at {}", kafka.brokers))?;
    for topic in states {
        let what = if topic.created { "created" } else { "exists" };
        output::line(&format!(
            "{} {what}, {} partitions",
            topic.name, topic.partitions
        ))?;
    }
    Ok(())
}
