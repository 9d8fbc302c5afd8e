//! The relay as a process.

use std::str::FromStr;

use eventstore::{KafkaSettings, Relay, Topics};
use faults::{At, Child, accounts};
use serde::Deserialize;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A relay needs one connection for pages, one for its checkpoint and one for its lease.
const CONNECTIONS_MAX: u32 = 5;

/// What it is told.
#[derive(Debug, Deserialize)]
pub(crate) struct Told {
    /// The database of the log.
    url: String,
    /// Names it in the lease, and its connections.
    holder: String,
    brokers: String,
    topic_prefix: String,
    /// Settings of the Kafka client.
    options: Vec<(String, String)>,
    /// Pairs of aggregate type and topic.
    topics: Vec<(String, String)>,
    partitions: i32,
    /// Where it ends or freezes itself.
    at: Option<At>,
}

pub(crate) async fn run(told: Told) -> anyhow::Result<()> {
    let options = PgConnectOptions::from_str(&told.url)?.application_name(&told.holder);
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .connect_lazy_with(options);
    let store = accounts::open(pool).await?;
    let settings = KafkaSettings {
        brokers: told.brokers,
        topic_prefix: told.topic_prefix,
        options: told.options,
        topics: Topics::new(told.topics),
        partitions: told.partitions,
    };
    if let Some(at) = told.at {
        at.arm();
    }
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        terminated.recv().await;
        stop.cancel();
    });
    Child::tell(&"ready");
    Relay::new(store, settings, told.holder)
        .run(shutdown)
        .await?;
    Ok(())
}
