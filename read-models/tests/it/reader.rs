use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use read_models::search::{
    self, DirectoryId, IndexError, SearchReader, SearchRequest, SearchWriter,
};
use read_models::{Behind, leases};
use sqlx::PgPool;
use tempfile::tempdir;
use testing::until;
use tokio::time::Instant;

use crate::seed::{PATIENCE, at, deadline, document, index_of};

fn follow(reader: &SearchReader) -> tokio::task::JoinHandle<()> {
    let reader = reader.clone();
    tokio::spawn(async move { reader.follow_commits().await })
}

async fn total(reader: &SearchReader, q: &str, min_position: i64) -> u64 {
    reader
        .search(SearchRequest::words(q), min_position, deadline())
        .await
        .unwrap()
        .total
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_each_commit_with_its_position() {
    let dir = tempdir().unwrap();
    let reader = SearchReader::new();
    let behind = reader.await_position(0, Instant::now()).await.unwrap_err();
    assert_eq!(
        behind,
        Behind::Building {
            name: "search".to_owned()
        }
    );
    let following = follow(&reader);

    let mut writer = index_of(dir.path(), []);
    reader.switch_to(dir.path(), 1).await.unwrap();
    assert_eq!(reader.snapshot().unwrap().position(), 1);
    for n in 2..20 {
        writer.put(document(&format!("sku-{n}"), "Apple")).unwrap();
        writer.commit(&at(n)).unwrap();
        if n % 2 == 0 {
            reader.notify();
        }
        let position = n;
        assert_eq!(
            total(&reader, "apple", position).await,
            u64::try_from(n - 1).unwrap()
        );
    }
    let late = Instant::now() + Duration::from_millis(20);
    let behind = reader.await_position(99, late).await.unwrap_err();
    assert_eq!(
        behind,
        Behind::Position {
            name: "search".to_owned(),
            position: 19,
            wanted: 99
        }
    );
    following.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_moves_to_another_generation_without_a_failing_search() {
    let (one, two) = (tempdir().unwrap(), tempdir().unwrap());
    let reader = SearchReader::new();
    let following = follow(&reader);
    let first = index_of(one.path(), [document("a", "Apple")]);
    reader.switch_to(one.path(), 1).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let searching = tokio::spawn({
        let (reader, stop) = (reader.clone(), stop.clone());
        async move {
            let mut searches = 0;
            while !stop.load(Ordering::Relaxed) {
                let response = reader
                    .search(SearchRequest::words("apple"), 1, deadline())
                    .await
                    .unwrap();
                assert!((1..=2).contains(&response.total));
                searches += 1;
            }
            searches
        }
    });
    let mut second = index_of(
        two.path(),
        [document("a", "Apple"), document("b", "Green Apple")],
    );
    reader.switch_to(two.path(), 2).await.unwrap();
    assert_eq!(reader.generation(), Some(2));
    drop(first);
    one.close().unwrap();
    second.commit(&at(2)).unwrap();
    assert_eq!(total(&reader, "apple", 2).await, 2);
    stop.store(true, Ordering::Relaxed);
    assert!(searching.await.unwrap() > 0);
    following.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn within_a_generation_a_reader_never_goes_back() {
    let data_dir = tempdir().unwrap();
    let data_dir = data_dir.path();
    let reader = SearchReader::new();
    let following = follow(&reader);
    let first = search::path(data_dir, 1, 1);
    let mut old = index_of(&first, [document("a", "Apple")]);
    let second = search::take_over(data_dir, 1, Some(1), 2).unwrap();
    // The old owner commits once more before it notices.
    old.put(document("b", "Green Apple")).unwrap();
    old.commit(&at(3)).unwrap();
    reader.switch_to(&first, 1).await.unwrap();
    assert_eq!(total(&reader, "apple", 3).await, 2);

    let mut new = SearchWriter::open(&second).unwrap();
    reader.switch_to(&second, 1).await.unwrap();
    assert_eq!(reader.snapshot().unwrap().position(), 3);
    new.commit(&at(2)).unwrap();
    new.put(document("b", "Red Apple")).unwrap();
    new.commit(&at(3)).unwrap();
    new.put(document("c", "Yellow Apple")).unwrap();
    new.commit(&at(4)).unwrap();
    assert_eq!(total(&reader, "apple", 4).await, 3);
    // Another generation may stand anywhere.
    let other = search::path(data_dir, 2, 2);
    index_of(&other, []);
    reader.switch_to(&other, 2).await.unwrap();
    assert_eq!(reader.snapshot().unwrap().position(), 1);
    following.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_opened_changes_nothing() {
    let dir = tempdir().unwrap();
    let reader = SearchReader::new();
    let index = dir.path().join("index");
    index_of(&index, [document("a", "Apple")]);
    reader.switch_to(&index, 1).await.unwrap();
    let error = reader
        .switch_to(&dir.path().join("nothing"), 2)
        .await
        .unwrap_err();
    assert!(matches!(error, IndexError::Missing { .. }), "{error}");
    assert_eq!(
        (reader.generation(), total(&reader, "apple", 1).await),
        (Some(1), 1)
    );
}

async fn name_location(pool: &PgPool, consumer: &str, location: &str, epoch: i64) {
    sqlx::query(
        "insert into leases (name, holder, epoch, expires_at, location)
         values ($1, 'test', $2, now(), $3)
         on conflict (name) do update set location = $3, epoch = $2",
    )
    .bind(consumer)
    .bind(epoch)
    .bind(location)
    .execute(pool)
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_follows_the_directory_that_the_lease_names() {
    let database = testing::database().await;
    let pool = database.pool.clone();
    let data_dir = tempdir().unwrap();
    let consumer = DirectoryId::ensure(data_dir.path()).unwrap().consumer();
    assert_eq!(
        leases::current_location(&pool, &consumer).await.unwrap(),
        None
    );

    let reader = SearchReader::new();
    let following = tokio::spawn({
        let (reader, pool) = (reader.clone(), pool.clone());
        let (data_dir, consumer) = (data_dir.path().to_owned(), consumer.clone());
        async move { reader.follow(&pool, &data_dir, &consumer).await }
    });
    let mut first = index_of(
        &search::path(data_dir.path(), 1, 1),
        [document("a", "Apple")],
    );
    name_location(&pool, &consumer, &search::location(1, 1), 1).await;
    let row = leases::current_location(&pool, &consumer)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (row.epoch, row.location.as_str(), row.holder.as_str()),
        (1, "search/1/1", "test")
    );
    assert_eq!(total(&reader, "apple", 1).await, 1);
    first.put(document("b", "Green Apple")).unwrap();
    first.commit(&at(2)).unwrap();
    assert_eq!(total(&reader, "apple", 2).await, 2);

    // A row that names nothing that can be opened leaves the reader where it is.
    name_location(&pool, &consumer, "search/9/9", 2).await;
    let second = search::take_over(data_dir.path(), 1, Some(1), 3).unwrap();
    let mut second = SearchWriter::open(&second).unwrap();
    name_location(&pool, &consumer, &search::location(1, 3), 3).await;
    second.put(document("c", "Red Apple")).unwrap();
    second.commit(&at(3)).unwrap();
    assert_eq!(total(&reader, "apple", 3).await, 3);

    index_of(&search::path(data_dir.path(), 2, 3), []);
    name_location(&pool, &consumer, &search::location(2, 3), 3).await;
    until(
        "the reader has moved to generation 2",
        PATIENCE,
        async || reader.generation() == Some(2),
    )
    .await;
    following.abort();
}
