//! One suite for both feeds: what is above a feed must not notice which it is. Then what only Kafka can do wrong.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use cqrs_es::persist::{EventUpcaster, SemanticVersionEventUpcaster};
use eventstore::{
    Checkpoint, CommandContext, EventStore, Feed, FeedError, FeedSource, KafkaFeed, KafkaSettings,
    Options, RecordedEvent, Topics, ensure_topics,
};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::json;
use testing::Database;
use uuid::Uuid;

use crate::publishing::{LONG, RunningRelay, deposits, settings, topics, until_published};
use crate::support::{KEYS, at_once, claim, deposit, deposit_in, open};

/// A log, and a way to follow it.
struct Followed {
    source: FeedSource,
    _relay: Option<RunningRelay>,
    store: EventStore,
    database: Database,
}

impl Followed {
    async fn over(kafka: bool) -> Self {
        let database = testing::database().await;
        let store = open(&database.pool).await;
        Self::of(kafka, store, database).await
    }

    async fn of(kafka: bool, store: EventStore, database: Database) -> Self {
        let (source, relay) = if kafka {
            let settings = topics().await;
            let relay = RunningRelay::start(&store, &settings, "relay");
            (FeedSource::Kafka(settings), Some(relay))
        } else {
            (FeedSource::Store, None)
        };
        Self {
            source,
            _relay: relay,
            store,
            database,
        }
    }

    async fn open(&self, checkpoint: Checkpoint) -> Box<dyn Feed> {
        self.source
            .open(&self.store, "test", checkpoint)
            .await
            .unwrap()
    }
}

/// Reads up to a position. Fails where an event is not the next one.
async fn read_to(feed: &mut dyn Feed, from: i64, to: i64, limit: usize) -> Vec<RecordedEvent> {
    let deadline = Instant::now() + LONG;
    let mut events: Vec<RecordedEvent> = Vec::new();
    let mut position = from;
    while position < to {
        assert!(Instant::now() < deadline, "stands at {position} of {to}");
        let page = feed.next(limit).await.unwrap();
        assert!(page.len() <= limit);
        for event in &page {
            assert_eq!(event.position, position + 1, "in order, without a hole");
            position += 1;
        }
        events.extend(page);
    }
    events
}

async fn everything_comes_in_order(kafka: bool) {
    let followed = Followed::over(kafka).await;
    let store = followed.store.clone();
    let writers = at_once(20, move |index| {
        let store = store.clone();
        async move {
            claim(
                &store,
                &format!("account-{index}"),
                &format!("name-{index}"),
            )
            .await
            .unwrap();
            for _ in 0..10 {
                deposit(&store, &format!("account-{}", index % 7), 1)
                    .await
                    .unwrap();
            }
        }
    });
    let follow = async {
        let mut feed = followed.open(Checkpoint::START).await;
        read_to(&mut *feed, 0, 240, 7).await
    };
    let (_, events) = tokio::join!(writers, follow);
    assert_eq!(events.len(), 240);
    assert_eq!(
        followed.store.read_after(0, 1_000).await.unwrap().len(),
        240
    );
}

async fn events_are_as_the_log_holds_them(kafka: bool) {
    let followed = Followed::over(kafka).await;
    let context = CommandContext {
        correlation_id: Some("correlation-ü".to_owned()),
        causation_id: Some("causation".to_owned()),
        user_id: Some("user".to_owned()),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        ..crate::support::context()
    };
    deposit_in(&followed.store, "store-1:sku", 5, context)
        .await
        .unwrap();
    deposit(&followed.store, "b", 1).await.unwrap();
    let mut feed = followed.open(Checkpoint::START).await;
    let events = read_to(&mut *feed, 0, 2, 10).await;
    assert_eq!(events, followed.store.read_after(0, 10).await.unwrap());
}

async fn it_begins_after_its_checkpoint(kafka: bool) {
    let followed = Followed::over(kafka).await;
    for round in 0..3 {
        deposits(&followed.store, &format!("account-{round}"), 20).await;
    }
    let at = followed.store.read_after(36, 1).await.unwrap()[0].clone();
    let checkpoint = Checkpoint {
        position: 37,
        event_id: Some(at.event_id),
    };
    let mut feed = followed.open(checkpoint).await;
    let events = read_to(&mut *feed, 37, 60, 1_000).await;
    assert_eq!(events.len(), 23);
}

async fn it_is_woken_by_an_append_and_else_returns_empty(kafka: bool) {
    let followed = Followed::over(kafka).await;
    let mut feed = followed.open(Checkpoint::START).await;
    assert!(feed.next(10).await.unwrap().is_empty());
    deposit(&followed.store, "a", 1).await.unwrap();
    read_to(&mut *feed, 0, 1, 10).await;
    // By another process, as far as this one can tell.
    let other = open(&followed.database.pool).await;
    deposit(&other, "a", 1).await.unwrap();
    read_to(&mut *feed, 1, 2, 10).await;
}

async fn dropping_the_future_loses_nothing(kafka: bool) {
    let followed = Followed::over(kafka).await;
    for round in 0..30 {
        deposits(&followed.store, &format!("account-{round}"), 10).await;
    }
    let mut feed = followed.open(Checkpoint::START).await;
    let deadline = Instant::now() + LONG;
    let mut positions = Vec::new();
    let mut patience_micros = 0;
    while positions.len() < 300 {
        assert!(Instant::now() < deadline, "stands at {}", positions.len());
        // From far too short to long enough, over and over.
        patience_micros = (patience_micros + 150) % 10_000;
        let patience = Duration::from_micros(patience_micros);
        if let Ok(page) = tokio::time::timeout(patience, feed.next(10)).await {
            positions.extend(page.unwrap().iter().map(|event| event.position));
        }
    }
    assert_eq!(positions, (1..=300).collect::<Vec<i64>>());
}

async fn a_rewound_log_is_noticed(kafka: bool) {
    let followed = Followed::over(kafka).await;
    deposit(&followed.store, "a", 1).await.unwrap();
    for position in [1, 7] {
        let checkpoint = Checkpoint {
            position,
            event_id: Some(Uuid::nil()),
        };
        let refused = followed
            .source
            .open(&followed.store, "test", checkpoint)
            .await;
        let error = refused.err().unwrap();
        assert!(matches!(error, FeedError::Rewound { .. }));
        assert!(
            error.to_string().contains("`nakku replay --all`"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_log_that_is_rewound_under_a_feed_is_noticed() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let mut feed = FeedSource::Store
        .open(&store, "test", Checkpoint::START)
        .await
        .unwrap();
    deposits(&store, "a", 5).await;
    read_to(&mut *feed, 0, 5, 10).await;
    // Positions 4 and 5 are used again, for other events.
    sqlx::query("update events set event_id = gen_random_uuid() where position > 3")
        .execute(&database.pool)
        .await
        .unwrap();
    deposits(&store, "b", 1).await;
    let error = feed.next(10).await.unwrap_err();
    assert!(
        matches!(error, FeedError::Rewound { position: 5 }),
        "{error}"
    );
}

async fn events_of_old_versions_come_in_the_present_shape(kafka: bool) {
    let database = testing::database().await;
    let doubled: Box<dyn EventUpcaster> = Box::new(SemanticVersionEventUpcaster::new(
        "account.deposited",
        "1.1.0",
        Box::new(|mut payload| {
            payload["amount"] = json!(payload["amount"].as_i64().unwrap() * 100);
            payload
        }),
    ));
    let options = Options {
        keys: KEYS,
        upcasters: vec![doubled],
        snapshot_shapes: HashMap::new(),
    };
    let plain = open(&database.pool).await;
    deposit(&plain, "a", 3).await.unwrap();
    let store = EventStore::open(database.pool.clone(), options)
        .await
        .unwrap();
    let followed = Followed::of(kafka, store, database).await;
    let mut feed = followed.open(Checkpoint::START).await;
    let events = read_to(&mut *feed, 0, 1, 10).await;
    let payload: serde_json::Value = serde_json::from_str(&events[0].payload).unwrap();
    assert_eq!(payload["amount"], 300);
}

macro_rules! suite {
    ($source:ident, $kafka:expr, [$($test:ident),* $(,)?]) => {
        mod $source {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test($kafka).await;
                }
            )*
        }
    };
}

macro_rules! suites {
    ($tests:tt) => {
        suite!(store, false, $tests);
        suite!(kafka, true, $tests);
    };
}

suites!([
    everything_comes_in_order,
    events_are_as_the_log_holds_them,
    it_begins_after_its_checkpoint,
    it_is_woken_by_an_append_and_else_returns_empty,
    dropping_the_future_loses_nothing,
    a_rewound_log_is_noticed,
    events_of_old_versions_come_in_the_present_shape,
]);

async fn open_over(settings: &KafkaSettings, store: &EventStore) -> Box<dyn Feed> {
    let source = FeedSource::Kafka(settings.clone());
    source.open(store, "test", Checkpoint::START).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_kafka_has_comes_from_kafka() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let settings = topics().await;
    let _relay = RunningRelay::start(&store, &settings, "relay");
    let mut feed = KafkaFeed::open(&store, &settings, "test", Checkpoint::START)
        .await
        .unwrap();
    // Until the connection stands, the log may be faster.
    deposit(&store, "a", 1).await.unwrap();
    until_published(&database.pool, 1).await;
    read_to(&mut feed, 0, 1, 10).await;
    let before = feed.events_from_log();
    for round in 0..100 {
        deposits(&store, &format!("account-{round}"), 20).await;
    }
    read_to(&mut feed, 1, 2_001, 100).await;
    let from_log = feed.events_from_log() - before;
    // Not none: on a machine that stands still for a second the log helps out.
    assert!(from_log < 1_000, "{from_log} of 2,000 came from the log");
}

#[tokio::test]
async fn what_kafka_lacks_comes_from_the_log() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    for index in 0..20 {
        claim(
            &store,
            &format!("account-{index}"),
            &format!("name-{index}"),
        )
        .await
        .unwrap();
    }
    let settings = topics().await;
    let _relay = RunningRelay::start(&store, &settings, "relay");
    until_published(&database.pool, 40).await;
    // Half of the records are on a topic that this feed does not know.
    let half = KafkaSettings {
        topics: Topics::new([("account", "account-events")]),
        ..settings
    };
    let mut feed = open_over(&half, &store).await;
    let events = read_to(&mut *feed, 0, 40, 10).await;
    assert_eq!(events, store.read_after(0, 100).await.unwrap());
}

#[tokio::test]
async fn without_a_broker_the_log_is_followed() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let unreachable = KafkaSettings {
        // The port of nobody.
        brokers: "127.0.0.1:1".to_owned(),
        ..settings()
    };
    let mut feed = open_over(&unreachable, &store).await;
    deposits(&store, "a", 12).await;
    read_to(&mut *feed, 0, 12, 5).await;
}

#[tokio::test]
async fn topics_that_come_later_are_found() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let settings = settings();
    let mut feed = open_over(&settings, &store).await;
    assert!(feed.next(10).await.unwrap().is_empty());
    let created = ensure_topics(&settings).await.unwrap();
    assert!(created.iter().all(|topic| topic.created));
    let existing = ensure_topics(&settings).await.unwrap();
    assert!(
        existing
            .iter()
            .all(|topic| !topic.created && topic.partitions == 4)
    );
    let _relay = RunningRelay::start(&store, &settings, "relay");
    for round in 0..5 {
        deposits(&store, "a", 10).await;
        read_to(&mut *feed, round * 10, round * 10 + 10, 10).await;
    }
}

#[tokio::test]
async fn records_of_others_are_passed_over() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let settings = topics().await;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &settings.brokers)
        .create()
        .unwrap();
    let topic = format!("{}account-events", settings.topic_prefix);
    let foreign = [
        ("ce_log", "orders"),
        ("ce_position", "1"),
        ("ce_subject", "x"),
    ];
    for headers in [&foreign[..], &foreign[1..], &[("ce_log", "main")]] {
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header {
                    key,
                    value: Some(*value),
                })
            });
        let record = BaseRecord::to(&topic)
            .key("x")
            .payload("{}")
            .headers(headers)
            .partition(0);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(LONG).unwrap();
    let _relay = RunningRelay::start(&store, &settings, "relay");
    deposits(&store, "a", 10).await;
    let mut feed = open_over(&settings, &store).await;
    read_to(&mut *feed, 0, 10, 100).await;
}

#[tokio::test]
async fn a_setting_that_the_client_does_not_know_is_refused() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let wrong = KafkaSettings {
        options: vec![("compression.tipe".to_owned(), "lz4".to_owned())],
        ..settings()
    };
    let refused = FeedSource::Kafka(wrong)
        .open(&store, "test", Checkpoint::START)
        .await;
    assert!(matches!(refused.err(), Some(FeedError::Kafka(_))));
}
