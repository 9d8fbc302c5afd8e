//! Under which conditions a call is made.

use std::time::Duration;

use crate::retry::Retry;

/// The conditions of one call.
#[derive(Clone, Debug)]
pub struct CallOptions {
    /// Whether it may be repeated.
    pub retry: Retry,
    /// From the call's begin until the head of the answer is there. Does not count for streams.
    pub deadline: Duration,
    /// Of one attempt; shorter than `deadline` where there is to be time for another one.
    pub attempt: Duration,
    /// Whether `deadline` is the caller's own, shorter one: that it passes is no failure of the instance then.
    pub is_shortened: bool,
    /// Makes the call a stream: bounds the pauses in which neither body moves, before and after the head of the answer, in the
    /// place of `deadline` and `attempt`.
    pub idle: Option<Duration>,
    /// Of our services that the request came through before this one. Only the first repeats what may have arrived.
    pub hops: u32,
}

impl CallOptions {
    /// A call of one attempt that is never repeated.
    #[must_use]
    pub fn once(deadline: Duration) -> Self {
        CallOptions {
            retry: Retry::Never,
            deadline,
            attempt: deadline,
            is_shortened: false,
            idle: None,
            hops: 0,
        }
    }

    /// A call that changes nothing, with time for a second attempt.
    #[must_use]
    pub fn safe(deadline: Duration) -> Self {
        CallOptions {
            retry: Retry::Safe,
            attempt: deadline / 2,
            ..CallOptions::once(deadline)
        }
    }

    /// Whether an attempt that was given `given` and had no answer speaks against the instance: if it had at least half of
    /// what an attempt has, and it was not the caller who was in a hurry.
    pub(crate) fn is_fair(&self, given: Duration) -> bool {
        match self.is_shortened {
            true => self.attempt < self.deadline && given >= self.attempt,
            false => given.saturating_mul(2) >= self.attempt,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_deadline_that_the_caller_shortened_is_no_failure_but_an_attempt_of_our_own_length_is() {
        let ours = CallOptions {
            deadline: 10 * SECOND,
            attempt: 5 * SECOND,
            ..CallOptions::once(SECOND)
        };
        assert!(ours.is_fair(5 * SECOND));
        assert!(ours.is_fair(4 * SECOND));
        assert!(!ours.is_fair(2 * SECOND));
        let shortened = CallOptions {
            is_shortened: true,
            ..ours.clone()
        };
        assert!(shortened.is_fair(5 * SECOND));
        assert!(!shortened.is_fair(4 * SECOND));
        let short = CallOptions {
            deadline: 5 * SECOND,
            ..shortened
        };
        assert!(!short.is_fair(5 * SECOND));
    }
}
