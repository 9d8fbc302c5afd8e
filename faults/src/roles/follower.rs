//! A consumer of the log as a process: runner and ledger over either feed.

use eventstore::{FeedSource, Feeds, Handler, KafkaSettings, Runner, RunnerOptions, Topics};
use faults::ledger::{Ledger, Poison};
use faults::{At, Child, accounts};
use serde::Deserialize;
use sqlx::postgres::PgPoolOptions;

/// The runner and its ledger use one each at a time, the feed and the log's head another.
const CONNECTIONS_MAX: u32 = 5;

/// Few, so that there are several batches to die in.
const BATCH_MAX: usize = 8;

/// What it is told.
#[derive(Debug, Deserialize)]
pub(crate) struct Told {
    /// The database of the log, and of the ledger.
    url: String,
    consumer: String,
    /// Follows the log itself where there is none.
    kafka: Option<Kafka>,
    /// Positions that it cannot handle.
    poison: Vec<i64>,
    /// Where it ends itself.
    at: Option<At>,
}

#[derive(Debug, Deserialize)]
struct Kafka {
    brokers: String,
    topic_prefix: String,
    /// Pairs of aggregate type and topic.
    topics: Vec<(String, String)>,
}

/// Follows until it is ended; tells each position that it has reached.
pub(crate) async fn run(told: Told) -> anyhow::Result<()> {
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .connect(&told.url)
        .await?;
    let store = accounts::open(pool.clone()).await?;
    let source = match told.kafka {
        None => FeedSource::Store,
        Some(kafka) => FeedSource::Kafka(KafkaSettings {
            brokers: kafka.brokers,
            topic_prefix: kafka.topic_prefix,
            options: Vec::new(),
            topics: Topics::new(kafka.topics),
            partitions: 1,
        }),
    };
    if let Some(at) = told.at {
        at.arm();
    }
    let mut ledger = Ledger::new(&pool, &told.consumer, Poison::at(told.poison));
    let checkpoint = ledger.checkpoint().await?;
    let feeds = Feeds::new(store.clone(), source);
    let mut feed = feeds.open(&told.consumer, checkpoint).await?;
    let options = RunnerOptions {
        batch_max: BATCH_MAX,
        ..RunnerOptions::default()
    };
    let mut runner = Runner::new(store, told.consumer, options);
    loop {
        runner.look_for_requests();
        let step = runner.step(&mut *feed, &mut ledger).await?;
        Child::tell(&step.position);
    }
}
