//! Batches that change nothing.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use eventstore::{Feed, FeedError, RecordedEvent};
use tokio::sync::Notify;

use super::{Consumer, List};
use crate::publishing::deposits;

/// A feed that yields one event at a time, and nothing after the last.
struct Trickle {
    events: VecDeque<RecordedEvent>,
    /// Told when there is nothing left.
    dry: Arc<Notify>,
}

impl Trickle {
    fn of(events: Vec<RecordedEvent>) -> Self {
        let events = events.into();
        let dry = Arc::default();
        Self { events, dry }
    }
}

#[async_trait]
impl Feed for Trickle {
    async fn next(&mut self, _: usize) -> Result<Vec<RecordedEvent>, FeedError> {
        if let Some(event) = self.events.pop_front() {
            return Ok(vec![event]);
        }
        self.dry.notify_one();
        std::future::pending().await
    }
}

#[tokio::test]
async fn what_is_of_no_concern_waits_a_moment_for_what_is() {
    let mut consumer = Consumer::new(false, List::default()).await;
    deposits(&consumer.store, "a", 9).await;
    let events = consumer.store.read_after(0, 9).await.unwrap();
    consumer
        .list
        .set(|inner| inner.unconcerned = HashSet::from([1, 2, 3, 5, 8, 9]));
    consumer.feed = Box::new(Trickle::of(events));
    let mut ends = Vec::new();
    while consumer.list.position() < 9 {
        consumer.step().await;
        ends.push(consumer.list.position());
    }
    // As soon as there is something, and after a moment where nothing comes; on a machine that stood still for that moment
    // in between as well.
    let due = [4, 6, 7, 9];
    assert!(
        due.iter().all(|position| ends.contains(position)),
        "{ends:?}"
    );
    assert!(ends.len() < 9, "each went alone");
    let batches = consumer.list.0.lock().unwrap().batches;
    assert_eq!((batches, consumer.list.positions().len()), (ends.len(), 9));
}

#[tokio::test]
async fn what_waits_for_its_like_is_not_lost_with_a_step_that_is_dropped() {
    let mut consumer = Consumer::new(false, List::default()).await;
    deposits(&consumer.store, "a", 2).await;
    let events = consumer.store.read_after(0, 2).await.unwrap();
    consumer
        .list
        .set(|inner| inner.unconcerned = HashSet::from([1, 2]));
    let trickle = Trickle::of(events);
    let dry = Arc::clone(&trickle.dry);
    consumer.feed = Box::new(trickle);
    tokio::select! {
        biased;
        _ = consumer.runner.step(&mut *consumer.feed, &mut consumer.list) => panic!("it waits"),
        () = dry.notified() => {}
    }
    consumer.step().await;
    assert_eq!(consumer.list.positions(), [1, 2]);
}
