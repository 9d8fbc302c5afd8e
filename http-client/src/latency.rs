//! How long an instance takes: an exponentially weighted moving average on which a peak counts at once.

use std::time::Duration;

use tokio::time::Instant;

/// In this time an old value loses two thirds of its weight: Finagle's and Linkerd's.
const DECAY: Duration = Duration::from_secs(10);
/// What an instance costs at least, and one that was never asked: differences below are noise of the machines. Among those
/// that are faster, the calls in flight decide.
const FLOOR: Duration = Duration::from_millis(5);

/// Peak EWMA. Without observations it sinks, so that an instance that was once slow is asked again.
#[derive(Debug)]
pub(crate) struct PeakEwma {
    /// Seconds.
    estimate: f64,
    updated: Instant,
}

impl PeakEwma {
    pub(crate) fn new(now: Instant) -> Self {
        PeakEwma {
            estimate: 0.0,
            updated: now,
        }
    }

    /// An answer took so long.
    pub(crate) fn observe(&mut self, took: Duration, now: Instant) {
        let took = took.as_secs_f64();
        let sunk = self.estimate.max(took) - took;
        self.estimate = took + sunk * self.weight(now);
        self.updated = self.updated.max(now);
    }

    /// An answer takes at least so long.
    pub(crate) fn observe_at_least(&mut self, took: Duration, now: Instant) {
        let sunk = self.estimate * self.weight(now);
        self.estimate = sunk.max(took.as_secs_f64());
        self.updated = self.updated.max(now);
    }

    /// The estimate, in seconds.
    pub(crate) fn seconds(&self, now: Instant) -> f64 {
        (self.estimate * self.weight(now)).max(FLOOR.as_secs_f64())
    }

    fn weight(&self, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.updated);
        (-elapsed.as_secs_f64() / DECAY.as_secs_f64()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_peak_counts_at_once_and_sinks_slowly() {
        let begin = Instant::now();
        let mut latency = PeakEwma::new(begin);
        latency.observe(500 * MS, begin);
        assert!((latency.seconds(begin) - 0.5).abs() < 0.001);
        let mut now = begin;
        for _ in 0..100 {
            now += 10 * MS;
            latency.observe(2 * MS, now);
        }
        let seconds = latency.seconds(now);
        assert!((0.44..0.47).contains(&seconds), "{seconds}");
        let later = now + 6 * DECAY;
        assert!((latency.seconds(later) - FLOOR.as_secs_f64()).abs() < 0.0001);
    }

    #[test]
    fn what_took_at_least_so_long_never_lowers_the_estimate() {
        let begin = Instant::now();
        let mut latency = PeakEwma::new(begin);
        latency.observe(500 * MS, begin);
        latency.observe_at_least(100 * MS, begin);
        assert!((latency.seconds(begin) - 0.5).abs() < 0.001);
        latency.observe_at_least(900 * MS, begin);
        assert!((latency.seconds(begin) - 0.9).abs() < 0.001);
    }
}
