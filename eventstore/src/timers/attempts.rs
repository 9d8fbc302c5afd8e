//! What was tried, and when it may be tried again.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::DueTimer;

/// From the first wait to the longest, doubled in between: quick enough for a lost connection, slow enough not to burden
/// what is down.
const WAIT_MIN: Duration = Duration::from_millis(200);
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Timers whose attempts are remembered. Where more than that fail, all of them wait for these.
const REMEMBERED_MAX: usize = 10_000;

/// The timers that were acted on and are due still.
#[derive(Default)]
pub(super) struct Attempts {
    by_name: HashMap<String, Attempt>,
}

struct Attempt {
    due_at: DateTime<Utc>,
    count: u32,
    again_at: Instant,
}

impl Attempts {
    /// Whether it is to be acted on now.
    pub(super) fn allow(&self, timer: &DueTimer, now: Instant) -> bool {
        match self.by_name.get(&timer.name) {
            Some(attempt) => attempt.due_at != timer.due_at || attempt.again_at <= now,
            None => self.by_name.len() < REMEMBERED_MAX,
        }
    }

    /// It was acted on just now: where it stays due, it is tried again, later each time. How often it was, and how long it
    /// waits.
    pub(super) fn note(&mut self, timer: &DueTimer, now: Instant) -> (u32, Duration) {
        let attempt = self
            .by_name
            .entry(timer.name.clone())
            .or_insert_with(|| Attempt {
                due_at: timer.due_at,
                count: 0,
                again_at: now,
            });
        if attempt.due_at != timer.due_at {
            attempt.due_at = timer.due_at;
            attempt.count = 0;
        }
        let doublings = attempt.count.min(16);
        let wait = WAIT_MIN.saturating_mul(1 << doublings).min(WAIT_MAX);
        attempt.count += 1;
        attempt.again_at = now + wait;
        (attempt.count, wait)
    }

    /// How many are remembered.
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// When the first of them may be tried again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.by_name.values().map(|attempt| attempt.again_at).min()
    }

    /// These are all that are due, or all before a moment: what was done about others has worked.
    pub(super) fn retain(&mut self, due: &HashSet<String>, before: Option<DateTime<Utc>>) {
        let beyond = |attempt: &Attempt| before.is_some_and(|before| attempt.due_at >= before);
        self.by_name
            .retain(|name, attempt| due.contains(name) || beyond(attempt));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(name: &str, due_at: DateTime<Utc>) -> DueTimer {
        DueTimer {
            name: name.to_owned(),
            due_at,
            payload: serde_json::Value::Null,
        }
    }

    #[test]
    fn what_stays_due_waits_longer_each_time_and_what_is_moved_does_not() {
        let now = Instant::now();
        let (mut attempts, due) = (Attempts::default(), DateTime::UNIX_EPOCH);
        let stuck = timer("payment/a", due);
        assert!(attempts.allow(&stuck, now));
        let waits: Vec<Duration> = (0..12).map(|_| attempts.note(&stuck, now).1).collect();
        assert_eq!(waits[0], WAIT_MIN);
        assert_eq!(waits[1], 2 * WAIT_MIN);
        assert_eq!(waits[11], WAIT_MAX);
        assert!(!attempts.allow(&stuck, now));
        assert!(attempts.allow(&stuck, now + WAIT_MAX));
        assert_eq!(attempts.next(), Some(now + WAIT_MAX));

        let moved = timer("payment/a", due + Duration::from_secs(1));
        assert!(attempts.allow(&moved, now));
        assert_eq!(attempts.note(&moved, now), (1, WAIT_MIN));

        attempts.retain(&HashSet::new(), Some(moved.due_at));
        assert!(!attempts.allow(&moved, now), "it was not looked so far");
        attempts.retain(&HashSet::new(), None);
        assert!(attempts.allow(&moved, now));
    }
}
