//! Which streams of a consumer are parked, and which events it skips.

use std::collections::{HashMap, HashSet};

use crate::dead_letters::StreamName;
use crate::event::RecordedEvent;

#[derive(Debug)]
pub(super) struct Parked {
    /// What an event is parked with, its stream as a rule.
    parks_with: fn(&RecordedEvent) -> StreamName,
    /// By stream, the position from which on its events wait.
    streams: HashMap<StreamName, i64>,
    discarded: HashSet<i64>,
}

impl Parked {
    pub(super) fn of_none(parks_with: fn(&RecordedEvent) -> StreamName) -> Self {
        Self::new(parks_with, [], [])
    }

    pub(super) fn new(
        parks_with: fn(&RecordedEvent) -> StreamName,
        streams: impl IntoIterator<Item = (StreamName, i64)>,
        discarded: impl IntoIterator<Item = i64>,
    ) -> Self {
        Self {
            parks_with,
            streams: streams.into_iter().collect(),
            discarded: discarded.into_iter().collect(),
        }
    }

    /// How many streams are parked.
    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    pub(super) fn release(&mut self, stream: &StreamName) {
        self.streams.remove(stream);
    }

    /// What of these is to be handled, and what has to wait. Discarded ones are left out of both.
    pub(super) fn sort_out(
        &self,
        mut events: Vec<RecordedEvent>,
    ) -> (Vec<RecordedEvent>, Vec<RecordedEvent>) {
        if !self.discarded.is_empty() {
            events.retain(|event| !self.discarded.contains(&event.position));
        }
        if self.streams.is_empty() {
            return (events, Vec::new());
        }
        events.into_iter().partition(|event| !self.waits(event))
    }

    /// After a restart the feed may yield events of the stream from before it was parked: those do not wait.
    fn waits(&self, event: &RecordedEvent) -> bool {
        self.streams
            .get(&(self.parks_with)(event))
            .is_some_and(|first| event.position >= *first)
    }

    /// Parks the stream of the event at `position`: takes it and those that follow it out of the batch.
    pub(super) fn begin(
        &mut self,
        batch: &mut Vec<RecordedEvent>,
        position: i64,
    ) -> Vec<RecordedEvent> {
        let Some(poison) = batch.iter().find(|event| event.position == position) else {
            return Vec::new();
        };
        self.streams.insert((self.parks_with)(poison), position);
        batch.extract_if(.., |event| self.waits(event)).collect()
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;

    fn event(position: i64, stream: &str) -> RecordedEvent {
        RecordedEvent {
            position,
            event_id: Uuid::nil(),
            aggregate_type: "counter".to_owned(),
            aggregate_id: stream.to_owned(),
            sequence: 1,
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
    fn a_poison_event_takes_the_later_ones_of_its_stream_along() {
        let mut parked = Parked::of_none(RecordedEvent::stream);
        let mut batch = vec![event(1, "a"), event(2, "b"), event(3, "a"), event(4, "a")];
        let rest = parked.begin(&mut batch, 3);
        assert_eq!(positions(&rest), [3, 4]);
        assert_eq!(positions(&batch), [1, 2]);

        let (handled, waiting) = parked.sort_out(vec![event(5, "a"), event(6, "b")]);
        assert_eq!(
            (positions(&handled), positions(&waiting)),
            (vec![6], vec![5])
        );
    }

    #[test]
    fn what_came_before_the_poison_event_does_not_wait() {
        let stream = ("counter".to_owned(), "a".to_owned());
        let parked = Parked::new(RecordedEvent::stream, [(stream, 3)], [2]);
        let (handled, waiting) = parked.sort_out(vec![event(1, "a"), event(2, "b"), event(3, "a")]);
        assert_eq!(
            (positions(&handled), positions(&waiting)),
            (vec![1], vec![3])
        );
    }
}
