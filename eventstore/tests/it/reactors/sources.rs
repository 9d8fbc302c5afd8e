//! From one feed to the other and back.

use eventstore::{FeedSource, KafkaSettings, reactor_progress};

use super::recorder::{NAME, Recorder, Running, until_handled};
use crate::feeds::Followed;
use crate::publishing::deposits;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_the_store_to_kafka_and_back_nothing_is_lost_and_little_repeated() {
    let followed = Followed::over(true).await;
    let (store, pool) = (&followed.store, &followed.database.pool);
    let recorder = Recorder::default();
    let sources = [
        FeedSource::Store,
        followed.source.clone(),
        FeedSource::Store,
        followed.source.clone(),
    ];
    let mut head = 0;
    for source in sources {
        // Some while it is away, some while it works.
        for account in 0..20 {
            deposits(store, &format!("account-{account}"), 1).await;
        }
        let running = Running::start(&source, store, &recorder);
        for account in 0..20 {
            deposits(store, &format!("account-{account}"), 1).await;
        }
        head += 40;
        until_handled(pool, head).await;
        running.stop().await.unwrap();
    }
    let seen = recorder.seen();
    assert_eq!(seen.len(), 20);
    for (stream, sequences) in seen {
        assert_eq!(sequences, (1..=8).collect::<Vec<i64>>(), "{stream}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_goes_on_at_the_lowest_of_the_partitions() {
    let followed = Followed::over(true).await;
    let (store, pool) = (&followed.store, &followed.database.pool);
    let recorder = Recorder::default();
    recorder.hold("slow");
    deposits(store, "before", 3).await;
    let running = Running::start(&followed.source, store, &recorder);
    recorder.until_seen(3).await;
    deposits(store, "slow", 1).await;
    for account in 0..40 {
        deposits(store, &format!("account-{account}"), 2).await;
    }
    recorder.until_seen(83).await;
    running.kill().await;
    let progress = reactor_progress(pool, NAME).await.unwrap().unwrap();
    assert!(progress.position < 4, "{progress:?}");
    recorder.release("slow");
    let running = Running::start(&FeedSource::Store, store, &recorder);
    until_handled(pool, 84).await;
    assert_eq!(recorder.seen()["slow"], [1]);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_of_another_name_or_size_are_begun_where_the_old_ones_were_left() {
    let followed = Followed::over(true).await;
    let (store, pool) = (&followed.store, &followed.database.pool);
    let recorder = Recorder::default();
    deposits(store, "a", 5).await;
    let running = Running::start(&followed.source, store, &recorder);
    until_handled(pool, 5).await;
    running.stop().await.unwrap();
    deposits(store, "a", 5).await;
    let other = KafkaSettings {
        partitions: 3,
        ..crate::publishing::settings()
    };
    eventstore::ensure_topics(&other).await.unwrap();
    // Nobody publishes to these: the log is read.
    let running = Running::start(&FeedSource::Kafka(other), store, &recorder);
    until_handled(pool, 10).await;
    assert_eq!(recorder.seen()["a"], (1..=10).collect::<Vec<i64>>());
    let places: i64 = sqlx::query_scalar("select count(*) from reactor_progress")
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(places, 3, "those of the old topics are gone");
    running.stop().await.unwrap();
}
