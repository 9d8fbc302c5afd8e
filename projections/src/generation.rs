//! One generation of a read model, as something that takes events.

mod index;
mod tables;

use async_trait::async_trait;
use eventstore::{Checkpoint, HandleError, RecordedEvent};
use read_models::search::Snapshot;

pub(crate) use index::Index;
pub(crate) use tables::Tables;

/// A generation that is being written.
#[async_trait]
pub(crate) trait Generation: Send + Sync {
    fn number(&self) -> i32;

    /// The aggregate types whose events it reads.
    fn reads(&self) -> &'static [&'static str];

    /// Everything up to here was handled.
    fn checkpoint(&self) -> Checkpoint;

    /// Gives events their effect, together with the checkpoint. Those that it has had are passed over; where
    /// the checkpoint stays, they are older ones of a stream that was parked.
    async fn handle(
        &mut self,
        events: &[RecordedEvent],
        upto: &Checkpoint,
    ) -> Result<(), HandleError>;

    /// Makes durable what was handled; needed only by one that puts it off.
    async fn flush(&mut self) -> Result<(), HandleError> {
        Ok(())
    }

    /// From now on queries rest on it.
    fn serve(&mut self) {}

    /// What an index holds as of its last commit.
    fn snapshot(&self) -> Option<Snapshot> {
        None
    }
}

/// Why a generation could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// Only a rebuild from the log helps.
    #[error("{0}")]
    Damaged(String),
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

impl From<sqlx::Error> for OpenError {
    fn from(error: sqlx::Error) -> Self {
        Self::Other(error.into())
    }
}

/// The events of the aggregate types that a model reads.
pub(crate) fn of_types<'a>(events: &'a [RecordedEvent], types: &[&str]) -> Vec<&'a RecordedEvent> {
    events
        .iter()
        .filter(|event| types.contains(&event.aggregate_type.as_str()))
        .collect()
}

/// Where a generation stands after a batch. It never goes back: of two that are followed together one may be
/// ahead, and knows by the versions of its rows what it has had.
pub(crate) fn later(checkpoint: &Checkpoint, upto: &Checkpoint) -> Checkpoint {
    if upto.position > checkpoint.position {
        *upto
    } else {
        *checkpoint
    }
}

pub(crate) fn to_rest(checkpoint: &Checkpoint) -> read_models::Checkpoint {
    read_models::Checkpoint {
        position: checkpoint.position,
        event_id: checkpoint.event_id,
    }
}

pub(crate) fn from_rest(checkpoint: read_models::Checkpoint) -> Checkpoint {
    Checkpoint {
        position: checkpoint.position,
        event_id: checkpoint.event_id,
    }
}
