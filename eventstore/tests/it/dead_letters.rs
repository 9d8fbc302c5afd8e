//! Dead letters as an operator sees and decides about them.

use eventstore::dead_letters::{self, DecideError};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

/// Parks events of streams, as `("a", 3)`, without a consumer at work.
async fn park(pool: &PgPool, consumer: &str, events: &[(&str, i64)]) {
    for (stream, position) in events {
        sqlx::query(
            "insert into dead_letters (id, consumer, stream_type, stream_id, position, event_type)
             values ($1, $2, 'account', $3, $4, 'account.deposited')",
        )
        .bind(Uuid::now_v7())
        .bind(consumer)
        .bind(stream)
        .bind(position)
        .execute(pool)
        .await
        .unwrap();
    }
}

async fn listed(pool: &PgPool, consumer: Option<&str>) -> Vec<dead_letters::DeadLetter> {
    dead_letters::list(pool, consumer, None, 100).await.unwrap()
}

#[tokio::test]
async fn a_blocked_stream_is_one_entry() {
    let database = testing::database().await;
    let pool = &database.pool;
    park(pool, "search", &[("a", 3), ("b", 4), ("a", 5), ("a", 9)]).await;
    park(pool, "stock", &[("a", 3)]).await;

    let letters = listed(pool, Some("search")).await;
    let entries: Vec<(&str, i64, i64)> = letters
        .iter()
        .map(|letter| (letter.stream_id.as_str(), letter.position, letter.blocked))
        .collect();
    assert_eq!(entries, [("a", 3, 2), ("b", 4, 0)]);
    assert_eq!(listed(pool, None).await.len(), 3);
    assert_eq!(dead_letters::count(pool, None).await.unwrap(), 3);
    assert_eq!(dead_letters::count(pool, Some("stock")).await.unwrap(), 1);

    let page = dead_letters::list(pool, None, None, 2).await.unwrap();
    let rest = dead_letters::list(pool, None, Some(page[1].id), 2)
        .await
        .unwrap();
    assert_eq!((page.len(), rest.len()), (2, 1));
    assert_eq!(rest[0].stream_id, "b");

    let (letter, waiting) = dead_letters::show(pool, letters[0].id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(letter, letters[0]);
    let positions: Vec<i64> = waiting.iter().map(|event| event.position).collect();
    assert_eq!(positions, [5, 9]);
    assert!(
        dead_letters::show(pool, Uuid::nil())
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn an_entry_has_the_fields_of_the_contract() {
    let database = testing::database().await;
    park(&database.pool, "search", &[("a", 3)]).await;
    let letter = listed(&database.pool, None).await.remove(0);
    let json = serde_json::to_value(&letter).unwrap();
    for field in [
        "id",
        "consumer",
        "stream_type",
        "stream_id",
        "position",
        "type",
        "error",
        "attempts",
        "blocked",
    ] {
        assert!(json.get(field).is_some(), "{field} in {json}");
    }
    assert_eq!(json["type"], json!("account.deposited"));
    assert_eq!(json["error"], json!(null));
}

#[tokio::test]
async fn only_the_first_of_a_stream_is_decided_about() {
    let database = testing::database().await;
    let pool = &database.pool;
    park(pool, "search", &[("a", 3), ("a", 5)]).await;
    let first = listed(pool, None).await.remove(0);
    let (_, waiting) = dead_letters::show(pool, first.id).await.unwrap().unwrap();

    let refused = dead_letters::discard(pool, waiting[0].id, "anna", "why").await;
    assert!(matches!(refused, Err(DecideError::NotFirst { first: id }) if id == first.id));
    let refused = dead_letters::request_retry(pool, waiting[0].id, "anna").await;
    assert!(matches!(refused, Err(DecideError::NotFirst { .. })));
    let refused = dead_letters::request_retry(pool, Uuid::nil(), "anna").await;
    assert!(matches!(refused, Err(DecideError::NotFound)));

    dead_letters::discard(pool, first.id, "anna", "why")
        .await
        .unwrap();
    let refused = dead_letters::discard(pool, first.id, "anna", "why").await;
    assert!(matches!(refused, Err(DecideError::Discarded)));
    let next = listed(pool, None).await.remove(0);
    assert_eq!((next.position, next.state.as_str()), (5, "retry"));
    let discarded = dead_letters::discarded(pool, Some("search"), None, 10).await;
    let [discarded] = &discarded.unwrap()[..] else {
        panic!("it is not listed as discarded");
    };
    assert_eq!(discarded.id, first.id);
    assert_eq!(discarded.decided_by.as_deref(), Some("anna"));
    assert_eq!(discarded.reason.as_deref(), Some("why"));
}

#[tokio::test]
async fn what_a_rebuild_could_not_handle_takes_the_place_of_the_live_ones() {
    let database = testing::database().await;
    let pool = &database.pool;
    park(pool, "search", &[("a", 3), ("b", 4), ("c", 6)]).await;
    park(pool, "search#2", &[("c", 6), ("d", 7)]).await;
    let discarded = listed(pool, Some("search")).await.remove(0);
    dead_letters::discard(pool, discarded.id, "anna", "why")
        .await
        .unwrap();

    let mut transaction = pool.begin().await.unwrap();
    dead_letters::hand_on(&mut transaction, "search#2", "search")
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    let letters = listed(pool, None).await;
    let streams: Vec<(&str, &str)> = letters
        .iter()
        .map(|letter| (letter.consumer.as_str(), letter.stream_id.as_str()))
        .collect();
    assert_eq!(streams, [("search", "c"), ("search", "d")]);
    assert_eq!(dead_letters::skipped(pool, "search").await.unwrap(), [3]);

    // What the rebuild had parked and was discarded for the live one stays so, and leaves nothing behind.
    park(pool, "search#3", &[("a", 3), ("a", 5)]).await;
    let mut transaction = pool.begin().await.unwrap();
    dead_letters::hand_on(&mut transaction, "search#3", "search")
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    let letters = listed(pool, None).await;
    let entries: Vec<(&str, i64)> = letters
        .iter()
        .map(|letter| (letter.consumer.as_str(), letter.position))
        .collect();
    assert_eq!(entries, [("search", 5)]);
    assert_eq!(dead_letters::skipped(pool, "search").await.unwrap(), [3]);
}

/// Polls a future a few times and drops it where it waits.
async fn give_up<F: Future>(future: F, polls: usize) {
    let mut future = std::pin::pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        left -= 1;
        if future.as_mut().poll(context).is_ready() || left == 0 {
            return std::task::Poll::Ready(());
        }
        std::task::Poll::Pending
    })
    .await;
}

#[tokio::test]
async fn a_decision_that_is_given_up_leaves_no_open_transaction_behind() {
    let database = testing::database().await;
    park(&database.pool, "search", &[("a", 3)]).await;
    let letter = listed(&database.pool, None).await.remove(0);
    for polls in 1..12 {
        // One connection: what was given up and what comes after it share it.
        let pool = sqlx::postgres::PgPoolOptions::new()
            .max_connections(1)
            .connect(&database.url)
            .await
            .unwrap();
        give_up(dead_letters::request_retry(&pool, letter.id, "anna"), polls).await;
        let stream = format!("b-{polls}");
        park(
            &pool,
            "stock",
            &[(stream.as_str(), 100 + i64::try_from(polls).unwrap())],
        )
        .await;
        let count = dead_letters::count(&database.pool, Some("stock")).await;
        assert_eq!(
            count.unwrap(),
            i64::try_from(polls).unwrap(),
            "after {polls} polls"
        );
    }
}
