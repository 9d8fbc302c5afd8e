//! How far a reactor has come, in the database.
//!
//! What is written is a fact: everything up to there is handled. So it only moves forward, and where a reactor is on the
//! whole is the highest of what its checkpoint says and of what all its partitions have reached.

use std::sync::Arc;

use serde::Serialize;
use sqlx::{FromRow, PgExecutor, PgPool, PgTransaction};
use uuid::Uuid;

use super::group::Layout;
use super::lane::{Lane, LaneId, RecordHint};
use super::{Begins, lease_name};
use crate::LOG;
use crate::checkpoint::Checkpoint;
use crate::transaction::begin;

/// How far a reactor has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct ReactorProgress {
    /// The reactor.
    pub name: String,
    /// Every event up to here that it reads is handled or parked; 0 before the first.
    pub position: i64,
    /// Newest position of the log.
    pub head: i64,
    /// Events after `position`, of any type.
    pub lag: i64,
    /// Who works on the store feed; none over Kafka, where the brokers know the members of the group.
    pub holder: Option<String>,
}

/// How far a reactor has come, whichever feed it is on; none if it never ran.
pub async fn reactor_progress(pool: &PgPool, name: &str) -> sqlx::Result<Option<ReactorProgress>> {
    sqlx::query_as(
        "with at as (
           select coalesce((select position from events order by position desc limit 1), 0) as head,
                  greatest(c.position,
                           (select min(r.position) from reactor_progress r
                            where r.consumer = c.consumer and r.log = c.log)) as position
           from checkpoints c where c.consumer = $1 and c.generation = 0 and c.log = $2
         )
         select $1 as name, position, head, greatest(head - position, 0) as lag,
                (select holder from leases where name = $3 and expires_at > clock_timestamp()) as holder
         from at",
    )
    .bind(name)
    .bind(LOG)
    .bind(lease_name(name))
    .fetch_optional(pool)
    .await
}

/// Where a reactor stands when it starts; where it never ran, that is written down.
pub(super) async fn start(
    executor: &mut PgTransaction<'_>,
    consumer: &str,
    begins: Begins,
) -> sqlx::Result<Checkpoint> {
    let head = match begins {
        Begins::AtStart => Checkpoint::START,
        Begins::AtInstallation => crate::log::head(&mut **executor).await?,
    };
    // Locked, so that members of a group that start at once do so one after the other.
    let (position, event_id): (i64, Option<Uuid>) = sqlx::query_as(
        "insert into checkpoints as c (consumer, generation, log, position, event_id)
         values ($1, 0, $2, $3, $4)
         on conflict (consumer, generation, log) do update set position = c.position
         returning c.position, c.event_id",
    )
    .bind(consumer)
    .bind(LOG)
    .bind(head.position)
    .bind(head.event_id)
    .fetch_one(&mut **executor)
    .await?;
    let lowest: Option<(i64, Option<Uuid>)> = sqlx::query_as(
        "select position, event_id from reactor_progress where consumer = $1 and log = $2
         order by position limit 1",
    )
    .bind(consumer)
    .bind(LOG)
    .fetch_optional(&mut **executor)
    .await?;
    let (position, event_id) = match lowest {
        Some(lowest) if lowest.0 > position => lowest,
        _ => (position, event_id),
    };
    Ok(Checkpoint { position, event_id })
}

/// Where a reactor stands on the store feed.
pub(super) async fn start_on_store(
    pool: &PgPool,
    consumer: &str,
    begins: Begins,
) -> sqlx::Result<Checkpoint> {
    let mut transaction = begin(pool).await?;
    let checkpoint = start(&mut transaction, consumer, begins).await?;
    transaction.commit().await?;
    Ok(checkpoint)
}

/// Lets a reactor begin again after a position, whoever works: what comes after it is handled again.
pub(super) async fn reset(pool: &PgPool, consumer: &str, at: Checkpoint) -> sqlx::Result<()> {
    let mut transaction = begin(pool).await?;
    // Whoever works does not save any more, and begins again.
    sqlx::query(
        "update leases set epoch = epoch + 1, expires_at = clock_timestamp() where name = $1",
    )
    .bind(lease_name(consumer))
    .execute(&mut *transaction)
    .await?;
    sqlx::query("delete from reactor_progress where consumer = $1 and log = $2")
        .bind(consumer)
        .bind(LOG)
        .execute(&mut *transaction)
        .await?;
    sqlx::query(
        "insert into checkpoints (consumer, generation, log, position, event_id)
         values ($1, 0, $2, $3, $4)
         on conflict (consumer, generation, log) do update
         set position = excluded.position, event_id = excluded.event_id, updated_at = clock_timestamp()",
    )
    .bind(consumer)
    .bind(LOG)
    .bind(at.position)
    .bind(at.event_id)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

/// How far a lane has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moved {
    pub(super) lane: LaneId,
    pub(super) reached: Checkpoint,
    pub(super) hint: Option<RecordHint>,
}

impl Moved {
    pub(super) fn of(id: LaneId, lane: &Lane) -> Self {
        Self {
            lane: id,
            reached: lane.reached(),
            hint: lane.hint(),
        }
    }
}

/// Where progress is kept, for as long as the reactor's lease has this epoch.
pub(super) struct Keeper {
    pub(super) epoch: i64,
    pub(super) lanes: Lanes,
}

/// What lanes are.
pub(super) enum Lanes {
    /// The log is the only one.
    Log,
    /// Partitions.
    Places(Arc<Layout>),
}

impl Keeper {
    /// Whether it is for this process to save progress.
    pub(super) async fn is_mine(&self, pool: &PgPool, consumer: &str) -> sqlx::Result<bool> {
        sqlx::query_scalar("select exists (select from leases where name = $1 and epoch = $2)")
            .bind(lease_name(consumer))
            .bind(self.epoch)
            .fetch_one(pool)
            .await
    }

    /// Writes down how far lanes have come. False where it is not for this process to do so any more. That it is durable is
    /// not waited for: what is lost of it is handled again.
    pub(super) async fn save(
        &self,
        pool: &PgPool,
        consumer: &str,
        moved: &[Moved],
    ) -> sqlx::Result<bool> {
        match &self.lanes {
            Lanes::Log => match moved.first() {
                Some(moved) => self.save_checkpoint(pool, consumer, moved.reached).await,
                None => Ok(true),
            },
            Lanes::Places(layout) => self.save_places(pool, consumer, layout, moved).await,
        }
    }

    async fn save_checkpoint(
        &self,
        executor: impl PgExecutor<'_>,
        consumer: &str,
        reached: Checkpoint,
    ) -> sqlx::Result<bool> {
        let saved = sqlx::query(
            "with unsynced as (select set_config('synchronous_commit', 'off', true)),
                  mine as (select from leases where name = $1 and epoch = $2 for share)
             update checkpoints c
             set position = $5, event_id = $6, updated_at = clock_timestamp()
             from unsynced, mine
             where c.consumer = $3 and c.generation = 0 and c.log = $4 and c.position <= $5",
        )
        .bind(lease_name(consumer))
        .bind(self.epoch)
        .bind(consumer)
        .bind(LOG)
        .bind(reached.position)
        .bind(reached.event_id)
        .execute(executor)
        .await?;
        Ok(saved.rows_affected() > 0)
    }

    async fn save_places(
        &self,
        executor: impl PgExecutor<'_>,
        consumer: &str,
        layout: &Layout,
        moved: &[Moved],
    ) -> sqlx::Result<bool> {
        let place = |moved: &Moved| layout.place(moved.lane);
        let topics: Vec<&str> = moved.iter().map(|moved| place(moved).0.as_str()).collect();
        let partitions: Vec<i32> = moved.iter().map(|moved| place(moved).1).collect();
        let positions: Vec<i64> = moved.iter().map(|moved| moved.reached.position).collect();
        let ids: Vec<Option<Uuid>> = moved.iter().map(|moved| moved.reached.event_id).collect();
        let offsets: Vec<Option<i64>> = moved
            .iter()
            .map(|moved| moved.hint.map(|hint| hint.offset))
            .collect();
        let records: Vec<Option<i64>> = moved
            .iter()
            .map(|moved| moved.hint.map(|hint| hint.position))
            .collect();
        let saved: i64 = sqlx::query_scalar(
            "with unsynced as (select set_config('synchronous_commit', 'off', true)),
                  mine as (select from leases where name = $1 and epoch = $2 for share),
                  moved as (
               update reactor_progress r
               set position = t.position, event_id = t.event_id,
                   record_offset = coalesce(t.record_offset, r.record_offset),
                   record_position = coalesce(t.record_position, r.record_position),
                   updated_at = clock_timestamp()
               from unsynced, mine,
                    unnest($5::text[], $6::int[], $7::bigint[], $8::uuid[], $9::bigint[], $10::bigint[])
                      as t (topic, partition, position, event_id, record_offset, record_position)
               where r.consumer = $3 and r.log = $4 and r.topic = t.topic
                 and r.partition = t.partition and r.position <= t.position
             )
             select count(*) from mine",
        )
        .bind(lease_name(consumer))
        .bind(self.epoch)
        .bind(consumer)
        .bind(LOG)
        .bind(topics)
        .bind(partitions)
        .bind(positions)
        .bind(ids)
        .bind(offsets)
        .bind(records)
        .fetch_one(executor)
        .await?;
        Ok(saved > 0)
    }
}
