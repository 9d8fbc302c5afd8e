//! What only Kafka can do wrong.

use eventstore::{FeedSource, KafkaSettings, ReactionsError, Relay, Topics, ensure_topics};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::recorder::{Recorder, Running, until_handled};
use crate::publishing::{
    LONG, RunningRelay, committed_offsets, deposits, read_all, settings, topics, until_published,
};
use crate::relay::recreate;
use crate::support::{deposit, open};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_that_are_emptied_and_refilled_lose_nothing() {
    let database = testing::database().await;
    let (store, settings) = (open(&database.pool).await, topics().await);
    let source = FeedSource::Kafka(settings.clone());
    let relay = RunningRelay::start(&store, &settings, "relay");
    let recorder = Recorder::default();
    let running = Running::start(&source, &store, &recorder);
    for account in 0..30 {
        deposits(&store, &format!("account-{account}"), 10).await;
    }
    until_handled(&database.pool, 300).await;
    running.stop().await.unwrap();
    // While it is away: more is appended, and the topics are emptied.
    for account in 0..30 {
        deposits(&store, &format!("account-{account}"), 10).await;
    }
    until_published(&database.pool, 600).await;
    relay.stop().await.unwrap();
    recreate(&settings).await;
    let running = Running::start(&source, &store, &recorder);
    until_handled(&database.pool, 600).await;
    // Refilled under it, at other offsets.
    Relay::reset(&database.pool, 0).await.unwrap();
    let relay = RunningRelay::start(&store, &settings, "relay");
    until_published(&database.pool, 600).await;
    for account in 0..30 {
        deposits(&store, &format!("account-{account}"), 10).await;
    }
    until_handled(&database.pool, 900).await;
    running.stop().await.unwrap();
    // And begun again over what was refilled.
    let running = Running::start(&source, &store, &recorder);
    deposits(&store, "account-7", 1).await;
    until_handled(&database.pool, 901).await;
    for (stream, sequences) in recorder.seen() {
        let last = if stream == "account-7" { 31 } else { 30 };
        assert_eq!(sequences, (1..=last).collect::<Vec<i64>>(), "{stream}");
    }
    running.stop().await.unwrap();
    relay.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_vanishes_under_it_loses_nothing() {
    let database = testing::database().await;
    let (store, settings) = (open(&database.pool).await, topics().await);
    let source = FeedSource::Kafka(settings.clone());
    let relay = RunningRelay::start(&store, &settings, "relay");
    let recorder = Recorder::default();
    let running = Running::start(&source, &store, &recorder);
    deposits(&store, "a", 50).await;
    until_handled(&database.pool, 50).await;
    relay.stop().await.unwrap();
    recreate(&settings).await;
    for account in 0..10 {
        deposits(&store, &format!("account-{account}"), 5).await;
    }
    until_handled(&database.pool, 100).await;
    assert_eq!(recorder.count(), 100);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_that_come_later_are_waited_for() {
    let database = testing::database().await;
    let (store, settings) = (open(&database.pool).await, settings());
    let recorder = Recorder::default();
    let source = FeedSource::Kafka(settings.clone());
    let running = Running::start(&source, &store, &recorder);
    for _ in 0..5 {
        deposit(&store, "a", 1).await.unwrap();
    }
    ensure_topics(&settings).await.unwrap();
    until_handled(&database.pool, 5).await;
    assert_eq!(recorder.seen()["a"], [1, 2, 3, 4, 5]);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_others_are_passed_over() {
    let database = testing::database().await;
    let (store, settings) = (open(&database.pool).await, topics().await);
    // The records of another database, at the same positions, and one that is none.
    let other = testing::database().await;
    let other_store = open(&other.pool).await;
    let relay = RunningRelay::start(&other_store, &settings, "relay");
    for account in 0..20 {
        deposit(&other_store, &format!("other-{account}"), 1)
            .await
            .unwrap();
    }
    until_published(&other.pool, 20).await;
    relay.stop().await.unwrap();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &settings.brokers)
        .create()
        .unwrap();
    let topic = format!("{}account-events", settings.topic_prefix);
    let record = BaseRecord::to(&topic).key("x").payload("{}").partition(0);
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(LONG).unwrap();

    let recorder = Recorder::default();
    deposits(&store, "a", 30).await;
    let running = Running::start(&FeedSource::Kafka(settings), &store, &recorder);
    until_handled(&database.pool, 30).await;
    let seen = recorder.seen();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen["a"], (1..=30).collect::<Vec<i64>>());
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_kafka_has_comes_from_kafka_and_lag_tools_see_how_far() {
    let database = testing::database().await;
    let (store, settings) = (open(&database.pool).await, topics().await);
    let _relay = RunningRelay::start(&store, &settings, "relay");
    for account in 0..40 {
        deposits(&store, &format!("account-{account}"), 25).await;
    }
    until_published(&database.pool, 1_000).await;
    let recorder = Recorder::default();
    let source = FeedSource::Kafka(settings.clone());
    let running = Running::start(&source, &store, &recorder);
    until_handled(&database.pool, 1_000).await;
    let records = read_all(&settings).await;
    let published = |partition| {
        let of = |record: &&crate::publishing::Record| {
            record.topic == "account-events" && record.partition == partition
        };
        i64::try_from(records.iter().filter(of).count()).unwrap()
    };
    let expected: Vec<i64> = (0..settings.partitions).map(published).collect();
    let group = format!("{}recorder-group", settings.topic_prefix);
    testing::until("the offsets are committed", LONG, async || {
        committed_offsets(&settings, &group).await == expected
    })
    .await;
    // Offsets come from records: what was read from the log has none.
    let hints: i64 = sqlx::query_scalar(
        "select count(*) from reactor_progress where record_offset is not null and record_position is not null",
    )
    .fetch_one(&database.pool)
    .await
    .unwrap();
    assert_eq!(hints, i64::from(settings.partitions));
    assert_eq!(recorder.count(), 1_000);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_type_without_a_topic_is_refused() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let settings = KafkaSettings {
        topics: Topics::new([("name", "name-events")]),
        ..topics().await
    };
    let running = Running::start(&FeedSource::Kafka(settings), &store, &Recorder::default());
    let error = running.ended().await.unwrap_err();
    assert!(matches!(error, ReactionsError::Unmapped(unmapped) if unmapped == "account"));
}

#[tokio::test]
async fn a_setting_that_the_client_does_not_know_is_refused() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let settings = KafkaSettings {
        options: vec![("compression.tipe".to_owned(), "lz4".to_owned())],
        ..settings()
    };
    let running = Running::start(&FeedSource::Kafka(settings), &store, &Recorder::default());
    let error = running.ended().await.unwrap_err();
    assert!(matches!(error, ReactionsError::Feed(_)), "{error}");
}
