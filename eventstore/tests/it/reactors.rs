//! Reactors, over both feeds: everything at least once, in order within a stream, whatever ends a process.

mod brokers;
mod commands;
mod parking;
mod recorder;
mod sources;

use eventstore::{Begins, Reactions, ReactionsError, reactor_progress};

use crate::feeds::Followed;
use crate::publishing::{LONG, deposits, expire_lease};
use crate::support::{claim, deposit, open};

use self::recorder::{NAME, Recorder, Running, until_handled};

async fn everything_is_handled_in_order_within_its_stream(kafka: bool) {
    let followed = Followed::over(kafka).await;
    let recorder = Recorder::default();
    let running = Running::start(&followed.source, &followed.store, &recorder);
    for round in 0..30 {
        for account in 0..20 {
            deposits(
                &followed.store,
                &format!("account-{account}"),
                1 + round % 3,
            )
            .await;
        }
    }
    claim(&followed.store, "account-0", "a name").await.unwrap();
    let head = followed.store.read_head().await.unwrap().position;
    until_handled(&followed.database.pool, head).await;
    let seen = recorder.seen();
    assert_eq!(seen.len(), 20, "the names are not asked for");
    let events: usize = seen.values().map(Vec::len).sum();
    assert_eq!(
        events,
        usize::try_from(head).unwrap() - 1,
        "each of them once"
    );
    for (stream, sequences) in seen {
        let expected: Vec<i64> = (1..).take(sequences.len()).collect();
        assert_eq!(sequences, expected, "{stream} is in order");
    }
    running.stop().await.unwrap();
}

async fn one_stream_waits_and_no_other(kafka: bool) {
    let followed = Followed::over(kafka).await;
    let recorder = Recorder::default();
    recorder.hold("slow");
    let running = Running::start(&followed.source, &followed.store, &recorder);
    deposits(&followed.store, "slow", 2).await;
    for account in 0..600 {
        deposit(&followed.store, &format!("account-{account}"), 1)
            .await
            .unwrap();
    }
    recorder.until_seen(600).await;
    let progress = reactor_progress(&followed.database.pool, NAME)
        .await
        .unwrap()
        .unwrap();
    if !kafka {
        // Of partitions some are further, and the lowest counts.
        assert_eq!((progress.position, progress.lag), (0, 602));
    }
    assert!(progress.position < 1);
    recorder.release("slow");
    until_handled(&followed.database.pool, 602).await;
    assert_eq!(recorder.seen()["slow"], [1, 2]);
    running.stop().await.unwrap();
}

async fn what_was_under_way_is_handled_again_after_a_crash_and_nothing_is_lost(kafka: bool) {
    let followed = Followed::over(kafka).await;
    let recorder = Recorder::default();
    recorder.hold("b");
    for round in 0..50 {
        for account in ["a", "b", "c"] {
            deposits(&followed.store, account, 1 + round % 2).await;
        }
    }
    let running = Running::start(&followed.source, &followed.store, &recorder);
    recorder.until_seen(150).await;
    running.kill().await;
    expire_lease(&followed.database.pool, "reactor-recorder").await;
    recorder.release("b");
    let store = open(&followed.database.pool).await;
    let running = Running::start(&followed.source, &store, &recorder);
    until_handled(&followed.database.pool, 225).await;
    assert_eq!(recorder.seen().len(), 3, "those of b were not lost");
    for (stream, sequences) in recorder.seen() {
        assert_in_order_from_any_beginning(&stream, &sequences, 75);
    }
    running.stop().await.unwrap();
}

/// In order, begun again any number of times, up to the last.
fn assert_in_order_from_any_beginning(stream: &str, sequences: &[i64], last: i64) {
    assert_eq!(sequences.first(), Some(&1), "{stream}");
    for pair in sequences.windows(2) {
        assert!(pair[1] <= pair[0] + 1, "{stream} leaves out: {sequences:?}");
    }
    assert_eq!(sequences.last(), Some(&last), "{stream} ends early");
}

async fn after_an_orderly_end_nothing_is_handled_again(kafka: bool) {
    let followed = Followed::over(kafka).await;
    let recorder = Recorder::default();
    for account in 0..50 {
        deposits(&followed.store, &format!("account-{account}"), 3).await;
    }
    for round in 1..=3 {
        let running = Running::start(&followed.source, &followed.store, &recorder);
        deposits(&followed.store, "account-7", 5).await;
        recorder.until_seen(150 + round * 5).await;
        running.stop().await.unwrap();
    }
    let seen = recorder.seen();
    assert_eq!(seen["account-7"], (1..=18).collect::<Vec<i64>>());
    assert_eq!(seen.values().map(Vec::len).sum::<usize>(), 165);
}

async fn what_may_pass_is_tried_until_it_does(kafka: bool) {
    let followed = Followed::over(kafka).await;
    let recorder = Recorder::default();
    recorder.fail_times(3);
    let running = Running::start(&followed.source, &followed.store, &recorder);
    deposits(&followed.store, "a", 2).await;
    until_handled(&followed.database.pool, 2).await;
    assert_eq!(recorder.seen()["a"], [1, 2]);
    running.stop().await.unwrap();
}

async fn one_that_begins_at_its_installation_sees_nothing_older(kafka: bool) {
    let followed = Followed::over(kafka).await;
    deposits(&followed.store, "a", 5).await;
    let recorder = Recorder::beginning(Begins::AtInstallation);
    let running = Running::start(&followed.source, &followed.store, &recorder);
    // Written down at once: what is appended while it is away is not older.
    until_handled(&followed.database.pool, 5).await;
    running.kill().await;
    expire_lease(&followed.database.pool, "reactor-recorder").await;
    deposits(&followed.store, "a", 2).await;
    let running = Running::start(&followed.source, &followed.store, &recorder);
    until_handled(&followed.database.pool, 7).await;
    assert_eq!(recorder.seen()["a"], [6, 7]);
    running.stop().await.unwrap();
}

async fn one_that_never_ran_has_no_progress(kafka: bool) {
    let followed = Followed::over(kafka).await;
    let progress = reactor_progress(&followed.database.pool, NAME)
        .await
        .unwrap();
    assert_eq!(progress, None);
}

async fn a_log_that_was_rewound_stops_it_with_one_line(kafka: bool) {
    let followed = Followed::over(kafka).await;
    let recorder = Recorder::default();
    let running = Running::start(&followed.source, &followed.store, &recorder);
    deposits(&followed.store, "a", 5).await;
    until_handled(&followed.database.pool, 5).await;
    sqlx::query("update events set event_id = gen_random_uuid() where position > 3")
        .execute(&followed.database.pool)
        .await
        .unwrap();
    let error = running.ended().await.unwrap_err();
    assert!(
        matches!(error, ReactionsError::Rewound { position: 5, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("recorder had come"), "{error}");
    // And at its start.
    let running = Running::start(&followed.source, &followed.store, &recorder);
    let error = running.ended().await.unwrap_err();
    assert!(
        matches!(error, ReactionsError::Rewound { position: 5, .. }),
        "{error}"
    );
}

async fn set_to_begin_anew_it_does(kafka: bool) {
    let followed = Followed::over(kafka).await;
    let pool = &followed.database.pool;
    let recorder = Recorder::default();
    let running = Running::start(&followed.source, &followed.store, &recorder);
    deposits(&followed.store, "a", 5).await;
    until_handled(pool, 5).await;
    Reactions::reset(pool, NAME, 2).await.unwrap();
    recorder.until_seen(8).await;
    until_handled(pool, 5).await;
    assert_eq!(recorder.seen()["a"], [1, 2, 3, 4, 5, 3, 4, 5]);
    assert!(Reactions::reset(pool, NAME, 99).await.is_err());
    running.stop().await.unwrap();
}

async fn two_share_the_work_and_one_takes_over_what_the_other_drops(kafka: bool) {
    let followed = Followed::over(kafka).await;
    let pool = &followed.database.pool;
    let (first, second) = (Recorder::default(), Recorder::default());
    let stores = (open(pool).await, open(pool).await);
    let began = std::time::Instant::now();
    let dying = Running::start(&followed.source, &stores.0, &first);
    let living = Running::start(&followed.source, &stores.1, &second);
    // Until each has its partitions, and on the store feed the one that leads its turn.
    let mut head = 0;
    let mut rounds = 0;
    let both = || !first.seen().is_empty() && !second.seen().is_empty();
    while rounds == 0 || kafka && !both() {
        assert!(began.elapsed() < LONG, "one of them has nothing to do");
        rounds += 1;
        head += 60;
        for account in 0..60 {
            deposits(&followed.store, &format!("account-{account}"), 1).await;
        }
        until_handled(pool, head).await;
    }
    // The first one gets stuck in the middle of whatever it has, and dies.
    for account in 0..60 {
        first.hold(&format!("account-{account}"));
        deposits(&followed.store, &format!("account-{account}"), 2).await;
    }
    for account in 60..80 {
        deposits(&followed.store, &format!("account-{account}"), 1).await;
    }
    dying.kill().await;
    if !kafka {
        expire_lease(pool, "reactor-recorder").await;
    }
    until_handled(pool, head + 140).await;
    let (first, mut seen) = (first.seen(), second.seen());
    for (stream, sequences) in first {
        seen.entry(stream).or_default().extend(sequences);
    }
    for account in 0..80 {
        let stream = format!("account-{account}");
        let mut sequences = seen[&stream].clone();
        sequences.sort_unstable();
        sequences.dedup();
        let expected = if account < 60 { rounds + 2 } else { 1 };
        assert_eq!(sequences, (1..=expected).collect::<Vec<i64>>(), "{stream}");
    }
    living.stop().await.unwrap();
}

suites!([
    everything_is_handled_in_order_within_its_stream,
    one_stream_waits_and_no_other,
    what_was_under_way_is_handled_again_after_a_crash_and_nothing_is_lost,
    after_an_orderly_end_nothing_is_handled_again,
    what_may_pass_is_tried_until_it_does,
    one_that_begins_at_its_installation_sees_nothing_older,
    one_that_never_ran_has_no_progress,
    a_log_that_was_rewound_stops_it_with_one_line,
    set_to_begin_anew_it_does,
    two_share_the_work_and_one_takes_over_what_the_other_drops,
]);
