//! Topics that begin beyond the checkpoint, and topics that are emptied, deleted and made anew under a running worker.

use eventstore::{EventStore, RecordedEvent};
use faults::alone;
use testing::Database;

use super::catalogue::{Catalogue, Worker};
use super::shop;
use super::topics::TestTopics;

/// A log of 20,000 events and topics that hold all of them.
async fn published(note: &str) -> (Database, EventStore, TestTopics) {
    let database = testing::database().await;
    let store = shop::open(&database.pool).await;
    shop::create(&store, 0..100).await;
    shop::receive(&store, 0..100, 199, note).await;
    let topics = TestTopics::new().await;
    topics.produce(&after(&store, 0).await);
    (database, store, topics)
}

/// So that a client that reads ahead has not read everything before it is deleted.
fn large() -> String {
    "large ".repeat(900)
}

async fn after(store: &EventStore, position: i64) -> Vec<RecordedEvent> {
    store
        .read_after(position, i64::from(i32::MAX))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_that_begin_beyond_the_checkpoint() {
    let _alone = alone().await;
    let (_database, store, topics) = published("").await;
    let mut worker = Worker::begin(&store, &topics.settings).await;
    worker.reach(5_000).await;
    let catalogue = std::mem::take(&mut worker.catalogue);
    drop(worker);

    topics.delete_records(25).await;
    let mut worker = Worker::go_on(&store, &topics.settings, catalogue).await;
    worker.is_exact("begins at three quarters").await;
    let mut worker = Worker::begin(&store, &topics.settings).await;
    worker.is_exact("from the start").await;
    topics.delete_records(0).await;
    let mut worker = Worker::go_on(&store, &topics.settings, Catalogue::default()).await;
    worker.is_exact("nothing left").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_that_are_emptied_under_a_running_worker() {
    let _alone = alone().await;
    let (_database, store, topics) = published(&large()).await;
    let mut worker = Worker::begin(&store, &topics.settings).await;
    worker.reach(3_000).await;
    topics.delete_records(0).await;
    worker.reach(20_000).await;

    let from_log = worker.feed.events_from_log();
    assert!(from_log > 0, "everything was read before it was deleted");

    over_kafka_again(&store, &topics, &mut worker).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_that_are_deleted_and_made_anew_under_a_running_worker() {
    let _alone = alone().await;
    let (_database, store, topics) = published("").await;
    let mut worker = Worker::begin(&store, &topics.settings).await;
    worker.reach(3_000).await;
    topics.delete().await;
    more_of_the_log(&store).await;
    worker.is_exact("deleted").await;

    topics.create_again().await;
    // As `nakku relay --from 0` does.
    topics.produce(&after(&store, 0).await);
    more(&store, &topics, &mut worker, "made anew").await;
    over_kafka_again(&store, &topics, &mut worker).await;
}

/// What comes later comes over Kafka, though perhaps not at once.
async fn over_kafka_again(store: &EventStore, topics: &TestTopics, worker: &mut Worker) {
    testing::until("Kafka is followed again", super::LONG, async || {
        let before = worker.feed.events_from_log();
        more(store, topics, worker, "later").await;
        worker.feed.events_from_log() - before < 1_000
    })
    .await;
}

async fn more_of_the_log(store: &EventStore) {
    shop::receive(store, 0..100, 20, "more").await;
}

/// Appends 2,000 events and publishes them.
async fn more(store: &EventStore, topics: &TestTopics, worker: &mut Worker, what: &str) {
    let head = store.read_head().await.unwrap().position;
    more_of_the_log(store).await;
    topics.produce(&after(store, head).await);
    worker.is_exact(what).await;
}
