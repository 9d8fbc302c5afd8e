//! Handing a batch over, and parking what cannot be handled.

use std::{iter, mem};

use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::{Halt, HandleError, Handler, PARKED_STREAMS_MAX, RunError, Runner, holds};
use crate::checkpoint::Checkpoint;
use crate::dead_letters::{self, Letter};
use crate::event::RecordedEvent;
use crate::feed::FeedError;

/// What was read from the feed at once. Kept by the runner until all of it has had its effect or is parked:
/// a step may be broken off at any moment, and the feed does not yield it again.
pub(super) struct Batch {
    /// To be handled, in order.
    events: Vec<RecordedEvent>,
    /// To be parked, in order. Not yet known to be in the dead letters.
    waiting: Vec<RecordedEvent>,
    /// In the dead letters. Until the checkpoint passes them an operator's decision may set them free.
    parked: Vec<RecordedEvent>,
    /// Why the first of those failed; none where they only wait behind another.
    error: Option<String>,
    /// The position of the first, discarded ones included.
    from: i64,
    /// Where the consumer stands after all of it.
    upto: Checkpoint,
}

impl Batch {
    /// None of no events.
    pub(super) fn of(events: Vec<RecordedEvent>) -> Option<Self> {
        let (first, last) = (events.first()?, events.last()?);
        let from = first.position;
        let upto = Checkpoint::at(last);
        Some(Self {
            events,
            waiting: Vec::new(),
            parked: Vec::new(),
            error: None,
            from,
            upto,
        })
    }

    /// What was read, as long as none of it was handed over.
    pub(super) fn events(&self) -> &[RecordedEvent] {
        &self.events
    }

    /// Adds what follows, as long as none of it was handed over.
    pub(super) fn add(&mut self, events: Vec<RecordedEvent>) {
        if let Some(last) = events.last() {
            self.upto = Checkpoint::at(last);
        }
        self.events.extend(events);
    }

    /// How many events.
    pub(super) fn len(&self) -> usize {
        self.events.len() + self.waiting.len() + self.parked.len()
    }

    /// The batch as it was read, less what is at or before a position; none where that is all of it.
    pub(super) fn after(self, position: i64) -> Option<Self> {
        if self.upto.position <= position {
            return None;
        }
        let Self {
            mut events,
            waiting,
            parked,
            from,
            upto,
            ..
        } = self;
        if waiting.len() + parked.len() > 0 {
            events.extend(waiting);
            events.extend(parked);
            events.sort_unstable_by_key(|event| event.position);
        }
        if from <= position {
            events.retain(|event| event.position > position);
        }
        Some(Self {
            events,
            waiting: Vec::new(),
            parked: Vec::new(),
            error: None,
            from: from.max(position + 1),
            upto,
        })
    }
}

impl Runner {
    /// Hands the batch over until it has had its effect, less what is parked.
    pub(super) async fn hand_over(
        &mut self,
        handler: &mut dyn Handler,
        checkpoint: Checkpoint,
        stop: &CancellationToken,
    ) -> Result<(), Halt> {
        let Some(batch) = &mut self.batch else {
            return Ok(());
        };
        let follows = checkpoint.position + 1;
        if batch.from > follows {
            return Err(FeedError::Hole { position: follows }.into());
        }
        (batch.events, batch.waiting) = self.parked.sort_out(mem::take(&mut batch.events));
        loop {
            self.park(stop).await?;
            let Some((position, error)) = self.attempt(handler, stop).await? else {
                break;
            };
            if let Some(batch) = &mut self.batch {
                batch.waiting = self.parked.begin(&mut batch.events, position);
                batch.error = Some(error);
            }
        }
        fail::fail_point!("feed-handled");
        if let Some(batch) = self.batch.take() {
            self.reached(batch.upto);
        }
        Ok(())
    }

    /// Tries until the batch has had its effect, or an event of it turns out to be poison: its position, and
    /// why.
    async fn attempt(
        &self,
        handler: &mut dyn Handler,
        stop: &CancellationToken,
    ) -> Result<Option<(i64, String)>, Halt> {
        let Some(Batch { events, upto, .. }) = &self.batch else {
            return Ok(None);
        };
        let mut backoff = Backoff::new(&self.consumer, &self.options, stop);
        loop {
            match handler.handle(events, upto).await {
                Ok(()) => return Ok(None),
                Err(HandleError::Fenced(reason)) => return Err(RunError::Fenced(reason).into()),
                Err(HandleError::Poison { position, error }) if holds(events, position) => {
                    return Ok(Some((position, error)));
                }
                Err(error @ (HandleError::Transient(_) | HandleError::Poison { .. })) => {
                    backoff.pause("handling a batch", &error).await?;
                }
            }
        }
    }

    /// Writes what waits into `dead_letters`.
    async fn park(&mut self, stop: &CancellationToken) -> Result<(), Halt> {
        let Some(batch) = self
            .batch
            .as_mut()
            .filter(|batch| !batch.waiting.is_empty())
        else {
            return Ok(());
        };
        if let (Some(error), Some(first)) = (&batch.error, batch.waiting.first()) {
            tracing::error!(
                consumer = self.consumer,
                position = first.position,
                stream_type = first.aggregate_type,
                stream_id = first.aggregate_id,
                event_type = first.event_type,
                error,
                "event cannot be handled, its stream is parked"
            );
        }
        let errors = iter::once(batch.error.as_deref()).chain(iter::repeat(None));
        let letters: Vec<Letter<'_>> = batch
            .waiting
            .iter()
            .zip(errors)
            .map(|(event, error)| Letter {
                event,
                stream: (self.options.parks_with)(event),
                error,
            })
            .collect();
        let mut backoff = Backoff::new(&self.consumer, &self.options, stop);
        while let Err(error) = dead_letters::park(self.store.pool(), &self.consumer, &letters).await
        {
            backoff.pause("parking events", &error).await?;
        }
        fail::fail_point!("feed-parked");
        batch.parked.append(&mut batch.waiting);
        batch.error = None;
        if self.parked.len() > PARKED_STREAMS_MAX {
            return Err(Halt::Failed(RunError::TooManyParked {
                consumer: self.consumer.clone(),
            }));
        }
        self.report_parked();
        Ok(())
    }

    pub(super) fn report_parked(&self) {
        let Some(name) = &self.options.metrics_name else {
            return;
        };
        let streams = u32::try_from(self.parked.len()).unwrap_or(u32::MAX);
        metrics::gauge!("nakku_dead_letters", "consumer" => name.clone()).set(f64::from(streams));
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;

    fn events(positions: impl IntoIterator<Item = i64>) -> Vec<RecordedEvent> {
        let event = |position| RecordedEvent {
            position,
            event_id: Uuid::nil(),
            aggregate_type: "counter".to_owned(),
            aggregate_id: "a".to_owned(),
            sequence: position,
            event_type: "counter.raised".to_owned(),
            event_version: "1.0".to_owned(),
            payload: "{}".to_owned(),
            metadata: "{}".to_owned(),
            recorded_at: DateTime::UNIX_EPOCH,
        };
        positions.into_iter().map(event).collect()
    }

    #[test]
    fn a_batch_broken_off_comes_whole_again_less_what_had_its_effect() {
        let mut batch = Batch::of(events(3..=9)).unwrap();
        batch.parked = batch
            .events
            .extract_if(.., |event| event.position == 4)
            .collect();
        batch.waiting = batch
            .events
            .extract_if(.., |event| event.position == 6)
            .collect();
        // Discarded.
        batch.events.retain(|event| event.position != 3);
        let batch = batch.after(2).unwrap();
        assert_eq!(batch.events, events(4..=9));
        assert_eq!((batch.from, batch.len()), (3, 6));
        let batch = batch.after(7).unwrap();
        assert_eq!((batch.from, batch.events.clone()), (8, events(8..=9)));
        assert!(batch.after(9).is_none());
        assert!(Batch::of(Vec::new()).is_none());
    }
}
