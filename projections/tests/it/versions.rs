//! Events of older versions of the program are projected as what they say in the present form, from either feed.

use eventstore::{FeedSource, Relay, dead_letters, ensure_topics};
use projections::ReadModel;
use projections::verify::verify;
use read_models::replays::State;
use read_models::search::{DirectoryId, SearchReader, SearchRequest};
use read_models::stock;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::kafka::settings;
use crate::shop::{PATIENCE, REPLAY, Running, STORE, Shop};

/// The topics of a shop, and a relay that fills them.
pub struct Published {
    pub source: FeedSource,
    shutdown: CancellationToken,
    relay: JoinHandle<Result<(), eventstore::RelayError>>,
}

impl Published {
    pub async fn from(shop: &Shop) -> Self {
        let settings = settings();
        ensure_topics(&settings).await.unwrap();
        let shutdown = CancellationToken::new();
        let relay = Relay::new(shop.store.clone(), settings.clone(), "relay");
        let token = shutdown.clone();
        Self {
            source: FeedSource::Kafka(settings),
            shutdown,
            relay: tokio::spawn(async move { relay.run(token).await }),
        }
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.relay.await.unwrap().unwrap();
    }
}

/// Appends an event of a stock as a program of another version wrote it.
pub async fn plant(shop: &Shop, stream: (&str, &str), event: (&str, &str), payload: &str) -> i64 {
    sqlx::query_scalar(
        "insert into events (position, event_id, aggregate_type, aggregate_id, sequence,
                             event_type, event_version, payload, metadata, recorded_at)
         select coalesce(max(position), 0) + 1, gen_random_uuid(), $1, $2,
                coalesce(max(sequence) filter (where aggregate_type = $1 and aggregate_id = $2), 0) + 1,
                $3, $4, $5::json, '{}', clock_timestamp()
         from events returning position",
    )
    .bind(stream.0)
    .bind(stream.1)
    .bind(event.0)
    .bind(event.1)
    .bind(payload)
    .fetch_one(shop.pool())
    .await
    .unwrap()
}

/// What an SKU's stock is in the live generation and in the index, where these have come to a position.
pub async fn shown(shop: &Shop, sku: &str, position: i64) -> (stock::Stock, Vec<String>) {
    let generation = shop.reached(ReadModel::Stock, position).await;
    let row = stock::by_key(shop.pool(), generation, STORE, sku)
        .await
        .unwrap()
        .unwrap();
    (row, found_in_stock(shop, position).await)
}

/// The SKUs that the index finds in stock.
pub async fn found_in_stock(shop: &Shop, position: i64) -> Vec<String> {
    let reader = SearchReader::new();
    let (pool, directory) = (shop.pool().clone(), shop.data_directory().to_owned());
    let consumer = DirectoryId::ensure(&directory).unwrap().consumer();
    let following = reader.clone();
    let task = tokio::spawn(async move { following.follow(&pool, &directory, &consumer).await });
    let request = SearchRequest {
        in_stock_at: Some(STORE.to_owned()),
        ..SearchRequest::default()
    };
    let found = reader
        .search(request, position, Instant::now() + PATIENCE)
        .await
        .unwrap();
    task.abort();
    let mut skus: Vec<String> = found.hits.into_iter().map(|hit| hit.sku).collect();
    skus.sort();
    skus
}

#[tokio::test]
async fn old_events_project_and_replay_like_their_present_form() {
    for kafka in [false, true] {
        let shop = Shop::open().await;
        let published = Published::from(&shop).await;
        let source = if kafka {
            published.source.clone()
        } else {
            FeedSource::Store
        };
        let workers = [ReadModel::Stock, ReadModel::Search]
            .map(|model| Running::new(shop.worker_on(source.clone(), model, "worker")));
        for sku in ["old", "present", "gone"] {
            shop.create_product(sku, 199).await;
            shop.receive(sku, 5).await;
        }
        let adjusted = |sku: &str, members: &str, on_hand: u32| {
            format!(
                r#"{{"type":"inventory.adjusted","store_id":"{STORE}","sku":"{sku}",{members},"reason":"counted","on_hand":{on_hand},"reserved":0}}"#
            )
        };
        for (sku, version, members, on_hand) in [
            ("old", "1.0", r#""delta":-2"#, 3),
            ("present", "2.0", r#""expected":5"#, 3),
            ("gone", "1.0", r#""delta":-5"#, 0),
        ] {
            let stream = format!("{STORE}:{sku}");
            let payload = adjusted(sku, members, on_hand);
            plant(
                &shop,
                ("stock", &stream),
                ("inventory.adjusted", version),
                &payload,
            )
            .await;
        }
        // Commands go on from what the old event says.
        let position = shop.receive("old", 4).await;
        let position = position.max(shop.receive("present", 4).await);

        let (old, found) = shown(&shop, "old", position).await;
        let (present, _) = shown(&shop, "present", position).await;
        assert_eq!((old.on_hand, old.available, old.version), (7, 7, 3));
        assert_eq!(
            stock::Stock {
                sku: "old".to_owned(),
                ..present
            },
            old
        );
        assert_eq!(found, ["old", "present"]);
        for worker in &workers {
            let replay = shop.replay(&worker.consumer, REPLAY).await;
            assert_eq!(replay.state, State::Switched);
            assert_eq!(replay.differences.unwrap().count, 0);
        }
        assert_eq!(shown(&shop, "old", position).await, (old, found));
        assert_eq!(dead_letters::count(shop.pool(), None).await.unwrap(), 0);
        for worker in workers {
            worker.stop().await;
        }
        published.stop().await;
        let shutdown = CancellationToken::new();
        let report = verify(&shop.store, shop.data_directory(), "verify", &shutdown)
            .await
            .unwrap();
        assert_eq!(report.findings, []);
    }
}
