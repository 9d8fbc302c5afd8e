//! Counters of the last seconds.

use std::time::Duration;

use tokio::time::Instant;

/// Long enough to count rates of a few calls a second, short enough to forget a restart.
pub(crate) const WINDOW: Duration = Duration::from_secs(WINDOW_SECONDS as u64);
/// One bucket a second.
const WINDOW_SECONDS: usize = 10;

/// What was counted in the last ten seconds, in steps of one.
#[derive(Debug)]
pub(crate) struct Window<T> {
    epoch: Instant,
    /// With the second that each counts.
    buckets: [(u64, T); WINDOW_SECONDS],
}

impl<T: Copy + Default> Window<T> {
    pub(crate) fn new(now: Instant) -> Self {
        Window {
            epoch: now,
            buckets: [(0, T::default()); WINDOW_SECONDS],
        }
    }

    /// Where the present second is counted.
    pub(crate) fn at(&mut self, now: Instant) -> &mut T {
        let second = self.second(now);
        let index = usize::try_from(second).unwrap_or(0) % WINDOW_SECONDS;
        let (counted, bucket) = &mut self.buckets[index];
        if *counted != second {
            (*counted, *bucket) = (second, T::default());
        }
        bucket
    }

    /// The buckets that still count.
    pub(crate) fn counted(&self, now: Instant) -> impl Iterator<Item = &T> {
        let second = self.second(now);
        self.buckets
            .iter()
            .filter(move |(counted, _)| second.saturating_sub(*counted) < WINDOW_SECONDS as u64)
            .map(|(_, bucket)| bucket)
    }

    fn second(&self, now: Instant) -> u64 {
        // Instants of several threads may be a little out of order; seconds count from one window on, so none is negative.
        now.saturating_duration_since(self.epoch).as_secs() + WINDOW_SECONDS as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let begin = Instant::now();
        let mut window = Window::<u32>::new(begin);
        let at = |seconds| begin + Duration::from_secs(seconds);
        let sum = |window: &Window<u32>, seconds| window.counted(at(seconds)).sum::<u32>();
        *window.at(at(0)) += 1;
        *window.at(at(9)) += 2;
        assert_eq!(sum(&window, 9), 3);
        assert_eq!(sum(&window, 10), 2);
        *window.at(at(10)) += 4;
        assert_eq!(sum(&window, 18), 6);
        assert_eq!(sum(&window, 19), 4);
        assert_eq!(sum(&window, 100), 0);
    }
}
