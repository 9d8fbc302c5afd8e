//! How the instances of an upstream are reached.

use std::time::Duration;

use secrecy::SecretString;

use crate::authority::CertificateAuthority;
use crate::circuit::BreakerSettings;

/// Attempts of a call: two more reach two other instances, and a third failure says enough.
const ATTEMPTS_MAX: u32 = 3;
/// An own server that does not take a connection within this time is down: the rest of a deadline is for another one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Foreign servers are farther away.
const CONNECT_TIMEOUT_FOREIGN: Duration = Duration::from_secs(3);
/// Connections kept open between calls to one instance. More calls at once open more, and close them afterwards.
const IDLE_PER_INSTANCE: usize = 10;
/// And to all instances together: file descriptors are few, here and there.
const IDLE_IN_ALL: usize = 100;
/// Shorter than our own servers (30 s) and load balancers keep an idle connection: one that is being closed is not drawn.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// How many connections are kept open between calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// 10.
    pub idle_per_instance: usize,
    /// 100.
    pub idle_in_all: usize,
    /// 20 s.
    pub idle_timeout: Duration,
}

impl Default for Pool {
    fn default() -> Self {
        Pool {
            idle_per_instance: IDLE_PER_INSTANCE,
            idle_in_all: IDLE_IN_ALL,
            idle_timeout: IDLE_TIMEOUT,
        }
    }
}

impl Pool {
    /// No connection is kept.
    pub(crate) fn none() -> Self {
        Pool {
            idle_per_instance: 0,
            ..Pool::default()
        }
    }

    /// How many idle connections each of so many instances may have: at least one, unless none is to be kept.
    pub(crate) fn share(&self, instances: usize) -> usize {
        let share = self.idle_in_all / instances.max(1);
        self.idle_per_instance.min(share.max(1))
    }
}

/// What becomes of a connection after its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Afterwards {
    /// Kept for the next call: for calls that may be repeated, since a server may just be closing it.
    Kept,
    /// Closed. A call over a connection that the server has closed meanwhile fails without a word on whether it arrived; for
    /// calls that must not be repeated that would be a loss.
    Closed,
}

/// How an upstream is called.
#[derive(Debug, Clone)]
pub struct UpstreamSettings {
    /// Makes the upstream one of our own services, to which this process is known by the token.
    pub service_token: Option<SecretString>,
    /// Trusted beside the system's.
    pub authority: Option<CertificateAuthority>,
    pub pool: Pool,
    /// With the name's resolution and the TLS handshake; 1 s.
    pub connect_timeout: Duration,
    /// None: an instance that fails is asked all the same.
    pub breaker: Option<BreakerSettings>,
    /// Of one call, the first one included; 3.
    pub attempts_max: u32,
}

impl Default for UpstreamSettings {
    fn default() -> Self {
        UpstreamSettings {
            service_token: None,
            authority: None,
            pool: Pool::default(),
            connect_timeout: CONNECT_TIMEOUT,
            breaker: Some(BreakerSettings::default()),
            attempts_max: ATTEMPTS_MAX,
        }
    }
}

impl UpstreamSettings {
    /// Of somebody else's server: nothing is repeated and nothing held back, the caller has rules of its own.
    pub(crate) fn foreign(authority: Option<CertificateAuthority>, afterwards: Afterwards) -> Self {
        UpstreamSettings {
            service_token: None,
            authority,
            pool: match afterwards {
                Afterwards::Kept => Pool::default(),
                Afterwards::Closed => Pool::none(),
            },
            connect_timeout: CONNECT_TIMEOUT_FOREIGN,
            breaker: None,
            attempts_max: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_share_the_idle_connections() {
        let pool = Pool::default();
        let shares = [0, 1, 10, 11, 50, 100, 500].map(|instances| pool.share(instances));
        assert_eq!(shares, [10, 10, 10, 9, 2, 1, 1]);
        assert_eq!(Pool::none().share(3), 0);
    }
}
