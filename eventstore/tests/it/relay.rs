//! The relay: every event once and in order, whatever ends it.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use eventstore::{CommandContext, Lease, Relay, RelayError, Topics, ensure_topics};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use sqlx::PgPool;

use crate::publishing::{
    LONG, PARTITIONS, RunningRelay, assert_in_order, assert_published_once, deposits, expire_lease,
    read_all, topics, until_published,
};
use crate::support::{at_once, claim, context, deposit, deposit_in, open};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_published_once_with_the_headers_of_the_contract() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let settings = topics().await;
    let context = CommandContext {
        correlation_id: Some("correlation".to_owned()),
        causation_id: Some("causation".to_owned()),
        user_id: Some("user".to_owned()),
        traceparent: Some("00-1-2-01".to_owned()),
        ..context()
    };
    deposit_in(&store, "store-1:sku", 5, context).await.unwrap();
    claim(&store, "anna", "the name").await.unwrap();
    let relay = RunningRelay::start(&store, &settings, "relay");
    until_published(&database.pool, 3).await;
    relay.stop().await.unwrap();

    assert_published_once(&settings, 3).await;
    let events = store.read_after(0, 10).await.unwrap();
    let records = read_all(&settings).await;
    let record = records
        .iter()
        .find(|record| record.position() == 1)
        .unwrap();
    let event = &events[0];
    assert_eq!(record.topic, "account-events");
    assert_eq!(record.key, "account-store-1:sku");
    assert_eq!(record.value, event.payload);
    assert_eq!(record.timestamp, event.recorded_at.timestamp_millis());
    let time: DateTime<Utc> = record.header("ce_time").parse().unwrap();
    assert_eq!(time, event.recorded_at);
    let mut headers = record.headers.clone();
    headers.remove("ce_time");
    let id = event.event_id.to_string();
    let expected = [
        ("ce_specversion", "1.0"),
        ("ce_id", &id),
        ("ce_source", "/nakku/account"),
        ("ce_type", "account.deposited"),
        ("ce_subject", "store-1:sku"),
        ("content-type", "application/json"),
        ("ce_log", "main"),
        ("ce_position", "1"),
        ("ce_sequence", "1"),
        ("ce_streamtype", "account"),
        ("ce_eventversion", "1.0"),
        ("ce_epoch", "1"),
        ("ce_correlationid", "correlation"),
        ("ce_causationid", "causation"),
        ("ce_userid", "user"),
        ("traceparent", "00-1-2-01"),
    ];
    let expected: HashMap<String, String> = expected
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert_eq!(headers, expected);

    let claimed = records
        .iter()
        .find(|record| record.position() == 3)
        .unwrap();
    assert_eq!(
        (claimed.topic.as_str(), claimed.key.as_str()),
        ("name-events", "name-the name")
    );
    assert!(
        !claimed.headers.contains_key("ce_userid"),
        "absent values are left out"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_dies_at_any_time_is_followed_by_one_that_repeats_nothing() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let settings = topics().await;
    let writers = store.clone();
    let writing = tokio::spawn(at_once(30, move |index| {
        let store = writers.clone();
        async move {
            for _ in 0..10 {
                deposits(&store, &format!("account-{index}"), 20).await;
            }
        }
    }));
    for round in 1..=10 {
        let relay = RunningRelay::start(&store, &settings, "relay");
        // Somewhere on the way, each time at another place.
        until_published(&database.pool, round * 450 + round * round * 7).await;
        relay.kill().await;
        expire_lease(&database.pool, "relay").await;
    }
    tokio::time::timeout(LONG, writing).await.unwrap().unwrap();
    let relay = RunningRelay::start(&store, &settings, "relay");
    until_published(&database.pool, 6_000).await;
    relay.stop().await.unwrap();
    assert_published_once(&settings, 6_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_relays_one_leads_and_the_other_takes_over() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let settings = topics().await;
    let first = RunningRelay::start(&store, &settings, "first");
    deposits(&store, "a", 50).await;
    until_published(&database.pool, 50).await;
    let second = RunningRelay::start(&store, &settings, "second");
    deposits(&store, "b", 50).await;
    until_published(&database.pool, 100).await;
    let leader = async || Relay::status(&database.pool).await.unwrap().leader;
    assert_eq!(leader().await.as_deref(), Some("first"));

    first.stop().await.unwrap();
    deposits(&store, "c", 50).await;
    until_published(&database.pool, 150).await;
    assert_eq!(leader().await.as_deref(), Some("second"));
    second.stop().await.unwrap();
    assert_eq!(leader().await, None);
    assert_published_once(&settings, 150).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_lease_was_taken_moves_nothing_any_more() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let settings = topics().await;
    let relay = RunningRelay::start(&store, &settings, "frozen");
    deposits(&store, "a", 10).await;
    until_published(&database.pool, 10).await;
    let mut lease = None;
    testing::until("the lease is another's", LONG, async || {
        // The leader may renew it in between.
        expire_lease(&database.pool, "relay").await;
        let acquired = Lease::acquire(&database.pool, "relay", "other").await;
        lease = acquired.unwrap();
        lease.is_some()
    })
    .await;
    deposits(&store, "a", 10).await;
    testing::until("the first stands by", LONG, async || {
        let status = Relay::status(&database.pool).await.unwrap();
        status.leader.as_deref() == Some("other")
    })
    .await;
    // It may have published them, but it cannot say so.
    assert_eq!(Relay::status(&database.pool).await.unwrap().published, 10);
    lease.unwrap().release().await.unwrap();
    until_published(&database.pool, 20).await;
    relay.stop().await.unwrap();
    assert_published_once(&settings, 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_publishes_what_is_missing_and_repeats_nothing_else() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let settings = topics().await;
    let relay = RunningRelay::start(&store, &settings, "relay");
    for round in 0..4 {
        deposits(&store, &format!("account-{round}"), 25).await;
    }
    until_published(&database.pool, 100).await;
    Relay::reset(&database.pool, 0).await.unwrap();
    until_published(&database.pool, 100).await;
    assert_published_once(&settings, 100).await;

    let missing = Relay::reset(&database.pool, 101).await;
    assert!(matches!(missing, Err(RelayError::NoPosition(101))));
    relay.stop().await.unwrap();
}

pub async fn recreate(settings: &eventstore::KafkaSettings) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &settings.brokers)
        .create()
        .unwrap();
    let names = settings.topic_names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let deleted = admin
        .delete_topics(&names, &AdminOptions::new())
        .await
        .unwrap();
    assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    let mut created = HashSet::new();
    testing::until("the topics are new", LONG, async || {
        // As long as an old one is known, it is not created.
        let topics = ensure_topics(settings).await.unwrap();
        created.extend(
            topics
                .into_iter()
                .filter(|topic| topic.created)
                .map(|topic| topic.name),
        );
        created.len() == names.len()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_that_were_emptied_are_filled_again() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let settings = topics().await;
    for round in 0..10 {
        deposits(&store, &format!("account-{round}"), 10).await;
    }
    let relay = RunningRelay::start(&store, &settings, "relay");
    until_published(&database.pool, 100).await;
    relay.stop().await.unwrap();
    recreate(&settings).await;

    let relay = RunningRelay::start(&store, &settings, "relay");
    testing::until("everything is there again", LONG, async || {
        read_all(&settings).await.len() >= 100
    })
    .await;
    until_published(&database.pool, 100).await;
    relay.stop().await.unwrap();
    assert_published_once(&settings, 100).await;
}

/// Brokers take records of a producer that they do not know from any sequence number on: what is sent behind one that they
/// refuse must not be there before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_goes_ahead_of_a_record_that_is_refused() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let settings = topics().await;
    for _ in 0..50 {
        deposits(&store, "a", 20).await;
    }
    sqlx::query(
        // Of no use to compress.
        "update events set payload = jsonb_set(payload::jsonb, '{note}', (
             select to_jsonb(string_agg(md5(random()::text), '')) from generate_series(1, 1500)))::json
         where position = 1",
    )
    .execute(&database.pool)
    .await
    .unwrap();
    bound_records(&settings, "20000").await;
    let relay = RunningRelay::start(&store, &settings, "relay");
    testing::until("it was tried in every size", LONG, async || {
        Relay::status(&database.pool).await.unwrap().attempts >= 6
    })
    .await;
    assert!(read_all(&settings).await.is_empty());
    bound_records(&settings, "1000000").await;
    until_published(&database.pool, 1_000).await;
    relay.stop().await.unwrap();
    assert_published_once(&settings, 1_000).await;
}

/// Bytes that a batch of records may have.
async fn bound_records(settings: &eventstore::KafkaSettings, bytes: &str) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &settings.brokers)
        .create()
        .unwrap();
    for topic in settings.topic_names() {
        let config =
            AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("max.message.bytes", bytes);
        let altered = admin.alter_configs([&config], &AdminOptions::new()).await;
        assert!(altered.unwrap().iter().all(Result::is_ok));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_topic_is_waited_for() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let settings = crate::publishing::settings();
    let relay = RunningRelay::start(&store, &settings, "relay");
    deposits(&store, "a", 10).await;
    testing::until("it leads", LONG, async || {
        Relay::status(&database.pool)
            .await
            .unwrap()
            .leader
            .is_some()
    })
    .await;
    ensure_topics(&settings).await.unwrap();
    until_published(&database.pool, 10).await;
    relay.stop().await.unwrap();
    assert_published_once(&settings, 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_an_operator_can_mend_ends_it_with_what_to_run() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let settings = topics().await;
    claim(&store, "a", "name").await.unwrap();
    let unmapped = eventstore::KafkaSettings {
        topics: Topics::new([("account", "account-events")]),
        ..settings.clone()
    };
    let error = RunningRelay::start(&store, &unmapped, "relay")
        .ended()
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "no topic is set for aggregate type name");

    deposits(&store, "a", 8).await;
    let relay = RunningRelay::start(&store, &settings, "relay");
    until_published(&database.pool, 10).await;
    relay.stop().await.unwrap();

    let error = after(
        &store,
        &settings,
        &database.pool,
        "delete from events where position > 7",
    )
    .await;
    assert!(
        matches!(error, RelayError::Rewound { position: 10 }),
        "{error}"
    );
    assert!(
        error.to_string().contains("`nakku relay --from 0`"),
        "{error}"
    );

    // A backup that is consistent in itself, older than what Kafka holds.
    let restore = "with forgotten as (delete from relay_offsets)
         update checkpoints c set position = e.position, event_id = e.event_id from events e
         where c.consumer = 'relay' and e.position = 5";
    let error = after(&store, &settings, &database.pool, restore).await;
    assert!(matches!(error, RelayError::OtherLog { .. }), "{error}");
}

async fn after(
    store: &eventstore::EventStore,
    settings: &eventstore::KafkaSettings,
    pool: &PgPool,
    statement: &str,
) -> RelayError {
    sqlx::query(statement).execute(pool).await.unwrap();
    RunningRelay::start(store, settings, "relay")
        .ended()
        .await
        .unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_says_what_is_pending_and_for_how_long() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let empty = Relay::status(&database.pool).await.unwrap();
    assert_eq!((empty.head, empty.published, empty.pending), (0, 0, 0));
    assert!(empty.oldest_seconds.abs() < f64::EPSILON);

    deposit(&store, "a", 1).await.unwrap();
    deposits(&store, "b", 4).await;
    let status = Relay::status(&database.pool).await.unwrap();
    assert_eq!((status.head, status.published, status.pending), (5, 0, 5));
    assert!(status.oldest_seconds > 0.0);
    assert_eq!(status.leader, None);

    let settings = topics().await;
    let relay = RunningRelay::start(&store, &settings, "relay");
    until_published(&database.pool, 5).await;
    relay.stop().await.unwrap();
    let status = Relay::status(&database.pool).await.unwrap();
    assert_eq!((status.published, status.pending), (5, 0));
    assert_in_order(&read_all(&settings).await);
    assert_eq!(settings.partitions, PARTITIONS);
}
