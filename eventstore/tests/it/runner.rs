//! The runner, over both feeds: batches, retry without end, steps that are broken off.

mod idle;
mod parking;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::anyhow;
use async_trait::async_trait;
use eventstore::{
    Checkpoint, EventStore, Feed, FeedError, HandleError, Handler, RecordedEvent, RunError, Runner,
    RunnerOptions, dead_letters,
};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::feeds::Followed;
use crate::publishing::{LONG, deposits};
use crate::support::deposit;

/// A consumer whose effect is a list of positions. Effect and checkpoint become durable together.
#[derive(Clone, Default)]
struct List(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    checkpoint: Checkpoint,
    positions: Vec<i64>,
    /// The largest batch seen, and how many there were.
    batch: usize,
    batches: usize,
    /// Of no concern.
    unconcerned: HashSet<i64>,
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

    fn concerns(&self, event: &RecordedEvent) -> bool {
        let inner = self.0.lock().unwrap();
        !inner.unconcerned.contains(&event.position)
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
        inner.batches += 1;
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
    followed: Followed,
    store: EventStore,
    list: List,
    runner: Runner,
    feed: Box<dyn Feed>,
}

impl Consumer {
    async fn new(kafka: bool, list: List) -> Self {
        let followed = Followed::over(kafka).await;
        let (runner, feed) = Self::begin(&followed, &list).await;
        Self {
            store: followed.store.clone(),
            followed,
            list,
            runner,
            feed,
        }
    }

    async fn begin(followed: &Followed, list: &List) -> (Runner, Box<dyn Feed>) {
        let checkpoint = list.clone().checkpoint().await.unwrap();
        let feed = followed.open(checkpoint).await;
        let store = followed.store.clone();
        (Runner::new(store, "list", RunnerOptions::default()), feed)
    }

    /// As after a crash: everything in memory is gone.
    async fn restart(&mut self) {
        (self.runner, self.feed) = Self::begin(&self.followed, &self.list).await;
    }

    fn pool(&self) -> &PgPool {
        &self.followed.database.pool
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

async fn batches_are_bounded_and_move_the_checkpoint(kafka: bool) {
    let mut consumer = Consumer::new(kafka, List::default()).await;
    deposits(&consumer.store, "a", 6_000).await;
    consumer.catch_up().await;
    assert_eq!(consumer.list.positions(), (1..=6_000).collect::<Vec<i64>>());
    let inner = consumer.list.0.lock().unwrap();
    assert!(inner.batch <= 4_000, "{}", inner.batch);
    // How much of it Kafka brings at once is Kafka's affair.
    assert!(kafka || inner.batch == 4_000, "{}", inner.batch);
    assert!(inner.checkpoint.event_id.is_some());
}

async fn what_may_pass_is_tried_until_it_does(kafka: bool) {
    let mut consumer = Consumer::new(kafka, List::default()).await;
    consumer.list.set(|inner| inner.failures = 3);
    append(&consumer.store, "ab").await;
    consumer.catch_up().await;
    assert_eq!(consumer.list.positions(), [1, 2]);
    assert!(consumer.parked().await.is_empty());
}

async fn who_was_replaced_ends(kafka: bool) {
    let mut consumer = Consumer::new(kafka, List::default()).await;
    consumer.list.set(|inner| inner.fenced = true);
    append(&consumer.store, "a").await;
    let ended = loop {
        let step = consumer
            .runner
            .step(&mut *consumer.feed, &mut consumer.list);
        match tokio::time::timeout(LONG, step).await.unwrap() {
            Ok(step) => assert_eq!(step.handled, 0),
            Err(error) => break error,
        }
    };
    assert!(matches!(ended, RunError::Fenced(reason) if reason == "epoch 2 leads"));
}

async fn it_runs_until_told_and_carries_out_requests_meanwhile(kafka: bool) {
    let consumer = Consumer::new(kafka, List::poison([1])).await;
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

async fn a_shutdown_ends_waiting_for_what_does_not_pass(kafka: bool) {
    let consumer = Consumer::new(kafka, List::default()).await;
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

async fn a_step_that_is_dropped_is_taken_up_by_the_next(kafka: bool) {
    let mut consumer = Consumer::new(kafka, List::default()).await;
    consumer.list.set(|inner| inner.failures = 1_000);
    append(&consumer.store, "abab").await;
    // Dropped in the middle: the feed has yielded the events, and will not do so again.
    while consumer.list.0.lock().unwrap().failures == 1_000 {
        let step = consumer
            .runner
            .step(&mut *consumer.feed, &mut consumer.list);
        let _ = tokio::time::timeout(Duration::from_millis(700), step).await;
    }
    consumer.list.set(|inner| inner.failures = 0);
    consumer.catch_up().await;
    assert_eq!(consumer.list.positions(), [1, 2, 3, 4]);
}

async fn a_feed_that_is_behind_or_ahead_of_the_effects(kafka: bool) {
    let mut consumer = Consumer::new(kafka, List::default()).await;
    append(&consumer.store, "abab").await;
    consumer.catch_up().await;
    append(&consumer.store, "ab").await;
    // Behind: what has had its effect does not have it again.
    consumer.feed = consumer.followed.open(Checkpoint::START).await;
    consumer.catch_up().await;
    assert_eq!(consumer.list.positions(), [1, 2, 3, 4, 5, 6]);
    // Ahead: nothing is skipped in silence.
    let first = consumer.store.read_after(0, 1).await.unwrap().remove(0);
    consumer
        .list
        .set(|inner| inner.checkpoint = Checkpoint::START);
    consumer.restart().await;
    consumer.feed = consumer
        .followed
        .open(Checkpoint {
            position: 1,
            event_id: Some(first.event_id),
        })
        .await;
    let refused = loop {
        let step = consumer
            .runner
            .step(&mut *consumer.feed, &mut consumer.list);
        match step.await {
            Ok(step) => assert_eq!(step.handled, 0),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(refused, RunError::Feed(FeedError::Hole { position: 1 })),
        "{refused}"
    );
}

suites!([
    batches_are_bounded_and_move_the_checkpoint,
    what_may_pass_is_tried_until_it_does,
    who_was_replaced_ends,
    it_runs_until_told_and_carries_out_requests_meanwhile,
    a_shutdown_ends_waiting_for_what_does_not_pass,
    a_step_that_is_dropped_is_taken_up_by_the_next,
    a_feed_that_is_behind_or_ahead_of_the_effects,
]);

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
    let mut consumer = Consumer::new(false, List::default()).await;
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
