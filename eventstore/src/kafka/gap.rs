//! When a position that does not come is read from the log instead.

use std::time::Duration;

use tokio::time::Instant;

/// How long the next position may be overdue, that is, later ones are here or the log is known to be
/// further, before it is read from the log. Partitions of a healthy cluster differ by milliseconds.
const OVERDUE: Duration = Duration::from_secs(1);

/// How often a feed to which nothing comes looks whether the log is further.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Where gaps follow each other within this time, the patience is halved each time, up to so often: a
/// partition that brings nothing must not hold everything up for a second a page.
const STREAK_MAX: Duration = Duration::from_secs(5);
const HALVINGS_MAX: u32 = 6;

/// Gaps that follow each other for so long have the connection made anew: partitions may have been added, or
/// the client may be stuck.
const TROUBLE_MAX: Duration = Duration::from_secs(30);

/// What is known about positions that should have come.
pub(super) struct Gap {
    /// When the next position is read from the log; none while nothing is owed.
    due: Option<Instant>,
    /// Up to here it is read from the log without waiting again.
    until: i64,
    /// When the log's head is looked at next.
    look_at: Instant,
    /// When a gap was filled last, and how many followed each other closely since when.
    filled_at: Option<Instant>,
    streak: u32,
    streak_began: Instant,
    /// Events that came from the log, of all.
    events: u64,
}

impl Gap {
    pub(super) fn none(now: Instant) -> Self {
        Self {
            due: None,
            until: 0,
            look_at: now + LOOK_INTERVAL,
            filled_at: None,
            streak: 0,
            streak_began: now,
            events: 0,
        }
    }

    /// Later positions are here, or the log is further. Where Kafka is not out of reach (`hopeful`), the next one gets its
    /// time.
    pub(super) fn owed(&mut self, now: Instant, hopeful: bool) {
        let patience = if hopeful {
            OVERDUE / (1 << self.streak(now))
        } else {
            Duration::ZERO
        };
        self.due.get_or_insert(now + patience);
    }

    /// There is no room to wait for it.
    pub(super) fn owed_now(&mut self, now: Instant) {
        self.due.get_or_insert(now);
    }

    /// Kafka has something else at this position: waiting for it is in vain.
    pub(super) fn lost(&mut self, position: i64) {
        self.until = self.until.max(position);
    }

    pub(super) fn is_owed(&self) -> bool {
        self.due.is_some()
    }

    /// Whether to look now if the log is further; asked again, not before the next interval.
    pub(super) fn is_look_due(&mut self, now: Instant) -> bool {
        let due = now >= self.look_at;
        if due {
            self.look_at = now + LOOK_INTERVAL;
        }
        due
    }

    /// Whether the position after `position` is to be read from the log now.
    pub(super) fn is_due(&self, now: Instant, position: i64) -> bool {
        self.until > position || self.due.is_some_and(|due| now >= due)
    }

    /// When something is due next.
    pub(super) fn next(&self) -> Instant {
        self.due.unwrap_or(self.look_at)
    }

    /// Whether what is read after `position` is a gap of its own. A long one that is filled page by page is one.
    pub(super) fn begins(&self, position: i64) -> bool {
        self.until <= position
    }

    /// So many events after `position` were read from the log; it goes on up to `until` without waiting again.
    /// Nothing read is tried again after the usual patience.
    pub(super) fn filled(&mut self, now: Instant, position: i64, events: usize, until: i64) {
        if self.begins(position) {
            self.streak = match self.filled_at {
                Some(at) if now - at < STREAK_MAX => HALVINGS_MAX.min(self.streak + 1),
                _ => 0,
            };
            if self.streak == 0 {
                self.streak_began = now;
            }
            self.filled_at = Some(now);
        }
        self.until = until;
        self.due = (events == 0).then_some(now + OVERDUE);
        self.events += u64::try_from(events).unwrap_or(u64::MAX);
    }

    /// What was read from the log came after all: Kafka is slow, but brings it. The next one gets its full time, else a
    /// feed of a busy log would go on reading what is on its way.
    pub(super) fn came_late(&mut self) {
        self.streak = 0;
        self.filled_at = None;
    }

    /// Whether there have been gaps for so long that the connection is to be made anew.
    pub(super) fn is_trouble(&mut self, now: Instant) -> bool {
        let trouble = self.streak > 0 && now - self.streak_began >= TROUBLE_MAX;
        if trouble {
            self.streak_began = now;
        }
        trouble
    }

    /// Events were handed out: nothing is owed as far as is known.
    pub(super) fn moved(&mut self, now: Instant) {
        self.due = None;
        self.look_at = now + LOOK_INTERVAL;
    }

    /// Events that came from the log instead of from Kafka.
    pub(super) fn events(&self) -> u64 {
        self.events
    }

    fn streak(&self, now: Instant) -> u32 {
        match self.filled_at {
            Some(at) if now - at < STREAK_MAX => self.streak,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_gets_its_time_and_less_of_it_the_more_are_missing() {
        let mut now = Instant::now();
        let mut gap = Gap::none(now);
        gap.owed(now, true);
        assert!(!gap.is_due(now, 0));
        now += OVERDUE;
        assert!(gap.is_due(now, 0));

        for _ in 0..20 {
            gap.filled(now, 0, 5, 0);
            gap.moved(now);
            gap.owed(now, true);
            assert!(!gap.is_due(now, 0));
        }
        assert!(gap.next() - now < OVERDUE / 32);
        now += STREAK_MAX;
        gap.moved(now);
        gap.owed(now, true);
        assert_eq!(gap.next() - now, OVERDUE);
    }

    #[test]
    fn what_comes_late_gets_its_full_time_again() {
        let now = Instant::now();
        let mut gap = Gap::none(now);
        for _ in 0..20 {
            gap.filled(now, 0, 5, 0);
        }
        gap.came_late();
        gap.moved(now);
        gap.owed(now, true);
        assert_eq!(gap.next() - now, OVERDUE);
    }

    #[test]
    fn only_gaps_that_go_on_and_on_are_trouble() {
        let mut now = Instant::now();
        let mut gap = Gap::none(now);
        // One long gap, page by page.
        for page in 0..100 {
            gap.filled(now, page * 10, 10, 1_000);
            now += STREAK_MAX;
            assert!(!gap.is_trouble(now));
        }
        gap.filled(now, 1_000, 10, 0);
        for _ in 0..29 {
            now += Duration::from_secs(1);
            gap.filled(now, 2_000, 10, 0);
            assert!(!gap.is_trouble(now));
        }
        now += Duration::from_secs(1);
        assert!(gap.is_trouble(now));
        assert!(!gap.is_trouble(now), "once in a while");
    }

    #[test]
    fn what_kafka_has_otherwise_is_not_waited_for() {
        let now = Instant::now();
        let mut gap = Gap::none(now);
        gap.lost(8);
        gap.moved(now);
        assert!(gap.is_due(now, 7));
        assert!(!gap.is_due(now, 8));
    }

    #[test]
    fn what_the_log_lacks_too_is_not_asked_for_without_pause() {
        let mut now = Instant::now();
        let mut gap = Gap::none(now);
        gap.owed(now, false);
        assert!(
            gap.is_due(now, 0),
            "nothing to wait for without a connection"
        );
        gap.filled(now, 0, 0, 0);
        gap.owed(now, false);
        gap.owed_now(now);
        assert!(!gap.is_due(now, 0));
        now += OVERDUE;
        assert!(gap.is_due(now, 0));
    }
}
