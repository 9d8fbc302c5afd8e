//! How far a follower has come: the table `checkpoints`.
//!
//! A checkpoint moves in the transaction of the effect it stands for, only from where the writer
//! believed it to be, and only while the writer holds the consumer's lease. A writer that lost its
//! place is thereby fenced off.

use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::LOG;

/// A place in the log: everything up to it has had its effect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct Checkpoint {
    /// 0 before the first event.
    pub position: i64,
    /// The event at that position, to notice a log that was rewound; `None` at position 0.
    pub event_id: Option<Uuid>,
}

/// Why a checkpoint did not move.
#[derive(Debug, thiserror::Error)]
pub enum AdvanceError {
    /// Another writer has moved it or has taken the lease, or the generation was dropped: stop
    /// writing.
    #[error(
        "{consumer} generation {generation} is no longer at position {expected}, or no longer this writer's"
    )]
    Fenced {
        consumer: String,
        generation: i32,
        expected: i64,
    },
    #[error("database error")]
    Database(#[from] sqlx::Error),
}

/// Creates a generation's checkpoint at position 0; does nothing if there is one.
pub async fn create(
    executor: impl PgExecutor<'_>,
    consumer: &str,
    generation: i32,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into checkpoints (consumer, generation, log, position) values ($1, $2, $3, 0)
         on conflict do nothing",
    )
    .bind(consumer)
    .bind(generation)
    .bind(LOG)
    .execute(executor)
    .await?;
    Ok(())
}

/// Where a generation stands, if it has a checkpoint.
pub async fn read(
    executor: impl PgExecutor<'_>,
    consumer: &str,
    generation: i32,
) -> sqlx::Result<Option<Checkpoint>> {
    sqlx::query_as(
        "select position, event_id from checkpoints
          where consumer = $1 and generation = $2 and log = $3",
    )
    .bind(consumer)
    .bind(generation)
    .bind(LOG)
    .fetch_optional(executor)
    .await
}

/// Moves a checkpoint, in the transaction of the effect. Fails as fenced if it is not at `from`, or
/// if the lease of the consumer's name is not at `epoch`.
pub async fn advance(
    executor: impl PgExecutor<'_>,
    consumer: &str,
    generation: i32,
    epoch: i64,
    from: &Checkpoint,
    to: &Checkpoint,
) -> Result<(), AdvanceError> {
    let moved = sqlx::query(
        "update checkpoints set position = $5, event_id = $6, updated_at = now()
          where consumer = $1 and generation = $2 and log = $3 and position = $4
            and exists (select from leases where name = $1 and epoch = $7)",
    )
    .bind(consumer)
    .bind(generation)
    .bind(LOG)
    .bind(from.position)
    .bind(to.position)
    .bind(to.event_id)
    .bind(epoch)
    .execute(executor)
    .await?;
    if moved.rows_affected() == 0 {
        return Err(AdvanceError::Fenced {
            consumer: consumer.to_owned(),
            generation,
            expected: from.position,
        });
    }
    Ok(())
}

/// Publishes a copy of a checkpoint whose truth is elsewhere (an index keeps its own in its last
/// commit), for operators to see. Never read to resume from.
pub async fn publish(
    executor: impl PgExecutor<'_>,
    consumer: &str,
    generation: i32,
    checkpoint: &Checkpoint,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into checkpoints (consumer, generation, log, position, event_id)
         values ($1, $2, $3, $4, $5)
         on conflict (consumer, generation, log)
         do update set position = excluded.position, event_id = excluded.event_id,
                       updated_at = now()",
    )
    .bind(consumer)
    .bind(generation)
    .bind(LOG)
    .bind(checkpoint.position)
    .bind(checkpoint.event_id)
    .execute(executor)
    .await?;
    Ok(())
}

/// As [`publish`], if the lease of the consumer's name is still at `epoch`; does nothing otherwise.
pub async fn publish_under_lease(
    executor: impl PgExecutor<'_>,
    consumer: &str,
    generation: i32,
    epoch: i64,
    checkpoint: &Checkpoint,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into checkpoints (consumer, generation, log, position, event_id)
         select name, $2, $3, $4, $5 from leases where name = $1 and epoch = $6
         on conflict (consumer, generation, log)
         do update set position = excluded.position, event_id = excluded.event_id,
                       updated_at = now()",
    )
    .bind(consumer)
    .bind(generation)
    .bind(LOG)
    .bind(checkpoint.position)
    .bind(checkpoint.event_id)
    .bind(epoch)
    .execute(executor)
    .await?;
    Ok(())
}

/// Removes a dropped generation's checkpoint.
pub async fn delete(
    executor: impl PgExecutor<'_>,
    consumer: &str,
    generation: i32,
) -> sqlx::Result<()> {
    sqlx::query("delete from checkpoints where consumer = $1 and generation = $2")
        .bind(consumer)
        .bind(generation)
        .execute(executor)
        .await?;
    Ok(())
}
