//! What it means to share one reading of the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use eventstore::{Checkpoint, FeedSource, Feeds};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use super::{Followed, Way, read_to};
use crate::publishing::{
    LONG, RunningRelay, committed_offsets, deposits, read_all, topics, until_published,
};
use crate::support::open;

/// How many events are asked for at once, by one follower each.
const LIMITS: [usize; 6] = [1, 7, 40, 100, 1_000, 4_000];

/// More than are kept for who is slow.
const MANY: i64 = 12_000;

/// A log that is followed over connections of its own, so that they can be over when the server is asked what they read.
async fn followed_apart(way: Way) -> (Followed, PgPool) {
    let database = testing::database().await;
    let pool = PgPoolOptions::new().connect(&database.url).await.unwrap();
    let store = open(&pool).await;
    (Followed::of(way, store, database).await, pool)
}

/// How many rows of the log were read on behalf of followers, all of them being over: what the relay has read is not counted.
async fn rows_read(way: Way, followed: Followed, pool: PgPool) -> i64 {
    let events = followed.store.read_head().await.unwrap().position;
    let is_published = matches!(way, Way::Kafka | Way::SharedKafka);
    if is_published {
        until_published(&pool, events).await;
    }
    let Followed {
        store, database, ..
    } = followed;
    store.close().await;
    drop(store);
    pool.close().await;
    let counting = PgPoolOptions::new().max_connections(1);
    let counting = counting.connect(&database.url).await.unwrap();
    testing::until("the other sessions are over", LONG, async || {
        // The server counts at the end of a session at the latest.
        let others: Vec<bool> = sqlx::query_scalar(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()
               and backend_type = 'client backend'",
        )
        .fetch_all(&counting)
        .await
        .unwrap();
        others.is_empty()
    })
    .await;
    let rows: i64 = sqlx::query_scalar(
        "select coalesce(idx_tup_fetch, 0) from pg_stat_user_tables where relname = 'events'",
    )
    .fetch_one(&counting)
    .await
    .unwrap();
    if is_published { rows - events } else { rows }
}

async fn what_all_follow_is_read_once(way: Way) {
    const EVENTS: i64 = 8_000;
    let (followed, pool) = followed_apart(way).await;
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
    let rows = rows_read(way, followed, pool).await;
    // Some more for looks at the head, and at what a page follows; one that reads alone would read all once more.
    assert!(
        (EVENTS..2 * EVENTS).contains(&rows),
        "{rows} rows were read"
    );
}

async fn who_is_slow_reads_alone_and_comes_back(way: Way) {
    let (followed, pool) = followed_apart(way).await;
    let mut slow = followed.open(Checkpoint::START).await;
    let mut quick = followed.open(Checkpoint::START).await;
    deposits(&followed.store, "a", 10).await;
    let first = read_to(&mut *slow, 0, 1, 5).await;
    let at = i64::try_from(first.len()).unwrap();
    read_to(&mut *quick, 0, 10, 10).await;
    let rounds = MANY / 200;
    for round in 0..2 * rounds {
        let before = 10 + round * 200;
        if round == rounds {
            // What it stands at is not kept any more.
            read_to(&mut *slow, at, before, 1_000).await;
        }
        deposits(&followed.store, &format!("account-{round}"), 200).await;
        read_to(&mut *quick, before, before + 200, 200).await;
        if round >= rounds {
            read_to(&mut *slow, before, before + 200, 200).await;
        }
    }
    drop((slow, quick));
    let rows = rows_read(way, followed, pool).await;
    // Once for both, and once more what the slow one has missed.
    let expected = 10 + 3 * MANY;
    assert!(
        (expected - 200..expected + MANY / 2).contains(&rows),
        "{rows} rows were read, about {expected} were to be"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_is_everybodys_and_nobody_misses_anything() {
    const ROUNDS: i64 = 3;
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let feeds = Feeds::new(store.clone(), FeedSource::Store);
    let positions: Vec<_> = LIMITS.iter().map(|_| Arc::new(AtomicI64::new(0))).collect();
    let errors: Vec<_> = LIMITS.iter().map(|_| Arc::new(AtomicI64::new(0))).collect();
    let mut following = Vec::new();
    for ((limit, position), errors) in LIMITS.into_iter().zip(&positions).zip(&errors) {
        let mut feed = feeds.open("test", Checkpoint::START).await.unwrap();
        let (position, errors) = (Arc::clone(position), Arc::clone(errors));
        following.push(tokio::spawn(async move {
            while position.load(Ordering::Relaxed) < ROUNDS * 100 {
                match feed.next(limit).await {
                    Ok(events) => {
                        for event in events {
                            let before = position.fetch_add(1, Ordering::Relaxed);
                            assert_eq!(event.position, before + 1);
                        }
                    }
                    Err(error) => {
                        assert!(error.is_transient(), "{error}");
                        errors.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        }));
    }
    let all = |counts: &[Arc<AtomicI64>], least: i64| {
        let counts = counts.iter();
        let mut counts = counts.map(|count| count.load(Ordering::Relaxed));
        counts.all(|count| count >= least)
    };
    for round in 1..ROUNDS {
        deposits(&store, &format!("account-{round}"), 100).await;
        testing::until("all are there", LONG, async || all(&positions, round * 100)).await;
        let before: Vec<i64> = errors.iter().map(|it| it.load(Ordering::Relaxed)).collect();
        // As a database that cannot be read for a while.
        execute(&database.pool, "alter table events rename to away").await;
        testing::until("all have met an error", LONG, async || {
            let after = errors.iter().map(|it| it.load(Ordering::Relaxed));
            after.zip(&before).all(|(after, before)| after > *before)
        })
        .await;
        execute(&database.pool, "alter table away rename to events").await;
    }
    deposits(&store, "last", 100).await;
    for feed in following {
        feed.await.unwrap();
    }
}

async fn execute(pool: &PgPool, statement: &str) {
    sqlx::query(statement).execute(pool).await.unwrap();
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
