//! What the relay knows about its own progress, in the database.

use serde::Serialize;
use sqlx::{FromRow, PgPool};

use super::{NAME, RelayError};
use crate::LOG;
use crate::checkpoint::Checkpoint;
use crate::kafka::Place;
use crate::lease::Lease;

/// How far Kafka is behind the log.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub struct RelayStatus {
    /// Newest position of the log.
    pub head: i64,
    /// Everything up to here is acknowledged by Kafka.
    pub published: i64,
    /// Events after that.
    pub pending: i64,
    /// Age of the oldest of them in seconds, by the database's clock; 0 where there is none.
    pub oldest_seconds: f64,
    /// Who holds the relay's lease.
    pub leader: Option<String>,
    /// What the last attempt to publish failed with, on one line; none once the checkpoint has moved again.
    pub error: Option<String>,
    /// Failed attempts in a row; 0 where there is no error.
    pub attempts: i64,
}

impl RelayStatus {
    pub(super) fn record(&self) {
        // Far below 2^53: exact as a float.
        #[expect(clippy::cast_precision_loss)]
        let pending = self.pending as f64;
        metrics::gauge!("nakku_outbox_pending").set(pending);
        metrics::gauge!("nakku_outbox_oldest_seconds").set(self.oldest_seconds);
        // Saturated far above what an alarm asks for.
        let attempts = u32::try_from(self.attempts).unwrap_or(u32::MAX);
        metrics::gauge!("nakku_relay_failed_attempts").set(attempts);
    }
}

pub(super) async fn status(pool: &PgPool) -> sqlx::Result<RelayStatus> {
    sqlx::query_as(
        "with at as (
           select coalesce((select position from events order by position desc limit 1), 0) as head,
                  coalesce((select position from checkpoints
                            where consumer = $1 and generation = 0 and log = $2), 0) as published
         )
         select head, published, greatest(head - published, 0) as pending,
                greatest(coalesce(extract(epoch from clock_timestamp() - (
                  select recorded_at from events where position = at.published + 1
                )), 0), 0)::float8 as oldest_seconds,
                (select holder from leases where name = $1 and expires_at > clock_timestamp()) as leader,
                failure.error, coalesce(failure.attempts, 0) as attempts
         from at left join relay_failures failure on failure.log = $2",
    )
    .bind(NAME)
    .bind(LOG)
    .fetch_one(pool)
    .await
}

/// The aggregate types in the log: one index probe each, however long the log is.
pub(super) async fn aggregate_types(pool: &PgPool) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "with recursive found (aggregate_type) as (
           (select aggregate_type from events order by aggregate_type limit 1)
           union all
           select (select e.aggregate_type from events e
                   where e.aggregate_type > found.aggregate_type order by e.aggregate_type limit 1)
           from found where found.aggregate_type is not null
         )
         select aggregate_type from found where aggregate_type is not null",
    )
    .fetch_all(pool)
    .await
}

/// The stored offset of each partition that the relay knows.
pub(super) async fn offsets(pool: &PgPool) -> sqlx::Result<Vec<(Place, i64)>> {
    let rows: Vec<(String, i32, i64)> = sqlx::query_as(
        "select topic, partition, next from relay_offsets where log = $1 order by topic, partition",
    )
    .bind(LOG)
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(topic, partition, next)| ((topic, partition), next))
        .collect())
}

/// Moves the checkpoint and the offsets given, if the lease is still this one. Locking its row for the
/// statement keeps a take-over from happening in between.
pub(super) async fn save(
    pool: &PgPool,
    lease: &Lease,
    checkpoint: Checkpoint,
    offsets: &[(&Place, i64)],
) -> Result<(), RelayError> {
    let topics: Vec<&str> = offsets
        .iter()
        .map(|((topic, _), _)| topic.as_str())
        .collect();
    let partitions: Vec<i32> = offsets
        .iter()
        .map(|((_, partition), _)| *partition)
        .collect();
    let next: Vec<i64> = offsets.iter().map(|(_, next)| *next).collect();
    let saved: i64 = sqlx::query_scalar(
        "with mine as (
           select from leases where name = $1 and epoch = $2 for share
         ), moved as (
           insert into checkpoints (consumer, generation, log, position, event_id)
           select $1, 0, $3, $4, $5 from mine
           on conflict (consumer, generation, log) do update
           set position = excluded.position, event_id = excluded.event_id,
               updated_at = clock_timestamp()
           returning 1
         ), recovered as (
           delete from relay_failures where log = $3 and exists (select from moved)
         ), offsets as (
           insert into relay_offsets (log, topic, partition, next)
           select $3, t.topic, t.partition, t.next
           from mine, unnest($6::text[], $7::int[], $8::bigint[]) as t (topic, partition, next)
           on conflict (log, topic, partition) do update set next = excluded.next
         )
         select count(*) from moved",
    )
    .bind(NAME)
    .bind(lease.epoch())
    .bind(LOG)
    .bind(checkpoint.position)
    .bind(checkpoint.event_id)
    .bind(topics)
    .bind(partitions)
    .bind(next)
    .fetch_one(pool)
    .await?;
    if saved == 0 {
        return Err(lease.lost_error().into());
    }
    Ok(())
}

/// Notes what an attempt failed with, for operators; moving the checkpoint takes it back. Best effort: the log has it too,
/// and a database that fails is the likely reason for not being able to say so.
pub(super) async fn failed(pool: &PgPool, lease: &Lease, error: &str) {
    metrics::counter!("nakku_relay_failures_total").increment(1);
    let noted = sqlx::query(
        "insert into relay_failures as failure (log, error, attempts)
         select $3, $4, 1 from leases where name = $1 and epoch = $2
         on conflict (log) do update
         set error = excluded.error, attempts = failure.attempts + 1, last_at = clock_timestamp()",
    )
    .bind(NAME)
    .bind(lease.epoch())
    .bind(LOG)
    .bind(error)
    .execute(pool)
    .await;
    if let Err(error) = noted {
        tracing::debug!(%error, "the relay's failure not noted");
    }
}

/// Takes an error back where nothing is left to publish: no checkpoint would move.
pub(super) async fn recovered(pool: &PgPool, checkpoint: Checkpoint) -> sqlx::Result<()> {
    sqlx::query(
        "delete from relay_failures
         where log = $1 and not exists (select from events where position = $2 + 1)",
    )
    .bind(LOG)
    .bind(checkpoint.position)
    .execute(pool)
    .await?;
    Ok(())
}

/// Sets the checkpoint, forgets the offsets, and ends the lease of whoever leads: it takes the relay up
/// again as this says.
pub(super) async fn reset(pool: &PgPool, position: i64) -> Result<(), RelayError> {
    let mut transaction = crate::begin(pool).await?;
    let event_id = match position {
        0 => None,
        position => Some(
            sqlx::query_scalar("select event_id from events where position = $1")
                .bind(position)
                .fetch_optional(&mut *transaction)
                .await?
                .ok_or(RelayError::NoPosition(position))?,
        ),
    };
    restart_after(&mut transaction, Checkpoint { position, event_id }).await?;
    transaction.commit().await?;
    Ok(())
}

async fn restart_after(
    transaction: &mut sqlx::PgTransaction<'_>,
    checkpoint: Checkpoint,
) -> sqlx::Result<()> {
    // First, so that a leader's save either is over or finds its epoch gone.
    sqlx::query(
        "update leases set epoch = epoch + 1, expires_at = clock_timestamp() where name = $1",
    )
    .bind(NAME)
    .execute(&mut **transaction)
    .await?;
    sqlx::query(
        "insert into checkpoints (consumer, generation, log, position, event_id)
         values ($1, 0, $2, $3, $4)
         on conflict (consumer, generation, log) do update
         set position = excluded.position, event_id = excluded.event_id,
             updated_at = clock_timestamp()",
    )
    .bind(NAME)
    .bind(LOG)
    .bind(checkpoint.position)
    .bind(checkpoint.event_id)
    .execute(&mut **transaction)
    .await?;
    sqlx::query("delete from relay_offsets where log = $1")
        .bind(LOG)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
