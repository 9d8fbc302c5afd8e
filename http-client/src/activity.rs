//! Whether anything moves: a stream may take hours, but not stand still.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// When a byte of either body moved last.
#[derive(Debug)]
pub(crate) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    moved: Instant,
    is_client_awaited: bool,
}

impl Activity {
    pub(crate) fn new(now: Instant) -> Self {
        Activity(Mutex::new(State {
            moved: now,
            is_client_awaited: false,
        }))
    }

    /// Something moved.
    pub(crate) fn moved(&self) {
        let mut state = self.0.lock();
        state.moved = Instant::now();
        state.is_client_awaited = false;
    }

    /// The instance takes more of the request's body, and the client has not sent it yet.
    pub(crate) fn awaits_client(&self) {
        self.0.lock().is_client_awaited = true;
    }

    /// Whether it is the client who does not go on.
    pub(crate) fn is_client_awaited(&self) -> bool {
        self.0.lock().is_client_awaited
    }

    /// When something moved last.
    pub(crate) fn last(&self) -> Instant {
        self.0.lock().moved
    }

    /// Returns once nothing has moved for `idle`.
    pub(crate) async fn stands_still(&self, idle: Duration) {
        loop {
            let until = self.last() + idle;
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}
