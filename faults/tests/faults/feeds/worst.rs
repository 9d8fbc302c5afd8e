//! Partitions in the worst order, records that are missing, repeated, foreign or broken.

use eventstore::{Buffered, EventStore, Feed as _, RecordedEvent};
use faults::alone;
use testing::Database;

use super::catalogue::Worker;
use super::shop;
use super::topics::{TestTopics, headers, partition};

/// Everything that the log holds.
async fn events(store: &EventStore) -> Vec<RecordedEvent> {
    let head = store.read_head().await.unwrap().position;
    store.read_after(0, head).await.unwrap()
}

async fn log() -> (Database, EventStore) {
    let database = testing::database().await;
    let store = shop::open(&database.pool).await;
    (database, store)
}

/// The products of partition 0. Their first event is the first of the log.
fn held_back(event: &RecordedEvent) -> bool {
    event.aggregate_type == "product" && partition(event) == 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_is_held_back_by_100_000_positions() {
    let _alone = alone().await;
    let (_database, store) = log().await;
    shop::create(&store, 0..1).await;
    shop::create(&store, 1..400).await;
    shop::receive(&store, 0..400, 250, "from the early lorry").await;
    shop::create(&store, 400..800).await;
    shop::receive(&store, 400..800, 5, "from the late lorry").await;
    let events = events(&store).await;
    let (late, early): (Vec<_>, Vec<_>) = events.iter().partition(|event| held_back(event));
    let apart = |pair: &[&RecordedEvent]| pair[1].position - pair[0].position;
    let gap = late.windows(2).map(apart).max().unwrap();
    assert!(gap >= 100_000, "{gap} positions apart");

    let topics = TestTopics::new().await;
    topics.produce(early.iter().copied());
    let mut worker = Worker::begin(&store, &topics.settings).await;
    // While the first product is nowhere, its stock waits.
    worker.reach(1).await;
    assert!(
        worker.feed.buffered().events_most > 10_000,
        "{:?}",
        worker.feed.buffered()
    );
    let from_log = worker.feed.events_from_log();
    topics.produce(late.iter().copied());
    worker.is_exact("held back").await;
    println!("of those {from_log} before the partition came");

    // And for one that finds all of it there, the late ones last.
    let mut worker = Worker::begin(&store, &topics.settings).await;
    worker.is_exact("last in the topics").await;
    let records = u64::try_from(events.len()).unwrap();
    assert!(
        worker.feed.events_from_log() < records / 2,
        "Kafka brings most of them"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_are_large_do_not_fill_the_memory() {
    let _alone = alone().await;
    let (_database, store) = log().await;
    shop::create(&store, 0..1).await;
    shop::create(&store, 1..100).await;
    shop::receive(&store, 0..100, 120, &"large ".repeat(1_300)).await;
    let events = events(&store).await;
    let topics = TestTopics::new().await;
    topics.produce(events.iter().filter(|event| !held_back(event)));
    drop(events);
    let mut worker = Worker::begin(&store, &topics.settings).await;
    let buffered = worker.is_exact("large events").await;
    assert!(
        buffered.bytes_most >= Buffered::BYTES_MAX,
        "the buffer was full: {buffered:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_are_missing_repeated_foreign_or_broken() {
    let (_database, store) = log().await;
    shop::create(&store, 0..40).await;
    shop::receive(&store, 0..40, 100, "").await;
    let events = events(&store).await;
    let topics = TestTopics::new().await;
    let mut refused = 0;
    for (event, at) in events.iter().zip(1..) {
        let mut changed = headers(event);
        let mut set = |name: &str, value: &str| {
            let header = changed
                .iter_mut()
                .find(|(header, _)| *header == name)
                .unwrap();
            header.1 = value.to_owned();
        };
        match at % 500 {
            // Never produced.
            100 => continue,
            // Of a log that had another event here, before the right one and after it.
            150 => set("ce_id", "00000000-0000-4000-8000-000000000000"),
            200 => {
                topics.produce_as(event, &headers(event));
                set("ce_id", "00000000-0000-4000-8000-000000000000");
            }
            250 => set("ce_log", "orders"),
            300 => changed.retain(|(name, _)| *name != "ce_sequence"),
            350 => set("ce_position", "the seventh"),
            // Nothing can be that far: it must not stop its partition.
            400 => set("ce_position", "9000000000000000000"),
            // Repeated below.
            _ => {}
        }
        if changed != headers(event) {
            refused += 1;
            topics.produce_as(event, &changed);
        }
        if at % 500 != 200 {
            topics.produce_as(event, &headers(event));
        }
        if at % 7 == 0 {
            topics.produce_as(event, &headers(event));
        }
    }
    topics.produce([]);
    let mut worker = Worker::begin(&store, &topics.settings).await;
    worker.is_exact("records of all kinds").await;
    // Those with the position of another are known as such only if they came before it or in its stead.
    refuses(&mut worker, refused / 2).await;
}

/// Waits until so many records were refused: where the log was faster they are read later.
async fn refuses(worker: &mut Worker, at_least: u64) {
    testing::until("records are refused", super::LONG, async || {
        assert!(worker.feed.next(100).await.unwrap().is_empty());
        worker.feed.records_refused() >= at_least
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_of_a_log_that_was_made_anew() {
    let (_database, store) = log().await;
    let (_former_database, former) = log().await;
    shop::create(&former, 0..50).await;
    shop::receive(&former, 0..50, 40, "of the former log").await;
    let topics = TestTopics::new().await;
    topics.produce(&events(&former).await);
    // The same positions, for other events; and the former log was longer.
    shop::create(&store, 0..30).await;
    shop::receive(&store, 0..30, 30, "of this log").await;
    topics.produce(&events(&store).await);
    let mut worker = Worker::begin(&store, &topics.settings).await;
    worker.is_exact("over the records of another log").await;
    refuses(&mut worker, 1).await;
    shop::receive(&store, 0..30, 50, "later").await;
    worker.is_exact("and after it").await;
}
