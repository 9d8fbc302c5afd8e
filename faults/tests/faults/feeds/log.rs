//! A short log of accounts that take turns, two of which have an event that cannot be handled at first.

use std::collections::BTreeMap;

use eventstore::{
    Checkpoint, CommandContext, EventStore, Feed, FeedSource, Feeds, KafkaSettings, Relay, Runner,
    RunnerOptions, Stream, Topics, dead_letters, ensure_topics,
};
use faults::accounts::{self, Account, AccountEvent, Refusal};
use faults::ledger::{Entries, Ledger, Poison};
use sqlx::PgPool;
use testing::Database;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::LONG;

const ACCOUNTS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
pub(super) const EVENTS: i64 = 40;

/// Of account `c`, and retried once it can be handled.
pub(super) const RETRIED: i64 = 3;
/// Of account `d`, and discarded.
pub(super) const DISCARDED: i64 = 10;

/// Few, so that there are several batches to break off.
const BATCH_MAX: usize = 8;

pub(super) const TOPICS: [(&str, &str); 1] = [("account", "account-events")];

/// The log, published where Kafka is asked for.
pub(super) struct Log {
    pub(super) store: EventStore,
    pub(super) source: FeedSource,
    pub(super) settings: Option<KafkaSettings>,
    pub(super) database: Database,
}

impl Log {
    pub(super) async fn new(kafka: bool) -> Self {
        let database = testing::database().await;
        Ledger::prepare(&database.pool).await.unwrap();
        let store = accounts::open(database.pool.clone()).await.unwrap();
        for account in ACCOUNTS
            .iter()
            .cycle()
            .take(usize::try_from(EVENTS).unwrap())
        {
            deposit(&store, account).await;
        }
        let mut settings = None;
        if kafka {
            let topics = KafkaSettings {
                brokers: testing::kafka_brokers(),
                topic_prefix: testing::topic_prefix(),
                options: Vec::new(),
                topics: Topics::new(TOPICS),
                partitions: 4,
            };
            ensure_topics(&topics).await.unwrap();
            publish(&store, &topics).await;
            settings = Some(topics);
        }
        let source = settings
            .clone()
            .map_or(FeedSource::Store, FeedSource::Kafka);
        Self {
            store,
            source,
            settings,
            database,
        }
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.database.pool
    }

    pub(super) async fn follow(&self, consumer: &str, poison: Poison) -> Follower {
        let ledger = Ledger::new(self.pool(), consumer, poison);
        let checkpoint = Checkpoint::read(self.pool(), consumer, 0).await.unwrap();
        let options = RunnerOptions {
            batch_max: BATCH_MAX,
            ..RunnerOptions::default()
        };
        let feeds = Feeds::new(self.store.clone(), self.source.clone());
        Follower {
            runner: Runner::new(self.store.clone(), consumer, options),
            feed: feeds.open(consumer, checkpoint).await.unwrap(),
            ledger,
        }
    }

    /// Asks for a retry of the one stream and a discard in the other. False where not both are parked yet.
    pub(super) async fn decide(&self, consumer: &str) -> bool {
        let letters = dead_letters::list(self.pool(), Some(consumer), None, 10)
            .await
            .unwrap();
        let positions: Vec<i64> = letters.iter().map(|letter| letter.position).collect();
        if positions != [RETRIED, DISCARDED] {
            return false;
        }
        dead_letters::request_retry(self.pool(), letters[0].id, "anna")
            .await
            .unwrap();
        dead_letters::discard(self.pool(), letters[1].id, "anna", "wrong")
            .await
            .unwrap();
        true
    }

    /// Whether the consumer is at the end of the log, with nothing parked.
    pub(super) async fn is_done(&self, consumer: &str) -> bool {
        let checkpoint = Checkpoint::read(self.pool(), consumer, 0).await.unwrap();
        let parked = dead_letters::count(self.pool(), Some(consumer))
            .await
            .unwrap();
        checkpoint.position == EVENTS && parked == 0
    }

    pub(super) async fn print(&self, consumer: &str) {
        let rows: Vec<(i64, String, Option<String>, i32)> = sqlx::query_as(
            "select position, state, error, attempts from dead_letters where consumer = $1 order by 1",
        )
        .bind(consumer)
        .fetch_all(self.pool())
        .await
        .unwrap();
        let checkpoint = Checkpoint::read(self.pool(), consumer, 0).await.unwrap();
        println!(
            "{consumer}: {rows:?} {checkpoint:?} {:?}",
            Ledger::entries(self.pool(), consumer).await
        );
    }

    /// Fails unless every event had its effect once and in order, but for the discarded one where there was a decision
    /// about it.
    pub(super) async fn assert_exact(&self, consumer: &str, discarded: &[i64]) {
        let entries = Ledger::entries(self.pool(), consumer).await.unwrap();
        assert_eq!(entries, exact(discarded), "{consumer}");
        let skipped = dead_letters::skipped(self.pool(), consumer).await.unwrap();
        assert_eq!(skipped, discarded, "{consumer}");
    }
}

/// A runner, its feed and its ledger.
pub(super) struct Follower {
    pub(super) runner: Runner,
    pub(super) feed: Box<dyn Feed>,
    pub(super) ledger: Ledger,
}

fn exact(discarded: &[i64]) -> Entries {
    let mut entries: Entries = BTreeMap::new();
    for (position, account) in (1..=EVENTS).zip(ACCOUNTS.iter().cycle()) {
        if !discarded.contains(&position) {
            entries
                .entry((*account).to_owned())
                .or_default()
                .push(position);
        }
    }
    entries
}

async fn deposit(store: &EventStore, account: &str) {
    let event = AccountEvent::Deposited {
        amount: 1,
        request: Uuid::nil(),
    };
    store
        .execute(
            Stream::<Account>::new(account),
            CommandContext::new("deposit"),
            move |_: &Account| Ok::<_, Refusal>(vec![event.clone()]),
        )
        .await
        .unwrap();
}

/// Has a relay publish everything that is in the log now.
pub(super) async fn publish(store: &EventStore, settings: &KafkaSettings) {
    let relay = Relay::new(store.clone(), settings.clone(), "relay");
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let running = tokio::spawn(async move { relay.run(stopped).await });
    let head = store.read_head().await.unwrap().position;
    testing::until("everything is published", LONG, async || {
        Relay::status(store.pool()).await.unwrap().published >= head
    })
    .await;
    stop.cancel();
    running.await.unwrap().unwrap();
}
