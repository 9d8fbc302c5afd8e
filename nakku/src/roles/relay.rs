//! Publishes the log to Kafka.

use eventstore::{KafkaSettings, Relay};
use tokio_util::sync::CancellationToken;

use super::checks;
use super::part::{Part, Resources};
use super::workers::Worker;
use crate::config::ConfigError;
use crate::one_line::one_line;

/// The role alone: what only an operator can mend ends the process.
pub(super) async fn part_alone(resources: &Resources, from: Option<i64>) -> anyhow::Result<Part> {
    let Some(kafka) = resources.kafka.clone() else {
        return Err(ConfigError::Missing("kafka_brokers").into());
    };
    if let Some(position) = from {
        Relay::reset(&resources.pool, position).await?;
    }
    let relay = relay(resources, kafka).await?;
    let worker = Worker::new("relay", async move |stop: CancellationToken| {
        Ok(relay.run(stop).await?)
    });
    Ok(part(resources, worker))
}

/// Beside other roles: the shop goes on selling when Kafka needs an operator, and says that it does.
pub(super) async fn part_beside(
    resources: &Resources,
    kafka: KafkaSettings,
) -> anyhow::Result<Part> {
    let relay = relay(resources, kafka).await?;
    let worker = Worker::new("relay", async move |stop: CancellationToken| {
        if let Err(error) = relay.run(stop).await {
            let error = one_line(&error.into());
            tracing::error!(
                error,
                "the relay has stopped, nothing is published any more"
            );
        }
        Ok(())
    });
    Ok(part(resources, worker))
}

async fn relay(resources: &Resources, kafka: KafkaSettings) -> anyhow::Result<Relay> {
    let store = resources.store().await?;
    Ok(Relay::new(store, kafka, resources.holder.clone()))
}

fn part(resources: &Resources, worker: Worker) -> Part {
    Part {
        checks: vec![checks::relay(resources.pool.clone())],
        needs_kafka: true,
        workers: vec![worker],
        ..Part::default()
    }
}
