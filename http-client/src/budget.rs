//! How many repetitions there may be: when all is down, repetitions are what keeps it down.

use tokio::time::Instant;

use crate::window::{WINDOW, Window};

/// Of the calls in the window.
const REPETITIONS_PER_CALL: f64 = 0.1;
/// For those who call seldom: so many a second, over the window.
const FLOOR_PER_SECOND: f64 = 1.0;

/// Repetitions that are left of those that the calls of the last ten seconds allow.
#[derive(Debug)]
pub(crate) struct Budget(Window<Counts>);

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    calls: u32,
    repetitions: u32,
}

impl Budget {
    pub(crate) fn new(now: Instant) -> Self {
        Budget(Window::new(now))
    }

    /// Counts a call.
    pub(crate) fn call(&mut self, now: Instant) {
        self.0.at(now).calls += 1;
    }

    /// Takes a repetition, before the pause that it begins with: those that wait count as well. False if there is none left.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let mut sum = Counts::default();
        for counts in self.0.counted(now) {
            sum.calls += counts.calls;
            sum.repetitions += counts.repetitions;
        }
        let of_calls = f64::from(sum.calls) * REPETITIONS_PER_CALL;
        let allowed = of_calls.max(FLOOR_PER_SECOND * WINDOW.as_secs_f64());
        let is_allowed = f64::from(sum.repetitions + 1) <= allowed;
        if is_allowed {
            self.0.at(now).repetitions += 1;
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn taken(budget: &mut Budget, now: Instant, wanted: u32) -> usize {
        (0..wanted).filter(|_| budget.take(now)).count()
    }

    #[test]
    fn a_thousand_calls_that_fail_at_once_are_repeated_a_hundred_times() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        for _ in 0..1000 {
            budget.call(now);
        }
        assert_eq!(taken(&mut budget, now, 1000), 100);
    }

    #[test]
    fn those_who_call_seldom_may_repeat_once_a_second() {
        let begin = Instant::now();
        let mut budget = Budget::new(begin);
        let mut repetitions = 0;
        for second in 0..60 {
            let now = begin + Duration::from_secs(second);
            budget.call(now);
            repetitions += taken(&mut budget, now, 2);
        }
        assert!((60..=70).contains(&repetitions), "{repetitions}");
    }

    #[test]
    fn calls_of_long_ago_allow_nothing() {
        let begin = Instant::now();
        let mut budget = Budget::new(begin);
        for _ in 0..1000 {
            budget.call(begin);
        }
        let later = begin + WINDOW;
        assert_eq!(taken(&mut budget, later, 1000), 10);
    }
}
