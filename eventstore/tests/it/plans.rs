//! The plans hold: a log that was never analysed, grown from empty under a snapshot that is held all the time, is still reached
//! through its indexes only.

use std::time::{Duration, Instant};

use eventstore::{
    Checkpoint, CommandContext, Decided, EventStore, ExecuteError, Executed, Feed, StoreFeed,
    Stream, Timer, TimerChange,
};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Executor, PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::support::{
    Account, AccountEvent, Error, Outcome, Proxy, assert_log_is_whole, at_once, claim, context,
    once, open, withdraw_in,
};

const EVENTS: usize = 200_000;
/// Of each command: fewer commands for the same log.
const EVENTS_EACH: usize = 8;
/// Commands at once: several batches wait while one is committed.
const WAVE: usize = 2_500;
/// Commands on each stream.
const COMMANDS_EACH: usize = 5;

/// Where the function's own settings are missing the first thousands of events show it.
const EVENTS_WITHOUT_SETTINGS: usize = 8_000;

/// Rows of a table that is read as a whole while it holds next to nothing, as housekeeping does once at the start. One scan of a
/// table that has grown reads many times as many.
const READ_WHOLE_MAX: i64 = 100;

/// The tables on the path of a command or of a reader.
const TABLES: [&str; 5] = ["events", "outcomes", "timers", "data_keys", "snapshots"];

/// The sessions of a store, besides those of its committer.
const POOL: &str = "plans";

/// A table's rows read without an index, and its scans with one.
type Scans = (String, i64, i64);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_never_analysed_is_reached_through_its_indexes_only() {
    let database = testing::database().await;
    let held = forgo_statistics_and_hold_a_snapshot(&database.pool).await;
    let began = Instant::now();
    let refused = grow(&database.url, EVENTS).await;
    println!("{EVENTS} events in {:.1?}", began.elapsed());
    for plans in ["auto", "force_generic_plan"] {
        read_everywhere(&database.url, plans, refused).await;
    }
    for (table, read, indexed) in scans(&database.pool).await {
        println!("{table}: {read} rows without an index, {indexed} scans with one");
        assert!(read <= READ_WHOLE_MAX, "{table} is read without an index");
        // Data keys are only written by commands.
        assert!(
            indexed > 0 || table == "data_keys",
            "{table} is not read at all"
        );
    }
    assert_statistics_are_missing(&database.pool).await;
    held.rollback().await.unwrap();
    assert_log_is_whole(&database.pool).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_settings_append_would_read_the_whole_log() {
    let database = testing::database().await;
    let held = forgo_statistics_and_hold_a_snapshot(&database.pool).await;
    database
        .pool
        .execute("alter function append reset all")
        .await
        .unwrap();
    grow(&database.url, EVENTS_WITHOUT_SETTINGS).await;
    let scans = scans(&database.pool).await;
    println!("{scans:?}");
    let events = scans.iter().find(|(table, ..)| table == "events").unwrap();
    assert!(
        events.1 > READ_WHOLE_MAX,
        "the settings of append make no difference: {scans:?}"
    );
    held.rollback().await.unwrap();
}

/// No table is ever analysed or vacuumed, and no row version that dies from now on can be removed.
async fn forgo_statistics_and_hold_a_snapshot(pool: &PgPool) -> Transaction<'static, Postgres> {
    for table in TABLES {
        pool.execute(format!("alter table {table} set (autovacuum_enabled = off)").as_str())
            .await
            .unwrap();
    }
    let mut held = pool.begin().await.unwrap();
    held.execute("set transaction isolation level repeatable read")
        .await
        .unwrap();
    held.execute("select 1").await.unwrap();
    held
}

async fn assert_statistics_are_missing(pool: &PgPool) {
    let known: i64 = sqlx::query_scalar(
        "select count(*) from pg_class where relname = any($1) and reltuples >= 0",
    )
    .bind(TABLES.map(str::to_owned).to_vec())
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(known, 0, "somebody has analysed the log");
}

/// Its scans end with its sessions, which is when the server counts them at the latest.
async fn with_store<T>(url: &str, plans: &str, work: impl AsyncFnOnce(&EventStore) -> T) -> T {
    let options = url.parse::<sqlx::postgres::PgConnectOptions>().unwrap();
    let options = options
        .application_name(POOL)
        .options([("plan_cache_mode", plans)]);
    let pool = PgPoolOptions::new().connect_with(options).await.unwrap();
    let store = open(&pool).await;
    let done = work(&store).await;
    store.close().await;
    drop(store);
    pool.close().await;
    done
}

/// Waves are large: who is last in one waits for all before it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Appends this many events in all the ways there are: with command ids, timers, data keys, refusals and no-ops, on new streams
/// and on known ones. A command that was refused.
async fn grow(url: &str, events: usize) -> Uuid {
    with_store(url, "auto", async |store| {
        let refused = Uuid::now_v7();
        let outcome = withdraw_in(store, "empty", 1, once(refused, "w")).await;
        assert!(matches!(outcome, Err(ExecuteError::Refused { .. })));
        let commands = events / EVENTS_EACH;
        for first in (0..commands).step_by(WAVE) {
            let outcomes = at_once(WAVE.min(commands - first), |index| {
                let (store, number) = (store.clone(), first + index);
                async move { append(&store, number).await }
            })
            .await;
            for outcome in outcomes {
                assert_eq!(outcome.unwrap().events, EVENTS_EACH);
            }
        }
        refused
    })
    .await
}

async fn append(store: &EventStore, number: usize) -> Outcome {
    const SOMETIMES: usize = 50;
    let mut context = once(command(number), "d");
    context.deadline = tokio::time::Instant::now() + PATIENCE;
    if number.is_multiple_of(SOMETIMES) {
        let key = store.sealer().new_key(&format!("subject-{number}"));
        context.data_keys = vec![key];
        context.erased_subjects = vec![format!("subject-{}", number.saturating_sub(SOMETIMES))];
    }
    // Many outcomes without events, too: a table of a few pages is read as a whole for good reason.
    if number.is_multiple_of(4) {
        look(store, number, once(Uuid::now_v7(), "n"))
            .await
            .unwrap();
    }
    store
        .execute(stream(number), context, move |_: &Account| {
            let events = vec![AccountEvent::Deposited { amount: 1 }; EVENTS_EACH];
            let timers = match number.is_multiple_of(SOMETIMES) {
                true => vec![timer(number)],
                false => Vec::new(),
            };
            Ok::<_, Error>(Decided::with_timers(events, timers))
        })
        .await
}

/// Every second one is cleared again, by a command of another stream.
fn timer(number: usize) -> TimerChange {
    let name = |number: usize| format!("timer-{number}");
    match number % 100 {
        0 => TimerChange::Set(Timer {
            name: name(number),
            due_at: chrono::Utc::now(),
            payload: serde_json::Value::Null,
        }),
        _ => TimerChange::Clear {
            name: name(number - 50),
        },
    }
}

fn stream(number: usize) -> Stream<Account> {
    Stream::new(format!("account-{}", number / COMMANDS_EACH))
}

fn command(number: usize) -> Uuid {
    Uuid::from_u128(u128::try_from(number).unwrap() + 1)
}

async fn look(store: &EventStore, number: usize, context: CommandContext) -> Outcome {
    store
        .execute(stream(number), context, |_: &Account| {
            Ok::<_, Error>(Vec::new())
        })
        .await
}

/// Everything that reads the log while it is in use: by a process that knows no state, often enough for the server to settle on
/// its plans.
async fn read_everywhere(url: &str, plans: &str, refused: Uuid) {
    const OFTEN: usize = 12;
    with_store(url, plans, async |store| {
        for number in 0..OFTEN {
            // Cold states, one at a time and many at once.
            look(store, number * 700, context()).await.unwrap();
            let many = at_once(300, |index| {
                let store = store.clone();
                async move { look(&store, number * 1_500 + index * COMMANDS_EACH, context()).await }
            });
            assert!(many.await.into_iter().all(|outcome| outcome.is_ok()));
            // Commands that are known: by their events, and by their outcomes.
            let again = append(store, number * 1_001 + 1).await.unwrap();
            assert!(matches!(again, Executed { replayed: true, .. }));
            let again = withdraw_in(store, "empty", 1, once(refused, "w")).await;
            assert!(matches!(
                again,
                Err(ExecuteError::Refused { replayed: true, .. })
            ));
            // Pages of the log and of a stream.
            let page = store.read_after(150_000, 500).await.unwrap();
            assert_eq!(page.len(), 500);
            let events = store.stream_events("account", "account-77", 3, 10).await;
            assert_eq!(events.unwrap().len(), 10);
            let state = store.state_at::<Account>("account-77", None).await.unwrap();
            assert_eq!(
                state.unwrap().0.balance,
                i64::try_from(EVENTS_EACH * COMMANDS_EACH).unwrap()
            );
            let last = store.read_after(100_000, 1).await.unwrap().remove(0);
            let checkpoint = Checkpoint {
                position: last.position,
                event_id: Some(last.event_id),
            };
            let mut feed = StoreFeed::open(store, checkpoint).await.unwrap();
            assert_eq!(feed.next(1_000).await.unwrap()[0].position, 100_002);
        }
    })
    .await;
    resend(url, plans).await;
}

/// A batch whose answer was lost is looked up in the log.
async fn resend(url: &str, plans: &str) {
    let proxy = Proxy::before(url).await;
    let pool = PgPool::connect(url).await.unwrap();
    let mut lock = pool.begin().await.unwrap();
    lock.execute("select pg_advisory_xact_lock(7305801)")
        .await
        .unwrap();
    with_store(&proxy.url, plans, async |store| {
        let command = tokio::spawn({
            let (store, name) = (store.clone(), Uuid::now_v7().to_string());
            async move { claim(&store, &name, &name).await }
        });
        waiting_for_lock(&pool, 1).await;
        proxy.cut();
        // The orphan and the second sending.
        waiting_for_lock(&pool, 2).await;
        lock.rollback().await.unwrap();
        assert!(!command.await.unwrap().unwrap().replayed);
    })
    .await;
    pool.close().await;
}

async fn waiting_for_lock(pool: &PgPool, count: i64) {
    testing::until(
        "appends wait for the lock",
        Duration::from_secs(20),
        async || {
            let waiting: i64 = sqlx::query_scalar(
                "select count(*) from pg_locks l join pg_database d on d.oid = l.database
             where l.locktype = 'advisory' and not l.granted and d.datname = current_database()",
            )
            .fetch_one(pool)
            .await
            .unwrap();
            waiting >= count
        },
    )
    .await;
}

/// What was read of each table since the database was made, once every session that read has ended: a cut one would stay.
async fn scans(pool: &PgPool) -> Vec<Scans> {
    let ended = "the sessions of the store have ended";
    testing::until(ended, Duration::from_secs(20), async || {
        let left: Vec<bool> = sqlx::query_scalar(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and application_name in ($1, 'nakku committer')",
        )
        .bind(POOL)
        .fetch_all(pool)
        .await
        .unwrap();
        left.is_empty()
    })
    .await;
    sqlx::query_as(
        "select relname::text, seq_tup_read, coalesce(idx_scan, 0) from pg_stat_user_tables
         where relname = any($1) order by relname",
    )
    .bind(TABLES.map(str::to_owned).to_vec())
    .fetch_all(pool)
    .await
    .unwrap()
}
