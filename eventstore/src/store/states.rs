//! States for those who ask, outside of any command.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cqrs_es::Aggregate;
use cqrs_es::persist::PersistedEventRepository;
use postgres_es::PostgresEventRepository;

use super::EventStore;
use crate::event::of_known_version;
use crate::state::panic_message;
use crate::stream::{Stream, StreamSet, downcast};

/// Why states cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum StatesError {
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// The history of a stream, which it names, cannot be folded; nor can it the next time.
    #[error("{0}")]
    Corrupt(String),
}

impl EventStore {
    /// The state of one stream, now or at a version, and that version. None if it has no events by then.
    pub async fn state_at<A: Aggregate>(
        &self,
        id: &str,
        version: Option<i64>,
    ) -> anyhow::Result<Option<(A, i64)>> {
        let events = PostgresEventRepository::new(self.inner.pool.clone())
            .get_events::<A>(id)
            .await?;
        let fold = || -> anyhow::Result<Option<(A, i64)>> {
            let mut folded: Option<(A, i64)> = None;
            for event in events {
                let sequence = i64::try_from(event.sequence)?;
                if version.is_some_and(|version| sequence > version) {
                    break;
                }
                let event = self.inner.upcasters.upcast_serialized(event);
                let (mut aggregate, _) = folded.unwrap_or_default();
                let payload = serde_json::from_value(event.payload)?;
                aggregate.apply(of_known_version::<A::Event>(payload, &event.event_version)?);
                folded = Some((aggregate, sequence));
            }
            Ok(folded)
        };
        // An impossible history makes `apply` panic: an error of this stream, not of the caller's task.
        catch_unwind(AssertUnwindSafe(fold)).map_err(|panic| {
            let stream = format!("{}/{id}", A::TYPE);
            anyhow::anyhow!(
                "the history of {stream} cannot be folded: {}",
                panic_message(&*panic)
            )
        })?
    }

    /// The states of many streams of one kind as the log has them now, by id, each with its version; those without events
    /// are absent. One query, and only for what this process has not seen yet: for callers that must know what a stream
    /// says before they can name the streams of a command. What they do with it is checked by that command's append.
    pub async fn states<A: Aggregate + Clone + 'static>(
        &self,
        ids: &[String],
    ) -> Result<HashMap<String, (A, i64)>, StatesError> {
        let mut references = Vec::with_capacity(ids.len());
        for id in ids {
            Stream::<A>::new(id).references(&mut references);
        }
        let _turn = self.turn().await;
        let mut connection = self.inner.pool.acquire().await?;
        let found = self
            .inner
            .cache
            .current(&mut connection, &references)
            .await?;
        let mut states = HashMap::with_capacity(found.len());
        for (key, folded) in found {
            let folded = folded.map_err(StatesError::Corrupt)?;
            if folded.version > 0 {
                let state: &A = downcast(&folded.state);
                let id = String::from(&*key.aggregate_id);
                states.insert(id, (state.clone(), folded.version));
            }
        }
        Ok(states)
    }
}
