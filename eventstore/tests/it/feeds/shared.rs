//! What it means to share one reading of the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use eventstore::{Checkpoint, FeedSource, Feeds};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use super::{Followed, Way, read_to};
use crate::publishing::{
    LONG, RunningRelay, committed_offsets, deposits, read_all, topics, until_published,
};
use crate::support::{Proxy, open};

/// How many events are asked for at once, by one follower each.
const LIMITS: [usize; 6] = [1, 7, 40, 100, 1_000, 4_000];

/// More than are kept for who is slow.
const MANY: i64 = 12_000;

/// How many rows of the log's table were read, once every session is over.
async fn rows_read(pool: &PgPool) -> i64 {
    let mut rows = 0;
    testing::until("the other sessions are over", LONG, async || {
        let others: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()",
        )
        .fetch_one(pool)
        .await
        .unwrap();
        rows = sqlx::query_scalar(
            "select coalesce(idx_tup_fetch, 0) from pg_stat_user_tables where relname = 'events'",
        )
        .fetch_one(pool)
        .await
        .unwrap();
        others == 0
    })
    .await;
    rows
}

async fn what_all_follow_is_read_once(way: Way) {
    const EVENTS: i64 = 4_000;
    let database = testing::database().await;
    let pool = PgPoolOptions::new().connect(&database.url).await.unwrap();
    let store = open(&pool).await;
    let followed = Followed::of(way, store, database).await;
    let mut following = Vec::new();
    for limit in LIMITS {
        let mut feed = followed.open(Checkpoint::START).await;
        following.push(tokio::spawn(async move {
            let events = read_to(&mut *feed, 0, EVENTS, limit).await;
            events.len()
        }));
    }
    for account in 0..EVENTS / 100 {
        deposits(&followed.store, &format!("account-{account}"), 100).await;
    }
    for feed in following {
        assert_eq!(i64::try_from(feed.await.unwrap()).unwrap(), EVENTS);
    }
    let Followed {
        store, database, ..
    } = followed;
    store.close().await;
    drop(store);
    pool.close().await;
    let counting = PgPoolOptions::new().max_connections(1);
    let rows = rows_read(&counting.connect(&database.url).await.unwrap()).await;
    // Each for itself would have read all of them.
    let each = EVENTS * i64::try_from(LIMITS.len()).unwrap();
    assert!((EVENTS..each / 2).contains(&rows), "{rows} rows were read");
}

async fn who_is_slow_reads_alone_and_comes_back(way: Way) {
    let followed = Followed::by(way).await;
    let mut slow = followed.open(Checkpoint::START).await;
    let mut quick = followed.open(Checkpoint::START).await;
    deposits(&followed.store, "a", 10).await;
    let first = read_to(&mut *slow, 0, 1, 5).await;
    let at = i64::try_from(first.len()).unwrap();
    for account in 0..MANY / 200 {
        deposits(&followed.store, &format!("account-{account}"), 200).await;
    }
    read_to(&mut *quick, 0, 10 + MANY, 4_000).await;
    // What it stands at is not kept any more.
    read_to(&mut *slow, at, 10 + MANY, 1_000).await;
    for round in 1..=50 {
        deposits(&followed.store, "a", 1).await;
        let to = 10 + MANY + round;
        read_to(&mut *slow, to - 1, to, 10).await;
        read_to(&mut *quick, to - 1, to, 10).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_is_everybodys_and_nobody_misses_anything() {
    let database = testing::database().await;
    let writer = open(&database.pool).await;
    let proxy = Proxy::before(&database.url).await;
    let pool = PgPoolOptions::new().connect(&proxy.url).await.unwrap();
    let feeds = Feeds::new(open(&pool).await, FeedSource::Store);
    let furthest = Arc::new(AtomicI64::new(0));
    let mut following = Vec::new();
    for limit in LIMITS {
        let mut feed = feeds.open("test", Checkpoint::START).await.unwrap();
        let furthest = Arc::clone(&furthest);
        following.push(tokio::spawn(async move {
            let mut position = 0;
            let deadline = Instant::now() + LONG;
            while position < 300 {
                assert!(Instant::now() < deadline, "stands at {position}");
                match feed.next(limit).await {
                    Ok(events) => {
                        for event in events {
                            position += 1;
                            assert_eq!(event.position, position);
                        }
                        furthest.fetch_max(position, Ordering::Relaxed);
                    }
                    Err(error) => assert!(error.is_transient(), "{error}"),
                }
            }
        }));
    }
    for round in 1..=30 {
        deposits(&writer, &format!("account-{round}"), 10).await;
        if round % 7 == 0 {
            // Some are at the head, some behind.
            testing::until("one is there", LONG, async || {
                furthest.load(Ordering::Relaxed) == round * 10
            })
            .await;
            proxy.cut();
        }
    }
    for feed in following {
        feed.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lag_tools_see_how_far_each_follower_is() {
    let database = testing::database().await;
    let (store, settings) = (open(&database.pool).await, topics().await);
    let _relay = RunningRelay::start(&store, &settings, "relay");
    let feeds = Feeds::new(store.clone(), FeedSource::Kafka(settings.clone()));
    let names = ["first", "second"].map(|name| format!("{name}-{}", settings.topic_prefix));
    let mut following = Vec::new();
    for name in &names {
        following.push(feeds.open(name, Checkpoint::START).await.unwrap());
    }
    for account in 0..20 {
        deposits(&store, &format!("account-{account}"), 20).await;
    }
    until_published(&database.pool, 400).await;
    for feed in &mut following {
        read_to(&mut **feed, 0, 400, 100).await;
    }
    let records = read_all(&settings).await;
    let published = |partition: i32| {
        let of = records
            .iter()
            .filter(|record| record.topic == "account-events" && record.partition == partition);
        i64::try_from(of.count()).unwrap()
    };
    let expected: Vec<i64> = (0..settings.partitions).map(published).collect();
    testing::until("the offsets are committed", LONG, async || {
        for feed in &mut following {
            assert!(feed.next(100).await.unwrap().is_empty());
        }
        let group = |name| format!("projection-{name}");
        let first = committed_offsets(&settings, &group(&names[0])).await;
        let second = committed_offsets(&settings, &group(&names[1])).await;
        first == expected && second == expected
    })
    .await;
}

macro_rules! shared_suites {
    ($tests:tt) => {
        suite!(store, super::Way::SharedStore, $tests);
        suite!(kafka, super::Way::SharedKafka, $tests);
    };
}

shared_suites!([
    what_all_follow_is_read_once,
    who_is_slow_reads_alone_and_comes_back,
]);
