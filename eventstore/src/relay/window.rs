//! What is under way to Kafka, and how far everything has arrived.

use std::collections::VecDeque;

use uuid::Uuid;

use crate::checkpoint::Checkpoint;

/// Most records under way: a few batches for each partition.
pub(super) const RECORDS_MAX: usize = 20_000;

/// Most bytes of records under way; with the client's own overhead about twice that in memory.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// Events from the one after the checkpoint on, in position order: on their way, or there.
#[derive(Debug)]
pub(super) struct Window {
    checkpoint: Checkpoint,
    events: VecDeque<Slot>,
    records: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Slot {
    event_id: Uuid,
    /// Index of its partition.
    place: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Sent {
        bytes: usize,
    },
    Acknowledged {
        offset: i64,
    },
    /// Kafka had it before this window began.
    Found,
}

/// An event at or below the new checkpoint.
#[derive(Debug, PartialEq)]
pub(super) struct Passed {
    pub(super) position: i64,
    pub(super) place: usize,
    /// Of the record; none where Kafka had the event before.
    pub(super) offset: Option<i64>,
}

impl Window {
    pub(super) fn after(checkpoint: Checkpoint) -> Self {
        Self {
            checkpoint,
            events: VecDeque::new(),
            records: 0,
            bytes: 0,
        }
    }

    /// The contiguous acknowledged prefix.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        self.checkpoint
    }

    pub(super) fn has_room(&self) -> bool {
        self.records < RECORDS_MAX && self.bytes < BYTES_MAX && self.events.len() < 2 * RECORDS_MAX
    }

    /// Whether everything has arrived.
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The next event is on its way. They come without a hole.
    pub(super) fn sent(&mut self, event_id: Uuid, place: usize, bytes: usize) {
        self.records += 1;
        self.bytes += bytes;
        self.push(event_id, place, State::Sent { bytes });
    }

    /// The next event is in Kafka already.
    pub(super) fn found(&mut self, event_id: Uuid, place: usize) {
        self.push(event_id, place, State::Found);
    }

    fn push(&mut self, event_id: Uuid, place: usize, state: State) {
        self.events.push_back(Slot {
            event_id,
            place,
            state,
        });
    }

    /// Kafka has the event. The index of its partition, unless it was known already.
    pub(super) fn acknowledge(&mut self, position: i64, offset: i64) -> Option<usize> {
        let index = usize::try_from(position - self.checkpoint.position - 1).ok()?;
        let slot = self.events.get_mut(index)?;
        let State::Sent { bytes } = slot.state else {
            return None;
        };
        self.records -= 1;
        self.bytes -= bytes;
        slot.state = State::Acknowledged { offset };
        Some(slot.place)
    }

    /// The index of the partition of an event under way.
    pub(super) fn place_of(&self, position: i64) -> Option<usize> {
        let index = usize::try_from(position - self.checkpoint.position - 1).ok()?;
        Some(self.events.get(index)?.place)
    }

    /// Moves the checkpoint over the next event if that has arrived.
    pub(super) fn pass(&mut self) -> Option<Passed> {
        let offset = match self.events.front()?.state {
            State::Sent { .. } => return None,
            State::Acknowledged { offset } => Some(offset),
            State::Found => None,
        };
        let slot = self.events.pop_front()?;
        self.checkpoint = Checkpoint {
            position: self.checkpoint.position + 1,
            event_id: Some(slot.event_id),
        };
        Some(Passed {
            position: self.checkpoint.position,
            place: slot.place,
            offset,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(window: &mut Window) -> Vec<i64> {
        std::iter::from_fn(|| window.pass())
            .map(|passed| passed.position)
            .collect()
    }

    #[test]
    fn the_checkpoint_is_the_contiguous_prefix_of_what_arrived() {
        let ids: Vec<Uuid> = (0..4).map(Uuid::from_u128).collect();
        let mut window = Window::after(Checkpoint::START);
        window.sent(ids[0], 0, 100);
        window.sent(ids[1], 1, 100);
        window.found(ids[2], 0);
        window.sent(ids[3], 1, 100);

        window.acknowledge(2, 70);
        assert!(passed(&mut window).is_empty());
        window.acknowledge(1, 30);
        assert_eq!(
            window.pass(),
            Some(Passed {
                position: 1,
                place: 0,
                offset: Some(30)
            })
        );
        assert_eq!(passed(&mut window), [2, 3]);
        assert_eq!(window.checkpoint().event_id, Some(ids[2]));
        assert!(!window.is_empty());
        window.acknowledge(4, 71);
        assert_eq!(passed(&mut window), [4]);
        assert!(window.is_empty());
        assert_eq!((window.records, window.bytes), (0, 0));
    }

    #[test]
    fn an_answer_that_comes_twice_counts_once() {
        let mut window = Window::after(Checkpoint::START);
        window.sent(Uuid::nil(), 0, 10);
        window.sent(Uuid::nil(), 0, 10);
        window.acknowledge(1, 0);
        window.acknowledge(1, 0);
        assert_eq!(window.bytes, 10);
    }

    #[test]
    fn a_full_window_has_no_room() {
        let mut window = Window::after(Checkpoint::START);
        window.sent(Uuid::nil(), 0, BYTES_MAX);
        assert!(!window.has_room());
        window.acknowledge(1, 0);
        assert!(window.has_room());
    }
}
