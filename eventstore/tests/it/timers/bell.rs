//! Whoever acts on timers, and notes it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use anyhow::anyhow;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use eventstore::{DueTimer, EventStore, TimerHandler};
use serde_json::json;
use tokio::sync::Notify;

use super::{change, clear};
use crate::publishing::LONG;

/// Writes down what is due, and clears it.
pub(super) struct Bell {
    pub(super) store: EventStore,
    pub(super) state: Mutex<State>,
    released: Notify,
}

#[derive(Default)]
pub(super) struct State {
    fired: Vec<String>,
    pub(super) held: HashSet<String>,
    /// By name, attempts that fail before one works.
    pub(super) failures: HashMap<String, usize>,
    pub(super) under_way: HashSet<String>,
    pub(super) most_under_way: usize,
    /// When a timer is moved to instead of being cleared.
    pub(super) moved: HashMap<String, DateTime<Utc>>,
}

impl Bell {
    pub(super) fn new(store: &EventStore) -> Arc<Self> {
        Arc::new(Self {
            store: store.clone(),
            state: Mutex::default(),
            released: Notify::new(),
        })
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
        self.released.notify_waiters();
    }

    pub(super) fn fired(&self) -> Vec<String> {
        self.state.lock().unwrap().fired.clone()
    }

    pub(super) async fn until_fired(&self, count: usize) {
        let what = format!("{count} timers were acted on");
        testing::until(&what, LONG, async || self.fired().len() >= count).await;
    }

    fn is_held(&self, name: &str) -> bool {
        self.state.lock().unwrap().held.contains(name)
    }

    fn begin(&self, name: &str) {
        self.set(|state| {
            assert!(
                state.under_way.insert(name.to_owned()),
                "{name} twice at once"
            );
            state.most_under_way = state.most_under_way.max(state.under_way.len());
        });
    }

    fn end(&self, name: &str) -> Option<DateTime<Utc>> {
        let mut state = self.state.lock().unwrap();
        state.under_way.remove(name);
        state.fired.push(name.to_owned());
        state.moved.remove(name)
    }

    fn fails(&self, name: &str) -> bool {
        let mut state = self.state.lock().unwrap();
        let Some(failures) = state
            .failures
            .get_mut(name)
            .filter(|failures| **failures > 0)
        else {
            return false;
        };
        *failures -= 1;
        state.under_way.remove(name);
        true
    }
}

#[async_trait]
impl TimerHandler for Bell {
    fn prefix(&self) -> &'static str {
        "bell/"
    }

    async fn fire(&self, timer: &DueTimer) -> anyhow::Result<()> {
        assert_eq!(timer.payload, json!({ "name": timer.name }));
        self.begin(&timer.name);
        loop {
            let released = self.released.notified();
            if !self.is_held(&timer.name) {
                break;
            }
            released.await;
        }
        if self.fails(&timer.name) {
            return Err(anyhow!("nobody answers"));
        }
        let next = match self.end(&timer.name) {
            Some(due_at) => super::timer(&timer.name, due_at),
            None => clear(&timer.name),
        };
        change(&self.store, vec![next]).await;
        Ok(())
    }
}
