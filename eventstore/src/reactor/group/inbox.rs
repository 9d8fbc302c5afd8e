//! A partition: what the log says it has to bring, and what Kafka has brought of it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::checkpoint::Checkpoint;
use crate::event::RecordedEvent;
use crate::kafka::Reason;
use crate::reactor::lane::RecordHint;

/// What Kafka has not brought for so long is read from the log.
const OVERDUE: Duration = Duration::from_secs(1);

/// And so, whatever else it brings: a topic that is read from its beginning brings much that is old.
const OVERDUE_MAX: Duration = Duration::from_secs(10);

/// Records of a partition that are kept; where there are more it is paused, and goes on when half of them are gone.
const HELD_MAX: usize = 1_000;

/// An event, and where Kafka has it if it came from there.
pub(super) struct Record {
    pub(super) event: RecordedEvent,
    pub(super) offset: Option<i64>,
}

struct Expected {
    position: i64,
    event_id: Uuid,
    since: Instant,
    record: Option<Record>,
}

/// A partition that this member has.
pub(super) struct Inbox {
    /// Up to here the log was read for it.
    known: Checkpoint,
    /// Whether its reader was told so.
    told: bool,
    /// What it has to bring and was not handed out yet, in order.
    expected: VecDeque<Expected>,
    /// What Kafka brought before the log was read so far.
    early: BTreeMap<i64, Record>,
    /// Records in both.
    held: usize,
    /// When Kafka brought something last.
    brought_at: Instant,
    /// Where reading began, until that was checked.
    hint: Option<RecordHint>,
    paused: bool,
}

impl Inbox {
    pub(super) fn after(begin: Checkpoint, hint: Option<RecordHint>, now: Instant) -> Self {
        Self {
            known: begin,
            told: true,
            expected: VecDeque::new(),
            early: BTreeMap::new(),
            held: 0,
            brought_at: now,
            hint,
            paused: false,
        }
    }

    pub(super) fn known(&self) -> Checkpoint {
        self.known
    }

    /// Whether the first record that came is the one with which reading was to begin. If not, the topic is not the one that
    /// was read before, and what it has is to be read from its beginning.
    pub(super) fn check_begin(&mut self, offset: i64, position: i64) -> bool {
        let found = RecordHint { offset, position };
        self.hint.take().is_none_or(|hint| hint == found)
    }

    /// Something came, whatever it is worth.
    pub(super) fn brought(&mut self, now: Instant) {
        self.brought_at = now;
    }

    /// Takes a record of this partition.
    pub(super) fn offer(&mut self, event: RecordedEvent, offset: i64) -> Result<(), Reason> {
        let position = event.position;
        let record = Record {
            event,
            offset: Some(offset),
        };
        if position > self.known.position {
            if self.early.insert(position, record).is_none() {
                self.held += 1;
            }
            return Ok(());
        }
        let found = self
            .expected
            .binary_search_by_key(&position, |expected| expected.position);
        // Handed out before, or read from the log meanwhile.
        let Ok(index) = found else { return Ok(()) };
        let expected = &mut self.expected[index];
        if expected.event_id != record.event.event_id {
            return Err(Reason::NotInLog);
        }
        if expected.record.is_none() {
            expected.record = Some(record);
            self.held += 1;
        }
        Ok(())
    }

    /// The log holds this event, and it is of this partition. In order of positions. What Kafka brought for the position may
    /// be something else.
    pub(super) fn expect(
        &mut self,
        position: i64,
        event_id: Uuid,
        now: Instant,
    ) -> Result<(), Reason> {
        let early = self.early.remove(&position);
        let came = early.is_some();
        let record = early.filter(|record| record.event.event_id == event_id);
        let refused = came && record.is_none();
        self.held -= usize::from(refused);
        self.expected.push_back(Expected {
            position,
            event_id,
            since: now,
            record,
        });
        if refused {
            Err(Reason::NotInLog)
        } else {
            Ok(())
        }
    }

    /// Up to here everything is expected. How many records came for positions where the log holds nothing of this partition.
    pub(super) fn know(&mut self, known: Checkpoint) -> usize {
        self.known = known;
        self.told = false;
        let beyond = self.early.split_off(&(known.position + 1));
        let refused = std::mem::replace(&mut self.early, beyond).len();
        self.held -= refused;
        refused
    }

    /// Throws away what came for positions beyond the log's end, once nothing has come for a while: an event is committed
    /// before it is published, so these are of another log. How many there were.
    pub(super) fn forget_early(&mut self, now: Instant) -> usize {
        if now.duration_since(self.brought_at) <= OVERDUE {
            return 0;
        }
        let forgotten = std::mem::take(&mut self.early).len();
        self.held -= forgotten;
        forgotten
    }

    /// The next events, as far as they are there.
    pub(super) fn take(&mut self, limit: usize, into: &mut Vec<Record>) {
        for _ in 0..limit {
            let Some(Expected { record, .. }) = self
                .expected
                .pop_front_if(|expected| expected.record.is_some())
            else {
                return;
            };
            self.held -= 1;
            into.extend(record);
        }
    }

    /// How far the partition is known, where nothing of it waits and that was not told yet.
    pub(super) fn tell_known(&mut self) -> Option<Checkpoint> {
        if self.told || !self.expected.is_empty() {
            return None;
        }
        self.told = true;
        Some(self.known)
    }

    /// How much waits to be handed out or to be brought.
    pub(super) fn expected(&self) -> usize {
        self.expected.len()
    }

    /// Whether something could be handed out.
    pub(super) fn is_ready(&self) -> bool {
        match self.expected.front() {
            Some(front) => front.record.is_some(),
            None => !self.told,
        }
    }

    /// What is next and overdue: up to so many positions that are to be read from the log.
    pub(super) fn overdue(&self, limit: usize, now: Instant) -> Vec<i64> {
        let Some(front) = self.expected.front().filter(|front| front.record.is_none()) else {
            return Vec::new();
        };
        let waited = now.duration_since(front.since);
        let is_quiet = now.duration_since(self.brought_at) > OVERDUE;
        let is_passed = self
            .expected
            .iter()
            .take(limit)
            .any(|expected| expected.record.is_some());
        if waited > OVERDUE_MAX || waited > OVERDUE && (is_quiet || is_passed) {
            let missing = self
                .expected
                .iter()
                .take(limit)
                .filter(|expected| expected.record.is_none());
            missing.map(|expected| expected.position).collect()
        } else {
            Vec::new()
        }
    }

    /// An event that was read from the log.
    pub(super) fn fill(&mut self, event: RecordedEvent) {
        let found = self
            .expected
            .binary_search_by_key(&event.position, |expected| expected.position);
        if let Ok(index) = found
            && self.expected[index].record.is_none()
        {
            let offset = None;
            self.expected[index].record = Some(Record { event, offset });
            self.held += 1;
        }
    }

    /// Whether the partition is to be paused (true) or to go on (false); none where all is well.
    pub(super) fn balance(&mut self) -> Option<bool> {
        let change = match self.paused {
            false if self.held >= HELD_MAX => true,
            true if self.held <= HELD_MAX / 2 => false,
            _ => return None,
        };
        self.paused = change;
        Some(change)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn id(position: i64) -> Uuid {
        Uuid::from_u128(position.try_into().unwrap())
    }

    fn at(position: i64) -> Checkpoint {
        Checkpoint {
            position,
            event_id: Some(id(position)),
        }
    }

    fn event(position: i64) -> RecordedEvent {
        RecordedEvent {
            position,
            event_id: id(position),
            aggregate_type: "counter".to_owned(),
            aggregate_id: "a".to_owned(),
            sequence: 1,
            event_type: "counter.raised".to_owned(),
            event_version: "1.0".to_owned(),
            payload: "{}".to_owned(),
            metadata: "{}".to_owned(),
            recorded_at: DateTime::UNIX_EPOCH,
        }
    }

    fn inbox(expected: &[i64], upto: i64) -> (Inbox, Instant) {
        let now = Instant::now();
        let mut inbox = Inbox::after(at(10), None, now);
        for position in expected {
            inbox.expect(*position, id(*position), now).unwrap();
        }
        assert_eq!(inbox.know(at(upto)), 0);
        (inbox, now)
    }

    fn take(inbox: &mut Inbox) -> Vec<i64> {
        let mut records = Vec::new();
        inbox.take(100, &mut records);
        records.iter().map(|record| record.event.position).collect()
    }

    #[test]
    fn events_come_in_order_whenever_their_records_do() {
        let (mut inbox, now) = inbox(&[12, 15], 20);
        inbox.offer(event(15), 1).unwrap();
        // Not yet known of.
        inbox.offer(event(23), 2).unwrap();
        assert!(take(&mut inbox).is_empty());
        assert_eq!(inbox.tell_known(), None);
        inbox.offer(event(12), 3).unwrap();
        assert_eq!(take(&mut inbox), [12, 15]);
        assert_eq!(inbox.tell_known(), Some(at(20)));
        assert_eq!(inbox.tell_known(), None, "once");
        inbox.expect(23, id(23), now).unwrap();
        inbox.know(at(30));
        // Again, as after another relay.
        inbox.offer(event(12), 4).unwrap();
        assert_eq!(take(&mut inbox), [23]);
        assert_eq!(inbox.held, 0);
    }

    #[test]
    fn what_the_log_does_not_hold_is_refused() {
        let (mut inbox, now) = inbox(&[12], 20);
        let mut other = event(12);
        other.event_id = id(99);
        assert_eq!(inbox.offer(other, 1), Err(Reason::NotInLog));
        for position in [22, 25, 40] {
            inbox.offer(event(position), position).unwrap();
        }
        assert_eq!(inbox.expect(25, id(77), now), Err(Reason::NotInLog));
        assert_eq!(
            inbox.know(at(30)),
            1,
            "22 is of no stream of this partition"
        );
        assert!(take(&mut inbox).is_empty());
        assert_eq!(inbox.held, 1);
        assert_eq!(inbox.forget_early(now), 0);
        assert_eq!(inbox.forget_early(now + 2 * OVERDUE), 1);
        assert_eq!(inbox.held, 0);
    }

    #[test]
    fn what_is_owed_for_a_second_is_overdue() {
        let (mut inbox, now) = inbox(&[12, 15, 19], 20);
        assert!(inbox.overdue(10, now).is_empty());
        let later = now + OVERDUE + Duration::from_millis(1);
        assert_eq!(inbox.overdue(2, later), [12, 15]);
        // It brings something, if only what is old: it gets its time.
        inbox.brought(later);
        assert!(inbox.overdue(10, later).is_empty());
        assert_eq!(inbox.overdue(10, now + 2 * OVERDUE_MAX), [12, 15, 19]);
        inbox.offer(event(15), 1).unwrap();
        assert_eq!(inbox.overdue(10, later), [12, 19], "it was passed");
        inbox.fill(event(12));
        assert!(inbox.overdue(10, later).is_empty(), "nothing is held up");
        assert_eq!(take(&mut inbox), [12, 15]);
    }

    #[test]
    fn a_partition_that_brings_too_much_is_paused_until_half_of_it_is_gone() {
        let positions: Vec<i64> = (11..).take(HELD_MAX).collect();
        let (mut inbox, _) = inbox(&positions, 20_000);
        for position in &positions {
            assert_eq!(inbox.balance(), None);
            inbox.offer(event(*position), *position).unwrap();
        }
        assert_eq!(inbox.balance(), Some(true));
        let mut records = Vec::new();
        inbox.take(HELD_MAX / 2 - 1, &mut records);
        assert_eq!(inbox.balance(), None);
        inbox.take(1, &mut records);
        assert_eq!((inbox.balance(), inbox.balance()), (Some(false), None));
    }

    #[test]
    fn a_topic_that_does_not_begin_as_it_was_left_is_another_one() {
        let hint = RecordHint {
            offset: 5,
            position: 10,
        };
        for (offset, position, as_left) in [(5, 10, true), (5, 11, false), (0, 1, false)] {
            let mut inbox = Inbox::after(at(10), Some(hint), Instant::now());
            assert_eq!(inbox.check_begin(offset, position), as_left);
            assert!(inbox.check_begin(0, 0), "it is asked once");
        }
    }
}
