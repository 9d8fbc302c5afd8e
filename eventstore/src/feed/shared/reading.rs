//! What is read once for all, and kept for a while.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::checkpoint::Checkpoint;
use crate::event::RecordedEvent;
use crate::feed::{Feed, FeedError, OwnFeed};
use crate::kafka::{HINT_INTERVAL, Mark};

/// Events read at once: a small part of what is kept, so that a page drives nobody off who keeps up.
pub(super) const READ_MAX: usize = 1_000;

/// Events kept for who is slower: some seconds of a busy shop. Who is slower still reads alone.
const KEPT_EVENTS_MAX: usize = 10_000;

/// So much memory they take at most: about as much as so many ordinary events do.
const KEPT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What an event takes beside its two large texts, roughly: its members, the short texts, the allocator's rounding.
const EVENT_BYTES: usize = 512;

/// Who follows looks several times a second. Without anybody for so long there is nobody to read for, as where the only
/// follower is paused.
const UNTAKEN_MAX: Duration = Duration::from_secs(10);

/// Ends with whoever holds it last, and before that where nobody takes from it.
pub(super) struct Reading {
    kept: Mutex<Kept>,
    /// Told when there is more, and when it is over.
    grown: watch::Sender<()>,
    task: OnceLock<AbortOnDropHandle<()>>,
}

impl Reading {
    /// Reads on for all where a follower has read alone.
    pub(super) fn go_on(own: OwnFeed, checkpoint: Checkpoint) -> Arc<Self> {
        let reading = Arc::new(Self {
            kept: Mutex::new(Kept::after(checkpoint)),
            grown: watch::Sender::new(()),
            task: OnceLock::new(),
        });
        let ending = Ending(Arc::downgrade(&reading));
        let task = tokio::spawn(async move {
            if let Err(error) = read(&ending.0, own).await {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "what followers share is not read any more");
            }
            // Here, or wherever it panicked.
            drop(ending);
        });
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
            let mut kept = self.kept();
            kept.taken_at = Instant::now();
            let index = kept.after_index(checkpoint)?;
            let following = kept.events.range(index..);
            following.take(limit).cloned().collect()
        };
        // Copied while others have the lock.
        Some(taken.iter().map(|event| (**event).clone()).collect())
    }

    /// Wakes when there is more, or when it is over.
    pub(super) fn grown(&self) -> watch::Receiver<()> {
        self.grown.subscribe()
    }

    /// How far Kafka was read some moments ago.
    pub(super) fn mark(&self) -> Option<Mark> {
        self.kept().mark.clone()
    }

    fn push(&self, events: Vec<RecordedEvent>) {
        self.kept().push(events);
        self.grown.send_replace(());
    }
}

/// Whatever ends the reading, its followers hear of it, and go on alone.
struct Ending(Weak<Reading>);

impl Drop for Ending {
    fn drop(&mut self) {
        let Some(reading) = self.0.upgrade() else {
            return;
        };
        reading.kept().end();
        reading.grown.send_replace(());
    }
}

/// Reads until nobody takes from it any more, or until an error: whoever takes from it meets that by itself.
async fn read(reading: &Weak<Reading>, mut feed: OwnFeed) -> Result<(), FeedError> {
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
        let mut kept = reading.kept();
        if now > kept.taken_at + UNTAKEN_MAX {
            return Ok(());
        }
        if now >= mark_at {
            mark_at = now + HINT_INTERVAL;
            kept.mark = feed.mark();
        }
    }
}

/// The newest events, in order, without a hole.
struct Kept {
    /// What the first of them follows.
    before: Checkpoint,
    events: VecDeque<Arc<RecordedEvent>>,
    bytes: usize,
    /// When somebody has looked for more.
    taken_at: Instant,
    mark: Option<Mark>,
    is_over: bool,
}

impl Kept {
    fn after(before: Checkpoint) -> Self {
        Self {
            before,
            events: VecDeque::new(),
            bytes: 0,
            taken_at: Instant::now(),
            mark: None,
            is_over: false,
        }
    }

    fn end(&mut self) {
        self.is_over = true;
        self.events.clear();
        self.bytes = 0;
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
        kept.end();
        assert_eq!(kept.after_index(at(9)), None);
        assert_eq!(kept.after_index(at(7)), None);
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
        assert_eq!(kept.before, at(10), "one that is too large is passed over");
    }
}
