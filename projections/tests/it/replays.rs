//! Rebuilding beside the live generation.

use std::time::Duration;

use projections::ReadModel;
use projections::replay;
use read_models::replays::{self, Request, RequestError, State};
use read_models::{generations, positions, products, status};
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::shop::{REPLAY, ROLLBACK, Running, Shop};

const MODEL: ReadModel = ReadModel::Products;

const COMPARE: Request<'static> = Request {
    compare_only: true,
    ..REPLAY
};

const REQUIRE_EQUAL: Request<'static> = Request {
    require_equal: true,
    ..REPLAY
};

/// Queries all the time: each is answered, with rows, and positions never go back. Returns how many there were.
fn query_all_the_time(pool: PgPool, end: CancellationToken) -> JoinHandle<usize> {
    tokio::spawn(async move {
        let (mut answered, mut last) = (0, 0);
        while !end.is_cancelled() {
            let deadline = Instant::now() + Duration::from_secs(10);
            let live = positions::await_position(&pool, "products", last, deadline)
                .await
                .unwrap();
            assert!(live.position >= last, "{live:?} after {last}");
            let rows = products::list(&pool, live.generation, None, 200)
                .await
                .unwrap();
            assert!(rows.len() >= 3, "{} rows in {live:?}", rows.len());
            last = live.position;
            answered += 1;
        }
        answered
    })
}

#[tokio::test]
async fn a_replay_switches_and_a_rollback_switches_back_while_queries_go_on() {
    let shop = Shop::open().await;
    let worker = shop.start(MODEL);
    let (apple, _) = shop.create_product("apple", 199).await;
    for number in 0..30 {
        shop.create_product(&format!("sku-{number}"), 100).await;
    }
    let position = shop.change_price(&apple, 299).await;
    shop.reached(MODEL, position).await;
    let end = CancellationToken::new();
    let queries = query_all_the_time(shop.pool().clone(), end.clone());

    let replayed = shop.replay("products", REPLAY).await;
    assert_eq!(
        (replayed.state, replayed.generation),
        (State::Switched, Some(2))
    );
    assert!(replayed.differences.unwrap().is_empty());
    assert!(replayed.position >= position && replayed.position == replayed.target);
    let position = shop.change_price(&apple, 399).await;
    assert_eq!(shop.reached(MODEL, position).await, 2);
    let status = status::list(shop.pool(), None).await.unwrap();
    let states: Vec<_> = status.iter().map(|it| (it.generation, it.state)).collect();
    assert_eq!(
        states,
        [
            (Some(2), status::State::Live),
            (Some(1), status::State::Previous)
        ]
    );

    let rolled_back = shop.replay("products", ROLLBACK).await;
    assert_eq!(rolled_back.state, State::RolledBack);
    let position = shop.change_price(&apple, 499).await;
    assert_eq!(shop.reached(MODEL, position).await, 1);
    let row = products::by_id(shop.pool(), 1, &apple)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((row.price.amount_minor, row.version), (499, 4));

    // Twice more: what the switches leave behind goes.
    for generation in [3, 4] {
        let replayed = shop.replay("products", REPLAY).await;
        assert_eq!(
            (replayed.state, replayed.generation),
            (State::Switched, Some(generation))
        );
        assert!(replayed.differences.unwrap().is_empty());
    }
    let schemas: Vec<String> = sqlx::query_scalar(
        "select nspname::text from pg_namespace where nspname like 'products\\_%' order by 1",
    )
    .fetch_all(shop.pool())
    .await
    .unwrap();
    assert_eq!(schemas, ["products_1", "products_3", "products_4"]);
    end.cancel();
    assert!(queries.await.unwrap() > 10);
    worker.stop().await;
}

/// Enough for several pages, and for the live generation to move on meanwhile.
const MANY: i64 = 12_000;

#[tokio::test]
async fn a_long_log_is_replayed_by_pages_while_the_live_generation_goes_on() {
    for model in [MODEL, ReadModel::Search] {
        let shop = Shop::open().await;
        let (apple, _) = shop.create_product("apple", 199).await;
        let planted = shop.plant_products(MANY).await;
        shop.bring_up(model).await;
        let worker = shop.start(model);
        let id = shop.request(&worker.consumer, REPLAY).await;
        let changes = async {
            let mut position = planted;
            for cents in 200..400 {
                position = shop.change_price(&apple, cents).await;
            }
            position
        };
        let shutdown = CancellationToken::new();
        let mut seen = Vec::new();
        let replay = replay::await_finished(shop.pool(), id, None, &shutdown, |replay| {
            seen.push(replay.position);
        });
        let (replay, position) = tokio::join!(replay, changes);
        let replay = replay.unwrap();
        assert_eq!(
            (replay.state, replay.generation),
            (State::Switched, Some(2)),
            "{replay:?}"
        );
        let differences = replay.differences.as_ref().unwrap();
        assert_eq!(
            (differences.live_rows, differences.count),
            (MANY + 1, 0),
            "{differences:?}"
        );
        assert!(
            replay.rate > 0.0 && replay.position == replay.target,
            "{replay:?}"
        );
        assert!(seen.is_sorted(), "{seen:?}");
        crate::shop::until("both generations are at the head", async || {
            let status = status::list(shop.pool(), None).await.unwrap();
            status.len() == 2 && status.iter().all(|it| it.position >= position)
        })
        .await;
        worker.stop().await;
    }
}

#[tokio::test]
async fn a_replay_tells_what_differs() {
    let shop = Shop::open().await;
    let worker = shop.start(MODEL);
    let (apple, _) = shop.create_product("apple", 199).await;
    let (_, position) = shop.create_product("pear", 250).await;
    shop.reached(MODEL, position).await;
    sqlx::query("update products_1.products set name = 'forged' where id = $1")
        .bind(&apple)
        .execute(shop.pool())
        .await
        .unwrap();

    let compared = shop.replay("products", COMPARE).await;
    assert_eq!(compared.state, State::Compared);
    let found = compared.differences.unwrap();
    assert_eq!(
        (found.live_rows, found.rebuilt_rows, found.count),
        (2, 2, 1)
    );
    let [difference] = found.first.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(difference.key, apple);
    assert_eq!(difference.live.as_ref().unwrap()["name"], "forged");
    assert_eq!(
        difference.rebuilt.as_ref().unwrap()["name"],
        "Product apple"
    );

    let refused = shop.replay("products", REQUIRE_EQUAL).await;
    assert_eq!(refused.state, State::Failed);
    assert_eq!(refused.differences.unwrap().count, 1);
    assert!(refused.error.unwrap().contains("1 rows differ"));
    let registration = generations::read(shop.pool(), "products")
        .await
        .unwrap()
        .unwrap();
    assert_eq!((registration.live, registration.building), (Some(1), None));

    let switched = shop.replay("products", REPLAY).await;
    assert_eq!(
        (switched.state, switched.differences.unwrap().count),
        (State::Switched, 1)
    );
    let generation = shop.reached(MODEL, position).await;
    let row = products::by_id(shop.pool(), generation, &apple)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.name, "Product apple");
    assert_eq!(
        shop.replay("products", REQUIRE_EQUAL).await.state,
        State::Switched
    );
    worker.stop().await;
}

#[tokio::test]
async fn one_replay_at_a_time_and_only_of_what_there_is() {
    let shop = Shop::open().await;
    let id = shop.request("products", REPLAY).await;
    let request = |projection| Request {
        id: Uuid::now_v7(),
        projection,
        ..REPLAY
    };
    let second = replays::request(shop.pool(), &request("products")).await;
    assert!(matches!(second, Err(RequestError::InProgress { .. })));
    let unknown = replays::request(shop.pool(), &request("orders")).await;
    assert!(matches!(unknown, Err(RequestError::Unknown { .. })));
    let asked = replays::list(shop.pool(), None, 10).await.unwrap();
    assert_eq!(asked.iter().map(|it| it.id).collect::<Vec<_>>(), [id]);
}

#[tokio::test]
async fn where_nobody_holds_the_lease_the_asker_does_it() {
    let shop = Shop::open().await;
    let (_, position) = shop.create_product("apple", 199).await;
    // There is no generation yet: it is built, once, and there is nothing to compare with.
    let id = shop.request("products", REPLAY).await;
    let worker = shop.worker(MODEL, "verb");
    let mut seen = 0;
    let shutdown = CancellationToken::new();
    let replay = replay::await_finished(shop.pool(), id, Some(&worker), &shutdown, |_| seen += 1);
    let replay = replay.await.unwrap();
    assert_eq!(
        (replay.state, replay.generation),
        (State::Switched, Some(1))
    );
    assert_eq!((replay.differences, replay.target), (None, position));
    assert!(seen > 0);
    assert_eq!(shop.reached(MODEL, position).await, 1);
    // The lease is free at once.
    assert!(worker.run_until_idle(&shutdown).await.unwrap());

    let id = shop.request("products", ROLLBACK).await;
    let refused = replay::await_finished(shop.pool(), id, Some(&worker), &shutdown, |_| {});
    let refused = refused.await.unwrap();
    assert_eq!(refused.state, State::Failed);
    assert!(refused.error.unwrap().contains("no previous generation"));
}

#[tokio::test]
async fn an_unfinished_replay_is_begun_anew_by_the_next_owner() {
    let shop = Shop::open().await;
    let (_, position) = shop.create_product("apple", 199).await;
    shop.bring_up(MODEL).await;
    // As an owner leaves it that crashed on the way.
    let id = shop.request("products", REPLAY).await;
    generations::begin_building(shop.pool(), "products", 0)
        .await
        .unwrap();
    sqlx::query("update replays set state = 'running', generation = 2, position = 1 where id = $1")
        .bind(id)
        .execute(shop.pool())
        .await
        .unwrap();
    let worker = Running::new(shop.worker(MODEL, "next"));
    let shutdown = CancellationToken::new();
    let replay = replay::await_finished(shop.pool(), id, None, &shutdown, |_| {})
        .await
        .unwrap();
    assert_eq!(
        (replay.state, replay.generation),
        (State::Switched, Some(2))
    );
    assert_eq!(shop.reached(MODEL, position).await, 2);
    worker.stop().await;
}

#[tokio::test]
async fn a_live_generation_of_another_shape_is_replaced_at_once() {
    let shop = Shop::open().await;
    let (_, position) = shop.create_product("apple", 199).await;
    shop.bring_up(MODEL).await;
    sqlx::query("update projections set live_shape = 'products-0' where name = 'products'")
        .execute(shop.pool())
        .await
        .unwrap();
    let worker = shop.start(MODEL);
    assert_eq!(shop.reached(MODEL, position).await, 2);
    // Its rows are another program's.
    let refused = shop.replay("products", ROLLBACK).await;
    assert_eq!(refused.state, State::Failed);
    let error = refused.error.unwrap();
    assert!(
        error.contains("products-0") && !error.contains('\n'),
        "{error}"
    );
    worker.stop().await;
}

#[tokio::test]
async fn a_paused_model_is_replayed_where_it_stands() {
    let shop = Shop::open().await;
    let (apple, first) = shop.create_product("apple", 199).await;
    shop.bring_up(MODEL).await;
    generations::set_paused(shop.pool(), "products", true)
        .await
        .unwrap();
    shop.change_price(&apple, 299).await;
    let worker = shop.start(MODEL);
    let replay = shop.replay("products", REPLAY).await;
    assert_eq!((replay.state, replay.target), (State::Switched, first));
    assert!(replay.differences.unwrap().is_empty());
    worker.stop().await;
}
