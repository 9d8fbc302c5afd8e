//! Progress over what is handled in any order: it moves over the part without a gap.

use std::collections::VecDeque;

use uuid::Uuid;

use crate::checkpoint::Checkpoint;

/// Names a lane within a session: the whole log, or a partition.
pub(super) type LaneId = usize;

/// A record of Kafka: where reading may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHint {
    pub(super) offset: i64,
    pub(super) position: i64,
}

/// Events that come in order and are handled in any.
#[derive(Debug)]
pub(super) struct Lane {
    /// Everything up to here is handled, what is of no concern included.
    reached: Checkpoint,
    /// Nothing up to here is still to come.
    known: Checkpoint,
    entries: VecDeque<Entry>,
    hint: Option<RecordHint>,
    /// What of it is in the database.
    saved: i64,
}

#[derive(Debug)]
struct Entry {
    position: i64,
    event_id: Uuid,
    offset: Option<i64>,
    done: bool,
}

impl Lane {
    pub(super) fn after(reached: Checkpoint) -> Self {
        Self {
            reached,
            known: reached,
            entries: VecDeque::new(),
            hint: None,
            saved: reached.position,
        }
    }

    /// The next event to be handled. False where it came before: its entry stands already, or it was handled.
    pub(super) fn push(&mut self, position: i64, event_id: Uuid, offset: Option<i64>) -> bool {
        if position <= self.seen() {
            return false;
        }
        self.entries.push_back(Entry {
            position,
            event_id,
            offset,
            done: false,
        });
        true
    }

    /// Up to here everything has been pushed.
    pub(super) fn know(&mut self, known: Checkpoint) {
        if known.position > self.known.position {
            self.known = known;
            self.settle();
        }
    }

    /// The event at this position is handled.
    pub(super) fn done(&mut self, position: i64) {
        let found = self
            .entries
            .binary_search_by_key(&position, |entry| entry.position);
        if let Ok(index) = found {
            self.entries[index].done = true;
            if index == 0 {
                self.settle();
            }
        }
    }

    fn settle(&mut self) {
        while let Some(entry) = self.entries.pop_front_if(|entry| entry.done) {
            self.reached = Checkpoint {
                position: entry.position,
                event_id: Some(entry.event_id),
            };
            if let Some(offset) = entry.offset {
                self.hint = Some(RecordHint {
                    offset,
                    position: entry.position,
                });
            }
        }
        if self.entries.is_empty() && self.known.position > self.reached.position {
            self.reached = self.known;
        }
    }

    /// What comes next is after this.
    pub(super) fn seen(&self) -> i64 {
        let pushed = self.entries.back().map_or(0, |entry| entry.position);
        pushed.max(self.known.position).max(self.reached.position)
    }

    pub(super) fn reached(&self) -> Checkpoint {
        self.reached
    }

    pub(super) fn hint(&self) -> Option<RecordHint> {
        self.hint
    }

    /// Events that progress has not moved over.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is progress that is not in the database.
    pub(super) fn is_unsaved(&self) -> bool {
        self.reached.position > self.saved
    }

    pub(super) fn saved(&mut self, position: i64) {
        self.saved = self.saved.max(position);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(position: i64) -> Checkpoint {
        Checkpoint {
            position,
            event_id: Some(Uuid::from_u128(position.try_into().unwrap())),
        }
    }

    fn lane(positions: &[i64]) -> Lane {
        let mut lane = Lane::after(at(10));
        for position in positions {
            let event_id = at(*position).event_id.unwrap();
            assert!(lane.push(*position, event_id, Some(position * 2)));
        }
        lane
    }

    #[test]
    fn progress_moves_over_what_is_handled_without_a_gap() {
        let mut lane = lane(&[12, 15, 19]);
        lane.know(at(25));
        lane.done(15);
        assert_eq!((lane.reached(), lane.hint()), (at(10), None));
        lane.done(12);
        assert_eq!(lane.reached(), at(15));
        let hint = RecordHint {
            offset: 30,
            position: 15,
        };
        assert_eq!((lane.hint(), lane.len()), (Some(hint), 1));
        lane.done(19);
        assert_eq!(lane.reached(), at(25), "nothing up to there is to come");
        lane.know(at(40));
        assert_eq!(lane.reached(), at(40));
    }

    #[test]
    fn what_comes_twice_is_noticed() {
        let mut lane = lane(&[12, 15]);
        lane.done(12);
        for position in [9, 12, 14, 15] {
            assert!(!lane.push(position, Uuid::nil(), None), "{position}");
        }
        assert_eq!(lane.seen(), 15);
        lane.done(12);
        lane.done(99);
        assert_eq!((lane.reached(), lane.len()), (at(12), 1));
        assert!(lane.is_unsaved());
        lane.saved(12);
        assert!(!lane.is_unsaved());
    }
}
