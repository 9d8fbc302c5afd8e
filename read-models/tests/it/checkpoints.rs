use read_models::Checkpoint;
use read_models::checkpoints::{self, AdvanceError};

use crate::seed::at;

#[tokio::test]
async fn a_checkpoint_moves_only_from_where_its_writer_believes_it_to_be() {
    let database = testing::database().await;
    let pool = &database.pool;
    checkpoints::create(pool, "products", 1).await.unwrap();
    checkpoints::create(pool, "products", 1).await.unwrap();
    let start = checkpoints::read(pool, "products", 1)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(start, Checkpoint::default());

    checkpoints::advance(pool, "products", 1, &start, &at(7))
        .await
        .unwrap();
    assert_eq!(
        checkpoints::read(pool, "products", 1).await.unwrap(),
        Some(at(7))
    );

    let fenced = checkpoints::advance(pool, "products", 1, &start, &at(9))
        .await
        .unwrap_err();
    assert!(
        matches!(fenced, AdvanceError::Fenced { expected: 0, .. }),
        "{fenced}"
    );
    assert_eq!(
        checkpoints::read(pool, "products", 1).await.unwrap(),
        Some(at(7))
    );
}

#[tokio::test]
async fn of_two_writers_one_is_fenced_and_its_effect_undone() {
    let database = testing::database().await;
    checkpoints::create(&database.pool, "stock", 1)
        .await
        .unwrap();
    let mut first = database.pool.begin().await.unwrap();
    checkpoints::advance(&mut *first, "stock", 1, &Checkpoint::default(), &at(3))
        .await
        .unwrap();
    let pool = database.pool.clone();
    let second = tokio::spawn(async move {
        let mut second = pool.begin().await.unwrap();
        checkpoints::advance(&mut *second, "stock", 1, &Checkpoint::default(), &at(4)).await
    });
    first.commit().await.unwrap();
    let fenced = second.await.unwrap().unwrap_err();
    assert!(matches!(fenced, AdvanceError::Fenced { .. }), "{fenced}");
    assert_eq!(
        checkpoints::read(&database.pool, "stock", 1).await.unwrap(),
        Some(at(3))
    );
}

#[tokio::test]
async fn a_dropped_generation_fences_its_writer() {
    let database = testing::database().await;
    let pool = &database.pool;
    checkpoints::publish(pool, "search@a", 2, &at(5))
        .await
        .unwrap();
    checkpoints::publish(pool, "search@a", 2, &at(6))
        .await
        .unwrap();
    assert_eq!(
        checkpoints::read(pool, "search@a", 2).await.unwrap(),
        Some(at(6))
    );
    checkpoints::delete(pool, "search@a", 2).await.unwrap();
    assert_eq!(checkpoints::read(pool, "search@a", 2).await.unwrap(), None);
    assert!(
        checkpoints::advance(pool, "search@a", 2, &at(6), &at(7))
            .await
            .is_err()
    );
}
