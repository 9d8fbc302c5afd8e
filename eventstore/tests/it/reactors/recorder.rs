//! A reactor that writes down what it is handed, and does what it is told.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use anyhow::anyhow;
use async_trait::async_trait;
use eventstore::{
    Begins, EventStore, FeedSource, Feeds, Parks, ReactError, Reactions, ReactionsError, Reactor,
    RecordedEvent, reactor_progress,
};
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::publishing::LONG;

pub const NAME: &str = "recorder";

#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

struct Inner {
    begins: Begins,
    parks: Parks,
    state: Mutex<State>,
    /// Told when a stream is released.
    released: Notify,
}

#[derive(Default)]
struct State {
    /// By stream, the versions handled.
    seen: BTreeMap<String, Vec<i64>>,
    held: HashSet<String>,
    /// Positions that are poison, and how they show it.
    poison: HashMap<i64, Poison>,
    /// Attempts that fail before one works.
    failures: usize,
}

#[derive(Clone, Copy)]
pub enum Poison {
    Refused,
    Panics,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::beginning(Begins::AtStart)
    }
}

impl Recorder {
    pub fn beginning(begins: Begins) -> Self {
        Self::of(begins, Parks::default())
    }

    pub fn parking(parks: Parks) -> Self {
        Self::of(Begins::AtStart, parks)
    }

    fn of(begins: Begins, parks: Parks) -> Self {
        Self(Arc::new(Inner {
            begins,
            parks,
            state: Mutex::default(),
            released: Notify::new(),
        }))
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.state.lock().unwrap());
    }

    /// Events of this stream are not finished until it is released.
    pub fn hold(&self, stream: &str) {
        self.set(|state| {
            state.held.insert(stream.to_owned());
        });
    }

    pub fn release(&self, stream: &str) {
        self.set(|state| {
            state.held.remove(stream);
        });
        self.0.released.notify_waiters();
    }

    pub fn poison(&self, positions: impl IntoIterator<Item = i64>, how: Poison) {
        let positions = positions.into_iter().map(|position| (position, how));
        self.set(|state| state.poison = positions.collect());
    }

    pub fn fail_times(&self, failures: usize) {
        self.set(|state| state.failures = failures);
    }

    pub fn seen(&self) -> BTreeMap<String, Vec<i64>> {
        self.0.state.lock().unwrap().seen.clone()
    }

    pub fn count(&self) -> usize {
        self.seen().values().map(Vec::len).sum()
    }

    pub async fn until_seen(&self, count: usize) {
        let what = format!("{count} events were handled");
        testing::until(&what, LONG, async || self.count() >= count).await;
    }

    fn is_held(&self, stream: &str) -> bool {
        self.0.state.lock().unwrap().held.contains(stream)
    }
}

#[async_trait]
impl Reactor for Recorder {
    fn name(&self) -> &'static str {
        NAME
    }

    fn reads(&self) -> &'static [&'static str] {
        &["account"]
    }

    fn begins(&self) -> Begins {
        self.0.begins
    }

    fn parks(&self) -> Parks {
        self.0.parks
    }

    async fn react(&self, event: &RecordedEvent) -> Result<(), ReactError> {
        loop {
            let released = self.0.released.notified();
            if !self.is_held(&event.aggregate_id) {
                break;
            }
            released.await;
        }
        tokio::task::yield_now().await;
        let mut state = self.0.state.lock().unwrap();
        if state.failures > 0 {
            state.failures -= 1;
            return Err(anyhow!("the brokers are away").into());
        }
        match state.poison.get(&event.position) {
            None => {}
            Some(Poison::Refused) => return Err(ReactError::Poison("no such colour".to_owned())),
            Some(Poison::Panics) => {
                drop(state);
                panic!("no such colour");
            }
        }
        let stream = event.aggregate_id.clone();
        state.seen.entry(stream).or_default().push(event.sequence);
        Ok(())
    }
}

/// A reactor at work in the background; dropped, it is gone as by a crash.
pub struct Running {
    stop: CancellationToken,
    task: Option<JoinHandle<Result<(), ReactionsError>>>,
}

impl Running {
    pub fn start(source: &FeedSource, store: &EventStore, recorder: &Recorder) -> Self {
        let reactor = Arc::new(recorder.clone());
        let feeds = Feeds::new(store.clone(), source.clone());
        let reactions = Reactions::new(feeds, reactor, "test");
        let stop = CancellationToken::new();
        let ended = stop.clone();
        let task = tokio::spawn(async move { reactions.run(ended).await });
        Self {
            stop,
            task: Some(task),
        }
    }

    /// Ends it in order.
    pub async fn stop(self) -> Result<(), ReactionsError> {
        self.stop.cancel();
        self.ended().await
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> Result<(), ReactionsError> {
        let task = self.task.take().unwrap();
        tokio::time::timeout(LONG, task).await.unwrap().unwrap()
    }

    /// Ends it at once, wherever it is.
    pub async fn kill(mut self) {
        let task = self.task.take().unwrap();
        task.abort();
        assert!(task.await.is_err_and(|error| error.is_cancelled()));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// Waits until everything up to a position is handled or parked.
pub async fn until_handled(pool: &PgPool, position: i64) {
    let what = format!("position {position} is handled");
    testing::until(&what, LONG, async || {
        let progress = reactor_progress(pool, NAME).await.unwrap();
        progress.is_some_and(|progress| progress.position >= position)
    })
    .await;
}
