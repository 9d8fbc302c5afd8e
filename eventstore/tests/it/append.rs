//! Group commit: what is told has been confirmed, and has happened once.

use std::time::Duration;

use chrono::{DateTime, Utc};
use eventstore::{
    CommandContext, Decided, EventStore, ExecuteError, Executed, Stream, Timer, TimerChange,
};
use sqlx::{PgPool, Postgres, Transaction};
use tokio::time::Instant;
use uuid::Uuid;

use crate::support::{
    Account, AccountEvent, Error, Outcome, Proxy, assert_log_is_whole, at_once, claim, context,
    deposit, deposit_in, once, open, withdraw, withdraw_in,
};

const LONG: Duration = Duration::from_secs(20);

async fn balance(store: &EventStore, account: &str) -> i64 {
    let state = store.state_at::<Account>(account, None).await.unwrap();
    state.map_or(0, |(account, _)| account.balance)
}

/// Takes the append lock, as a writer that is frozen or slow would.
async fn hold_lock(pool: &PgPool) -> Transaction<'static, Postgres> {
    let mut transaction = pool.begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock(7305801)")
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction
}

/// Waits until this many appends wait for the lock, and hands back their backends.
async fn waiting_for_lock(pool: &PgPool, count: usize) -> Vec<i32> {
    let deadline = Instant::now() + LONG;
    loop {
        let backends: Vec<i32> = sqlx::query_scalar(
            "select l.pid from pg_locks l join pg_database d on d.oid = l.database
             where l.locktype = 'advisory' and not l.granted and d.datname = current_database()",
        )
        .fetch_all(pool)
        .await
        .unwrap();
        if backends.len() >= count {
            return backends;
        }
        assert!(Instant::now() < deadline, "no append came to the lock");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_command_appends_its_events_with_what_goes_with_them() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let context = CommandContext {
        correlation_id: Some("order-1".to_owned()),
        user_id: Some("anna".to_owned()),
        ..context()
    };
    let executed = deposit_in(&store, "a", 10, context).await.unwrap();
    assert_eq!(
        executed,
        Executed {
            stream_id: "a".to_owned(),
            version: 1,
            position: 1,
            events: 1,
            replayed: false,
        }
    );
    let events = store.read_after(0, 10).await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(
        events[0].payload,
        r#"{"type":"account.deposited","amount":10}"#
    );
    assert_eq!(
        events[0].metadata,
        r#"{"correlation_id":"order-1","user_id":"anna"}"#
    );
    assert_eq!(*store.head().borrow(), 1);
}

#[tokio::test]
async fn commands_on_one_stream_are_decided_one_after_the_other() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    deposit(&store, "a", 50).await.unwrap();
    let outcomes = at_once(200, |_| {
        let store = store.clone();
        async move { withdraw(&store, "a", 1).await }
    })
    .await;
    let accepted = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(accepted, 50);
    for outcome in outcomes {
        match outcome {
            Ok(_) => {}
            Err(ExecuteError::Refused { error, .. }) => assert_eq!(
                error,
                Error::InsufficientFunds {
                    balance: 0,
                    requested: 1
                }
            ),
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_log_is_whole(&database.pool).await;
}

#[tokio::test]
async fn several_processes_on_one_stream_lose_nothing_and_oversell_nothing() {
    let database = testing::database().await;
    let mut stores = Vec::new();
    for _ in 0..4 {
        stores.push(open(&database.pool).await);
    }
    deposit(&stores[0], "a", 100).await.unwrap();
    let outcomes = at_once(200, |index| {
        let store = stores[index % 4].clone();
        async move { withdraw(&store, "a", 1).await }
    })
    .await;
    assert_eq!(
        outcomes.iter().filter(|outcome| outcome.is_ok()).count(),
        100
    );
    assert_eq!(balance(&stores[0], "a").await, 0);
    assert_log_is_whole(&database.pool).await;
}

#[tokio::test]
async fn nothing_is_answered_from_a_stale_state() {
    let database = testing::database().await;
    let (here, there) = (open(&database.pool).await, open(&database.pool).await);
    deposit(&here, "a", 5).await.unwrap();
    // Both know the account now; then each learns of the other's doing only through the append.
    withdraw(&there, "a", 5).await.unwrap();
    let outcome = withdraw(&here, "a", 5).await;
    assert!(
        matches!(outcome, Err(ExecuteError::Refused { .. })),
        "{outcome:?}"
    );
    deposit(&here, "a", 5).await.unwrap();
    withdraw(&there, "a", 5).await.unwrap();
    assert_log_is_whole(&database.pool).await;
}

#[tokio::test]
async fn several_streams_are_appended_together_or_not_at_all() {
    let database = testing::database().await;
    let (here, there) = (open(&database.pool).await, open(&database.pool).await);
    let outcomes = at_once(20, |index| {
        let store = if index % 2 == 0 {
            here.clone()
        } else {
            there.clone()
        };
        async move { claim(&store, &format!("account-{index}"), "anna").await }
    })
    .await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let events = here.read_after(0, 100).await.unwrap();
    let types: Vec<&str> = events.iter().map(|e| e.event_type.as_str()).collect();
    assert_eq!(types, ["account.deposited", "name.claimed"]);
}

#[tokio::test]
async fn a_repeated_command_gets_its_first_outcome() {
    let database = testing::database().await;
    let (here, there) = (open(&database.pool).await, open(&database.pool).await);
    let id = Uuid::now_v7();
    let first = deposit_in(&here, "a", 5, once(id, "5")).await.unwrap();
    deposit(&here, "a", 1).await.unwrap();
    for store in [&here, &there] {
        let again = deposit_in(store, "a", 5, once(id, "5")).await.unwrap();
        assert_eq!(
            again,
            Executed {
                replayed: true,
                ..first.clone()
            }
        );
    }
    let other = deposit_in(&there, "a", 6, once(id, "6")).await;
    assert_eq!(other, Err(ExecuteError::KeyReused));
    assert_eq!(balance(&here, "a").await, 6);
}

#[tokio::test]
async fn a_repeated_refusal_and_a_repeated_no_op_stay_what_they_were() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let refused = |replayed| -> Outcome {
        Err(ExecuteError::Refused {
            error: Error::InsufficientFunds {
                balance: 0,
                requested: 5,
            },
            replayed,
        })
    };
    let id = Uuid::now_v7();
    assert_eq!(
        withdraw_in(&store, "a", 5, once(id, "w")).await,
        refused(false)
    );
    deposit(&store, "a", 10).await.unwrap();
    assert_eq!(
        withdraw_in(&store, "a", 5, once(id, "w")).await,
        refused(true)
    );

    let nothing = |context| {
        store.execute(Stream::<Account>::new("a"), context, |_: &Account| {
            Ok::<_, Error>(Vec::new())
        })
    };
    let id = Uuid::now_v7();
    let first = nothing(once(id, "n")).await.unwrap();
    assert_eq!((first.version, first.position, first.events), (1, 1, 0));
    deposit(&store, "a", 10).await.unwrap();
    let again = nothing(once(id, "n")).await.unwrap();
    assert_eq!(
        again,
        Executed {
            replayed: true,
            ..first
        }
    );
}

#[tokio::test]
async fn one_id_sent_to_two_processes_at_once_has_one_effect() {
    let database = testing::database().await;
    let (here, there) = (open(&database.pool).await, open(&database.pool).await);
    for round in 0..20 {
        let id = Uuid::now_v7();
        let outcomes = at_once(6, |index| {
            let store = if index % 2 == 0 {
                here.clone()
            } else {
                there.clone()
            };
            async move { deposit_in(&store, "a", 1, once(id, "1")).await }
        })
        .await;
        let outcomes: Vec<Executed> = outcomes.into_iter().map(Result::unwrap).collect();
        assert!(outcomes.iter().all(|outcome| outcome.position == round + 1));
        assert_eq!(
            outcomes.iter().filter(|outcome| !outcome.replayed).count(),
            1
        );
    }
    assert_eq!(balance(&here, "a").await, 20);
}

#[tokio::test]
async fn an_expected_version_is_checked_and_the_refusal_remembered() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    deposit(&store, "a", 1).await.unwrap();
    let expecting = |version, context: CommandContext| CommandContext {
        expected_version: Some(version),
        ..context
    };
    deposit_in(&store, "a", 1, expecting(1, context()))
        .await
        .unwrap();
    let id = Uuid::now_v7();
    for replayed in [false, true] {
        let outcome = deposit_in(&store, "a", 1, expecting(1, once(id, "d"))).await;
        let mismatch = ExecuteError::VersionMismatch {
            expected: 1,
            actual: 2,
            replayed,
        };
        assert_eq!(outcome, Err(mismatch));
    }
}

#[tokio::test]
async fn a_panicking_rule_and_a_corrupt_history_fail_their_own_command_only() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    deposit(&store, "b", 1).await.unwrap();
    // A history that `apply` cannot fold: a withdrawal from an empty account.
    sqlx::query(
        "insert into events (position, event_id, aggregate_type, aggregate_id, sequence, event_type,
                             event_version, payload, metadata, recorded_at)
         values (2, gen_random_uuid(), 'account', 'corrupt', 1, 'account.withdrawn', '1.0',
                 '{\"type\":\"account.withdrawn\",\"amount\":5}', '{}', now())",
    )
    .execute(&database.pool)
    .await
    .unwrap();
    let lock = hold_lock(&database.pool).await;
    // The first occupies the committer; the others then share a batch.
    let first = tokio::spawn({
        let store = store.clone();
        async move { deposit(&store, "b", 1).await }
    });
    waiting_for_lock(&database.pool, 1).await;
    let panics = store.execute(
        Stream::<Account>::new("a"),
        context(),
        |_: &Account| -> Result<Vec<AccountEvent>, Error> { panic!("on purpose") },
    );
    let corrupt = deposit(&store, "corrupt", 1);
    let fine = deposit(&store, "a", 1);
    let release = async {
        lock.rollback().await.unwrap();
    };
    let (panics, corrupt, fine, ()) = tokio::join!(panics, corrupt, fine, release);
    assert!(first.await.unwrap().is_ok());
    assert!(
        matches!(&panics, Err(ExecuteError::Corrupt(reason)) if reason.contains("on purpose")),
        "{panics:?}"
    );
    assert!(
        matches!(&corrupt, Err(ExecuteError::Corrupt(reason)) if reason.contains("account/corrupt")),
        "{corrupt:?}"
    );
    assert_eq!(fine.unwrap().version, 1);
}

#[tokio::test]
async fn what_cannot_be_stored_does_not_fail_its_batch_mates() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    for statement in [
        "create function refuse() returns trigger language plpgsql as
         $$ begin raise exception 'this one never'; end $$",
        "create trigger refuse before insert on events for each row
         when (new.aggregate_id = 'account-13') execute function refuse()",
    ] {
        sqlx::query(statement)
            .execute(&database.pool)
            .await
            .unwrap();
    }
    let outcomes = at_once(40, |index| {
        let store = store.clone();
        async move { deposit(&store, &format!("account-{index}"), 1).await }
    })
    .await;
    for (index, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Err(ExecuteError::Invalid(reason)) if index == 13 => {
                assert!(reason.contains("this one never"), "{reason}");
            }
            outcome => assert!(outcome.is_ok() && index != 13, "{index}: {outcome:?}"),
        }
    }
    let too_long = deposit(&store, &"x".repeat(201), 1).await;
    assert!(matches!(too_long, Err(ExecuteError::Invalid(_))));
    let control = deposit(&store, "a\u{0}b", 1).await;
    assert!(matches!(control, Err(ExecuteError::Invalid(_))));
    assert_log_is_whole(&database.pool).await;
}

#[tokio::test]
async fn a_batch_whose_backend_dies_is_sent_again() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let lock = hold_lock(&database.pool).await;
    let command = tokio::spawn({
        let store = store.clone();
        async move { deposit(&store, "a", 1).await }
    });
    let backends = waiting_for_lock(&database.pool, 1).await;
    sqlx::query("select pg_terminate_backend($1)")
        .bind(backends[0])
        .execute(&database.pool)
        .await
        .unwrap();
    lock.rollback().await.unwrap();
    assert_eq!(command.await.unwrap().unwrap().position, 1);
    assert_eq!(balance(&store, "a").await, 1);
}

#[tokio::test]
async fn a_batch_that_commits_after_its_connection_was_cut_counts_once() {
    let database = testing::database().await;
    let proxy = Proxy::before(&database.url).await;
    let store = open(&PgPool::connect(&proxy.url).await.unwrap()).await;
    let lock = hold_lock(&database.pool).await;
    let id = Uuid::now_v7();
    let commands = [
        tokio::spawn({
            let store = store.clone();
            async move { deposit_in(&store, "a", 1, once(id, "1")).await }
        }),
        tokio::spawn({
            let store = store.clone();
            async move { claim(&store, "b", "anna").await }
        }),
        tokio::spawn({
            let store = store.clone();
            async move { withdraw(&store, "c", 1).await }
        }),
    ];
    waiting_for_lock(&database.pool, 1).await;
    proxy.cut();
    // The orphan and the second sending both wait; the orphan is first in line.
    waiting_for_lock(&database.pool, 2).await;
    lock.rollback().await.unwrap();
    let mut outcomes = Vec::new();
    for command in commands {
        outcomes.push(command.await.unwrap());
    }
    for outcome in &outcomes[..2] {
        let executed = outcome.as_ref().unwrap();
        assert_eq!((executed.version, executed.replayed), (1, false));
    }
    assert!(matches!(
        outcomes[2],
        Err(ExecuteError::Refused {
            replayed: false,
            ..
        })
    ));
    assert_eq!(store.read_head().await.unwrap().position, 3);
    assert_log_is_whole(&database.pool).await;
}

#[tokio::test]
async fn past_its_deadline_a_begun_command_is_unknown_and_a_queued_one_is_not_done() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let lock = hold_lock(&database.pool).await;
    let within = |millis| CommandContext {
        deadline: Instant::now() + Duration::from_millis(millis),
        ..context()
    };
    // Time enough to begin, whatever else the machine does.
    let begun = tokio::spawn({
        let store = store.clone();
        let context = within(5_000);
        async move { deposit_in(&store, "a", 1, context).await }
    });
    waiting_for_lock(&database.pool, 1).await;
    let queued = deposit_in(&store, "b", 1, within(300)).await;
    assert_eq!(queued, Err(ExecuteError::Overloaded));
    assert_eq!(begun.await.unwrap(), Err(ExecuteError::OutcomeUnknown));
    lock.rollback().await.unwrap();
    // The next command comes after whatever was queued before it.
    deposit(&store, "c", 1).await.unwrap();
    assert_eq!(balance(&store, "a").await, 1);
    assert_eq!(balance(&store, "b").await, 0);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    const MORE_THAN_THE_QUEUE: usize = 9_000;
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let lock = hold_lock(&database.pool).await;
    let first = tokio::spawn({
        let store = store.clone();
        async move { deposit(&store, "a", 1).await }
    });
    waiting_for_lock(&database.pool, 1).await;
    let (sender, mut refused) = tokio::sync::mpsc::unbounded_channel();
    for index in 0..MORE_THAN_THE_QUEUE {
        let (store, sender) = (store.clone(), sender.clone());
        tokio::spawn(async move {
            let outcome = deposit(&store, &format!("account-{index}"), 1).await;
            let _ = sender.send(outcome);
        });
    }
    // While the committer is held up only refusals can come back.
    let outcome = tokio::time::timeout(LONG, refused.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(outcome, Err(ExecuteError::Overloaded));
    lock.rollback().await.unwrap();
    assert!(first.await.unwrap().is_ok());
}

#[tokio::test]
async fn timers_are_set_and_cleared_in_the_commit_that_decides_them() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let due_at: DateTime<Utc> = "2030-01-01T00:00:00Z".parse().unwrap();
    let with_timer = |requested: i64, change: TimerChange| {
        store.execute(
            Stream::<Account>::new("a"),
            context(),
            move |account: &Account| {
                let events = account.withdraw(requested)?;
                Ok::<_, Error>(Decided::with_timers(events, vec![change.clone()]))
            },
        )
    };
    let set = TimerChange::Set(Timer {
        name: "reminder".to_owned(),
        due_at,
        payload: serde_json::json!({"to": "anna"}),
    });
    let timers = async || -> Vec<(String, DateTime<Utc>)> {
        sqlx::query_as("select name, due_at from timers")
            .fetch_all(&database.pool)
            .await
            .unwrap()
    };
    assert!(with_timer(5, set.clone()).await.is_err());
    assert!(timers().await.is_empty(), "set by a refused command");
    deposit(&store, "a", 10).await.unwrap();
    with_timer(5, set).await.unwrap();
    assert_eq!(timers().await, [("reminder".to_owned(), due_at)]);
    let clear = TimerChange::Clear {
        name: "reminder".to_owned(),
    };
    with_timer(5, clear).await.unwrap();
    assert!(timers().await.is_empty());
}

#[tokio::test]
async fn a_data_key_counts_with_the_commit_that_carries_it() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let key = store.sealer().new_key("anna");
    let sealed = key.seal(b"anna@example.org");
    assert_eq!(
        sealed,
        key.seal(b"anna@example.org"),
        "sealing is deterministic"
    );
    assert!(store.sealer().key("anna").await.unwrap().is_none());
    let with_key = |key: &eventstore::DataKey| CommandContext {
        data_keys: vec![key.clone()],
        ..context()
    };
    deposit_in(&store, "a", 1, with_key(&key)).await.unwrap();
    let elsewhere = open(&database.pool).await;
    let stored = elsewhere.sealer().key("anna").await.unwrap().unwrap();
    assert_eq!(stored.open(&sealed).unwrap(), b"anna@example.org");
    // A second key would make what the first one sealed unreadable.
    let second = store.sealer().new_key("anna");
    let outcome = deposit_in(&store, "a", 1, with_key(&second)).await;
    assert!(
        matches!(outcome, Err(ExecuteError::Invalid(_))),
        "{outcome:?}"
    );
}

/// In every process, also in one that has used the key before.
#[tokio::test]
async fn a_data_key_ends_with_the_commit_that_erases_its_subject() {
    let database = testing::database().await;
    let (store, elsewhere) = (open(&database.pool).await, open(&database.pool).await);
    for subject in ["anna", "bert"] {
        let key = store.sealer().new_key(subject);
        let with_key = CommandContext {
            data_keys: vec![key],
            ..context()
        };
        deposit_in(&store, subject, 1, with_key).await.unwrap();
        assert!(elsewhere.sealer().key(subject).await.unwrap().is_some());
    }
    let erasing = || CommandContext {
        erased_subjects: vec!["anna".to_owned()],
        ..context()
    };
    let has_key = async |store: &EventStore| store.sealer().key("anna").await.unwrap().is_some();

    // Not by a command that is refused, nor by one that has no effect.
    assert!(withdraw_in(&store, "anna", 5, erasing()).await.is_err());
    let no_op = store
        .execute(Stream::<Account>::new("anna"), erasing(), |_: &Account| {
            Ok::<_, Error>(Vec::new())
        })
        .await;
    assert_eq!(no_op.unwrap().events, 0);
    assert!(has_key(&elsewhere).await);

    deposit_in(&store, "anna", 1, erasing()).await.unwrap();
    assert!(!has_key(&store).await && !has_key(&elsewhere).await);
    assert!(elsewhere.sealer().key("bert").await.unwrap().is_some());
    // Of whom there is none, there is none afterwards.
    deposit_in(&store, "anna", 1, erasing()).await.unwrap();
    // A key that came back by other ways goes by itself.
    sqlx::query("insert into data_keys (subject, wrapped) values ('anna', '\\x00')")
        .execute(&database.pool)
        .await
        .unwrap();
    elsewhere.sealer().destroy("anna").await.unwrap();
    assert!(!has_key(&store).await);
}

#[tokio::test]
async fn another_keys_file_or_an_older_schema_refuses_to_open() {
    let database = testing::database().await;
    open(&database.pool).await;
    let options = |keys| eventstore::Options {
        keys,
        upcasters: Vec::new(),
        snapshot_shapes: std::collections::HashMap::new(),
    };
    let other = eventstore::Keys {
        master: [1; 64],
        ..crate::support::KEYS
    };
    let opened = EventStore::open(database.pool.clone(), options(other)).await;
    assert!(matches!(
        opened.err(),
        Some(eventstore::OpenError::OtherKeys)
    ));
    let empty = testing::empty_database().await;
    let opened = EventStore::open(empty.pool.clone(), options(crate::support::KEYS)).await;
    assert!(matches!(
        opened.err(),
        Some(eventstore::OpenError::SchemaOutdated)
    ));
}

#[tokio::test]
async fn a_long_stream_is_loaded_from_its_snapshot_and_one_of_another_shape_is_ignored() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    at_once(1_200, |_| {
        let store = store.clone();
        async move { deposit(&store, "a", 1).await.unwrap() }
    })
    .await;
    testing::until("a snapshot is written", LONG, async || {
        sqlx::query_scalar::<_, i64>("select count(*) from snapshots where sequence >= 1000")
            .fetch_one(&database.pool)
            .await
            .unwrap()
            == 1
    })
    .await;
    // A cold process that used the snapshot sees what it says, and the events after it.
    sqlx::query("update snapshots set state = '{\"balance\": 5000}', sequence = 1199")
        .execute(&database.pool)
        .await
        .unwrap();
    let cold = open(&database.pool).await;
    withdraw(&cold, "a", 5_001).await.unwrap();
    sqlx::query("update snapshots set shape = 'older'")
        .execute(&database.pool)
        .await
        .unwrap();
    let cold = open(&database.pool).await;
    let outcome = deposit(&cold, "a", 1).await;
    // The true history holds the withdrawal that only the forged snapshot allowed.
    assert!(
        matches!(&outcome, Err(ExecuteError::Corrupt(reason)) if reason.contains("5001 withdrawn")),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_closed_store_settles_what_it_has_begun() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let commands: Vec<_> = (0..100)
        .map(|index| {
            let store = store.clone();
            tokio::spawn(async move { deposit(&store, &format!("account-{index}"), 1).await })
        })
        .collect();
    tokio::task::yield_now().await;
    store.close().await;
    let mut accepted = 0;
    for command in commands {
        match command.await.unwrap() {
            Ok(_) => accepted += 1,
            Err(error) => assert_eq!(error, ExecuteError::Closed),
        }
    }
    assert_eq!(store.read_head().await.unwrap().position, accepted);
}
