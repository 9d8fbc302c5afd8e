//! Long streams: a cold command reads what lies behind a snapshot, by one query; without a usable snapshot it
//! reads page by page, and leaves one behind.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use eventstore::{EventStore, ExecuteError, Options, Stream};
use sqlx::PgPool;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

use crate::support::{Account, AccountEvent, Error, KEYS, context, deposit, withdraw};

const LONG: Duration = Duration::from_secs(60);

/// As the store has it: events behind the newest snapshot.
const SNAPSHOT_EVERY: i64 = 1_000;

/// As the store has it: events in one query.
const HISTORY_PAGE_EVENTS: u64 = 10_000;

/// The store as a process of its own would open it, whose snapshots of accounts have this shape.
async fn open(pool: &PgPool, shape: &'static str) -> EventStore {
    let options = Options {
        keys: KEYS,
        upcasters: Vec::new(),
        snapshot_shapes: HashMap::from([("account", shape)]),
    };
    EventStore::open(pool.clone(), options).await.unwrap()
}

/// Deposits 1 so many times, by one command.
async fn deposit_often(store: &EventStore, account: &str, times: i64) {
    store
        .execute(
            Stream::<Account>::new(account),
            context(),
            move |_: &Account| {
                Ok::<_, Error>(
                    (0..times)
                        .map(|_| AccountEvent::Deposited { amount: 1 })
                        .collect::<Vec<_>>(),
                )
            },
        )
        .await
        .unwrap();
}

async fn snapshot_is_at(pool: &PgPool, shape: &str, sequence: i64) {
    testing::until("the snapshot is written", LONG, async || {
        sqlx::query_as::<_, (i64, String)>("select sequence, shape from snapshots")
            .fetch_optional(pool)
            .await
            .unwrap()
            == Some((sequence, shape.to_owned()))
    })
    .await;
}

/// Rows that each query for histories returned, as sqlx logs them. One subscriber for all tests: those that
/// come and go would have to agree on what is worth logging. A test has a thread of its own.
#[derive(Clone, Default)]
struct HistoriesRead(Arc<Mutex<HashMap<ThreadId, Vec<u64>>>>);

impl HistoriesRead {
    fn watch() -> Self {
        static WATCHING: LazyLock<HistoriesRead> = LazyLock::new(|| {
            let read = HistoriesRead::default();
            tracing::subscriber::set_global_default(read.clone()).unwrap();
            read
        });
        WATCHING.take();
        WATCHING.clone()
    }

    /// Those of this thread since the last call.
    fn take(&self) -> Vec<u64> {
        let mut read = self.0.lock().unwrap();
        read.remove(&thread::current().id()).unwrap_or_default()
    }
}

#[derive(Default)]
struct Statement {
    of_histories: bool,
    rows: u64,
}

impl Visit for Statement {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "rows_returned" {
            self.rows = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "db.statement" {
            self.of_histories = value.contains("snapshot_sequence");
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

impl Subscriber for HistoriesRead {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query"
    }

    fn event(&self, event: &Event<'_>) {
        let mut statement = Statement::default();
        event.record(&mut statement);
        if statement.of_histories {
            let mut read = self.0.lock().unwrap();
            let of_thread = read.entry(thread::current().id()).or_default();
            of_thread.push(statement.rows);
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn a_stream_of_100_000_events_answers_a_cold_command_after_one_bounded_read() {
    let database = testing::database().await;
    let pool = &database.pool;
    let read = HistoriesRead::watch();
    let store = open(pool, "1").await;
    for _ in 0..100 {
        deposit_often(&store, "a", SNAPSHOT_EVERY).await;
    }
    snapshot_is_at(pool, "1", 100_000).await;
    // As far behind a snapshot as a stream can be.
    deposit_often(&store, "a", SNAPSHOT_EVERY - 1).await;
    store.close().await;
    read.take();

    let cold = open(pool, "1").await;
    let refused = withdraw(&cold, "a", 101_000).await;
    assert_eq!(
        refused,
        Err(ExecuteError::Refused {
            error: Error::InsufficientFunds {
                balance: 100_999,
                requested: 101_000
            },
            replayed: false
        })
    );
    assert_eq!(read.take(), [999]);
    withdraw(&cold, "a", 100_999).await.unwrap();
    assert!(read.take().is_empty(), "a warm state was read again");
    snapshot_is_at(pool, "1", 101_000).await;

    // A program whose state has another shape ignores the snapshot, reads on in pages, and writes its own.
    let newer = open(pool, "2").await;
    assert!(withdraw(&newer, "a", 1).await.is_err());
    let pages = read.take();
    assert_eq!(pages.iter().sum::<u64>(), 101_000);
    assert_eq!(pages.len(), 11);
    assert!(
        pages.iter().all(|rows| *rows <= HISTORY_PAGE_EVENTS),
        "{pages:?}"
    );
    snapshot_is_at(pool, "2", 101_000).await;
    let newer = open(pool, "2").await;
    deposit(&newer, "a", 1).await.unwrap();
    // The stream itself, without an event.
    assert_eq!(read.take(), [1]);
}

#[tokio::test]
async fn a_snapshot_that_is_missing_or_cannot_be_read_is_written_anew() {
    let database = testing::database().await;
    let pool = &database.pool;
    let read = HistoriesRead::watch();
    deposit_often(&open(pool, "1").await, "a", 2_500).await;
    snapshot_is_at(pool, "1", 2_500).await;
    for damage in [
        "delete from snapshots",
        "update snapshots set state = '{\"of\": \"something else\"}'",
    ] {
        sqlx::query(damage).execute(pool).await.unwrap();
        let cold = open(pool, "1").await;
        assert!(withdraw(&cold, "a", 2_501).await.is_err());
        testing::until("the snapshot is readable", LONG, async || {
            sqlx::query_scalar::<_, String>(
                "select state::text from snapshots where sequence = 2500",
            )
            .fetch_optional(pool)
            .await
            .unwrap()
            .is_some_and(|state| state.replace(' ', "") == r#"{"balance":2500}"#)
        })
        .await;
        read.take();
        let cold = open(pool, "1").await;
        assert!(withdraw(&cold, "a", 2_501).await.is_err());
        assert_eq!(read.take(), [1], "after {damage}");
    }
}

#[tokio::test]
async fn many_long_streams_are_loaded_in_pages_of_one_size() {
    let database = testing::database().await;
    let pool = &database.pool;
    let read = HistoriesRead::watch();
    let store = open(pool, "1").await;
    let accounts: Vec<String> = (0..30).map(|index| format!("account-{index}")).collect();
    for (index, account) in (1..).zip(&accounts) {
        deposit_often(&store, account, index * 40).await;
    }
    read.take();

    let cold = open(pool, "no snapshots of this shape").await;
    let streams: Vec<_> = accounts.iter().map(Stream::<Account>::new).collect();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let balances = seen.clone();
    cold.execute(streams, context(), move |states: Vec<&Account>| {
        *balances.lock().unwrap() = states.iter().map(|account| account.balance).collect();
        Ok::<_, Error>(vec![Vec::new(); 30])
    })
    .await
    .unwrap();
    let expected: Vec<i64> = (1..=30).map(|index| index * 40).collect();
    assert_eq!(*seen.lock().unwrap(), expected);
    let pages = read.take();
    assert!(pages.len() > 1, "{pages:?}");
    assert!(
        pages.iter().all(|rows| *rows <= HISTORY_PAGE_EVENTS),
        "{pages:?}"
    );
}
