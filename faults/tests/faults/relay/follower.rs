//! A read model over a Kafka feed: a sum for each stream.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use eventstore::{Checkpoint, EventStore, Feed, KafkaFeed, KafkaSettings, RecordedEvent};
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::shop::Shop;

/// Events of a batch.
const BATCH: usize = 500;

/// So many events in a row without one from the log are no accident.
const FROM_KAFKA: i64 = 1_000;

/// A follower at work.
pub(super) struct Follower {
    settings: KafkaSettings,
    task: JoinHandle<()>,
    /// Events that it read from the log.
    from_log: Arc<AtomicU64>,
    stop: CancellationToken,
}

impl Follower {
    /// Follows everything from the start.
    pub(super) async fn start(shop: &Shop, settings: &KafkaSettings) -> Follower {
        let pool = shop.database.pool.clone();
        sqlx::raw_sql(
            "create table totals (key text primary key, total bigint not null, version bigint not null);
             create table followed (position bigint not null);
             insert into followed values (0)",
        )
        .execute(&pool)
        .await
        .unwrap();
        let feed = KafkaFeed::open(&shop.store, settings, "totals", Checkpoint::START)
            .await
            .unwrap();
        let stop = CancellationToken::new();
        let from_log = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(follow(
            feed,
            shop.store.clone(),
            stop.clone(),
            from_log.clone(),
        ));
        Follower {
            settings: settings.clone(),
            task,
            from_log,
            stop,
        }
    }

    /// Waits until it takes everything from Kafka again, while the log grows.
    pub(super) async fn back_on_kafka(&self, shop: &Shop) {
        let (mut began, mut from_log) = (followed(&shop.database.pool).await, u64::MAX);
        testing::until("it takes everything from Kafka", super::SOON, async || {
            let position = followed(&shop.database.pool).await;
            let now = self.from_log.load(Ordering::Relaxed);
            if now != from_log {
                (began, from_log) = (position, now);
            }
            position - began >= FROM_KAFKA
        })
        .await;
    }

    /// Waits until it has everything, compares it with the log, and says how much came from the log instead of Kafka: to
    /// this one, and to one that reads all of it once more when everything is in Kafka.
    pub(super) async fn checked(self, shop: &Shop) -> (u64, u64) {
        let pool = &shop.database.pool;
        let head = shop.status().await.head;
        testing::until("the follower has everything", super::SOON, async || {
            followed(pool).await >= head
        })
        .await;
        self.stop.cancel();
        self.task.await.unwrap();
        let from_log = self.from_log.load(Ordering::Relaxed);
        let differences: Vec<(String, i64, i64)> = sqlx::query_as(
            "with expected as (
               select aggregate_type || '-' || aggregate_id as key,
                      sum((payload ->> 'amount')::bigint)::bigint as total, max(sequence) as version
               from events group by 1
             )
             (select * from expected except select * from totals)
             union all (select * from totals except select * from expected)",
        )
        .fetch_all(pool)
        .await
        .unwrap();
        assert!(
            differences.is_empty(),
            "not as the log says: {differences:?}"
        );
        (from_log, read_again(shop, &self.settings, head).await)
    }
}

async fn read_again(shop: &Shop, settings: &KafkaSettings, head: i64) -> u64 {
    let mut feed = KafkaFeed::open(&shop.store, settings, "again", Checkpoint::START)
        .await
        .unwrap();
    let mut position = 0;
    while position < head {
        for event in feed.next(BATCH).await.unwrap() {
            position += 1;
            assert_eq!(event.position, position, "in order and without a hole");
        }
    }
    feed.events_from_log()
}

async fn followed(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select position from followed")
        .fetch_one(pool)
        .await
        .unwrap()
}

/// Until it is stopped; counts how many events came from the log.
async fn follow(
    mut feed: KafkaFeed,
    store: EventStore,
    stop: CancellationToken,
    from_log: Arc<AtomicU64>,
) {
    let mut position = 0;
    while !stop.is_cancelled() {
        let events = feed.next(BATCH).await.unwrap();
        for event in &events {
            position += 1;
            assert_eq!(event.position, position, "in order and without a hole");
        }
        if !events.is_empty() {
            fold(store.pool(), &events, position).await;
        }
        from_log.store(feed.events_from_log(), Ordering::Relaxed);
    }
}

/// The sums and the position, together.
async fn fold(pool: &PgPool, events: &[RecordedEvent], position: i64) {
    let mut sums: HashMap<String, (i64, i64)> = HashMap::new();
    for event in events {
        let key = format!("{}-{}", event.aggregate_type, event.aggregate_id);
        let payload: serde_json::Value = serde_json::from_str(&event.payload).unwrap();
        let sum = sums.entry(key).or_default();
        *sum = (sum.0 + payload["amount"].as_i64().unwrap(), event.sequence);
    }
    let keys: Vec<String> = sums.keys().cloned().collect();
    let totals: Vec<i64> = sums.values().map(|sum| sum.0).collect();
    let versions: Vec<i64> = sums.values().map(|sum| sum.1).collect();
    let mut transaction = pool.begin().await.unwrap();
    sqlx::query(
        "insert into totals select * from unnest($1::text[], $2::bigint[], $3::bigint[])
         on conflict (key) do update
         set total = totals.total + excluded.total, version = excluded.version",
    )
    .bind(keys)
    .bind(totals)
    .bind(versions)
    .execute(&mut *transaction)
    .await
    .unwrap();
    sqlx::query("update followed set position = $1")
        .bind(position)
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
}
