//! Restoring the log's order from partitions that each keep only their own.

use std::collections::BTreeMap;
use std::mem;

use uuid::Uuid;

use crate::event::RecordedEvent;

/// From so many bytes on, no more events are taken that have to wait for those before them. One event more
/// may be there: it is known how large it is once it is here.
pub(super) const BUFFER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// From so many events on likewise: what bytes do not count (nodes of the tree, rounding of the allocator)
/// stays small beside them. More than the window in which partitions may be ahead, which is the usual bound.
pub(super) const BUFFER_EVENTS_MAX: usize = 65_536;

/// What waits in a [`KafkaFeed`](super::KafkaFeed), and the most that ever did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buffered {
    pub events: usize,
    /// Of memory, as the feed counts it.
    pub bytes: usize,
    pub events_most: usize,
    pub bytes_most: usize,
}

impl Buffered {
    /// The buffer takes no more from so many events on.
    pub const EVENTS_MAX: usize = BUFFER_EVENTS_MAX;
    /// The buffer takes no more from so many bytes on; the last event may reach beyond.
    pub const BYTES_MAX: usize = BUFFER_BYTES_MAX;
}

/// Events that came ahead of their turn, and how far everything has come.
pub(super) struct Order {
    /// Everything up to here was handed out.
    position: i64,
    ahead: BTreeMap<i64, RecordedEvent>,
    /// The position that did not come when it was its turn, and was reached another way; none once it came after all.
    missed: Option<i64>,
    /// Whether such a position came since this was asked for last.
    came_late: bool,
    bytes: usize,
    events_most: usize,
    bytes_most: usize,
}

impl Order {
    pub(super) fn after(position: i64) -> Self {
        Self {
            position,
            ahead: BTreeMap::new(),
            missed: None,
            came_late: false,
            bytes: 0,
            events_most: 0,
            bytes_most: 0,
        }
    }

    pub(super) fn position(&self) -> i64 {
        self.position
    }

    /// Keeps an event for its turn; what was handed out or is here already is dropped.
    pub(super) fn offer(&mut self, event: RecordedEvent) {
        if event.position <= self.position {
            let missed = self.missed.take_if(|missed| *missed == event.position);
            self.came_late |= missed.is_some();
            return;
        }
        self.bytes += size(&event);
        if let Some(again) = self.ahead.insert(event.position, event) {
            self.bytes -= size(&again);
        }
        self.events_most = self.events_most.max(self.ahead.len());
        self.bytes_most = self.bytes_most.max(self.bytes);
    }

    /// Whether what was missed when it was its turn has come since this was asked last: it was late, not lost.
    pub(super) fn came_late(&mut self) -> bool {
        mem::take(&mut self.came_late)
    }

    /// The ids of the next events in order without a hole, up to `limit`.
    pub(super) fn next_ids(&self, limit: usize) -> Vec<Uuid> {
        (self.position + 1..)
            .zip(&self.ahead)
            .take(limit)
            .take_while(|(expected, (position, _))| expected == *position)
            .map(|(_, (_, event))| event.event_id)
            .collect()
    }

    /// The next events in order without a hole, up to `limit`.
    pub(super) fn take(&mut self, limit: usize) -> Vec<RecordedEvent> {
        let mut events = Vec::new();
        while events.len() < limit {
            let Some(entry) = self.ahead.first_entry() else {
                break;
            };
            if *entry.key() != self.position + 1 {
                break;
            }
            let event = entry.remove();
            self.position = event.position;
            self.bytes -= size(&event);
            events.push(event);
        }
        events
    }

    /// Notes that the next position did not come and is to be reached another way.
    pub(super) fn miss_next(&mut self) {
        self.missed = Some(self.position + 1);
    }

    /// Goes on after a position that was reached another way.
    pub(super) fn skip_to(&mut self, position: i64) {
        self.position = self.position.max(position);
        let ahead = self.ahead.split_off(&(self.position + 1));
        let passed = mem::replace(&mut self.ahead, ahead);
        self.bytes -= passed.values().map(size).sum::<usize>();
    }

    /// Throws away what came for a position, and says whether there was something.
    pub(super) fn remove(&mut self, position: i64) -> bool {
        let removed = self.ahead.remove(&position);
        self.bytes -= removed.as_ref().map_or(0, size);
        removed.is_some()
    }

    /// Throws everything away that waits, and says how much that was.
    pub(super) fn clear(&mut self) -> usize {
        let events = self.ahead.len();
        self.ahead.clear();
        self.bytes = 0;
        events
    }

    pub(super) fn buffered(&self) -> Buffered {
        Buffered {
            events: self.ahead.len(),
            bytes: self.bytes,
            events_most: self.events_most,
            bytes_most: self.bytes_most,
        }
    }

    /// The first position that waits for others before it.
    pub(super) fn lowest_ahead(&self) -> Option<i64> {
        self.ahead.first_key_value().map(|(position, _)| *position)
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= BUFFER_BYTES_MAX || self.ahead.len() >= BUFFER_EVENTS_MAX
    }
}

/// What an event takes in memory.
fn size(event: &RecordedEvent) -> usize {
    size_of::<RecordedEvent>()
        + event.aggregate_type.capacity()
        + event.aggregate_id.capacity()
        + event.event_type.capacity()
        + event.event_version.capacity()
        + event.payload.capacity()
        + event.metadata.capacity()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;

    fn event(position: i64) -> RecordedEvent {
        RecordedEvent {
            position,
            event_id: Uuid::from_u128(1),
            aggregate_type: "counter".to_owned(),
            aggregate_id: "a".to_owned(),
            sequence: position,
            event_type: "counter.raised".to_owned(),
            event_version: "1.0".to_owned(),
            payload: "{}".to_owned(),
            metadata: "{}".to_owned(),
            recorded_at: DateTime::UNIX_EPOCH,
        }
    }

    fn positions(events: &[RecordedEvent]) -> Vec<i64> {
        events.iter().map(|event| event.position).collect()
    }

    #[test]
    fn an_event_waits_for_those_before_it() {
        let mut order = Order::after(10);
        order.offer(event(12));
        assert!(order.take(10).is_empty());
        assert_eq!(order.lowest_ahead(), Some(12));
        order.offer(event(11));
        assert_eq!(positions(&order.take(1)), [11]);
        assert_eq!(positions(&order.take(10)), [12]);
        assert_eq!(order.bytes, 0);
    }

    #[test]
    fn a_position_reached_otherwise_is_not_handed_out_again() {
        let mut order = Order::after(0);
        for position in [2, 3, 5] {
            order.offer(event(position));
        }
        order.skip_to(4);
        assert_eq!(positions(&order.take(10)), [5]);
        assert_eq!(order.bytes, 0);
    }

    #[test]
    fn what_was_missed_is_told_once_it_comes() {
        let mut order = Order::after(0);
        order.offer(event(3));
        order.miss_next();
        order.skip_to(2);
        order.offer(event(2));
        assert!(!order.came_late(), "it was not its turn");
        order.offer(event(1));
        assert!(order.came_late());
        order.offer(event(1));
        assert!(!order.came_late(), "it came before");
        assert_eq!(positions(&order.take(10)), [3]);
    }

    #[test]
    fn what_is_thrown_away_takes_no_room() {
        let mut order = Order::after(0);
        for position in [1, 2, 4, 7] {
            order.offer(event(position));
        }
        assert_eq!(order.next_ids(10).len(), 2);
        assert!(order.remove(2) && !order.remove(3));
        assert_eq!(order.next_ids(10).len(), 1);
        assert_eq!(order.clear(), 3);
        let buffered = order.buffered();
        assert_eq!((buffered.events, buffered.bytes), (0, 0));
        assert_eq!(buffered.events_most, 4);
        assert!(buffered.bytes_most >= 4 * size_of::<RecordedEvent>());
    }

    proptest! {
        #[test]
        fn any_arrival_with_repeats_comes_out_once_and_in_order(
            arrival in Just((1..=40).chain(1..=40).collect::<Vec<i64>>()).prop_shuffle(),
            limit in 1..7_usize,
        ) {
            let mut order = Order::after(0);
            let mut out = Vec::new();
            for position in arrival {
                order.offer(event(position));
                out.extend(positions(&order.take(limit)));
            }
            while out.len() < 40 {
                out.extend(positions(&order.take(limit)));
            }
            prop_assert_eq!(out, (1..=40).collect::<Vec<i64>>());
            prop_assert_eq!(order.bytes, 0);
        }
    }
}
