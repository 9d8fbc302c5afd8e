//! Waiting for the end of orders. Whoever waits is woken by one reader of the log for all of them, which runs for as long
//! as anybody waits.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eventstore::{EventStore, RecordedEvent};
use http_server::Problem;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::Progress;

/// Requests that wait at a time; one more is answered at once. As many as a server has running.
const WAITING_MAX: usize = http_server::edge::RUNNING_MAX;
/// Events read at once. An order has some twenty.
const PAGE: i64 = 1_000;
/// Between two reads: what is appended meanwhile comes with one read instead of many.
const PAUSE: Duration = Duration::from_millis(5);
/// After a read that failed.
const RETRY: Duration = Duration::from_millis(500);

/// What is waited for. The streams of an order and of its saga have the same id.
const SETTLING: [&str; 3] = ["order.completed", "order.cancelled", "fulfilment.parked"];

/// Those who wait. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Waiting(Arc<Shared>);

struct Shared {
    store: EventStore,
    orders: Mutex<Orders>,
    /// Somebody was the last to leave.
    left: Notify,
}

#[derive(Default)]
struct Orders {
    /// By the order's id: whether it was seen to end or halt.
    settled: HashMap<String, watch::Sender<bool>>,
    /// Requests over all orders.
    waiting: usize,
    /// What the reader has read up to; none while there is no reader.
    position: Option<i64>,
}

/// A request that waits; leaving is dropping it.
struct Waiter {
    shared: Arc<Shared>,
    order_id: String,
    settled: Option<watch::Receiver<bool>>,
    /// Whether the order may have ended before the reader looked.
    may_have_ended: bool,
}

impl Waiting {
    pub(crate) fn new(store: EventStore) -> Self {
        Self(Arc::new(Shared {
            store,
            orders: Mutex::default(),
            left: Notify::new(),
        }))
    }

    /// How far the order has come once its saga has ended or halted, `at_most` has passed, or `shutdown` resolves.
    /// `after` is a position at which it had not ended.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn wait(
        &self,
        order_id: &str,
        after: i64,
        at_most: Duration,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Progress, Problem> {
        let until = Instant::now() + at_most;
        let Some(mut waiter) = Waiter::enter(&self.0, order_id, after) else {
            return Progress::of(&self.0.store, order_id).await;
        };
        if waiter.may_have_ended {
            let progress = Progress::of(&self.0.store, order_id).await?;
            // One that halted before goes on, if that is what was asked for.
            if progress.is_settled && progress.position > after {
                return Ok(progress);
            }
        }
        tokio::select! {
            // Either way it is looked at.
            _ = timeout_at(until, waiter.settled()) => {}
            () = shutdown => {}
        }
        drop(waiter);
        Progress::of(&self.0.store, order_id).await
    }
}

impl Shared {
    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the log after `position` until nobody waits.
    async fn read(self: Arc<Self>, mut position: i64) {
        let mut head = self.store.head();
        loop {
            tokio::select! {
                appended = head.wait_for(|head| *head > position) => {
                    if appended.is_err() {
                        return;
                    }
                }
                () = self.left.notified() => {}
            }
            if self.ends_reading() {
                return;
            }
            match self.store.read_after(position, PAGE).await {
                Ok(events) => position = self.tell(&events, position),
                Err(error) => {
                    tracing::warn!(%error, "the ends of orders cannot be read, whoever waits for them goes on waiting");
                    sleep(RETRY).await;
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// Whether nobody waits; whoever comes next begins anew.
    fn ends_reading(&self) -> bool {
        let mut orders = self.orders();
        let nobody = orders.settled.is_empty();
        if nobody {
            orders.position = None;
        }
        nobody
    }

    /// Wakes those who wait for what is in these events; where to read on.
    fn tell(&self, events: &[RecordedEvent], position: i64) -> i64 {
        let mut orders = self.orders();
        for event in events {
            if SETTLING.contains(&event.event_type.as_str())
                && let Some(settled) = orders.settled.get(&event.aggregate_id)
            {
                settled.send_replace(true);
            }
        }
        let position = events.last().map_or(position, |event| event.position);
        orders.position = Some(position);
        position
    }
}

impl Waiter {
    /// None where too many wait.
    fn enter(shared: &Arc<Shared>, order_id: &str, after: i64) -> Option<Self> {
        let mut orders = shared.orders();
        if orders.waiting >= WAITING_MAX {
            return None;
        }
        orders.waiting += 1;
        let position = orders.position.unwrap_or_else(|| {
            let head = *shared.store.head().borrow();
            // From the order itself, unless that is long ago.
            let position = if head - after <= PAGE { after } else { head };
            tokio::spawn(Arc::clone(shared).read(position));
            position
        });
        orders.position = Some(position);
        let settled = orders
            .settled
            .entry(order_id.to_owned())
            .or_insert_with(|| watch::Sender::new(false))
            .subscribe();
        Some(Self {
            shared: Arc::clone(shared),
            order_id: order_id.to_owned(),
            settled: Some(settled),
            may_have_ended: position > after,
        })
    }

    async fn settled(&mut self) {
        if let Some(settled) = &mut self.settled {
            // The sender stays for as long as there is a receiver.
            let _ = settled.wait_for(|settled| *settled).await;
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut orders = self.shared.orders();
        self.settled = None;
        orders.waiting -= 1;
        if let Entry::Occupied(entry) = orders.settled.entry(std::mem::take(&mut self.order_id))
            && entry.get().receiver_count() == 0
        {
            entry.remove();
        }
        if orders.settled.is_empty() {
            self.shared.left.notify_one();
        }
    }
}
