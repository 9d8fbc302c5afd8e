//! How long to wait before a repetition.

use std::time::Duration;

/// Before the second attempt, at most; then twice as long each time. What a restarting process needs is waited for by the
/// circuit breaker, not here.
const BASE: Duration = Duration::from_millis(25);
/// At most.
const CAP: Duration = Duration::from_secs(1);
/// Before a running original is asked for again, at first; then twice as long each time.
const WAIT_BASE: Duration = Duration::from_millis(25);
/// And at most: its client waits for the outcome.
const WAIT_CAP: Duration = Duration::from_millis(500);

/// Before repetition `number` (from 1): exponential with full jitter, so that those that failed together do not come back
/// together. `random` is in 0..1.
pub(crate) fn before_repetition(number: u32, random: f64) -> Duration {
    doubled(BASE, number, CAP).mul_f64(random)
}

/// Before wait `number` (from 1) for a running original: at least half of it, since coming back at once finds it running.
pub(crate) fn before_asking_again(number: u32, random: f64) -> Duration {
    doubled(WAIT_BASE, number, WAIT_CAP).mul_f64(f64::midpoint(1.0, random))
}

fn doubled(base: Duration, number: u32, cap: Duration) -> Duration {
    let factor = 2_u32.saturating_pow(number.saturating_sub(1));
    base.saturating_mul(factor).min(cap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_are_jittered_down_to_nothing() {
        let longest = [1, 2, 3, 6, 7, 99].map(|number| before_repetition(number, 1.0).as_millis());
        assert_eq!(longest, [25, 50, 100, 800, 1000, 1000]);
        assert_eq!(before_repetition(3, 0.0), Duration::ZERO);
    }

    #[test]
    fn a_running_original_is_not_asked_for_without_a_pause() {
        let shortest = [1, 2, 99].map(|number| before_asking_again(number, 0.0).as_micros());
        assert_eq!(shortest, [12_500, 25_000, 250_000]);
        assert_eq!(before_asking_again(99, 1.0), WAIT_CAP);
    }
}
