//! The sagas and their participants as a process, as `nakku react` runs them.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use domain::fulfilment::Patience;
use domain::{Fulfilment, Return};
use eventstore::{
    EventStore, FeedSource, Feeds, KafkaSettings, Reactions, ReactionsError, Reactor, TimerHandler,
    Timers, Topics,
};
use faults::{At, Child, trade};
use reactors::delivery::Deliveries;
use reactors::fulfilment::{SagaTimers, Sagas};
use reactors::inventory::Inventory;
use reactors::payment::{PaymentCalls, Payments, Refunds};
use reactors::payment_provider::{self, HttpProvider, HttpProviderSettings, Patient};
use serde::Deserialize;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Each reactor works on hundreds of streams at once. Leases are renewed over the same connections: where a busy machine has
/// them wait in a long queue, they are lost.
const CONNECTIONS_MAX: u32 = 60;
/// As in `nakku`.
const ACQUIRE_MAX: Duration = Duration::from_secs(5);

/// What it is told.
#[derive(Debug, Deserialize)]
pub(crate) struct Told {
    /// The database of the log.
    url: String,
    /// Names it in leases, and its connections.
    holder: String,
    /// Follows the log itself where there is none.
    kafka: Option<Kafka>,
    /// Where the payment provider is.
    provider: String,
    /// How long the sagas wait for a charge, and at first for any other answer.
    payment_millis: u64,
    reply_millis: u64,
    /// How long the provider may take for an attempt; twice that and a little for a call.
    attempt_millis: u64,
    /// Where it ends itself.
    at: Option<At>,
}

#[derive(Debug, Deserialize)]
struct Kafka {
    brokers: String,
    topic_prefix: String,
    /// Pairs of aggregate type and topic.
    topics: Vec<(String, String)>,
    partitions: i32,
}

impl Kafka {
    fn settings(self) -> KafkaSettings {
        KafkaSettings {
            brokers: self.brokers,
            topic_prefix: self.topic_prefix,
            options: Vec::new(),
            topics: Topics::new(self.topics),
            partitions: self.partitions,
        }
    }
}

/// Works until SIGTERM; tells that it begins.
pub(crate) async fn run(told: Told) -> anyhow::Result<()> {
    let options = PgConnectOptions::from_str(&told.url)?.application_name(&told.holder);
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(ACQUIRE_MAX)
        .connect_lazy_with(options);
    let store = trade::open(pool).await?;
    if let Some(at) = told.at.clone() {
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
    let mut workers = start(&store, told, &shutdown)?;
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    store.close().await;
    Ok(())
}

fn start(
    store: &EventStore,
    told: Told,
    shutdown: &CancellationToken,
) -> anyhow::Result<JoinSet<Result<(), ReactionsError>>> {
    let patience = Patience {
        payment: Duration::from_millis(told.payment_millis),
        reply: Duration::from_millis(told.reply_millis),
    };
    let calls = PaymentCalls::new(store.clone(), Arc::new(provider(&told)?));
    let sagas = Sagas::new(store.clone(), patience);
    let reactors: [Arc<dyn Reactor>; 5] = [
        Arc::new(sagas.clone()),
        Arc::new(Inventory::new(store.clone())),
        Arc::new(Payments::new(store.clone())),
        Arc::new(Refunds::new(store.clone())),
        Arc::new(Deliveries::new(store.clone())),
    ];
    let timers: [(Arc<dyn TimerHandler>, usize); 3] = [
        (Arc::new(SagaTimers::<Fulfilment>::new(sagas.clone())), 64),
        (Arc::new(SagaTimers::<Return>::new(sagas)), 64),
        (Arc::new(calls), PaymentCalls::AT_ONCE),
    ];
    let source = told.kafka.map_or(FeedSource::Store, |kafka| {
        FeedSource::Kafka(kafka.settings())
    });
    let feeds = Feeds::new(store.clone(), source);
    let mut workers = JoinSet::new();
    for reactor in reactors {
        let reactions = Reactions::new(feeds.clone(), reactor, told.holder.clone());
        let stop = shutdown.clone();
        workers.spawn(async move { reactions.run(stop).await });
    }
    for (handler, at_once) in timers {
        let timers = Timers::new(store.clone(), handler, told.holder.clone()).at_once(at_once);
        let stop = shutdown.clone();
        workers.spawn(async move {
            timers.run(stop).await;
            Ok(())
        });
    }
    Ok(workers)
}

fn provider(told: &Told) -> anyhow::Result<Patient<HttpProvider>> {
    let settings = HttpProviderSettings {
        url: told.provider.clone(),
        bearer: None,
        authority: None,
    };
    let attempt = Duration::from_millis(told.attempt_millis);
    let pause = attempt / 8;
    let patience = payment_provider::Patience {
        call: attempt * 2 + pause,
        attempt,
        pause,
    };
    Ok(Patient::with_patience(
        HttpProvider::new(&settings)?,
        patience,
    ))
}
