//! The rate of one client.

mod clients;

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use governor::clock::{Clock, DefaultClock};
use governor::{Quota, RateLimiter};

use crate::arrival::Arrival;
use crate::auth::Authentication;
use crate::problem::{Kind, Problem};
use clients::{Client, Clients};

/// Clients of which a bucket is kept, some 100 bytes each. While there are more, those that come newly share one.
pub const CLIENTS_MAX: usize = 100_000;
/// Log-ins and registrations of one address, each: such a request costs a password's hash, and behind one address there may
/// be a whole office, or a load test with a customer a request.
pub const OWN_RATE_PER_SECOND: u32 = 100;
pub const OWN_RATE_BURST: u32 = 1_000;
/// Checks between two sweeps of clients that have not been seen for a while: memory follows
/// the clients of the last minutes, and a sweep's cost is spread over as many requests.
const SWEEP_EVERY: u64 = 10_000;
/// Between two sweeps for want of room: a flood of addresses must not buy one with each request.
const FULL_SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// The buckets of every client: one in general, and one for each route that has its own.
pub(super) struct Rates {
    general: RateLimit,
    own: Vec<(&'static str, RateLimit)>,
}

impl Rates {
    pub(super) fn new(per_second: u32, burst: u32, own: &[&'static str]) -> Self {
        let of_route =
            |route: &&'static str| (*route, RateLimit::new(OWN_RATE_PER_SECOND, OWN_RATE_BURST));
        Rates {
            general: RateLimit::new(per_second, burst),
            own: own.iter().map(of_route).collect(),
        }
    }

    /// Counts a request, unless a service sent it: the gateway has counted it already.
    ///
    /// # Errors
    /// `too-many-requests` with the time until the next request is admitted.
    pub(super) fn check(&self, request: &Request, arrival: &Arrival) -> Result<(), Problem> {
        if arrival.is_from_service() {
            return Ok(());
        }
        let address = arrival.client_address().map(Client::of_address);
        let route = request.extensions().get::<MatchedPath>();
        let own = route.and_then(|route| self.own.iter().find(|(own, _)| *own == route.as_str()));
        let (limit, client) = match own {
            Some((_, limit)) => (limit, address),
            None => (&self.general, subject(&arrival.authentication).or(address)),
        };
        // Without an address the router was called in process, by a test.
        client.map_or(Ok(()), |client| limit.check(client))
    }
}

/// The authenticated subject comes before the address: behind one address there may be many clients,
/// but nobody can take another's name. A refused token counts for its address.
fn subject(authentication: &Authentication) -> Option<Client> {
    match authentication {
        Authentication::Known(caller) => Some(Client::Subject(caller.user_id.clone())),
        Authentication::Anonymous | Authentication::Refused(_) | Authentication::NotJudged(_) => {
            None
        }
    }
}

impl Client {
    fn of_address(address: IpAddr) -> Self {
        Client::Address(network(address))
    }
}

/// One IPv6 client commonly has a whole /64 to send from.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let prefix = u128::from(v6) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(prefix))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

struct RateLimit {
    limiter: RateLimiter<Client, Clients, DefaultClock>,
    clients: Clients,
    clock: DefaultClock,
    checks: AtomicU64,
    /// The time of the last sweep for want of room, in ms since `began`; 0 before the first.
    swept: AtomicU64,
    began: Instant,
}

impl RateLimit {
    fn new(per_second: u32, burst: u32) -> Self {
        Self::of(Clients::new(CLIENTS_MAX), per_second, burst)
    }

    fn of(clients: Clients, per_second: u32, burst: u32) -> Self {
        let at_least_one = |count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(per_second)).allow_burst(at_least_one(burst));
        let clock = DefaultClock::default();
        RateLimit {
            limiter: RateLimiter::new(quota, clients.clone(), clock.clone()),
            clients,
            clock,
            checks: AtomicU64::new(0),
            swept: AtomicU64::new(0),
            began: Instant::now(),
        }
    }

    fn check(&self, client: Client) -> Result<(), Problem> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.limiter.retain_recent();
        }
        let client = match self.has_room_for(&client) {
            true => client,
            false => Client::Newcomers,
        };
        self.limiter.check_key(&client).map_err(|until| {
            Problem::from(Kind::TOO_MANY_REQUESTS)
                .retry_after(until.wait_time_from(self.clock.now()))
        })
    }

    fn has_room_for(&self, client: &Client) -> bool {
        if self.clients.have_room_for(client) {
            return true;
        }
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let pause = u64::try_from(FULL_SWEEP_PAUSE.as_millis()).unwrap_or(u64::MAX);
        let swept = self.swept.load(Ordering::Relaxed);
        let is_due = swept == 0 || now - swept.min(now) >= pause;
        // Of several that find it due, one sweeps.
        let is_ours = is_due
            && self
                .swept
                .compare_exchange(swept, now.max(1), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_ours {
            self.limiter.retain_recent();
        }
        is_ours && self.clients.have_room_for(client)
    }
}

#[cfg(test)]
mod tests {
    use governor::state::keyed::ShrinkableKeyedStateStore as _;

    use super::*;

    fn address(text: &str) -> Client {
        Client::of_address(text.parse().unwrap())
    }

    fn user(id: &str) -> Client {
        Client::Subject(id.to_owned())
    }

    #[test]
    fn each_client_has_a_bucket_of_its_own() {
        let limit = RateLimit::new(1, 1);
        assert!(limit.check(address("2001:db8::1")).is_ok());
        assert!(limit.check(address("2001:db8::2")).is_err());
        assert!(limit.check(address("2001:db8:0:1::1")).is_ok());
        assert!(limit.check(address("192.0.2.1")).is_ok());
        assert!(limit.check(address("::ffff:192.0.2.1")).is_err());
        assert!(limit.check(user("a")).is_ok());
        assert!(limit.check(user("b")).is_ok());
        let problem = limit.check(user("a")).unwrap_err();
        assert_eq!(problem.kind(), Kind::TOO_MANY_REQUESTS);
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_memory_and_nobody_elses_bucket() {
        // An hour until a bucket is as new: nothing is swept meanwhile.
        let quota = Quota::with_period(Duration::from_secs(3_600)).unwrap();
        let clients = Clients::new(100);
        let mut limit = RateLimit::of(clients.clone(), 1, 1);
        limit.limiter = RateLimiter::new(quota, clients.clone(), limit.clock.clone());
        assert!(limit.check(user("known")).is_ok());
        let admitted = (0..10_000_u32)
            .filter(|number| {
                limit
                    .check(Client::of_address((*number << 8).to_be_bytes().into()))
                    .is_ok()
            })
            .count();
        // One beside those that have their own: the first of all that share one.
        assert_eq!(admitted, 100);
        assert_eq!(clients.len(), 101);
        assert!(limit.check(user("known")).is_err());
    }

    #[test]
    fn room_is_made_of_clients_that_are_gone() {
        let clients = Clients::new(10);
        // A bucket is as new after a thousandth of a second.
        let limit = RateLimit::of(clients.clone(), 1_000, 1);
        let check = |number: u8| limit.check(address(&format!("192.0.2.{number}")));
        for number in 0..10 {
            assert!(check(number).is_ok());
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while !clients.have_room_for(&address("192.0.2.99")) {
            assert!(Instant::now() < deadline, "no room was made");
            // Refused or not: it shares a bucket with other newcomers for as long.
            let _ = check(99);
        }
        assert!(clients.len() < 10);
    }
}
