//! Who follows an order's timeline is woken when it has grown. One task looks for all clients of the process, and only
//! while there are any; a client that is woken reads for itself.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http_server::Problem;
use read_models::{Behind, Live, Unavailable, positions, timeline};
use sqlx::PgPool;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use uuid::Uuid;

/// Clients that follow an order at a time: each holds a connection, and a page of items in memory.
const FOLLOWERS_MAX: usize = 1_024;

/// The same of one order: some windows of its customer and of the staff.
const FOLLOWERS_PER_ORDER_MAX: usize = 16;

/// The same of one caller: nobody takes the places of all others.
const FOLLOWERS_PER_CALLER_MAX: usize = 64;

/// Between two looks at how far the read model has come. A look is one indexed row.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// The same while the database does not answer.
const FAILED_INTERVAL: Duration = Duration::from_secs(1);

/// The orders that clients of this process follow. Clones share everything.
#[derive(Clone, Default)]
pub(crate) struct WatchedOrders {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    watched: Mutex<Watched>,
    /// Told when the first client comes.
    begun: Notify,
}

#[derive(Default)]
struct Watched {
    followers: usize,
    orders: HashMap<Uuid, Order>,
    /// Followers by the id of their user.
    callers: HashMap<String, usize>,
}

struct Order {
    followers: usize,
    grown: watch::Sender<()>,
}

/// A client's place among those that follow an order.
pub(crate) struct Watching {
    inner: Arc<Inner>,
    order_id: Uuid,
    caller: String,
    grown: watch::Receiver<()>,
}

impl WatchedOrders {
    /// A place to follow an order from, until it is dropped.
    ///
    /// # Errors
    /// `overloaded` where all are taken.
    pub(crate) fn watch(&self, order_id: Uuid, caller: &str) -> Result<Watching, Problem> {
        let mut watched = self.inner.lock();
        if watched.followers >= FOLLOWERS_MAX {
            return Err(Problem::overloaded().detail("too many clients follow orders"));
        }
        let own = watched.callers.get(caller).copied().unwrap_or_default();
        if own >= FOLLOWERS_PER_CALLER_MAX {
            return Err(Problem::overloaded().detail("you follow too many orders"));
        }
        let order = watched.orders.entry(order_id).or_insert_with(|| Order {
            followers: 0,
            grown: watch::Sender::new(()),
        });
        if order.followers >= FOLLOWERS_PER_ORDER_MAX {
            return Err(Problem::overloaded().detail("too many clients follow this order"));
        }
        order.followers += 1;
        let grown = order.grown.subscribe();
        watched.followers += 1;
        watched.callers.insert(caller.to_owned(), own + 1);
        drop(watched);
        self.inner.begun.notify_one();
        Ok(Watching {
            inner: self.inner.clone(),
            order_id,
            caller: caller.to_owned(),
            grown,
        })
    }

    /// Looks for what has grown, for as long as it is polled.
    pub(crate) async fn keep_looking(&self, pool: &PgPool) {
        let mut seen = None;
        loop {
            self.until_followed().await;
            let mut rest = LOOK_INTERVAL;
            match self.look(pool, seen).await {
                Ok(now) => seen = now,
                Err(error) => {
                    tracing::warn!(%error, "orders that clients follow were not looked at");
                    rest = FAILED_INTERVAL;
                }
            }
            tokio::time::sleep(rest).await;
        }
    }

    async fn until_followed(&self) {
        while self.inner.lock().followers == 0 {
            self.inner.begun.notified().await;
        }
    }

    /// Wakes whom the read model has news for since it was where it was `seen`, and says where it is now; `None` while
    /// none answers.
    async fn look(&self, pool: &PgPool, seen: Option<Live>) -> Result<Option<Live>, sqlx::Error> {
        let looked = positions::await_position(pool, timeline::NAME, 0, Instant::now()).await;
        let now = match looked {
            Ok(now) => now,
            Err(Unavailable::Behind(Behind::Building { .. } | Behind::Position { .. })) => {
                return Ok(None);
            }
            Err(Unavailable::Database(error)) => return Err(error),
        };
        if seen == Some(now) {
            return Ok(seen);
        }
        // After the look at the position: whoever comes later than this list was made reads what is there by itself.
        let orders = self.inner.orders();
        let grown = match seen {
            Some(seen) if seen.generation == now.generation => {
                timeline::moved_after(pool, now.generation, &orders, seen.position).await?
            }
            // Another generation, or the first one seen: each client knows best what it has.
            Some(_) | None => orders.into_iter().collect(),
        };
        self.inner.wake(&grown);
        Ok(Some(now))
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().expect("no panic while held")
    }

    fn orders(&self) -> Vec<Uuid> {
        self.lock().orders.keys().copied().collect()
    }

    fn wake(&self, grown: &HashSet<Uuid>) {
        let watched = self.lock();
        for order in grown.iter().filter_map(|id| watched.orders.get(id)) {
            order.grown.send_replace(());
        }
    }
}

impl Watching {
    /// To be called before reading: what comes meanwhile counts as growth.
    pub(crate) fn mark_seen(&mut self) {
        self.grown.mark_unchanged();
    }

    /// Waits until there may be more than there was when it was marked as seen.
    pub(crate) async fn grown(&mut self) {
        // The sender lives as long as this place does.
        let _ = self.grown.changed().await;
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut watched = self.inner.lock();
        watched.followers -= 1;
        if let Entry::Occupied(mut own) = watched.callers.entry(std::mem::take(&mut self.caller)) {
            *own.get_mut() -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
        if let Some(order) = watched.orders.get_mut(&self.order_id) {
            order.followers -= 1;
            if order.followers == 0 {
                watched.orders.remove(&self.order_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_server::Kind;

    use super::*;

    #[test]
    fn places_are_bounded_for_an_order_a_caller_and_for_all_and_come_free() {
        let orders = WatchedOrders::default();
        let own: Vec<Watching> = (0..)
            .map(|order| orders.watch(Uuid::from_u128(order), "ada").unwrap())
            .take(FOLLOWERS_PER_CALLER_MAX)
            .collect();
        let one_more = orders.watch(Uuid::from_u128(1_000), "ada").err().unwrap();
        assert_eq!(one_more.kind(), Kind::OVERLOADED);
        drop(own);
        let follow = |order: u128| orders.watch(Uuid::from_u128(order), &order.to_string());
        let mut places: Vec<Watching> = (0..FOLLOWERS_PER_ORDER_MAX)
            .map(|_| follow(0).unwrap())
            .collect();
        assert_eq!(follow(0).err().unwrap().kind(), Kind::OVERLOADED);
        for order in 1.. {
            match follow(order) {
                Ok(place) => places.push(place),
                Err(problem) => {
                    assert_eq!(problem.kind(), Kind::OVERLOADED);
                    break;
                }
            }
        }
        assert_eq!(places.len(), FOLLOWERS_MAX);
        places.remove(0);
        drop(follow(0).unwrap());
        places.clear();
        let watched = orders.inner.lock();
        assert_eq!((watched.followers, watched.orders.len()), (0, 0));
        assert!(watched.callers.is_empty());
    }

    #[tokio::test]
    async fn only_who_follows_a_grown_order_is_woken() {
        let orders = WatchedOrders::default();
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut grown = orders.watch(one, "ada").unwrap();
        let mut quiet = orders.watch(other, "ada").unwrap();
        grown.mark_seen();
        orders.inner.wake(&HashSet::from([one, Uuid::from_u128(3)]));
        grown.grown().await;
        let woken = tokio::time::timeout(Duration::ZERO, quiet.grown()).await;
        assert!(woken.is_err());
    }
}
