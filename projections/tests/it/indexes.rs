//! The search index: per data directory, a directory per epoch.

use std::fs;
use std::path::PathBuf;

use projections::ReadModel;
use read_models::replays::State;
use read_models::search::{DirectoryId, SearchReader, SearchRequest};
use read_models::{leases, status};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::shop::{PATIENCE, REPLAY, ROLLBACK, Running, STORE, Shop};

const MODEL: ReadModel = ReadModel::Search;

/// A reader that follows, as `query-api` has one.
struct Reading {
    reader: SearchReader,
    task: JoinHandle<()>,
}

impl Reading {
    fn start(shop: &Shop) -> Self {
        let reader = SearchReader::new();
        let pool = shop.pool().clone();
        let directory = shop.data_directory().to_owned();
        let consumer = DirectoryId::ensure(&directory).unwrap().consumer();
        let following = reader.clone();
        let task =
            tokio::spawn(async move { following.follow(&pool, &directory, &consumer).await });
        Self { reader, task }
    }

    /// The SKUs that a search finds once the index has come to a position.
    async fn find(&self, text: &str, in_stock_at: Option<&str>, position: i64) -> Vec<String> {
        let request = SearchRequest {
            q: text.to_owned(),
            in_stock_at: in_stock_at.map(str::to_owned),
            ..SearchRequest::default()
        };
        let deadline = Instant::now() + PATIENCE;
        let found = self
            .reader
            .search(request, position, deadline)
            .await
            .unwrap();
        found.hits.into_iter().map(|hit| hit.sku).collect()
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn location(shop: &Shop, consumer: &str) -> String {
    leases::current_location(shop.pool(), consumer)
        .await
        .unwrap()
        .unwrap()
        .location
}

#[tokio::test]
async fn a_document_has_a_product_part_and_a_stock_part_in_any_order() {
    let shop = Shop::open().await;
    let reading = Reading::start(&shop);
    let worker = Running::new(shop.worker(MODEL, "first").waking(reading.reader.clone()));
    shop.receive("apple", 3).await;
    let (id, position) = shop.create_product("apple", 199).await;
    assert_eq!(
        reading.find("apple", Some(STORE), position).await,
        ["apple"]
    );
    let (_, position) = shop.create_product("pear", 250).await;
    assert!(reading.find("pear", Some(STORE), position).await.is_empty());
    let position = shop.receive("pear", 3).await;
    assert_eq!(reading.find("pear", Some(STORE), position).await, ["pear"]);
    let position = shop
        .product(&id, domain::product::Command::Discontinue)
        .await;
    assert!(reading.find("apple", None, position).await.is_empty());
    worker.stop().await;
}

#[tokio::test]
async fn a_crashed_owners_index_is_taken_over_in_a_directory_of_its_own() {
    let shop = Shop::open().await;
    let reading = Reading::start(&shop);
    let first = shop.start(MODEL);
    let consumer = first.consumer.clone();
    let (_, position) = shop.create_product("apple", 199).await;
    assert_eq!(reading.find("apple", None, position).await, ["apple"]);
    assert_eq!(location(&shop, &consumer).await, "search/1/1");

    let second = Running::new(shop.worker(MODEL, "second"));
    first.crash().await;
    let (_, position) = shop.create_product("pear", 250).await;
    assert_eq!(reading.find("pear", None, position).await, ["pear"]);
    assert_eq!(reading.find("apple", None, position).await, ["apple"]);
    assert_eq!(location(&shop, &consumer).await, "search/1/2");
    second.stop().await;
}

#[tokio::test]
async fn a_damaged_index_is_built_anew_from_the_log() {
    let shop = Shop::open().await;
    let (_, position) = shop.create_product("apple", 199).await;
    shop.bring_up(MODEL).await;
    let consumer = DirectoryId::ensure(shop.data_directory())
        .unwrap()
        .consumer();
    let directory = shop.data_directory().join(location(&shop, &consumer).await);
    fs::write(segment(&directory, "store"), b"nonsense").unwrap();

    let reading = Reading::start(&shop);
    let worker = shop.start(MODEL);
    assert_eq!(reading.find("apple", None, position).await, ["apple"]);
    // The first index may have answered from what is whole in it.
    crate::shop::until("the new index is live", async || {
        location(&shop, &consumer).await.starts_with("search/2/")
    })
    .await;
    let (_, position) = shop.create_product("pear", 250).await;
    assert_eq!(reading.find("pear", None, position).await, ["pear"]);
    worker.stop().await;
}

fn segment(directory: &PathBuf, extension: &str) -> PathBuf {
    let mut files = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    files
        .find(|path| path.extension().is_some_and(|it| it == extension))
        .unwrap()
}

#[tokio::test]
async fn an_index_is_replayed_compared_and_rolled_back() {
    let shop = Shop::open().await;
    let reading = Reading::start(&shop);
    let worker = shop.start(MODEL);
    let consumer = worker.consumer.clone();
    let (apple, _) = shop.create_product("apple", 199).await;
    let position = shop.receive("apple", 3).await;
    reading.find("apple", None, position).await;

    let replay = shop.replay(&consumer, REPLAY).await;
    assert_eq!(replay.state, State::Switched);
    let differences = replay.differences.unwrap();
    assert_eq!((differences.live_rows, differences.count), (1, 0));
    let position = shop.change_price(&apple, 299).await;
    assert_eq!(reading.find("apple", None, position).await, ["apple"]);
    crate::shop::until("the reader answers from generation 2", async || {
        reading.reader.generation() == Some(2)
    })
    .await;

    assert_eq!(
        shop.replay(&consumer, ROLLBACK).await.state,
        State::RolledBack
    );
    crate::shop::until("the reader answers from generation 1", async || {
        reading.reader.generation() == Some(1)
    })
    .await;
    assert!(reading.reader.snapshot().unwrap().position() >= position);
    crate::shop::until("operators see where both stand", async || {
        let status = status::list(shop.pool(), None).await.unwrap();
        status.len() == 2 && status.iter().all(|it| it.position >= position)
    })
    .await;
    worker.stop().await;
}
