//! What is read once for all, and kept for a while.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::Feeds;
use crate::checkpoint::Checkpoint;
use crate::event::RecordedEvent;
use crate::feed::FeedError;
use crate::kafka::{HINT_INTERVAL, Mark};

/// Events read at once.
const READ_MAX: usize = 1_000;

/// Events kept for who is slower: some seconds of a busy shop. Who is slower still reads on its own.
const KEPT_EVENTS_MAX: usize = 10_000;

/// The same in memory.
const KEPT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What an event takes beside its texts, roughly.
const EVENT_BYTES: usize = 512;

/// The follower in whose name the log is read.
const NAME: &str = "shared";

/// Lives for as long as anybody takes from it.
pub(super) struct Reading {
    kept: Mutex<Kept>,
    /// The last position that is kept. Told when there is more, and when it is over.
    grown: watch::Sender<i64>,
    task: OnceLock<AbortOnDropHandle<()>>,
}

impl Reading {
    /// Begins to read after a checkpoint.
    pub(super) fn start(feeds: &Feeds, checkpoint: Checkpoint) -> Arc<Self> {
        let reading = Arc::new(Self {
            kept: Mutex::new(Kept::after(checkpoint)),
            grown: watch::Sender::new(checkpoint.position),
            task: OnceLock::new(),
        });
        let task = tokio::spawn(read(Arc::downgrade(&reading), feeds.clone(), checkpoint));
        let _ = reading.task.set(AbortOnDropHandle::new(task));
        reading
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("no panic while held")
    }

    /// Whether nothing more comes.
    pub(super) fn is_over(&self) -> bool {
        self.kept().is_over
    }

    /// Whether what follows a checkpoint is kept, or the next to come.
    pub(super) fn goes_on_after(&self, checkpoint: Checkpoint) -> bool {
        self.kept().after_index(checkpoint).is_some()
    }

    /// The events after a checkpoint, up to `limit`; none where the log has to be read for them.
    pub(super) fn take(&self, checkpoint: Checkpoint, limit: usize) -> Option<Vec<RecordedEvent>> {
        let taken: Vec<Arc<RecordedEvent>> = {
            let kept = self.kept();
            let index = kept.after_index(checkpoint)?;
            let following = kept.events.range(index..);
            following.take(limit).cloned().collect()
        };
        // Copied while others have the lock.
        Some(taken.iter().map(|event| (**event).clone()).collect())
    }

    /// Wakes when there is more, or when it is over.
    pub(super) fn grown(&self) -> watch::Receiver<i64> {
        self.grown.subscribe()
    }

    /// How far Kafka was read some moments ago.
    pub(super) fn mark(&self) -> Option<Mark> {
        self.kept().mark.clone()
    }

    fn push(&self, events: Vec<RecordedEvent>) {
        let mut kept = self.kept();
        kept.push(events);
        let last = kept.last().position;
        drop(kept);
        self.grown.send_replace(last);
    }

    fn end(&self) {
        self.kept().is_over = true;
        self.grown.send_modify(|_| {});
    }
}

/// Reads until nobody takes from it any more, or until an error: whoever takes from it meets that by itself.
async fn read(reading: Weak<Reading>, feeds: Feeds, checkpoint: Checkpoint) {
    let Err(error) = follow(&reading, &feeds, checkpoint).await else {
        return;
    };
    let error = &error as &dyn std::error::Error;
    tracing::debug!(error, "what followers share is not read any more");
    if let Some(reading) = reading.upgrade() {
        reading.end();
    }
}

async fn follow(
    reading: &Weak<Reading>,
    feeds: &Feeds,
    checkpoint: Checkpoint,
) -> Result<(), FeedError> {
    let mut feed = feeds.own(NAME, checkpoint).await?;
    let mut mark_at = Instant::now();
    loop {
        let events = feed.next(READ_MAX).await?;
        let Some(reading) = reading.upgrade() else {
            return Ok(());
        };
        if !events.is_empty() {
            reading.push(events);
        }
        let now = Instant::now();
        if now >= mark_at {
            mark_at = now + HINT_INTERVAL;
            reading.kept().mark = feed.mark();
        }
    }
}

/// The newest events, in order, without a hole.
struct Kept {
    /// What the first of them follows.
    before: Checkpoint,
    events: VecDeque<Arc<RecordedEvent>>,
    bytes: usize,
    mark: Option<Mark>,
    is_over: bool,
}

impl Kept {
    fn after(before: Checkpoint) -> Self {
        Self {
            before,
            events: VecDeque::new(),
            bytes: 0,
            mark: None,
            is_over: false,
        }
    }

    fn last(&self) -> Checkpoint {
        let last = self.events.back();
        last.map_or(self.before, |event| Checkpoint::at(event))
    }

    /// The index of what follows a checkpoint; none where its event is not among those known.
    fn after_index(&self, checkpoint: Checkpoint) -> Option<usize> {
        if self.is_over {
            return None;
        }
        if checkpoint == self.before {
            return Some(0);
        }
        let index = checkpoint.position - self.before.position - 1;
        let index = usize::try_from(index).ok()?;
        let event = self.events.get(index)?;
        (Checkpoint::at(event) == checkpoint).then_some(index + 1)
    }

    /// Takes what comes next, and lets go of the oldest where there is too much.
    fn push(&mut self, events: Vec<RecordedEvent>) {
        for event in events {
            self.bytes += size(&event);
            self.events.push_back(Arc::new(event));
        }
        while self.events.len() > KEPT_EVENTS_MAX || self.bytes > KEPT_BYTES_MAX {
            let Some(oldest) = self.events.pop_front() else {
                return;
            };
            self.bytes -= size(&oldest);
            self.before = Checkpoint::at(&oldest);
        }
    }
}

fn size(event: &RecordedEvent) -> usize {
    EVENT_BYTES + event.payload.len() + event.metadata.len()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;

    fn event(position: i64, payload: usize) -> RecordedEvent {
        RecordedEvent {
            position,
            event_id: Uuid::from_u128(position.unsigned_abs().into()),
            aggregate_type: "counter".to_owned(),
            aggregate_id: "a".to_owned(),
            sequence: position,
            event_type: "counter.raised".to_owned(),
            event_version: "1.0".to_owned(),
            payload: "x".repeat(payload),
            metadata: "{}".to_owned(),
            recorded_at: DateTime::UNIX_EPOCH,
        }
    }

    fn events(positions: impl IntoIterator<Item = i64>) -> Vec<RecordedEvent> {
        positions.into_iter().map(|it| event(it, 2)).collect()
    }

    fn at(position: i64) -> Checkpoint {
        Checkpoint::at(&event(position, 2))
    }

    #[test]
    fn it_is_gone_on_after_exactly_the_events_that_are_known() {
        let mut kept = Kept::after(at(7));
        assert_eq!(kept.after_index(at(7)), Some(0));
        assert_eq!(kept.after_index(at(8)), None, "not read yet");
        kept.push(events(8..=10));
        let known: Vec<_> = (6..=11).map(|it| kept.after_index(at(it))).collect();
        assert_eq!(
            known,
            [None, Some(0), Some(1), Some(2), Some(3), None],
            "what is before and beyond has to be read"
        );
        let other = Checkpoint {
            event_id: Some(Uuid::from_u128(99)),
            ..at(9)
        };
        assert_eq!(kept.after_index(other), None, "of a log that was rewound");
        assert_eq!(kept.after_index(Checkpoint::START), None);
        kept.is_over = true;
        assert_eq!(kept.after_index(at(9)), None);
        let mut from_the_start = Kept::after(Checkpoint::START);
        from_the_start.push(events(1..=2));
        assert_eq!(from_the_start.after_index(Checkpoint::START), Some(0));
    }

    #[test]
    fn only_so_many_events_and_bytes_are_kept() {
        let most = i64::try_from(KEPT_EVENTS_MAX).unwrap();
        let mut kept = Kept::after(Checkpoint::START);
        kept.push(events(1..=most + 3));
        assert_eq!((kept.events.len(), kept.before), (KEPT_EVENTS_MAX, at(3)));
        assert_eq!(kept.last(), at(most + 3));
        assert_eq!(kept.after_index(at(2)), None);
        assert_eq!(kept.after_index(at(3)), Some(0));

        let mut kept = Kept::after(Checkpoint::START);
        for position in 1..=9 {
            kept.push(vec![event(position, 1024 * 1024)]);
        }
        assert_eq!((kept.events.len(), kept.before), (7, at(2)));
        let bytes: usize = kept.events.iter().map(|event| size(event)).sum();
        assert_eq!(kept.bytes, bytes);
        kept.push(vec![event(10, KEPT_BYTES_MAX)]);
        assert_eq!((kept.events.len(), kept.bytes), (0, 0));
        assert_eq!(kept.last(), at(10), "one that is too large is passed over");
    }
}
