//! The loop of whoever holds the lease.

use std::collections::HashSet;
use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::attempts::Attempts;
use super::{DueTimer, TimerHandler, due};
use crate::state::panic_message;
use crate::store::EventStore;

/// Longest time between two looks: timers that other processes set for now are noticed by the head of the log already, and
/// this is for clocks that jump.
const LOOK_INTERVAL_MAX: Duration = Duration::from_millis(500);

/// Least time between two looks, however fast the log grows.
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(10);

/// How long not, after the database could not be read.
const LOOK_RETRY: Duration = Duration::from_millis(250);

/// Longest wait at the end for what is under way; what is broken off is done again.
const FINISH_MAX: Duration = Duration::from_secs(5);

/// The timers of one handler, worked on here.
pub(super) struct Firing {
    store: EventStore,
    handler: Arc<dyn TimerHandler>,
    at_once: usize,
    head: watch::Receiver<i64>,
    running: HashSet<String>,
    jobs: JoinSet<(DueTimer, anyhow::Result<()>)>,
    attempts: Attempts,
    looked_at: Instant,
    /// When to look next, whatever happens.
    look_at: Instant,
    /// Whether the last look ended for want of room.
    more: bool,
}

impl Firing {
    pub(super) fn new(store: &EventStore, handler: &Arc<dyn TimerHandler>, at_once: usize) -> Self {
        let now = Instant::now();
        Self {
            store: store.clone(),
            handler: Arc::clone(handler),
            at_once,
            head: store.head(),
            running: HashSet::new(),
            jobs: JoinSet::new(),
            attempts: Attempts::default(),
            looked_at: now,
            look_at: now,
            more: false,
        }
    }

    /// Works until `stop` or `lost`. After `stop` what is under way is finished.
    pub(super) async fn run(mut self, stop: &CancellationToken, lost: &CancellationToken) {
        // Once the log is closed its head tells nothing any more.
        let mut followed = true;
        let due_at_once = self.handler.are_due_at_once();
        loop {
            let has_room = self.jobs.len() < self.at_once;
            tokio::select! {
                biased;
                () = lost.cancelled() => return,
                () = stop.cancelled() => break,
                Some(job) = self.jobs.join_next(), if !self.jobs.is_empty() => {
                    let (timer, result) = job.expect("what panics is caught");
                    self.fired(&timer, result);
                }
                () = sleep_until(self.look_at), if has_room => self.look_around().await,
                changed = self.head.changed(), if has_room && followed && due_at_once => {
                    followed = changed.is_ok();
                    self.look_soon();
                }
            }
        }
        let finishing = async {
            while let Some(Ok((timer, result))) = self.jobs.join_next().await {
                self.fired(&timer, result);
            }
        };
        tokio::select! {
            _ = timeout(FINISH_MAX, finishing) => {}
            () = lost.cancelled() => {}
        }
    }

    fn look_soon(&mut self) {
        self.look_at = self.look_at.min(self.looked_at + LOOK_INTERVAL_MIN);
    }

    fn fired(&mut self, timer: &DueTimer, result: anyhow::Result<()>) {
        fail::fail_point!("timer-fired");
        self.running.remove(&timer.name);
        let (attempts, wait) = self.attempts.note(timer, Instant::now());
        if let Err(error) = result {
            tracing::warn!(
                timer = timer.name,
                attempts,
                again_in_seconds = wait.as_secs_f64(),
                error = format!("{error:#}"),
                "a timer was not acted on, trying again"
            );
            let prefix = self.handler.prefix();
            metrics::counter!("nakku_timer_retries_total", "timers" => prefix).increment(1);
        }
        self.look_at = self.look_at.min(Instant::now() + wait);
        if self.more {
            self.look_soon();
        }
    }

    async fn look_around(&mut self) {
        self.head.borrow_and_update();
        let now = Instant::now();
        self.looked_at = now;
        self.look_at = match self.look().await {
            Ok(next) => {
                let next = next.map_or(LOOK_INTERVAL_MAX, |next| next.min(LOOK_INTERVAL_MAX));
                let again = self.attempts.next().filter(|again| *again > now);
                let look_at = now + next.max(LOOK_INTERVAL_MIN);
                again.map_or(look_at, |again| look_at.min(again))
            }
            Err(error) => {
                let prefix = self.handler.prefix();
                let error = &error as &dyn Error;
                tracing::warn!(
                    timers = prefix,
                    error,
                    "timers cannot be read, trying again"
                );
                now + LOOK_RETRY
            }
        };
    }

    /// Begins what is due, in that order, as far as there is room. How long until the next timer is due, if it is known.
    async fn look(&mut self) -> sqlx::Result<Option<Duration>> {
        let pool = self.store.pool().clone();
        let prefix = self.handler.prefix();
        let mut seen = self.running.clone();
        // There is no room for more than `at_once`. Those that have to wait are due as well, and the last one shows that there
        // are more.
        let wanted = self.at_once + self.attempts.len() + 1;
        let mut last: Option<DueTimer> = None;
        self.more = false;
        loop {
            let page = due::read(&pool, prefix, last.as_ref(), wanted).await?;
            fail::fail_point!("timer-read");
            last = page.due.last().cloned();
            for timer in page.due {
                if self.jobs.len() >= self.at_once {
                    self.more = true;
                    self.attempts.retain(&seen, Some(timer.due_at));
                    return Ok(None);
                }
                seen.insert(timer.name.clone());
                if !self.running.contains(&timer.name)
                    && self.attempts.allow(&timer, Instant::now())
                {
                    self.begin(timer);
                }
            }
            if !page.is_full {
                self.attempts.retain(&seen, None);
                return Ok(page.next);
            }
        }
    }

    fn begin(&mut self, timer: DueTimer) {
        self.running.insert(timer.name.clone());
        let handler = Arc::clone(&self.handler);
        self.jobs.spawn(async move {
            let firing = AssertUnwindSafe(handler.fire(&timer)).catch_unwind();
            let result = firing.await.unwrap_or_else(|panic| {
                Err(anyhow::anyhow!("it panicked: {}", panic_message(&*panic)))
            });
            (timer, result)
        });
    }
}
