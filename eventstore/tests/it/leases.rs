//! Leases: one holder at a time, and one that cannot renew stops by itself.

use std::time::{Duration, Instant};

use eventstore::{Lease, LeaseError};
use tokio_util::sync::CancellationToken;

use crate::publishing::{LONG, expire_lease};

async fn lost(lease: &Lease) {
    tokio::time::timeout(LONG, lease.lost().cancelled())
        .await
        .expect("the loss is noticed");
}

#[tokio::test]
async fn one_holds_it_and_after_a_release_the_next_takes_it_with_a_higher_epoch() {
    let database = testing::database().await;
    let first = Lease::acquire(&database.pool, "search", "a")
        .await
        .unwrap()
        .unwrap();
    assert_eq!((first.epoch(), first.holder()), (1, "a"));
    assert!(
        Lease::acquire(&database.pool, "search", "b")
            .await
            .unwrap()
            .is_none()
    );
    // Another name is another lease.
    assert!(
        Lease::acquire(&database.pool, "stock", "b")
            .await
            .unwrap()
            .is_some()
    );

    first.set_location("search/1/1").await.unwrap();
    first.release().await.unwrap();
    assert!(!first.is_valid());
    let second = Lease::acquire(&database.pool, "search", "b")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(second.epoch(), 2);
    assert_eq!(second.previous_location(), Some("search/1/1"));
    assert!(matches!(
        first.set_location("search/1/9").await,
        Err(LeaseError::Lost { .. })
    ));

    let row = Lease::read(&database.pool, "search")
        .await
        .unwrap()
        .unwrap();
    assert_eq!((row.holder.as_str(), row.epoch, row.held), ("b", 2, true));
    assert_eq!(row.location.as_deref(), Some("search/1/1"));
}

#[tokio::test]
async fn it_is_renewed_for_as_long_as_it_is_held_and_expires_when_dropped() {
    let database = testing::database().await;
    let lease = Lease::acquire(&database.pool, "search", "a")
        .await
        .unwrap()
        .unwrap();
    let taken = Lease::read(&database.pool, "search")
        .await
        .unwrap()
        .unwrap();
    testing::until("it is renewed", LONG, async || {
        let row = Lease::read(&database.pool, "search")
            .await
            .unwrap()
            .unwrap();
        row.expires_at > taken.expires_at
    })
    .await;
    assert!(lease.is_valid());
    drop(lease);

    let never = CancellationToken::new();
    let began = Instant::now();
    let next = Lease::acquire_when_free(&database.pool, "search", "b", &never)
        .await
        .unwrap();
    assert_eq!(next.epoch(), 2);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "take-over within five seconds"
    );
}

#[tokio::test]
async fn a_holder_that_was_replaced_notices() {
    let database = testing::database().await;
    let first = Lease::acquire(&database.pool, "search", "a")
        .await
        .unwrap()
        .unwrap();
    expire_lease(&database.pool, "search").await;
    let second = Lease::acquire(&database.pool, "search", "b")
        .await
        .unwrap()
        .unwrap();
    lost(&first).await;
    assert!(!first.is_valid());
    assert!(second.is_valid());
    // A late release of the first takes nothing from the second.
    first.release().await.unwrap();
    assert!(
        Lease::read(&database.pool, "search")
            .await
            .unwrap()
            .unwrap()
            .held
    );
}

#[tokio::test]
async fn a_holder_that_cannot_renew_stops_by_itself_before_another_may_begin() {
    let database = testing::database().await;
    let lease = Lease::acquire(&database.pool, "search", "a")
        .await
        .unwrap()
        .unwrap();
    let began = Instant::now();
    let mut blocking = database.pool.begin().await.unwrap();
    sqlx::query("lock table leases in access exclusive mode")
        .execute(&mut *blocking)
        .await
        .unwrap();
    lost(&lease).await;
    assert!(!lease.is_valid());
    assert!(
        began.elapsed() < Duration::from_millis(2_900),
        "before it expires"
    );
    blocking.rollback().await.unwrap();
}

#[tokio::test]
async fn a_stand_by_takes_over_when_the_holder_stops_and_ends_when_told() {
    let database = testing::database().await;
    let first = Lease::acquire(&database.pool, "search", "a")
        .await
        .unwrap()
        .unwrap();
    let shutdown = CancellationToken::new();
    let (pool, stop) = (database.pool.clone(), shutdown.clone());
    let stand_by =
        tokio::spawn(async move { Lease::acquire_when_free(&pool, "search", "b", &stop).await });
    first.release().await.unwrap();
    let second = tokio::time::timeout(LONG, stand_by)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!((second.holder(), second.epoch()), ("b", 2));

    let (pool, stop) = (database.pool.clone(), shutdown.clone());
    let stand_by =
        tokio::spawn(async move { Lease::acquire_when_free(&pool, "search", "c", &stop).await });
    shutdown.cancel();
    assert!(
        tokio::time::timeout(LONG, stand_by)
            .await
            .unwrap()
            .unwrap()
            .is_none()
    );
}
