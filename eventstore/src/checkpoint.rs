//! How far a follower of the log has come.

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::LOG;
use crate::event::RecordedEvent;

/// A position and the event at it. The event tells a log that was rewound, where positions are used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Everything up to here has had its effect; 0 before the first event.
    pub position: i64,
    /// The event at that position; none at 0.
    pub event_id: Option<Uuid>,
}

impl Checkpoint {
    pub const START: Self = Self {
        position: 0,
        event_id: None,
    };

    /// At an event.
    pub fn at(event: &RecordedEvent) -> Self {
        Self {
            position: event.position,
            event_id: Some(event.event_id),
        }
    }

    /// Reads the checkpoint of a consumer; one that never ran stands at the start.
    pub async fn read(
        executor: impl PgExecutor<'_>,
        consumer: &str,
        generation: i32,
    ) -> sqlx::Result<Self> {
        let row: Option<(i64, Option<Uuid>)> = sqlx::query_as(
            "select position, event_id from checkpoints
             where consumer = $1 and generation = $2 and log = $3",
        )
        .bind(consumer)
        .bind(generation)
        .bind(LOG)
        .fetch_optional(executor)
        .await?;
        Ok(row.map_or(Self::START, |(position, event_id)| Self {
            position,
            event_id,
        }))
    }

    /// Whether the log still holds this event at this position. If not, the log was rewound below the
    /// checkpoint (a restore, a failover to a stand-by that lagged), and following on would lose events.
    pub async fn is_in_log(&self, executor: impl PgExecutor<'_>) -> sqlx::Result<bool> {
        if self.position == 0 {
            return Ok(true);
        }
        let event_id: Option<Uuid> =
            sqlx::query_scalar("select event_id from events where position = $1")
                .bind(self.position)
                .fetch_optional(executor)
                .await?;
        Ok(event_id.is_some() && event_id == self.event_id)
    }
}
