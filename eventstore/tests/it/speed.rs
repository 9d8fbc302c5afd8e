use crate::publishing::{RunningRelay, assert_published_once, topics, until_published};
use crate::support::open;
use eventstore::{Checkpoint, Feed, KafkaFeed, StoreFeed};
use std::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn speed() {
    let n: i64 = 300_000;
    let database = testing::database().await;
    sqlx::query(
        "insert into events (position, event_id, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, recorded_at)
         select i, gen_random_uuid(), case when i % 3 = 0 then 'name' else 'account' end, 'stream-' || (i % 1000), (i / 1000) + 1, 'account.deposited', '1.0',
            json_build_object('type','account.deposited','amount', i, 'text', repeat('x', 250))::text::json, '{\"correlation_id\":\"0198c0ff-0000-7000-8000-000000000000\",\"user_id\":\"0198c0ff-0000-7000-8000-000000000001\"}'::json,
            now() - make_interval(secs => 1000) + make_interval(secs => i / 10000.0)
         from generate_series(1, $1) i").bind(n).execute(&database.pool).await.unwrap();
    let store = open(&database.pool).await;
    let began = Instant::now();
    let mut feed = StoreFeed::open(&store, Checkpoint::START).await.unwrap();
    let mut position = 0;
    while position < n {
        for e in feed.next(1000).await.unwrap() {
            position = e.position;
        }
    }
    eprintln!(
        "store feed {:.0}/s",
        n as f64 / began.elapsed().as_secs_f64()
    );
    let settings = topics().await;
    let began = Instant::now();
    let relay = RunningRelay::start(&store, &settings, "relay");
    testing::until("x", std::time::Duration::from_secs(120), async || {
        eventstore::Relay::status(&database.pool)
            .await
            .unwrap()
            .published
            >= n
    })
    .await;
    eprintln!("relay {:.0}/s", n as f64 / began.elapsed().as_secs_f64());
    relay.stop().await.unwrap();
    for round in 0..4 {
        if round == 2 {
            let s = settings.clone();
            let admin: rdkafka::admin::AdminClient<rdkafka::client::DefaultClientContext> =
                rdkafka::ClientConfig::new()
                    .set("bootstrap.servers", &s.brokers)
                    .create()
                    .unwrap();
            let mut l = rdkafka::TopicPartitionList::new();
            for t in s.topic_names() {
                for p in 0..4 {
                    l.add_partition_offset(
                        &t,
                        p,
                        rdkafka::Offset::Offset(7000 + 1500 * i64::from(p)),
                    )
                    .unwrap();
                }
            }
            admin
                .delete_records(&l, &rdkafka::admin::AdminOptions::new())
                .await
                .unwrap();
        }

        let began = Instant::now();
        let mut feed = KafkaFeed::open(&store, &settings, "test", Checkpoint::START)
            .await
            .unwrap();
        let mut position = 0;
        let mut batches = 0;
        while position < n {
            let b = feed.next(1000).await.unwrap();
            batches += 1;
            for e in b {
                assert_eq!(e.position, position + 1);
                position = e.position;
            }
        }
        eprintln!(
            "kafka feed {:.0}/s, {} from log, {batches} batches",
            n as f64 / began.elapsed().as_secs_f64(),
            feed.events_from_log()
        );
    }
    sqlx::query("delete from relay_offsets")
        .execute(&database.pool)
        .await
        .unwrap();
    sqlx::query("delete from checkpoints")
        .execute(&database.pool)
        .await
        .unwrap();
    let began = Instant::now();
    let relay = RunningRelay::start(&store, &settings, "relay");
    testing::until("x", std::time::Duration::from_secs(120), async || {
        eventstore::Relay::status(&database.pool)
            .await
            .unwrap()
            .published
            >= n
    })
    .await;
    eprintln!("rescan {:.0}/s", n as f64 / began.elapsed().as_secs_f64());
    relay.stop().await.unwrap();
    assert_published_once(&settings, n).await;
}
