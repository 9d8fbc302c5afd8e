//! The places that connections take, and who gives way when all are taken.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// How long a connection must have been without a request to give way: its last answer is on its
/// way by then, and a client that sends one request after another keeps its connection. Also the
/// time between two looks where nobody can give way.
const REST_MIN: Duration = Duration::from_millis(500);

/// In [`Seat::state`], beside the time since which there was no request.
const BUSY: u64 = 0;
const GIVING_WAY: u64 = u64::MAX;

/// The places of a server.
pub(super) struct Places {
    free: Arc<Semaphore>,
    taken: Arc<Taken>,
}

struct Taken {
    /// Times are counted from here.
    began: Instant,
    seats: Mutex<HashMap<u64, Arc<Seat>>>,
    next: AtomicU64,
}

struct Seat {
    /// Microseconds since `began` at which the last request was over, plus one; or a constant.
    state: AtomicU64,
    give_way: CancellationToken,
}

/// A place that is taken; free again when dropped.
pub(super) struct Place {
    number: u64,
    seat: Arc<Seat>,
    taken: Arc<Taken>,
    _permit: OwnedSemaphorePermit,
}

/// A request of a place; over when dropped.
pub(super) struct Request(Arc<Place>);

impl Places {
    pub(super) fn new(count: usize) -> Self {
        Places {
            free: Arc::new(Semaphore::new(count.max(1))),
            taken: Arc::new(Taken {
                began: Instant::now(),
                seats: Mutex::default(),
                next: AtomicU64::new(0),
            }),
        }
    }

    /// A free place, made free where somebody can give way.
    pub(super) async fn take(&self) -> Place {
        let permit = match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.vacated().await,
        };
        self.taken.seat(permit)
    }

    async fn vacated(&self) -> OwnedSemaphorePermit {
        loop {
            let next_look = self.taken.ask_to_give_way();
            let acquired = Arc::clone(&self.free).acquire_owned();
            if let Ok(permit) = tokio::time::timeout(next_look, acquired).await {
                return permit.expect("never closed");
            }
        }
    }
}

impl Taken {
    fn seat(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Place {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let seat = Arc::new(Seat {
            state: AtomicU64::new(self.now()),
            give_way: CancellationToken::new(),
        });
        self.seats().insert(number, Arc::clone(&seat));
        Place {
            number,
            seat,
            taken: Arc::clone(self),
            _permit: permit,
        }
    }

    fn seats(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Seat>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        let elapsed = u64::try_from(self.began.elapsed().as_micros());
        elapsed.map_or(GIVING_WAY - 1, |elapsed| elapsed + 1)
    }

    /// Asks the one that has rested longest, if that is long enough; when to ask the next one.
    ///
    /// Looks at all of them: only done when every place is taken, so that requests pay for two
    /// writes of a number and not for an order.
    fn ask_to_give_way(&self) -> Duration {
        let seats = self.seats();
        let resting = seats
            .iter()
            .map(|(number, seat)| (seat.state.load(Ordering::Acquire), number, seat))
            .filter(|(state, ..)| *state != BUSY && *state != GIVING_WAY);
        let Some((since, _, seat)) = resting.min_by_key(|(since, number, _)| (*since, *number))
        else {
            return REST_MIN;
        };
        let rested = Duration::from_micros(self.now() - since);
        if rested < REST_MIN {
            return REST_MIN - rested;
        }
        let asked =
            seat.state
                .compare_exchange(since, GIVING_WAY, Ordering::AcqRel, Ordering::Acquire);
        match asked {
            Ok(_) => {
                seat.give_way.cancel();
                REST_MIN
            }
            // A request came in between.
            Err(_) => Duration::ZERO,
        }
    }
}

impl Place {
    /// Resolves when the connection is to be closed for somebody else's sake.
    pub(super) async fn give_way(&self) {
        self.seat.give_way.cancelled().await;
    }

    /// A request has come; none where the connection is about to be closed.
    pub(super) fn request(self: &Arc<Self>) -> Option<Request> {
        let state = &self.seat.state;
        let began = state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
            (state != GIVING_WAY).then_some(BUSY)
        });
        began.is_ok().then(|| Request(Arc::clone(self)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.seats().remove(&self.number);
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let Request(place) = self;
        place.seat.state.store(place.taken.now(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rested since the server began, long ago.
    fn long_at_rest(places: &Places, place: &Place) {
        assert!(places.taken.began.elapsed() > REST_MIN);
        place.seat.state.store(1, Ordering::Release);
    }

    fn old(count: usize) -> Places {
        let mut places = Places::new(count);
        let taken = Arc::get_mut(&mut places.taken).unwrap();
        taken.began = Instant::now().checked_sub(REST_MIN * 2).unwrap();
        places
    }

    #[tokio::test]
    async fn who_rests_longest_gives_way() {
        let places = old(2);
        let (one, other) = (places.take().await, places.take().await);
        long_at_rest(&places, &other);
        let closing = async {
            other.give_way().await;
            drop(other);
        };
        let (third, ()) = tokio::join!(places.take(), closing);
        assert!(!one.seat.give_way.is_cancelled());
        assert_eq!(third.taken.seats().len(), 2);
    }

    #[tokio::test]
    async fn a_request_is_never_cut_off() {
        let places = old(1);
        let place = Arc::new(places.take().await);
        let request = place.request().unwrap();
        assert_eq!(places.taken.ask_to_give_way(), REST_MIN);
        assert!(!place.seat.give_way.is_cancelled());
        drop(request);
        assert!(
            places.taken.ask_to_give_way() > Duration::ZERO,
            "it has just been answered"
        );
        assert!(!place.seat.give_way.is_cancelled());

        long_at_rest(&places, &place);
        assert_eq!(places.taken.ask_to_give_way(), REST_MIN);
        assert!(place.seat.give_way.is_cancelled());
        assert!(
            place.request().is_none(),
            "nothing is begun that would be cut off"
        );
    }
}
