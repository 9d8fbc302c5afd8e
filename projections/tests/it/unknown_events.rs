//! What this program does not know, an event of an unknown type or of a later version, parks its stream, for every
//! consumer and from either feed.

use eventstore::{FeedSource, dead_letters};
use projections::ReadModel;
use read_models::replays::State;
use read_models::{products, stock, users};

use crate::shop::{REPLAY, Running, STORE, Shop, until};
use crate::versions::{Published, found_in_stock, plant, shown};

/// A stream with an event that is not known, and a change of known form behind it.
struct Unknown {
    stream: (&'static str, String),
    event: (&'static str, &'static str),
    payload: String,
}

/// Of each model one stream with a type, and one with a version that this program does not know.
async fn unknown(shop: &Shop) -> Vec<Unknown> {
    let (product, _) = shop.create_product("apple", 199).await;
    let (dearer, _) = shop.create_product("pear", 199).await;
    let (user, _) = shop.register("ada@example.org", "Ada").await;
    let (boss, _) = shop.register("bob@example.org", "Bob").await;
    shop.receive("apple", 5).await;
    shop.receive("pear", 5).await;
    let levels =
        |sku: &str| format!(r#""store_id":"{STORE}","sku":"{sku}","on_hand":1,"reserved":0"#);
    let of = |stream: (&'static str, String),
              event: (&'static str, &'static str),
              members: &str| Unknown {
        payload: format!(r#"{{"type":"{}",{members}}}"#, event.0),
        stream,
        event,
    };
    vec![
        of(
            ("product", product),
            ("product.renamed", "1.0"),
            r#""name":"Jonagold""#,
        ),
        // Every later version looks like one that is known.
        of(
            ("product", dearer),
            ("product.price-changed", "2.0"),
            r#""price":{"amount_minor":1,"currency":"EUR"}"#,
        ),
        of(
            ("user", user),
            ("user.promoted", "1.0"),
            r#""role":"admin""#,
        ),
        of(
            ("user", boss),
            ("user.role-assigned", "2.0"),
            r#""role":"admin""#,
        ),
        of(
            ("stock", format!("{STORE}:apple")),
            ("inventory.moved", "1.0"),
            &levels("apple"),
        ),
        of(
            ("stock", format!("{STORE}:pear")),
            ("inventory.adjusted", "3.0"),
            &format!(r#""expected":5,"reason":"counted",{}"#, levels("pear")),
        ),
    ]
}

/// What each consumer has parked: consumer, stream, and how many events wait behind the first.
async fn parked(shop: &Shop) -> Vec<(String, String, i64)> {
    let letters = dead_letters::list(shop.pool(), None, None, 100)
        .await
        .unwrap();
    let mut parked: Vec<_> = letters
        .into_iter()
        .map(|letter| {
            let error = letter.error.unwrap();
            assert!(
                error.contains("version") || error.contains("unknown variant"),
                "{error}"
            );
            let consumer = read_models::model(&letter.consumer).to_owned();
            (
                consumer,
                format!("{}/{}", letter.stream_type, letter.stream_id),
                letter.blocked,
            )
        })
        .collect();
    parked.sort();
    parked
}

async fn what_is_unknown_parks_its_stream_for_every_consumer(kafka: bool) {
    let shop = Shop::open().await;
    let published = Published::from(&shop).await;
    let source = if kafka {
        published.source.clone()
    } else {
        FeedSource::Store
    };
    let workers =
        ReadModel::ALL.map(|model| Running::new(shop.worker_on(source.clone(), model, "worker")));
    let unknown = unknown(&shop).await;
    for Unknown {
        stream,
        event,
        payload,
    } in &unknown
    {
        plant(&shop, (stream.0, &stream.1), *event, payload).await;
    }
    for Unknown { stream, .. } in unknown.iter().filter(|it| it.stream.0 == "product") {
        let payload = r#"{"type":"product.discontinued"}"#;
        plant(
            &shop,
            (stream.0, &stream.1),
            ("product.discontinued", "1.0"),
            payload,
        )
        .await;
    }
    let (plum, _) = shop.create_product("plum", 99).await;
    let (cyd, _) = shop.register("cyd@example.org", "Cyd").await;
    let position = shop.receive("plum", 7).await;

    // All others go on, in every model.
    let (row, found) = shown(&shop, "plum", position).await;
    assert_eq!(row.on_hand, 7);
    // The stocks that are parked stand as they were.
    assert_eq!(found, ["apple", "pear", "plum"]);
    let generation = shop.reached(ReadModel::Products, position).await;
    assert!(
        products::by_id(shop.pool(), generation, &plum)
            .await
            .unwrap()
            .is_some()
    );
    // One that is built for the first time meets them then, and has them in its name once it is live.
    for model in ReadModel::ALL
        .into_iter()
        .filter(|it| it.tables().is_some())
    {
        shop.reached(model, position).await;
    }

    let expected = expected(&unknown);
    assert_eq!(parked(&shop).await, expected);
    nothing_was_taken_for_something_else(&shop, &unknown, &cyd).await;

    // A rebuild does not skip them either.
    for worker in &workers {
        let replay = shop.replay(&worker.consumer, REPLAY).await;
        assert_eq!(replay.state, State::Switched, "{replay:?}");
    }
    assert_eq!(parked(&shop).await, expected);
    nothing_was_taken_for_something_else(&shop, &unknown, &cyd).await;
    once_known_they_are_handled_in_order(&shop, &unknown).await;
    for worker in workers {
        worker.stop().await;
    }
    published.stop().await;
}

fn expected(unknown: &[Unknown]) -> Vec<(String, String, i64)> {
    let mut expected: Vec<_> = unknown
        .iter()
        .flat_map(|Unknown { stream, .. }| {
            let (consumers, blocked): (&[&str], _) = match stream.0 {
                "product" => (&["products", "search"], 1),
                "stock" => (&["stock", "search", "analytics"], 0),
                _ => (&["users", "analytics"], 0),
            };
            let name = format!("{}/{}", stream.0, stream.1);
            consumers
                .iter()
                .map(move |it| ((*it).to_owned(), name.clone(), blocked))
        })
        .collect();
    expected.sort();
    expected
}

async fn nothing_was_taken_for_something_else(shop: &Shop, unknown: &[Unknown], known_user: &str) {
    let generation = |model| shop.reached(model, 0);
    let (of_products, of_users) = (
        generation(ReadModel::Products).await,
        generation(ReadModel::Users).await,
    );
    let of_stock = generation(ReadModel::Stock).await;
    for Unknown { stream, .. } in unknown {
        match stream.0 {
            "product" => {
                let row = products::by_id(shop.pool(), of_products, &stream.1)
                    .await
                    .unwrap()
                    .unwrap();
                assert_eq!((row.version, row.price.amount_minor), (1, 199));
                assert_eq!(row.status, products::Status::Active);
            }
            "user" => {
                let row = users::by_id(shop.pool(), of_users, &stream.1)
                    .await
                    .unwrap()
                    .unwrap();
                let known = users::by_id(shop.pool(), of_users, known_user)
                    .await
                    .unwrap()
                    .unwrap();
                assert_eq!((row.version, row.role), (1, known.role));
            }
            _ => {
                let sku = stream.1.split(':').next_back().unwrap();
                let row = stock::by_key(shop.pool(), of_stock, STORE, sku)
                    .await
                    .unwrap()
                    .unwrap();
                assert_eq!((row.version, row.on_hand), (1, 5));
            }
        }
    }
}

/// As after an upgrade to a program that knows them.
async fn once_known_they_are_handled_in_order(shop: &Shop, unknown: &[Unknown]) {
    for Unknown { stream, .. } in unknown {
        let (event, payload) = match stream.0 {
            "product" => (
                "product.price-changed",
                r#"{"type":"product.price-changed","price":{"amount_minor":5,"currency":"EUR"}}"#
                    .to_owned(),
            ),
            "user" => (
                "user.role-assigned",
                r#"{"type":"user.role-assigned","role":"staff"}"#.to_owned(),
            ),
            _ => (
                "inventory.adjusted",
                format!(
                    r#"{{"type":"inventory.adjusted","store_id":"{STORE}","sku":"{}","delta":-5,"reason":"counted","on_hand":0,"reserved":0}}"#,
                    stream.1.split(':').next_back().unwrap()
                ),
            ),
        };
        sqlx::query(
            "update events set event_type = $3, event_version = '1.0', payload = $4::json
             where aggregate_type = $1 and aggregate_id = $2 and sequence = 2",
        )
        .bind(stream.0)
        .bind(&stream.1)
        .bind(event)
        .bind(payload)
        .execute(shop.pool())
        .await
        .unwrap();
    }
    for letter in dead_letters::list(shop.pool(), None, None, 100)
        .await
        .unwrap()
    {
        dead_letters::request_retry(shop.pool(), letter.id, "test")
            .await
            .unwrap();
    }
    until("nothing is parked", async || {
        dead_letters::count(shop.pool(), None).await.unwrap() == 0
    })
    .await;
    for Unknown { stream, .. } in unknown.iter().filter(|it| it.stream.0 == "product") {
        let generation = shop.reached(ReadModel::Products, 0).await;
        let row = products::by_id(shop.pool(), generation, &stream.1)
            .await
            .unwrap()
            .unwrap();
        assert_eq!((row.version, row.price.amount_minor), (3, 5));
        assert_eq!(row.status, products::Status::Discontinued);
    }
    let head = shop.store.read_head().await.unwrap().position;
    until("the index shows it too", async || {
        found_in_stock(shop, head).await == ["plum"]
    })
    .await;
}

#[tokio::test]
async fn what_is_unknown_parks_its_stream_for_every_consumer_of_the_store() {
    what_is_unknown_parks_its_stream_for_every_consumer(false).await;
}

#[tokio::test]
async fn what_is_unknown_parks_its_stream_for_every_consumer_of_kafka() {
    what_is_unknown_parks_its_stream_for_every_consumer(true).await;
}
