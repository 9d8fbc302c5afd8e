use read_models::Checkpoint;
use read_models::checkpoints::{self, AdvanceError};
use sqlx::PgPool;

use crate::seed::at;

/// The epoch of whoever writes in these tests.
const EPOCH: i64 = 3;

async fn hold(pool: &PgPool, consumer: &str) {
    sqlx::query(
        "insert into leases (name, holder, epoch, expires_at)
         values ($1, 'writer', $2, clock_timestamp() + interval '1 minute')",
    )
    .bind(consumer)
    .bind(EPOCH)
    .execute(pool)
    .await
    .unwrap();
}

#[tokio::test]
async fn a_checkpoint_moves_only_from_where_its_writer_believes_it_to_be() {
    let database = testing::database().await;
    let pool = &database.pool;
    hold(pool, "products").await;
    checkpoints::create(pool, "products", 1).await.unwrap();
    checkpoints::create(pool, "products", 1).await.unwrap();
    let start = checkpoints::read(pool, "products", 1)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(start, Checkpoint::default());

    checkpoints::advance(pool, "products", 1, EPOCH, &start, &at(7))
        .await
        .unwrap();
    assert_eq!(
        checkpoints::read(pool, "products", 1).await.unwrap(),
        Some(at(7))
    );

    let fenced = checkpoints::advance(pool, "products", 1, EPOCH, &start, &at(9))
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
    hold(&database.pool, "stock").await;
    checkpoints::create(&database.pool, "stock", 1)
        .await
        .unwrap();
    let mut first = database.pool.begin().await.unwrap();
    checkpoints::advance(
        &mut *first,
        "stock",
        1,
        EPOCH,
        &Checkpoint::default(),
        &at(3),
    )
    .await
    .unwrap();
    let pool = database.pool.clone();
    let second = tokio::spawn(async move {
        let mut second = pool.begin().await.unwrap();
        checkpoints::advance(
            &mut *second,
            "stock",
            1,
            EPOCH,
            &Checkpoint::default(),
            &at(4),
        )
        .await
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
    hold(pool, "search@a").await;
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
        checkpoints::advance(pool, "search@a", 2, EPOCH, &at(6), &at(7))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_writer_whose_lease_was_taken_is_fenced_where_the_checkpoint_stands_still() {
    let database = testing::database().await;
    let pool = &database.pool;
    hold(pool, "users").await;
    checkpoints::create(pool, "users", 1).await.unwrap();
    sqlx::query("update leases set epoch = epoch + 1")
        .execute(pool)
        .await
        .unwrap();
    let start = Checkpoint::default();
    let late = checkpoints::advance(pool, "users", 1, EPOCH, &start, &start).await;
    assert!(matches!(late, Err(AdvanceError::Fenced { .. })), "{late:?}");
    checkpoints::advance(pool, "users", 1, EPOCH + 1, &start, &at(7))
        .await
        .unwrap();
}
