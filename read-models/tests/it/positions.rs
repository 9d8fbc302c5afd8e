use std::time::Duration;

use read_models::positions::{Live, await_position};
use read_models::{Behind, Unavailable, checkpoints, generations, products};
use tokio::time::Instant;

use crate::seed::{at, deadline};

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(20)
}

#[tokio::test]
async fn a_query_waits_until_its_read_model_is_there() {
    let database = testing::database().await;
    let pool = database.pool.clone();
    generations::ensure(&pool, "products").await.unwrap();
    generations::begin_building(&pool, "products", 0)
        .await
        .unwrap();
    checkpoints::create(&pool, "products", 1).await.unwrap();
    generations::switch(&pool, "products", 1, products::SHAPE)
        .await
        .unwrap();
    let live = await_position(&pool, "products", 0, soon()).await.unwrap();
    assert_eq!(
        live,
        Live {
            generation: 1,
            position: 0
        }
    );

    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { await_position(&pool, "products", 5, deadline()).await }
    });
    let behind = await_position(&pool, "products", 5, soon())
        .await
        .unwrap_err();
    let expected = Behind::Position {
        name: "products".to_owned(),
        position: 0,
        wanted: 5,
    };
    assert!(matches!(behind, Unavailable::Behind(behind) if behind == expected));
    checkpoints::publish(&pool, "products", 1, &at(6))
        .await
        .unwrap();
    assert_eq!(
        waiting.await.unwrap().unwrap(),
        Live {
            generation: 1,
            position: 6
        }
    );
}

#[tokio::test]
async fn a_read_model_that_is_not_built_or_of_another_shape_answers_nothing() {
    let database = testing::database().await;
    let pool = &database.pool;
    let building = |result: Result<Live, Unavailable>| {
        matches!(result, Err(Unavailable::Behind(Behind::Building { .. })))
    };
    assert!(building(await_position(pool, "products", 0, soon()).await));
    generations::ensure(pool, "products").await.unwrap();
    assert!(building(await_position(pool, "products", 0, soon()).await));
    generations::begin_building(pool, "products", 0)
        .await
        .unwrap();
    checkpoints::create(pool, "products", 1).await.unwrap();
    generations::switch(pool, "products", 1, "products-0")
        .await
        .unwrap();
    assert!(building(await_position(pool, "products", 0, soon()).await));
}
