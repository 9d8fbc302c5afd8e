//! What a feed makes of what Kafka holds, lacks, or cannot be asked for.

use eventstore::{
    Checkpoint, EventStore, Feed, FeedError, FeedSource, KafkaFeed, KafkaSettings, Topics,
    ensure_topics,
};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::read_to;
use crate::publishing::{LONG, RunningRelay, deposits, settings, topics, until_published};
use crate::support::{claim, deposit, open};

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
    let mut from_log = Vec::new();
    // Not all of it, and not each time: on a machine that stands still for a second the log helps out.
    for head in [1, 2_001, 4_001] {
        let before = feed.events_from_log();
        for number in 0..100 {
            deposits(&store, &format!("account-{number}"), 20).await;
        }
        read_to(&mut feed, head, head + 2_000, 100).await;
        from_log.push(feed.events_from_log() - before);
        if from_log.last() < Some(&1_000) {
            return;
        }
    }
    panic!("of 2,000 each time {from_log:?} came from the log");
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
    until_published(&database.pool, 10).await;
    let mut feed = KafkaFeed::open(&store, &settings, "test", Checkpoint::START)
        .await
        .unwrap();
    let before = feed.records_refused();
    read_to(&mut feed, 0, 10, 100).await;
    testing::until("each is counted", LONG, async || {
        assert!(feed.next(10).await.unwrap().is_empty());
        feed.records_refused() - before == 3
    })
    .await;
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
