//! Following the log: redelivery, parking, pause, take-over.

use eventstore::dead_letters;
use projections::ReadModel;
use read_models::status::State;
use read_models::{generations, products, replays, status};
use uuid::Uuid;

use crate::shop::{Running, Shop, until};

const MODEL: ReadModel = ReadModel::Products;

#[tokio::test]
async fn a_worker_follows_from_the_empty_log_on() {
    let shop = Shop::open().await;
    let worker = shop.start(MODEL);
    let generation = shop.reached(MODEL, 0).await;
    assert_eq!(generation, 1);
    let (id, position) = shop.create_product("apple", 199).await;
    assert_eq!(shop.reached(MODEL, position).await, 1);
    let position = shop.change_price(&id, 299).await;
    shop.reached(MODEL, position).await;
    let row = products::by_id(shop.pool(), 1, &id).await.unwrap().unwrap();
    assert_eq!((row.price.amount_minor, row.version), (299, 2));

    let status = status::list(shop.pool(), None).await.unwrap();
    let [live] = status.as_slice() else {
        panic!("{status:?}");
    };
    assert_eq!(
        (live.name.as_str(), live.generation, live.state),
        ("products", Some(1), State::Live)
    );
    assert_eq!(
        (live.owner.as_deref(), live.position),
        (Some("first"), position)
    );
    assert_eq!(
        (live.lag_events, live.lag_seconds, live.parked),
        (0, 0.0, 0)
    );
    worker.stop().await;
    let status = status::list(shop.pool(), None).await.unwrap();
    assert_eq!(status[0].owner, None);
}

#[tokio::test]
async fn projecting_again_is_projecting_once() {
    let shop = Shop::open().await;
    let worker = shop.start(MODEL);
    let (apple, _) = shop.create_product("apple", 199).await;
    let (pear, _) = shop.create_product("pear", 250).await;
    shop.change_price(&apple, 299).await;
    let position = shop.change_price(&apple, 399).await;
    let generation = shop.reached(MODEL, position).await;
    let rows = products::list(shop.pool(), generation, None, 10)
        .await
        .unwrap();

    // Somebody moves the checkpoint: the writer is fenced off, begins anew, and is handed everything again.
    sqlx::query("update checkpoints set position = 0, event_id = null where consumer = 'products'")
        .execute(shop.pool())
        .await
        .unwrap();
    let (_, position) = shop.create_product("plum", 99).await;
    shop.reached(MODEL, position).await;
    let again = products::list(shop.pool(), generation, None, 10)
        .await
        .unwrap();
    assert_eq!(again.len(), 3);
    for row in rows {
        assert!(again.contains(&row), "{row:?} in {again:?}");
    }
    assert!(again.iter().any(|row| row.id == pear));
    worker.stop().await;
}

#[tokio::test]
async fn a_poison_event_parks_its_stream_and_nothing_else() {
    let shop = Shop::open().await;
    let worker = shop.start(MODEL);
    shop.reached(MODEL, 0).await;
    let (id, _) = shop.create_product("apple", 199).await;
    let payload = r#"{"type":"product.renamed","name":"Jonagold"}"#;
    let poison = shop.plant("product", &id, "product.renamed", payload).await;
    let payload = r#"{"type":"product.discontinued"}"#;
    shop.plant("product", &id, "product.discontinued", payload)
        .await;
    let (other, position) = shop.create_product("pear", 250).await;
    shop.reached(MODEL, position).await;

    let letters = dead_letters::list(shop.pool(), Some("products"), None, 10)
        .await
        .unwrap();
    let [letter] = letters.as_slice() else {
        panic!("{letters:?}");
    };
    assert_eq!((letter.position, letter.blocked), (poison, 1));
    assert!(
        letter.error.as_deref().unwrap().contains("product.renamed"),
        "{letter:?}"
    );
    let row = products::by_id(shop.pool(), 1, &id).await.unwrap().unwrap();
    assert_eq!((row.version, row.status), (1, products::Status::Active));
    assert!(
        products::by_id(shop.pool(), 1, &other)
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(status::list(shop.pool(), None).await.unwrap()[0].parked, 1);

    // A rebuild meets the same, and brings it along in the place of what the live one had parked.
    let replay = shop.replay("products", crate::shop::REPLAY).await;
    assert_eq!(replay.differences.map(|found| found.count), Some(0));
    let letters = dead_letters::list(shop.pool(), None, None, 10)
        .await
        .unwrap();
    let [letter] = letters.as_slice() else {
        panic!("{letters:?}");
    };
    assert_eq!(
        (letter.consumer.as_str(), letter.position, letter.blocked),
        ("products", poison, 1)
    );

    // An older event after a newer one of another stream, and the checkpoint stays.
    let mended = r#"{"type":"product.price-changed","price":{"amount_minor":5,"currency":"EUR"}}"#;
    sqlx::query("update events set event_type = 'product.price-changed', payload = $2::json where position = $1")
        .bind(poison)
        .bind(mended)
        .execute(shop.pool())
        .await
        .unwrap();
    dead_letters::request_retry(shop.pool(), letter.id, "test")
        .await
        .unwrap();
    until("nothing is parked", async || {
        dead_letters::count(shop.pool(), None).await.unwrap() == 0
    })
    .await;
    for generation in [1, 2] {
        let row = products::by_id(shop.pool(), generation, &id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (row.version, row.status),
            (3, products::Status::Discontinued)
        );
        assert_eq!(row.price.amount_minor, 5);
    }
    worker.stop().await;
}

#[tokio::test]
async fn an_event_of_a_later_major_version_is_poison() {
    let shop = Shop::open().await;
    let (id, _) = shop.create_product("apple", 199).await;
    let payload = r#"{"type":"product.discontinued"}"#;
    let position = shop
        .plant("product", &id, "product.discontinued", payload)
        .await;
    sqlx::query("update events set event_version = '2.0' where position = $1")
        .bind(position)
        .execute(shop.pool())
        .await
        .unwrap();
    shop.bring_up(MODEL).await;
    let letters = dead_letters::list(shop.pool(), Some("products"), None, 10)
        .await
        .unwrap();
    assert_eq!(letters.len(), 1);
    assert!(
        letters[0].error.as_deref().unwrap().contains("version 2.0"),
        "{letters:?}"
    );
}

#[tokio::test]
async fn a_discarded_event_is_skipped_and_a_verb_does_it_where_nobody_works() {
    let shop = Shop::open().await;
    let id = Uuid::now_v7().to_string();
    shop.plant(
        "product",
        &id,
        "product.strange",
        r#"{"type":"product.strange"}"#,
    )
    .await;
    let (apple, _) = shop.create_product("apple", 199).await;
    shop.bring_up(MODEL).await;
    let letters = dead_letters::list(shop.pool(), Some("products"), None, 10)
        .await
        .unwrap();
    dead_letters::discard(shop.pool(), letters[0].id, "test", "never existed")
        .await
        .unwrap();
    shop.bring_up(MODEL).await;
    assert_eq!(dead_letters::count(shop.pool(), None).await.unwrap(), 0);
    let replay = shop.request("products", crate::shop::REPLAY).await;
    shop.bring_up(MODEL).await;
    let replay = replays::read(shop.pool(), replay).await.unwrap().unwrap();
    assert!(replay.differences.unwrap().is_empty());
    assert_eq!(dead_letters::count(shop.pool(), None).await.unwrap(), 0);
    assert!(
        products::by_id(shop.pool(), 2, &apple)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn a_paused_model_stands_still_until_it_is_resumed() {
    let shop = Shop::open().await;
    let worker = shop.start(MODEL);
    let (_, first) = shop.create_product("apple", 199).await;
    shop.reached(MODEL, first).await;
    generations::set_paused(shop.pool(), "products", true)
        .await
        .unwrap();
    // Only a look at the row tells that the worker has seen it: it stops moving.
    let mut sku = 0;
    until("the model stands still", async || {
        sku += 1;
        let (_, position) = shop.create_product(&format!("sku-{sku}"), 1).await;
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(2);
        let waited =
            read_models::positions::await_position(shop.pool(), "products", position, deadline);
        waited.await.is_err()
    })
    .await;
    let status = status::list(shop.pool(), None).await.unwrap();
    assert_eq!(status[0].state, State::Paused);
    assert!(status[0].lag_events > 0 && status[0].lag_seconds > 0.0);

    generations::set_paused(shop.pool(), "products", false)
        .await
        .unwrap();
    let (_, last) = shop.create_product("last", 1).await;
    shop.reached(MODEL, last).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_stand_by_takes_over_from_one_that_crashed() {
    let shop = Shop::open().await;
    let first = shop.start(MODEL);
    let (_, position) = shop.create_product("apple", 199).await;
    shop.reached(MODEL, position).await;
    let second = Running::new(shop.worker(MODEL, "second"));
    first.crash().await;
    let (id, position) = shop.create_product("pear", 250).await;
    shop.reached(MODEL, position).await;
    assert!(
        products::by_id(shop.pool(), 1, &id)
            .await
            .unwrap()
            .is_some()
    );
    let status = status::list(shop.pool(), None).await.unwrap();
    assert_eq!(status[0].owner.as_deref(), Some("second"));
    second.stop().await;
}

#[tokio::test]
async fn a_worker_that_loses_its_lease_stands_by() {
    let shop = Shop::open().await;
    let worker = shop.start(MODEL);
    let (_, position) = shop.create_product("apple", 199).await;
    shop.reached(MODEL, position).await;
    let epoch: i64 = sqlx::query_scalar(
        "update leases set holder = 'thief', epoch = epoch + 1,
                expires_at = clock_timestamp() + interval '4 seconds'
         where name = 'products' returning epoch",
    )
    .fetch_one(shop.pool())
    .await
    .unwrap();
    let (_, position) = shop.create_product("pear", 250).await;
    let lease = || eventstore::Lease::read(shop.pool(), "products");
    until("the worker has the lease again", async || {
        lease()
            .await
            .unwrap()
            .is_some_and(|it| it.epoch == epoch + 1 && it.holder == "first")
    })
    .await;
    shop.reached(MODEL, position).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_rewound_log_stops_the_model_until_it_is_replayed() {
    let shop = Shop::open().await;
    shop.create_product("apple", 199).await;
    shop.bring_up(MODEL).await;
    sqlx::query("update checkpoints set event_id = gen_random_uuid() where consumer = 'products'")
        .execute(shop.pool())
        .await
        .unwrap();
    let worker = shop.start(MODEL);
    until("the failure is recorded", async || {
        status::list(shop.pool(), None).await.unwrap()[0].state == State::Failed
    })
    .await;
    let failure = status::list(shop.pool(), None)
        .await
        .unwrap()
        .remove(0)
        .failure
        .unwrap();
    assert!(failure.contains("nakku replay"), "{failure}");

    let replay = shop.replay("products", crate::shop::REPLAY).await;
    assert_eq!(
        (replay.state, replay.differences),
        (replays::State::Switched, None)
    );
    let (_, position) = shop.create_product("pear", 250).await;
    assert_eq!(shop.reached(MODEL, position).await, 2);
    let rows = status::list(shop.pool(), None).await.unwrap();
    assert_eq!((rows[0].state, &rows[0].failure), (State::Live, &None));
    worker.stop().await;
}
