//! States for those who only ask, and contexts of commands that the program gives itself.

use std::time::Duration;

use eventstore::{CommandContext, Metadata, RecordedEvent, StatesError, dead_letters};
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use crate::publishing::LONG;
use crate::support::{Account, Name, claim, context, deposit, deposit_in, open, withdraw};

#[tokio::test]
async fn states_of_many_streams_are_as_the_log_has_them_now() {
    let database = testing::database().await;
    let (store, other) = (open(&database.pool).await, open(&database.pool).await);
    deposit(&store, "a", 5).await.unwrap();
    deposit(&other, "b", 7).await.unwrap();
    claim(&other, "c", "a name").await.unwrap();
    let ids = ["a", "b", "a", "nobody"].map(str::to_owned);
    for round in 1..=3 {
        let states = store.states::<Account>(&ids).await.unwrap();
        assert_eq!(states.len(), 2);
        assert_eq!(
            states["a"],
            (
                Account {
                    balance: 5 + round - 1
                },
                round
            )
        );
        assert_eq!(states["b"], (Account { balance: 7 }, 1));
        // By another process: what this one has in memory is not new any more.
        deposit(&other, "a", 1).await.unwrap();
    }
    let names = store.states::<Name>(&["a name".to_owned()]).await.unwrap();
    assert_eq!(names["a name"].0.holder.as_deref(), Some("c"));
    assert!(store.states::<Account>(&[]).await.unwrap().is_empty());
    // And what was read serves the commands that follow.
    withdraw(&store, "a", 8).await.unwrap();
}

#[tokio::test]
async fn a_history_that_cannot_be_folded_is_told_from_a_database_that_fails() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    deposit(&store, "a", 5).await.unwrap();
    sqlx::query("update events set payload = '{\"type\":\"account.deposited\"}'")
        .execute(&database.pool)
        .await
        .unwrap();
    let ids = ["a".to_owned()];
    // One that has nothing in memory.
    let store = open(&database.pool).await;
    let states = store.states::<Account>(&ids).await;
    let Err(StatesError::Corrupt(reason)) = states else {
        panic!("{states:?}");
    };
    assert!(reason.contains("account/a"), "{reason}");
    database.pool.close().await;
    let states = store.states::<Account>(&ids).await;
    assert!(
        matches!(states, Err(StatesError::Database(_))),
        "{states:?}"
    );
}

/// More than there are connections.
const READERS: usize = 40;

#[tokio::test]
async fn what_events_need_leaves_connections_to_others() {
    let database = testing::database().await;
    let pool = database.pool.clone();
    let store = open(&pool).await;
    let mut locked = pool.begin().await.unwrap();
    sqlx::query("lock table events, dead_letters in access exclusive mode")
        .execute(&mut *locked)
        .await
        .unwrap();
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let reader = store.clone();
        readers.spawn(async move {
            reader.stream_events("account", "a", 0, 1).await.unwrap();
        });
        let reader = store.clone();
        readers.spawn(async move {
            let asked = dead_letters::is_asked_for(&reader, "test", 1).await;
            assert!(!asked.unwrap());
        });
    }
    let waiting = async || {
        let count = "select count(*) from pg_locks l join pg_database d on d.oid = l.database
                     where d.datname = current_database() and not l.granted";
        let waiting: i64 = sqlx::query_scalar(count)
            .fetch_one(&mut *locked)
            .await
            .unwrap();
        waiting >= 4
    };
    testing::until("some wait", LONG, waiting).await;
    let other = sqlx::query("select 1").execute(&pool);
    let other = timeout(Duration::from_secs(10), other).await;
    assert!(other.is_ok(), "there is a connection for others");
    locked.rollback().await.unwrap();
    while let Some(read) = readers.join_next().await {
        read.unwrap();
    }
}

#[tokio::test]
async fn a_derived_command_happens_once_whatever_it_asks() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    for (amount, replayed) in [(1, false), (1, true), (2, true)] {
        let context = store.derived_context("test", "reactor", "event 1");
        let executed = deposit_in(&store, "a", amount, context).await.unwrap();
        assert_eq!((executed.version, executed.replayed), (1, replayed));
    }
    let context = store.derived_context("test", "reactor", "event 2");
    assert!(!deposit_in(&store, "a", 1, context).await.unwrap().replayed);
    let first = store.derived_context("test", "a", "b").command.unwrap().id;
    // Ids of databases that exist rest on it.
    assert_eq!(
        first,
        "1330b736-0265-6cf2-0d4c-9e4c3540397a"
            .parse::<Uuid>()
            .unwrap()
    );
}

#[tokio::test]
async fn what_an_event_causes_carries_its_correlation_on() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let first = CommandContext {
        correlation_id: Some("correlation".to_owned()),
        causation_id: Some("request".to_owned()),
        user_id: Some("anna".to_owned()),
        traceparent: Some("00-1-2-01".to_owned()),
        ..context()
    };
    deposit_in(&store, "a", 1, first).await.unwrap();
    let cause: RecordedEvent = store.read_after(0, 1).await.unwrap().remove(0);
    let second = context().caused_by(&cause);
    deposit_in(&store, "b", 1, second).await.unwrap();
    let caused = store.read_after(1, 1).await.unwrap().remove(0).metadata();
    let expected = Metadata {
        causation_id: Some(cause.event_id.to_string()),
        ..cause.metadata()
    };
    assert_eq!(caused, expected);
}
