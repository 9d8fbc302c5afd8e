//! The runner: retry without end, parking of whole streams in order, retries and discards on request.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use anyhow::anyhow;
use async_trait::async_trait;
use eventstore::{
    Checkpoint, EventStore, Feed, FeedError, FeedSource, HandleError, Handler, RecordedEvent,
    RunError, Runner, RunnerOptions, dead_letters,
};
use sqlx::PgPool;
use testing::Database;
use tokio_util::sync::CancellationToken;

use crate::publishing::{LONG, deposits};
use crate::support::{deposit, open};

/// A consumer whose effect is a list of positions. Effect and checkpoint become durable together.
#[derive(Clone, Default)]
struct List(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    checkpoint: Checkpoint,
    positions: Vec<i64>,
    /// The largest batch seen.
    batch: usize,
    poison: HashSet<i64>,
    /// Attempts that fail before one works.
    failures: usize,
    fenced: bool,
}

impl List {
    fn poison(positions: impl IntoIterator<Item = i64>) -> Self {
        let list = Self::default();
        list.set(|inner| inner.poison = positions.into_iter().collect());
        list
    }

    fn set(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.0.lock().unwrap());
    }

    fn positions(&self) -> Vec<i64> {
        self.0.lock().unwrap().positions.clone()
    }

    fn position(&self) -> i64 {
        self.0.lock().unwrap().checkpoint.position
    }
}

#[async_trait]
impl Handler for List {
    async fn checkpoint(&mut self) -> anyhow::Result<Checkpoint> {
        Ok(self.0.lock().unwrap().checkpoint)
    }

    async fn handle(
        &mut self,
        events: &[RecordedEvent],
        upto: &Checkpoint,
    ) -> Result<(), HandleError> {
        let mut inner = self.0.lock().unwrap();
        if inner.fenced {
            return Err(HandleError::Fenced("epoch 2 leads".to_owned()));
        }
        if inner.failures > 0 {
            inner.failures -= 1;
            return Err(HandleError::Transient(anyhow!("the disk is full")));
        }
        assert!(upto.position >= inner.checkpoint.position);
        inner.batch = inner.batch.max(events.len());
        let poison = events
            .iter()
            .find(|event| inner.poison.contains(&event.position));
        if let Some(event) = poison {
            let (position, error) = (event.position, "no such colour".to_owned());
            return Err(HandleError::Poison { position, error });
        }
        inner
            .positions
            .extend(events.iter().map(|event| event.position));
        inner.checkpoint = *upto;
        Ok(())
    }
}

struct Consumer {
    database: Database,
    store: EventStore,
    list: List,
    runner: Runner,
    feed: Box<dyn Feed>,
}

impl Consumer {
    async fn new(list: List) -> Self {
        let database = testing::database().await;
        let store = open(&database.pool).await;
        let (runner, feed) = Self::begin(&store, &list).await;
        Self {
            database,
            store,
            list,
            runner,
            feed,
        }
    }

    async fn begin(store: &EventStore, list: &List) -> (Runner, Box<dyn Feed>) {
        let checkpoint = list.clone().checkpoint().await.unwrap();
        let feed = FeedSource::Store
            .open(store, "list", checkpoint)
            .await
            .unwrap();
        (
            Runner::new(store.clone(), "list", RunnerOptions::default()),
            feed,
        )
    }

    /// As after a crash: everything in memory is gone.
    async fn restart(&mut self) {
        (self.runner, self.feed) = Self::begin(&self.store, &self.list).await;
    }

    fn pool(&self) -> &PgPool {
        &self.database.pool
    }

    /// Steps up to the head of the log.
    async fn catch_up(&mut self) {
        let head = self.store.read_head().await.unwrap().position;
        while self.list.position() < head {
            self.step().await;
        }
    }

    async fn step(&mut self) {
        self.runner.look_for_requests();
        let step = self.runner.step(&mut *self.feed, &mut self.list);
        let step = tokio::time::timeout(LONG, step).await.unwrap().unwrap();
        assert_eq!(step.position, self.list.position());
        assert_eq!(step.position, self.runner.position());
    }

    /// What is parked, as the operator sees it: position, attempts, and how many wait behind.
    async fn parked(&self) -> Vec<(i64, i32, i64)> {
        let letters = dead_letters::list(self.pool(), Some("list"), None, 100)
            .await
            .unwrap();
        letters
            .iter()
            .map(|letter| (letter.position, letter.attempts, letter.blocked))
            .collect()
    }

    async fn only_letter(&self) -> dead_letters::DeadLetter {
        let letters = dead_letters::list(self.pool(), Some("list"), None, 100)
            .await
            .unwrap();
        assert_eq!(letters.len(), 1);
        letters[0].clone()
    }
}

/// Appends one event each to the accounts named, in order.
async fn append(store: &EventStore, accounts: &str) {
    for account in accounts.chars() {
        deposit(store, &account.to_string(), 1).await.unwrap();
    }
}

#[tokio::test]
async fn batches_are_bounded_and_move_the_checkpoint() {
    let mut consumer = Consumer::new(List::default()).await;
    deposits(&consumer.store, "a", 1_500).await;
    consumer.catch_up().await;
    assert_eq!(consumer.list.positions(), (1..=1_500).collect::<Vec<i64>>());
    let inner = consumer.list.0.lock().unwrap();
    assert_eq!(inner.batch, 1_000);
    assert!(inner.checkpoint.event_id.is_some());
}

#[tokio::test]
async fn what_may_pass_is_tried_until_it_does() {
    let mut consumer = Consumer::new(List::default()).await;
    consumer.list.set(|inner| inner.failures = 3);
    append(&consumer.store, "ab").await;
    consumer.catch_up().await;
    assert_eq!(consumer.list.positions(), [1, 2]);
    assert!(consumer.parked().await.is_empty());
}

#[tokio::test]
async fn a_poison_event_parks_its_stream_and_nothing_else() {
    let mut consumer = Consumer::new(List::poison([3])).await;
    append(&consumer.store, "ababab").await;
    consumer.catch_up().await;
    assert_eq!(consumer.list.positions(), [1, 2, 4, 6]);
    assert_eq!(consumer.parked().await, [(3, 1, 1)]);

    // Also what comes later, also after a restart.
    append(&consumer.store, "ab").await;
    consumer.catch_up().await;
    consumer.restart().await;
    append(&consumer.store, "ab").await;
    consumer.catch_up().await;
    assert_eq!(consumer.list.positions(), [1, 2, 4, 6, 8, 10]);
    assert_eq!(consumer.parked().await, [(3, 1, 3)]);
    let letter = consumer.only_letter().await;
    assert_eq!(letter.stream_id, "a");
    assert_eq!(letter.error.as_deref(), Some("no such colour"));
}

#[tokio::test]
async fn two_poison_streams_in_one_batch_are_parked_both() {
    let mut consumer = Consumer::new(List::poison([1, 2])).await;
    append(&consumer.store, "abcab").await;
    consumer.catch_up().await;
    assert_eq!(consumer.list.positions(), [3]);
    assert_eq!(consumer.parked().await, [(1, 1, 1), (2, 1, 1)]);
    assert_eq!(
        dead_letters::count(consumer.pool(), Some("list"))
            .await
            .unwrap(),
        2
    );
}

#[tokio::test]
async fn a_crash_between_parking_and_the_checkpoint_parks_nothing_twice_and_nothing_too_much() {
    let mut consumer = Consumer::new(List::poison([3])).await;
    append(&consumer.store, "aaaab").await;
    consumer.catch_up().await;
    assert_eq!(consumer.list.positions(), [1, 2, 5]);
    // The effect of the batch was lost, the dead letters were not.
    consumer.list.set(|inner| {
        inner.checkpoint = Checkpoint::START;
        inner.positions.clear();
    });
    consumer.restart().await;
    consumer.catch_up().await;
    assert_eq!(consumer.list.positions(), [1, 2, 5]);
    assert_eq!(consumer.parked().await, [(3, 1, 1)]);
}

#[tokio::test]
async fn a_retry_hands_the_stream_over_in_order_and_sets_it_free() {
    let mut consumer = Consumer::new(List::poison([1])).await;
    append(&consumer.store, "abaa").await;
    consumer.catch_up().await;
    assert_eq!(consumer.list.positions(), [2]);

    // Not yet mended: parked again, and counted.
    let letter = consumer.only_letter().await;
    dead_letters::request_retry(consumer.pool(), letter.id, "anna")
        .await
        .unwrap();
    assert_eq!(consumer.only_letter().await.state, "retry");
    consumer.step().await;
    assert_eq!(consumer.only_letter().await.state, "parked");
    assert_eq!(consumer.parked().await, [(1, 2, 2)]);

    // Mended; but a later one of the stream fails now.
    consumer.list.set(|inner| inner.poison = HashSet::from([4]));
    dead_letters::request_retry(consumer.pool(), letter.id, "anna")
        .await
        .unwrap();
    consumer.step().await;
    assert_eq!(consumer.list.positions(), [2, 1, 3]);
    assert_eq!(consumer.parked().await, [(4, 1, 0)]);
    assert_eq!(
        consumer.only_letter().await.error.as_deref(),
        Some("no such colour")
    );

    consumer.list.set(|inner| inner.poison.clear());
    append(&consumer.store, "a").await;
    consumer.catch_up().await;
    let letter = consumer.only_letter().await;
    assert_eq!(letter.blocked, 1);
    dead_letters::request_retry(consumer.pool(), letter.id, "anna")
        .await
        .unwrap();
    consumer.step().await;
    assert!(consumer.parked().await.is_empty());
    append(&consumer.store, "a").await;
    consumer.catch_up().await;
    assert_eq!(consumer.list.positions(), [2, 1, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_discarded_event_is_skipped_for_good_and_the_rest_follows() {
    let mut consumer = Consumer::new(List::poison([2])).await;
    append(&consumer.store, "aaaa").await;
    consumer.catch_up().await;
    let letter = consumer.only_letter().await;
    dead_letters::discard(consumer.pool(), letter.id, "anna", "a test order")
        .await
        .unwrap();
    consumer.step().await;
    assert_eq!(consumer.list.positions(), [1, 3, 4]);
    assert!(consumer.parked().await.is_empty());
    assert_eq!(
        dead_letters::skipped(consumer.pool(), "list")
            .await
            .unwrap(),
        [2]
    );
    let (shown, _) = dead_letters::show(consumer.pool(), letter.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(shown.state, "discarded");
    assert_eq!(shown.decided_by.as_deref(), Some("anna"));
    assert_eq!(shown.reason.as_deref(), Some("a test order"));

    // A rebuild from the start honours it, under its own name too.
    for (consumer_name, discards_of) in [("list", vec![]), ("list#2", vec!["list".to_owned()])] {
        let mut rebuilt = List::poison([2]);
        let mut feed = FeedSource::Store
            .open(&consumer.store, "list", Checkpoint::START)
            .await
            .unwrap();
        let options = RunnerOptions {
            discards_of,
            ..RunnerOptions::default()
        };
        let mut runner = Runner::new(consumer.store.clone(), consumer_name, options);
        runner.step(&mut *feed, &mut rebuilt).await.unwrap();
        assert_eq!(rebuilt.positions(), [1, 3, 4]);
    }
}

#[tokio::test]
async fn the_last_of_a_stream_discarded_sets_it_free() {
    let mut consumer = Consumer::new(List::poison([1])).await;
    append(&consumer.store, "a").await;
    consumer.catch_up().await;
    let letter = consumer.only_letter().await;
    dead_letters::discard(consumer.pool(), letter.id, "anna", "wrong")
        .await
        .unwrap();
    append(&consumer.store, "a").await;
    consumer.catch_up().await;
    assert_eq!(consumer.list.positions(), [2]);
}

#[tokio::test]
async fn who_was_replaced_ends() {
    let mut consumer = Consumer::new(List::default()).await;
    consumer.list.set(|inner| inner.fenced = true);
    append(&consumer.store, "a").await;
    let ended = consumer
        .runner
        .step(&mut *consumer.feed, &mut consumer.list)
        .await;
    assert!(matches!(ended, Err(RunError::Fenced(reason)) if reason == "epoch 2 leads"));
}

#[tokio::test]
async fn it_runs_until_told_and_carries_out_requests_meanwhile() {
    let consumer = Consumer::new(List::poison([1])).await;
    let (list, pool) = (consumer.list.clone(), consumer.pool().clone());
    let (mut runner, mut feed, mut handler) = (consumer.runner, consumer.feed, consumer.list);
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let running = tokio::spawn(async move { runner.run(&mut *feed, &mut handler, stop).await });
    append(&consumer.store, "ab").await;
    testing::until("both are passed", LONG, async || list.position() == 2).await;
    list.set(|inner| inner.poison.clear());
    let letters = dead_letters::list(&pool, Some("list"), None, 10)
        .await
        .unwrap();
    dead_letters::request_retry(&pool, letters[0].id, "anna")
        .await
        .unwrap();
    testing::until("it is retried", LONG, async || list.positions() == [2, 1]).await;
    shutdown.cancel();
    tokio::time::timeout(LONG, running)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_shutdown_ends_waiting_for_what_does_not_pass() {
    let consumer = Consumer::new(List::default()).await;
    consumer.list.set(|inner| inner.failures = usize::MAX);
    append(&consumer.store, "a").await;
    let (mut runner, mut feed, mut handler) = (consumer.runner, consumer.feed, consumer.list);
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let list = handler.clone();
    let running = tokio::spawn(async move { runner.run(&mut *feed, &mut handler, stop).await });
    testing::until("it was tried", LONG, async || {
        list.0.lock().unwrap().failures < usize::MAX
    })
    .await;
    shutdown.cancel();
    tokio::time::timeout(LONG, running)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(list.positions().is_empty());
}

/// A feed that fails as told.
struct Failing(Vec<FeedError>);

#[async_trait]
impl Feed for Failing {
    async fn next(&mut self, _: usize) -> Result<Vec<RecordedEvent>, FeedError> {
        Err(self.0.remove(0))
    }
}

#[tokio::test]
async fn a_feed_is_asked_again_unless_the_log_was_rewound() {
    let mut consumer = Consumer::new(List::default()).await;
    let mut feed = Failing(vec![
        FeedError::Database(sqlx::Error::PoolTimedOut),
        FeedError::Rewound { position: 4 },
    ]);
    let ended = consumer.runner.step(&mut feed, &mut consumer.list).await;
    assert!(matches!(
        ended,
        Err(RunError::Feed(FeedError::Rewound { position: 4 }))
    ));
    assert!(feed.0.is_empty());
}
