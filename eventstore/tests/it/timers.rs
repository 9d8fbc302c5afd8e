//! Timers: in the order in which they are due, at least once, whatever ends a process.

mod bell;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use eventstore::{Decided, EventStore, Stream, Timer, TimerChange, TimerHandler, Timers};
use serde_json::json;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use testing::Database;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::bell::Bell;
use crate::publishing::{LONG, expire_lease};
use crate::support::{Account, AccountEvent, Error, context, open};

/// Sets or clears timers, with an event.
async fn change(store: &EventStore, changes: Vec<TimerChange>) {
    store
        .execute(
            Stream::<Account>::new("a"),
            context(),
            move |_: &Account| {
                let events = vec![AccountEvent::Deposited { amount: 1 }];
                Ok::<_, Error>(Decided::with_timers(events, changes.clone()))
            },
        )
        .await
        .unwrap();
}

fn timer(name: &str, due_at: DateTime<Utc>) -> TimerChange {
    TimerChange::Set(Timer {
        name: name.to_owned(),
        due_at,
        payload: json!({ "name": name }),
    })
}

fn clear(name: &str) -> TimerChange {
    TimerChange::Clear {
        name: name.to_owned(),
    }
}

/// Some time ago, or from now: by the database's clock, which is this machine's.
fn ago(millis: u64) -> DateTime<Utc> {
    Utc::now() - Duration::from_millis(millis)
}

fn in_a_moment(millis: u64) -> DateTime<Utc> {
    Utc::now() + Duration::from_millis(millis)
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start(bell: &Arc<Bell>, at_once: usize) -> Self {
        let handler: Arc<dyn TimerHandler> = bell.clone();
        let timers = Timers::new(bell.store.clone(), handler, "test").at_once(at_once);
        let stop = CancellationToken::new();
        let ended = stop.clone();
        let task = tokio::spawn(async move { timers.run(ended).await });
        Self { stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(LONG, self.task)
            .await
            .unwrap()
            .unwrap();
    }

    async fn kill(self, pool: &PgPool) {
        self.task.abort();
        assert!(self.task.await.is_err_and(|error| error.is_cancelled()));
        expire_lease(pool, "timers-bell").await;
    }
}

async fn begin() -> (Database, EventStore, Arc<Bell>) {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let bell = Bell::new(&store);
    (database, store, bell)
}

async fn left(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar("select name from timers order by name")
        .fetch_all(pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_are_acted_on_in_the_order_in_which_they_are_due_and_only_ones_own() {
    let (database, store, bell) = begin().await;
    let due = [
        ("bell/c", 50),
        ("other/x", 99),
        ("bell/a", 30),
        ("bell/b", 40),
        ("bells/y", 60),
    ];
    for (name, millis) in due {
        change(&store, vec![timer(name, ago(millis * 1_000))]).await;
    }
    change(
        &store,
        vec![timer("bell/later", ago(0) + Duration::from_secs(3_600))],
    )
    .await;
    let running = Running::start(&bell, 1);
    bell.until_fired(3).await;
    change(&store, vec![timer("bell/d", in_a_moment(150))]).await;
    bell.until_fired(4).await;
    assert_eq!(bell.fired(), ["bell/c", "bell/b", "bell/a", "bell/d"]);
    running.stop().await;
    assert_eq!(
        left(&database.pool).await,
        ["bell/later", "bells/y", "other/x"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_that_are_due_at_once_are_acted_on_once_each() {
    let (database, store, bell) = begin().await;
    for page in 0..4 {
        let names = (0..300).map(|index| timer(&format!("bell/{page}-{index}"), ago(index)));
        change(&store, names.collect()).await;
    }
    let running = Running::start(&bell, 64);
    bell.until_fired(1_200).await;
    testing::until("all are cleared", LONG, async || {
        left(&database.pool).await.is_empty()
    })
    .await;
    running.stop().await;
    let fired: HashSet<String> = bell.fired().into_iter().collect();
    assert_eq!((fired.len(), bell.fired().len()), (1_200, 1_200));
    assert!(bell.state.lock().unwrap().most_under_way <= 64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_one_blocks_no_other_and_survives_a_crash() {
    let (database, store, bell) = begin().await;
    bell.set(|state| {
        state.held.insert("bell/slow".to_owned());
    });
    change(&store, vec![timer("bell/slow", ago(9_000))]).await;
    let running = Running::start(&bell, 4);
    for index in 0..20 {
        change(
            &store,
            vec![timer(&format!("bell/{index}"), in_a_moment(index * 5))],
        )
        .await;
    }
    bell.until_fired(20).await;
    assert!(!bell.fired().contains(&"bell/slow".to_owned()));
    testing::until("the others are cleared", LONG, async || {
        left(&database.pool).await == ["bell/slow"]
    })
    .await;
    running.kill(&database.pool).await;
    assert_eq!(left(&database.pool).await, ["bell/slow"]);
    bell.set(|state| {
        state.held.clear();
        state.under_way.clear();
    });
    let running = Running::start(&bell, 4);
    bell.until_fired(21).await;
    running.stop().await;
    assert!(left(&database.pool).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_is_tried_again_and_holds_up_no_other() {
    let (_database, store, bell) = begin().await;
    bell.set(|state| {
        state.failures.insert("bell/bad".to_owned(), 3);
    });
    change(&store, vec![timer("bell/bad", ago(9_000))]).await;
    let running = Running::start(&bell, 1);
    testing::until("it failed", LONG, async || {
        bell.state.lock().unwrap().failures["bell/bad"] < 3
    })
    .await;
    change(&store, vec![timer("bell/good", ago(0))]).await;
    bell.until_fired(2).await;
    assert_eq!(bell.fired(), ["bell/good", "bell/bad"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_moved_is_acted_on_then_and_one_that_is_cleared_is_not() {
    let (database, store, bell) = begin().await;
    // Long after everything else here: a machine that stands still has time.
    let due = in_a_moment(5_000);
    change(
        &store,
        vec![timer("bell/cleared", due), timer("bell/moved", due)],
    )
    .await;
    let running = Running::start(&bell, 8);
    let later = in_a_moment(6_000);
    change(
        &store,
        vec![clear("bell/cleared"), timer("bell/moved", later)],
    )
    .await;
    // Acted on at once, and moved by that.
    let again = in_a_moment(200);
    bell.set(|state| {
        state.moved.insert("bell/again".to_owned(), again);
    });
    change(&store, vec![timer("bell/again", ago(0))]).await;
    bell.until_fired(3).await;
    assert!(Utc::now() >= later, "not before it is due");
    running.stop().await;
    let mut fired = bell.fired();
    fired.sort_unstable();
    assert_eq!(fired, ["bell/again", "bell/again", "bell/moved"]);
    assert!(left(&database.pool).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_another_process_sets_is_noticed_and_one_process_works() {
    let (database, store, bell) = begin().await;
    let first = Running::start(&bell, 8);
    change(&store, vec![timer("bell/0", ago(0))]).await;
    bell.until_fired(1).await;
    let elsewhere = open(&database.pool).await;
    let stand_by = Bell::new(&elsewhere);
    let second = Running::start(&stand_by, 8);
    for index in 1..=20 {
        change(&elsewhere, vec![timer(&format!("bell/{index}"), ago(0))]).await;
    }
    bell.until_fired(21).await;
    assert!(stand_by.fired().is_empty(), "the lease is held");
    first.stop().await;
    change(&store, vec![timer("bell/21", ago(0))]).await;
    stand_by.until_fired(1).await;
    assert_eq!(stand_by.fired(), ["bell/21"]);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_of_others_and_later_ones_are_not_read() {
    let database = testing::database().await;
    for statement in [
        "alter table timers set (autovacuum_enabled = off)",
        "insert into timers select 'other/' || i, now() - interval '1 hour', '1' from generate_series(1, 20000) i",
        "insert into timers select 'bell/' || i, now() + interval '1 hour', '1' from generate_series(1, 20000) i",
    ] {
        sqlx::query(statement)
            .execute(&database.pool)
            .await
            .unwrap();
    }
    for plans in ["auto", "force_generic_plan"] {
        let options: PgConnectOptions = database.url.parse().unwrap();
        let options = options.options([("plan_cache_mode", plans)]);
        let pool = PgPoolOptions::new().connect_with(options).await.unwrap();
        let store = open(&pool).await;
        let bell = Bell::new(&store);
        let running = Running::start(&bell, 8);
        for index in 0..20 {
            change(&store, vec![timer(&format!("bell/now-{index}"), ago(0))]).await;
            bell.until_fired(index + 1).await;
        }
        running.stop().await;
        store.close().await;
        drop((bell, store));
        // The server counts at the end of a session at the latest.
        pool.close().await;
    }
    let mut scans = (0_i64, 0_i64);
    testing::until("the scans are counted", LONG, async || {
        scans = sqlx::query_as(
            "select coalesce(seq_tup_read, 0), coalesce(idx_scan, 0) from pg_stat_user_tables where relname = 'timers'",
        )
        .fetch_one(&database.pool)
        .await
        .unwrap();
        scans.1 > 100
    })
    .await;
    assert!(
        scans.0 <= 100,
        "{} rows were read without an index",
        scans.0
    );
}
