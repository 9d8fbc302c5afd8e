//! The relay beside a bare producer of the same records.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use cqrs_es::Aggregate;
use eventstore::{EventStore, KafkaSettings, Relay, Topics, ensure_topics};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::config::FromClientConfigAndContext;
use tokio::task::spawn_blocking;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;

use super::Bed;
use super::append::rate;
use super::baskets::{self, Basket};
use super::figure::{Bounds, Figure, Rate};
use super::producer::{self, Quiet, Record};
use crate::cli::RelayBench;
use crate::topics::kafka_settings;

const BOUNDS: Bounds = Bounds {
    floor: 0.3,
    goal: 0.5,
};

const TOPIC: &str = "basket-events";

/// Between two looks at what the relay has published.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Without progress for so long it is not slow but stuck.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// Longest wait for the brokers.
const REQUEST_MAX: Duration = Duration::from_secs(30);

pub(super) async fn measure(bed: &Bed<'_>, options: &RelayBench) -> anyhow::Result<Figure> {
    let settings = kafka_settings(bed.config).context("no brokers are named")?;
    let (scratch, store) = bed.engine.log().await?;
    baskets::fill(&store, options.events).await?;
    let mut records: Option<Vec<Record>> = None;
    let mut rounds = Vec::new();
    for number in 1..=options.rounds {
        let ours = scratch_topic(&settings, format!("{}-{number}-relay-", bed.run)).await?;
        let (relayed, events) = relay(&store, &ours).await?;
        let source = Source {
            settings: ours,
            events,
        };
        let kept = match records.take() {
            Some(records) => records,
            None => spawn_blocking(move || source.records()).await??,
        };
        let bare = scratch_topic(&settings, format!("{}-{number}-bare-", bed.run)).await?;
        let (kept, published) = spawn_blocking(move || publish(&bare, kept, events)).await??;
        records = Some(kept);
        tracing::info!(
            number,
            ours = relayed.round(),
            limit = published.round(),
            "measured"
        );
        rounds.push((relayed, published));
        remove_topics(&settings, &bed.run).await?;
    }
    store.close().await;
    scratch.pool.close().await;
    Ok(Figure::new(
        "relay",
        "events/s",
        "bare producer",
        BOUNDS,
        rounds,
    ))
}

/// A topic with a name of its own, of as many partitions as the configuration says.
async fn scratch_topic(settings: &KafkaSettings, prefix: String) -> anyhow::Result<KafkaSettings> {
    let settings = KafkaSettings {
        topic_prefix: prefix,
        topics: Topics::new([(Basket::TYPE, TOPIC)]),
        ..settings.clone()
    };
    ensure_topics(&settings)
        .await
        .context("cannot make a scratch topic")?;
    Ok(settings)
}

fn topic(settings: &KafkaSettings) -> String {
    format!("{}{TOPIC}", settings.topic_prefix)
}

/// From the start of the relay until all of the log is acknowledged; how fast, and how many events.
async fn relay(store: &EventStore, settings: &KafkaSettings) -> anyhow::Result<(Rate, u64)> {
    let pool = store.pool();
    let head = store.read_head().await?.position;
    Relay::reset(pool, 0).await?;
    let shutdown = CancellationToken::new();
    let _guard: DropGuard = shutdown.clone().drop_guard();
    let relay = Relay::new(store.clone(), settings.clone(), "bench");
    let began = Instant::now();
    let stop = shutdown.clone();
    let running = AbortOnDropHandle::new(tokio::spawn(async move { relay.run(stop).await }));
    let (mut published, mut moved) = (0, Instant::now());
    while published < head {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let status = Relay::status(pool).await?;
        if status.published > published {
            (published, moved) = (status.published, Instant::now());
        }
        if running.is_finished() || moved.elapsed() > STUCK_AFTER {
            break;
        }
    }
    let elapsed = began.elapsed();
    shutdown.cancel();
    running.await?.context("the relay failed")?;
    if published < head {
        bail!("the relay has published {published} of {head} events and goes no further");
    }
    let events = u64::try_from(head)?;
    Ok((rate(events, elapsed), events))
}

/// Where the relay has published.
struct Source {
    settings: KafkaSettings,
    events: u64,
}

impl Source {
    fn records(&self) -> anyhow::Result<Vec<Record>> {
        let config = Relay::producer_settings(&self.settings);
        let topic = topic(&self.settings);
        producer::read(&config, &topic, self.settings.partitions, self.events)
    }
}

fn publish(
    settings: &KafkaSettings,
    records: Vec<Record>,
    events: u64,
) -> anyhow::Result<(Vec<Record>, Rate)> {
    let config = Relay::producer_settings(settings);
    let elapsed = producer::publish(&config, &topic(settings), &records, events)?;
    Ok((records, rate(events, elapsed)))
}

/// Deletes the topics of a run.
pub(super) async fn remove_topics(settings: &KafkaSettings, run: &str) -> anyhow::Result<()> {
    let config = Relay::producer_settings(settings);
    let prefix = format!("{run}-");
    let lister = AdminClient::from_config_and_context(&config, Quiet)?;
    let listed = spawn_blocking(move || {
        let metadata = lister.inner().fetch_metadata(None, REQUEST_MAX)?;
        let names: Vec<String> = metadata
            .topics()
            .iter()
            .map(|topic| topic.name().to_owned())
            .filter(|name| name.starts_with(&prefix))
            .collect();
        anyhow::Ok((lister, names))
    });
    let (admin, names) = listed.await??;
    if names.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let options = AdminOptions::new().operation_timeout(Some(REQUEST_MAX));
    for deleted in admin.delete_topics(&names, &options).await? {
        if let Err((name, code)) = deleted {
            bail!("scratch topic {name} is left behind: {code}");
        }
    }
    Ok(())
}
