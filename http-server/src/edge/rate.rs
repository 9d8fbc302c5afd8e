//! The rate of one client.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::ConnectInfo;
use axum::http::Extensions;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::auth::Authentication;
use crate::problem::{Kind, Problem};

/// Checks between two sweeps of clients that have not been seen for a while: memory follows
/// the clients of the last minutes, and a sweep's cost is spread over as many requests.
const SWEEP_EVERY: u64 = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Client {
    Subject(String),
    Address(IpAddr),
}

pub(super) struct RateLimit {
    limiter: DefaultKeyedRateLimiter<Client>,
    clock: DefaultClock,
    checks: AtomicU64,
}

impl RateLimit {
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        let at_least_one = |count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(per_second)).allow_burst(at_least_one(burst));
        RateLimit {
            limiter: RateLimiter::keyed(quota),
            clock: DefaultClock::default(),
            checks: AtomicU64::new(0),
        }
    }

    /// # Errors
    /// `too-many-requests` with the time until the next request is admitted.
    pub(super) fn check(
        &self,
        authentication: &Authentication,
        extensions: &Extensions,
    ) -> Result<(), Problem> {
        // Without a peer the router was called in process, by a test.
        let Some(client) = client(authentication, extensions) else {
            return Ok(());
        };
        if self.checks.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(&client).map_err(|until| {
            Problem::from(Kind::TOO_MANY_REQUESTS)
                .retry_after(until.wait_time_from(self.clock.now()))
        })
    }
}

/// The authenticated subject, else the address: behind one address there may be many clients,
/// but nobody can take another's name. A refused token counts for its address.
fn client(authentication: &Authentication, extensions: &Extensions) -> Option<Client> {
    match authentication {
        Authentication::Known(caller) => Some(Client::Subject(caller.user_id.clone())),
        Authentication::Anonymous | Authentication::Refused(_) => extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map(|ConnectInfo(peer)| Client::Address(network(peer.ip()))),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Caller, Role};

    fn from(peer: &str) -> Extensions {
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
        extensions
    }

    fn known(user_id: &str) -> Authentication {
        Authentication::Known(Caller {
            user_id: user_id.to_owned(),
            role: Role::Customer,
        })
    }

    #[test]
    fn each_client_has_a_bucket_of_its_own() {
        let limit = RateLimit::new(1, 1);
        let here = from("[2001:db8::1]:1000");
        let neighbour = from("[2001:db8::2]:1000");
        let elsewhere = from("192.0.2.1:1000");

        assert!(limit.check(&Authentication::Anonymous, &here).is_ok());
        assert!(
            limit
                .check(&Authentication::Refused("x"), &neighbour)
                .is_err()
        );
        assert!(limit.check(&Authentication::Anonymous, &elsewhere).is_ok());
        assert!(limit.check(&known("a"), &here).is_ok());
        assert!(limit.check(&known("b"), &here).is_ok());
        let problem = limit.check(&known("a"), &elsewhere).unwrap_err();
        assert_eq!(problem.kind(), Kind::TOO_MANY_REQUESTS);
    }
}
