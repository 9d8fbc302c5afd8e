//! Which instances are left out although they answer: the much slower ones, and those that fail much oftener than the others.

use std::time::Duration;

use tokio::time::Instant;

use crate::window::{WINDOW, Window};

/// Between two looks at the window.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Fewer attempts in the window say nothing about an instance.
const ATTEMPTS_MIN: u32 = 20;
/// Of its attempts: fewer failures are what repetitions are for.
const FAILURE_RATE_MIN: f64 = 0.2;
/// Times the failure rate, and the mean latency, of all others together.
const FACTOR: f64 = 3.0;
/// Differences below are noise of the machines and not worth the loss of one.
const SLOWER_MIN: Duration = Duration::from_millis(100);
/// So long the first time, twice that the second time and so on.
const EJECTED: Duration = Duration::from_secs(10);
/// As often an ejection is made longer: five minutes are enough.
const TIMES_MAX: u32 = 30;

/// Attempts at one instance.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Attempts {
    pub(crate) number: u32,
    pub(crate) failures: u32,
    /// Of those that were timed.
    pub(crate) timed: u32,
    /// Seconds in all of those.
    pub(crate) seconds: f64,
}

impl Attempts {
    /// Those of the window.
    pub(crate) fn in_window(window: &Window<Attempts>, now: Instant) -> Attempts {
        let mut sum = Attempts::default();
        for attempts in window.counted(now) {
            sum.add(*attempts);
        }
        sum
    }

    fn add(&mut self, other: Attempts) {
        self.number += other.number;
        self.failures += other.failures;
        self.timed += other.timed;
        self.seconds += other.seconds;
    }

    fn failure_rate(&self) -> f64 {
        f64::from(self.failures) / f64::from(self.number.max(1))
    }

    fn mean_seconds(&self) -> f64 {
        self.seconds / f64::from(self.timed.max(1))
    }
}

/// Why an instance is ejected; a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    FailureRate,
    Slowness,
}

impl Reason {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Reason::FailureRate => "failure-rate",
            Reason::Slowness => "slowness",
        }
    }
}

/// An instance, as a sweep sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) attempts: Attempts,
    pub(crate) is_ejected: bool,
}

/// Whom to eject: the worst first, as long as at most half of the instances (rounded down) are out.
pub(crate) fn sweep(seen: &[Seen]) -> Vec<(usize, Reason)> {
    let out = seen.iter().filter(|seen| seen.is_ejected).count();
    let room = (seen.len() / 2).saturating_sub(out);
    let mut worst: Vec<(usize, Reason, f64)> = seen
        .iter()
        .enumerate()
        .filter(|(_, seen)| !seen.is_ejected)
        .filter_map(|(index, _)| outlier(seen, index).map(|(why, by)| (index, why, by)))
        .collect();
    worst.sort_by(|a, b| b.2.total_cmp(&a.2));
    worst.truncate(room);
    worst.into_iter().map(|(at, why, _)| (at, why)).collect()
}

/// Whether an instance is one, why, and how far it is from the others.
fn outlier(seen: &[Seen], index: usize) -> Option<(Reason, f64)> {
    let own = seen[index].attempts;
    let mut others = Attempts::default();
    for (at, other) in seen.iter().enumerate() {
        if at != index && !other.is_ejected {
            others.add(other.attempts);
        }
    }
    if others.number < ATTEMPTS_MIN || own.number < ATTEMPTS_MIN {
        return None;
    }
    let (rate, others_rate) = (own.failure_rate(), others.failure_rate());
    if rate >= FAILURE_RATE_MIN && rate > FACTOR * others_rate {
        // Failing is worse than any slowness.
        return Some((Reason::FailureRate, f64::MAX * rate));
    }
    if others.timed < ATTEMPTS_MIN || own.timed < ATTEMPTS_MIN {
        return None;
    }
    let (mean, others_mean) = (own.mean_seconds(), others.mean_seconds());
    let is_slow = mean > FACTOR * others_mean && mean > others_mean + SLOWER_MIN.as_secs_f64();
    is_slow.then(|| (Reason::Slowness, mean / others_mean.max(f64::EPSILON)))
}

/// How long an instance is out.
#[derive(Debug, Default)]
pub(crate) struct Ejection {
    until: Option<Instant>,
    times: u32,
}

impl Ejection {
    /// Until when it is out; none if it is not.
    pub(crate) fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }

    /// Out from now on: for longer each time. A window in which it was in takes one of the times back.
    pub(crate) fn eject(&mut self, now: Instant) {
        if let Some(until) = self.until {
            let been_in = now.saturating_duration_since(until);
            let windows = been_in.as_secs() / WINDOW.as_secs();
            self.times = self
                .times
                .saturating_sub(u32::try_from(windows).unwrap_or(u32::MAX));
        }
        self.times = (self.times + 1).min(TIMES_MAX);
        self.until = Some(now + EJECTED * self.times);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(number: u32, failures: u32, millis: u32) -> Seen {
        Seen {
            attempts: Attempts {
                number,
                failures,
                timed: number,
                seconds: f64::from(number) * f64::from(millis) / 1000.0,
            },
            is_ejected: false,
        }
    }

    #[test]
    fn who_fails_often_or_is_much_slower_is_out() {
        let swept = sweep(&[seen(100, 0, 5), seen(100, 60, 5), seen(100, 1, 5)]);
        assert_eq!(swept, [(1, Reason::FailureRate)]);
        let swept = sweep(&[seen(100, 0, 5), seen(100, 0, 5), seen(20, 0, 505)]);
        assert_eq!(swept, [(2, Reason::Slowness)]);
    }

    #[test]
    fn where_all_fail_or_all_are_slow_nobody_is_out() {
        let all = [seen(100, 60, 500), seen(100, 70, 600), seen(100, 90, 700)];
        assert_eq!(sweep(&all), []);
    }

    #[test]
    fn few_attempts_and_small_differences_say_nothing() {
        assert_eq!(sweep(&[seen(100, 0, 5), seen(19, 19, 900)]), []);
        assert_eq!(sweep(&[seen(19, 0, 5), seen(100, 100, 900)]), []);
        assert_eq!(sweep(&[seen(100, 0, 1), seen(100, 0, 90)]), []);
        assert_eq!(sweep(&[seen(100, 0, 5), seen(100, 15, 5)]), []);
    }

    #[test]
    fn at_most_half_are_out_and_those_who_are_out_already_count() {
        let bad = seen(100, 90, 5);
        let good = seen(900, 0, 5);
        assert_eq!(sweep(&[bad]).len(), 0);
        assert_eq!(sweep(&[bad, good]).len(), 1);
        assert_eq!(sweep(&[bad, bad, good, good, good]).len(), 2);
        let out = Seen {
            is_ejected: true,
            ..bad
        };
        assert_eq!(sweep(&[out, bad, good]).len(), 0);
        assert_eq!(sweep(&[out, bad, good, good]), [(1, Reason::FailureRate)]);
    }

    #[test]
    fn the_worst_are_out_first() {
        let instances = [
            seen(500, 0, 5),
            seen(100, 0, 300),
            seen(100, 50, 5),
            seen(500, 0, 5),
            seen(500, 0, 5),
        ];
        let swept = sweep(&instances);
        assert_eq!(swept, [(2, Reason::FailureRate), (1, Reason::Slowness)]);
    }

    #[test]
    fn each_time_is_longer_until_it_has_been_in_for_a_while() {
        let mut now = Instant::now();
        let mut ejection = Ejection::default();
        for seconds in [10, 20, 30] {
            ejection.eject(now);
            now += Duration::from_secs(seconds);
            assert_eq!(ejection.until(now), None);
            assert!(ejection.until(now - Duration::from_secs(1)).is_some());
        }
        now += 2 * WINDOW;
        ejection.eject(now);
        assert_eq!(ejection.until(now), Some(now + 2 * EJECTED));
    }
}
