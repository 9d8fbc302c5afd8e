//! The streams that something is done about: what waits for each, and which are parked.

use std::collections::{HashMap, HashSet, VecDeque};

use super::Task;
use crate::dead_letters::{ParkedStream, StreamName};
use crate::reactor::Parks;
use crate::reactor::job::Queued;
use crate::reactor::lane::LaneId;

#[derive(Default)]
pub(super) struct Streams {
    parks: Parks,
    /// Those with something under way or waiting.
    active: HashMap<StreamName, Stream>,
    /// Those of them that could go on, first come, first served.
    ready: VecDeque<StreamName>,
    queued: usize,
    /// None where events are parked alone: then nothing waits behind them.
    parked: HashMap<StreamName, Parked>,
    /// How many events are parked alone, as far as they were counted.
    counted: usize,
    discarded: HashSet<i64>,
    /// Counts the looks at the dead letters.
    looks: u64,
}

#[derive(Default)]
struct Stream {
    queue: VecDeque<Queued>,
    running: bool,
}

#[derive(Clone, Copy)]
struct Parked {
    /// The position from which on events wait.
    first: i64,
    /// A look that began no later may not show it.
    look: u64,
}

/// What was found in the dead letters by a look.
pub(super) struct Found {
    pub(super) look: u64,
    /// Where events are parked alone: those that are to be tried again.
    pub(super) streams: Vec<ParkedStream>,
    pub(super) parked: usize,
    pub(super) discarded: Vec<i64>,
}

impl Streams {
    pub(super) fn new(parks: Parks) -> Self {
        Self {
            parks,
            ..Self::default()
        }
    }

    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    pub(super) fn is_discarded(&self, position: i64) -> bool {
        self.discarded.contains(&position)
    }

    pub(super) fn queue(&mut self, queued: Queued) {
        let name = queued.event.stream();
        let stream = self.active.entry(name.clone()).or_default();
        if !stream.running && stream.queue.is_empty() {
            self.ready.push_back(name);
        }
        stream.queue.push_back(queued);
        self.queued += 1;
    }

    /// What to do next, about a stream that nothing is done about yet. The stream is taken until [`Self::idle`].
    pub(super) fn next(&mut self) -> Option<(StreamName, Task)> {
        loop {
            let name = self.ready.pop_front()?;
            let Some(stream) = self.active.get_mut(&name) else {
                continue;
            };
            let Some(front) = stream.queue.front().filter(|_| !stream.running) else {
                continue;
            };
            let first = self.parked.get(&name).map(|parked| parked.first);
            let task = if first.is_some_and(|first| front.event.position >= first) {
                self.queued -= stream.queue.len();
                Task::Park(std::mem::take(&mut stream.queue), None)
            } else {
                self.queued -= 1;
                Task::Handle(stream.queue.pop_front()?)
            };
            stream.running = true;
            return Some((name, task));
        }
    }

    /// Takes a stream for something else than its events.
    pub(super) fn take(&mut self, name: &StreamName) {
        self.active.entry(name.clone()).or_default().running = true;
    }

    /// Nothing is done about the stream any more.
    pub(super) fn idle(&mut self, name: StreamName) {
        let Some(stream) = self.active.get_mut(&name) else {
            return;
        };
        stream.running = false;
        if stream.queue.is_empty() {
            self.active.remove(&name);
        } else {
            self.ready.push_back(name);
        }
    }

    /// The event has turned out to be poison: it and what waits behind it are to be parked, now.
    pub(super) fn poisoned(&mut self, name: &StreamName, queued: Queued) -> VecDeque<Queued> {
        if self.parks == Parks::Events {
            return VecDeque::from([queued]);
        }
        let parked = Parked {
            first: queued.event.position,
            look: self.looks,
        };
        self.parked.insert(name.clone(), parked);
        let mut events = match self.active.get_mut(name) {
            Some(stream) => std::mem::take(&mut stream.queue),
            None => VecDeque::new(),
        };
        self.queued -= events.len();
        events.push_front(queued);
        events
    }

    /// Events of the stream have been written into the dead letters.
    pub(super) fn parked(&mut self, name: &StreamName) {
        if let Some(parked) = self.parked.get_mut(name) {
            parked.look = self.looks;
        }
    }

    /// Nothing of the stream waits in the dead letters any more.
    pub(super) fn free(&mut self, name: &StreamName) {
        self.parked.remove(name);
    }

    pub(super) fn count_parked(&self) -> usize {
        match self.parks {
            Parks::Streams { .. } => self.parked.len(),
            Parks::Events => self.counted,
        }
    }

    /// Whether so many are parked that nothing more is to be handled.
    pub(super) fn are_too_many(&self) -> bool {
        match self.parks {
            Parks::Streams { max } => self.parked.len() > max,
            Parks::Events => false,
        }
    }

    /// How many looks at the dead letters have begun.
    pub(super) fn looks(&self) -> u64 {
        self.looks
    }

    /// A look at the dead letters begins: its number.
    pub(super) fn look(&mut self) -> u64 {
        self.looks += 1;
        self.looks
    }

    /// Takes in what a look has shown, and says which streams are to be tried again now.
    pub(super) fn found(&mut self, found: Found) -> Vec<StreamName> {
        let Found {
            look,
            streams,
            parked,
            discarded,
        } = found;
        self.counted = parked;
        let active = &self.active;
        self.parked
            .retain(|name, parked| parked.look >= look || active.contains_key(name));
        let mut retries = Vec::new();
        for ParkedStream { name, first, retry } in streams {
            if self.parks != Parks::Events {
                self.parked
                    .entry(name.clone())
                    .and_modify(|parked| parked.first = parked.first.min(first))
                    .or_insert(Parked { first, look: 0 });
            }
            // Of one that is busy the next look says so again.
            if retry && !self.active.contains_key(&name) {
                retries.push(name);
            }
        }
        self.discarded = discarded.into_iter().collect();
        retries
    }

    /// Drops what waits of these lanes.
    pub(super) fn forget(&mut self, lanes: &[LaneId]) {
        for stream in self.active.values_mut() {
            let before = stream.queue.len();
            stream.queue.retain(|queued| !lanes.contains(&queued.lane));
            self.queued -= before - stream.queue.len();
        }
        self.active
            .retain(|_, stream| stream.running || !stream.queue.is_empty());
        let active = &self.active;
        self.ready.retain(|name| active.contains_key(name));
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;
    use crate::event::RecordedEvent;

    fn queued(lane: LaneId, position: i64, stream: &str) -> Queued {
        let event = RecordedEvent {
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
        };
        Queued { lane, event }
    }

    fn name(stream: &str) -> StreamName {
        ("counter".to_owned(), stream.to_owned())
    }

    fn found(look: u64, streams: &[(&str, i64, bool)]) -> Found {
        let parked = |(stream, first, retry): &(&str, i64, bool)| ParkedStream {
            name: name(stream),
            first: *first,
            retry: *retry,
        };
        Found {
            look,
            streams: streams.iter().map(parked).collect(),
            parked: streams.len(),
            discarded: Vec::new(),
        }
    }

    /// The next task: stream, whether it parks, and positions.
    fn next(streams: &mut Streams) -> Option<(String, bool, Vec<i64>)> {
        let (name, task) = streams.next()?;
        let (parks, positions) = match task {
            Task::Handle(queued) => (false, vec![queued.event.position]),
            Task::Park(events, _) => (
                true,
                events.iter().map(|queued| queued.event.position).collect(),
            ),
            Task::Retry { .. } => panic!("never by itself"),
        };
        Some((name.1, parks, positions))
    }

    #[test]
    fn what_is_parked_alone_is_not_remembered_and_is_never_too_much() {
        for (parks, remembered, too_many) in [
            (Parks::Streams { max: 2 }, 3, true),
            (Parks::Streams { max: 3 }, 3, false),
            (Parks::Events, 0, false),
        ] {
            let mut streams = Streams::new(parks);
            for (position, stream) in [(1, "a"), (2, "b"), (3, "c"), (4, "a")] {
                streams.queue(queued(0, position, stream));
            }
            let (a, Task::Handle(poison)) = streams.next().unwrap() else {
                panic!("nothing is parked yet");
            };
            let taken = streams.poisoned(&a, poison).len();
            assert_eq!(taken, if remembered == 0 { 1 } else { 2 }, "{parks:?}");
            for _ in 0..2 {
                let (name, Task::Handle(poison)) = streams.next().unwrap() else {
                    panic!("of streams that are not parked");
                };
                streams.poisoned(&name, poison);
            }
            assert_eq!(streams.parked.len(), remembered, "{parks:?}");
            assert_eq!(streams.are_too_many(), too_many, "{parks:?}");
        }
    }

    #[test]
    fn a_stream_is_worked_on_once_at_a_time_and_in_order() {
        let mut streams = Streams::default();
        for (position, stream) in [(1, "a"), (2, "b"), (3, "a")] {
            streams.queue(queued(0, position, stream));
        }
        assert_eq!(next(&mut streams), Some(("a".to_owned(), false, vec![1])));
        assert_eq!(next(&mut streams), Some(("b".to_owned(), false, vec![2])));
        assert_eq!(next(&mut streams), None);
        streams.queue(queued(0, 4, "b"));
        assert_eq!(next(&mut streams), None, "both are busy");
        streams.idle(name("b"));
        streams.idle(name("a"));
        assert_eq!(next(&mut streams), Some(("b".to_owned(), false, vec![4])));
        assert_eq!(next(&mut streams), Some(("a".to_owned(), false, vec![3])));
        streams.idle(name("a"));
        streams.idle(name("b"));
        assert_eq!((streams.queued(), streams.active.len()), (0, 0));
    }

    #[test]
    fn what_comes_behind_a_poison_event_is_parked_until_a_look_shows_that_nothing_is() {
        let mut streams = Streams::default();
        let early = streams.look();
        streams.queue(queued(0, 1, "a"));
        let (_, Task::Handle(poison)) = streams.next().unwrap() else {
            panic!("it is handled");
        };
        streams.queue(queued(0, 2, "a"));
        let parked = streams.poisoned(&name("a"), poison);
        assert_eq!(parked.len(), 2);
        // A look that began before it was parked does not set it free, neither now nor later.
        assert!(streams.found(found(early, &[])).is_empty());
        streams.parked(&name("a"));
        streams.idle(name("a"));
        assert!(streams.found(found(early, &[])).is_empty());
        streams.queue(queued(0, 3, "a"));
        assert_eq!(next(&mut streams), Some(("a".to_owned(), true, vec![3])));
        let busy = streams.look();
        let retries = streams.found(found(busy, &[("a", 1, true)]));
        assert!(retries.is_empty(), "it is busy");
        streams.idle(name("a"));
        let look = streams.look();
        let retries = streams.found(found(look, &[("a", 1, true)]));
        assert_eq!(retries, [name("a")]);
        let look = streams.look();
        streams.found(found(look, &[]));
        streams.queue(queued(0, 4, "a"));
        assert_eq!(next(&mut streams), Some(("a".to_owned(), false, vec![4])));
    }

    #[test]
    fn what_waits_of_a_partition_that_is_gone_is_forgotten() {
        let mut streams = Streams::default();
        for (lane, position, stream) in [(0, 1, "a"), (1, 2, "b"), (0, 3, "a"), (1, 4, "c")] {
            streams.queue(queued(lane, position, stream));
        }
        assert_eq!(next(&mut streams), Some(("a".to_owned(), false, vec![1])));
        streams.forget(&[0]);
        assert_eq!(streams.queued(), 2);
        streams.forget(&[1]);
        assert_eq!((streams.queued(), next(&mut streams)), (0, None));
        streams.idle(name("a"));
        streams.queue(queued(0, 3, "a"));
        assert_eq!(next(&mut streams), Some(("a".to_owned(), false, vec![3])));
    }
}
