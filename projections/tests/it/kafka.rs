//! The same over Kafka.

use eventstore::{FeedSource, KafkaSettings, Relay, Topics, ensure_topics};
use projections::ReadModel;
use read_models::products;
use read_models::replays::State;
use tokio_util::sync::CancellationToken;

use crate::shop::{REPLAY, Running, Shop};

/// Few, so that they are made and read quickly.
const PARTITIONS: i32 = 3;

/// Topics that no other test uses; not yet created.
pub fn settings() -> KafkaSettings {
    KafkaSettings {
        brokers: testing::kafka_brokers(),
        topic_prefix: testing::topic_prefix(),
        options: Vec::new(),
        topics: Topics::new([
            ("user", "user-events"),
            ("email", "user-events"),
            ("product", "product-events"),
            ("sku", "product-events"),
            ("stock", "inventory-events"),
        ]),
        partitions: PARTITIONS,
    }
}

#[tokio::test]
async fn kafka_leads_to_the_same_rows_as_the_store() {
    let shop = Shop::open().await;
    let settings = settings();
    ensure_topics(&settings).await.unwrap();
    let shutdown = CancellationToken::new();
    let relay = Relay::new(shop.store.clone(), settings.clone(), "relay");
    let token = shutdown.clone();
    let relaying = tokio::spawn(async move { relay.run(token).await });
    let source = FeedSource::Kafka(settings);
    let worker = Running::new(shop.worker_on(source, ReadModel::Products, "kafka"));

    let (apple, _) = shop.create_product("apple", 199).await;
    let mut position = 0;
    for number in 0..50 {
        shop.create_product(&format!("sku-{number}"), 100).await;
        shop.receive(&format!("sku-{number}"), 1).await;
        position = shop.change_price(&apple, 200 + number).await;
    }
    let generation = shop.reached(ReadModel::Products, position).await;
    let rows = products::list(shop.pool(), generation, None, 200)
        .await
        .unwrap();
    assert_eq!(rows.len(), 51);

    // A replay reads the log itself: what differs came over Kafka.
    let replay = shop.replay("products", REPLAY).await;
    assert_eq!(replay.state, State::Switched);
    assert!(replay.differences.unwrap().is_empty());
    let position = shop.change_price(&apple, 999).await;
    let generation = shop.reached(ReadModel::Products, position).await;
    let row = products::by_id(shop.pool(), generation, &apple)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.price.amount_minor, 999);

    worker.stop().await;
    shutdown.cancel();
    relaying.await.unwrap().unwrap();
}
