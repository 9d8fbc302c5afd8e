//! A log that is written to: shelves and baskets, each kind with a topic of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use eventstore::{CommandContext, EventStore, KafkaSettings, Relay, RelayStatus, Stream};
use faults::{At, Process, accounts};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::topics::TOPICS;

/// Writers beside each other.
const WRITERS: u64 = 6;

/// Streams of each kind: few enough that each gets many events.
const STREAMS: u32 = 40;

/// Most events of a command.
const EVENTS_MAX: u64 = 6;

/// A command that takes longer was held up by something that it should not wait for.
const COMMAND_MAX: Duration = Duration::from_secs(10);

/// An aggregate that counts; `KIND` is the index of its name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Counted<const KIND: usize> {
    count: u64,
}

pub(super) type Shelf = Counted<0>;
type Basket = Counted<1>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct CountedEvent<const KIND: usize> {
    #[serde(rename = "type")]
    event_type: String,
    amount: u64,
    note: String,
}

impl<const KIND: usize> CountedEvent<KIND> {
    fn new(amount: u64, note: String) -> Self {
        Self {
            event_type: format!("{}.counted", TOPICS[KIND].0),
            amount,
            note,
        }
    }
}

impl<const KIND: usize> DomainEvent for CountedEvent<KIND> {
    fn event_type(&self) -> String {
        self.event_type.clone()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("nothing is refused")]
pub(super) struct Refusal;

impl<const KIND: usize> Aggregate for Counted<KIND> {
    const TYPE: &'static str = TOPICS[KIND].0;
    type Command = ();
    type Event = CountedEvent<KIND>;
    type Error = Refusal;
    type Services = ();

    async fn handle(&mut self, (): (), (): &(), _: &EventSink<Self>) -> Result<(), Refusal> {
        Ok(())
    }

    fn apply(&mut self, event: CountedEvent<KIND>) {
        self.count += event.amount;
    }
}

/// A database with a log, and a store over it.
pub(super) struct Shop {
    pub(super) database: testing::Database,
    pub(super) store: EventStore,
}

impl Shop {
    pub(super) async fn open() -> Shop {
        let database = testing::database().await;
        let store = accounts::open(database.pool.clone()).await.unwrap();
        Shop { database, store }
    }

    /// A relay as a process of its own.
    pub(super) fn relay(&self, settings: &KafkaSettings, holder: &str, at: Option<&At>) -> Process {
        let told = json!({
            "url": self.database.url,
            "holder": holder,
            "brokers": settings.brokers,
            "topic_prefix": settings.topic_prefix,
            "options": settings.options,
            "topics": TOPICS,
            "partitions": settings.partitions,
            "at": at,
        });
        Process::start(env!("CARGO_BIN_EXE_faults"), "relay", &told)
    }

    pub(super) async fn status(&self) -> RelayStatus {
        Relay::status(&self.database.pool).await.unwrap()
    }

    /// Waits until a position is published, and says how long that took.
    pub(super) async fn published(&self, position: i64, bound: Duration) -> Duration {
        let began = Instant::now();
        testing::until(&format!("{position} is published"), bound, async || {
            self.status().await.published >= position
        })
        .await;
        began.elapsed()
    }

    /// Waits until everything is published.
    pub(super) async fn all_published(&self, bound: Duration) -> Duration {
        self.published(self.status().await.head, bound).await
    }

    /// Waits until `events` more than now are published.
    pub(super) async fn publishes(&self, events: i64) {
        let position = self.status().await.published + events;
        self.published(position, super::SOON).await;
    }

    /// Waits until the log has `events` more than now.
    pub(super) async fn grows(&self, events: i64) {
        let position = self.status().await.head + events;
        testing::until("the log grows", super::SOON, async || {
            self.status().await.head >= position
        })
        .await;
    }

    /// Waits until somebody leads.
    pub(super) async fn led_by(&self, holder: &str) {
        testing::until(&format!("{holder} leads"), super::SOON, async || {
            self.status().await.leader.as_deref() == Some(holder)
        })
        .await;
    }

    /// Appends one event that carries a text.
    pub(super) async fn fill(&self, shelf: &str, note: String) {
        self.store
            .execute(Stream::<Shelf>::new(shelf), context(), move |_: &Shelf| {
                Ok::<_, Refusal>(vec![CountedEvent::new(1, note.clone())])
            })
            .await
            .unwrap();
    }

    /// Writers that go on until they are stopped.
    pub(super) fn write(&self, seed: u64, pause: Duration) -> Writing {
        let stop = CancellationToken::new();
        let slowest = Arc::new(AtomicU64::new(0));
        let writers = (0..WRITERS).map(|writer| {
            tokio::spawn(write(
                self.store.clone(),
                StdRng::seed_from_u64(seed ^ writer),
                pause,
                stop.clone(),
                Arc::clone(&slowest),
            ))
        });
        Writing {
            writers: writers.collect(),
            stop,
            slowest,
        }
    }
}

fn context() -> CommandContext {
    CommandContext::new("test")
}

/// Writers at work.
pub(super) struct Writing {
    writers: Vec<JoinHandle<u64>>,
    stop: CancellationToken,
    /// Milliseconds.
    slowest: Arc<AtomicU64>,
}

impl Writing {
    /// How long the slowest command took since this was asked last.
    pub(super) fn slowest(&self) -> Duration {
        Duration::from_millis(self.slowest.swap(0, Ordering::Relaxed))
    }

    /// Ends them and says how many commands there were, all of which were acknowledged.
    pub(super) async fn end(self) -> u64 {
        self.stop.cancel();
        let mut commands = 0;
        for writer in self.writers {
            commands += writer.await.expect("every command is acknowledged");
        }
        commands
    }
}

async fn write(
    store: EventStore,
    mut random: StdRng,
    pause: Duration,
    stop: CancellationToken,
    slowest: Arc<AtomicU64>,
) -> u64 {
    let mut commands = 0;
    while !stop.is_cancelled() {
        let stream = format!("store-1:{}", random.random_range(0..STREAMS));
        let amounts: Vec<u64> = (1..=random.random_range(1..=EVENTS_MAX)).collect();
        let note = "n".repeat(random.random_range(0..300));
        let began = Instant::now();
        execute(&store, random.random_range(0..3), stream, amounts, note).await;
        let took = began.elapsed();
        assert!(took < COMMAND_MAX, "a command took {took:?}");
        let millis = u64::try_from(took.as_millis()).expect("a short time");
        slowest.fetch_max(millis, Ordering::Relaxed);
        commands += 1;
        tokio::time::sleep(pause.mul_f64(random.random_range(0.5..1.5))).await;
    }
    commands
}

/// A command on a shelf, on a basket, or on both at once.
async fn execute(store: &EventStore, kind: usize, stream: String, amounts: Vec<u64>, note: String) {
    let executed = match kind {
        0 => {
            let decide = move |_: &Shelf| Ok::<_, Refusal>(events(&amounts, &note));
            store
                .execute(Stream::<Shelf>::new(stream), context(), decide)
                .await
        }
        1 => {
            let decide = move |_: &Basket| Ok::<_, Refusal>(events(&amounts, &note));
            store
                .execute(Stream::<Basket>::new(stream), context(), decide)
                .await
        }
        _ => {
            let both = (
                Stream::<Shelf>::new(&stream),
                Stream::<Basket>::new(&stream),
            );
            let decide = move |_: (&Shelf, &Basket)| {
                Ok::<_, Refusal>((events(&amounts, &note), events(&amounts, &note)))
            };
            store.execute(both, context(), decide).await
        }
    };
    executed.expect("commands do not depend on Kafka");
}

fn events<const KIND: usize>(amounts: &[u64], note: &str) -> Vec<CountedEvent<KIND>> {
    amounts
        .iter()
        .map(|amount| CountedEvent::new(*amount, note.to_owned()))
        .collect()
}
