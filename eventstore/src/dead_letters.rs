//! Events that a consumer could not handle, and those of the same stream that wait behind them.
//!
//! An operator sees one entry a stream: its first event, the one that failed. It is retried or discarded;
//! then the others follow in order. The runner of the consumer carries out what is asked here.

mod asked;
mod parking;

use serde::Serialize;
use sqlx::{FromRow, PgPool, PgTransaction};
use uuid::Uuid;

use crate::LOG;
use crate::store::EventStore;
use crate::transaction::begin;

pub(crate) use asked::{asked_for, count_some};
pub(crate) use parking::{
    Letter, ParkedStream, StreamName, failed, handled, now, park, skipped_after, streams,
    unpark_after, waiting,
};

/// Most waiting events that [`show`] lists.
const SHOWN_MAX: i64 = 1_000;

/// A blocked stream of a consumer: its first event and why that failed.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub struct DeadLetter {
    pub id: Uuid,
    pub consumer: String,
    pub stream_type: String,
    pub stream_id: String,
    pub position: i64,
    #[serde(rename = "type")]
    pub event_type: String,
    pub error: Option<String>,
    pub attempts: i32,
    /// Later events of the stream that wait behind it.
    pub blocked: i64,
    /// `parked`, `retry` (asked for, not yet carried out) or `discarded`.
    pub state: String,
    /// Who discarded it or asked for the retry.
    pub decided_by: Option<String>,
    /// Why it was discarded.
    pub reason: Option<String>,
}

/// An event that waits behind a dead letter.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub struct Waiting {
    pub id: Uuid,
    pub position: i64,
    #[serde(rename = "type")]
    pub event_type: String,
}

/// Whether an operator wants the event at a position tried again, and it was not yet. A reactor of which events are parked
/// alone tells by it an event that is retried from one that merely comes again.
pub async fn is_asked_for(store: &EventStore, consumer: &str, position: i64) -> sqlx::Result<bool> {
    let _turn = store.turn().await;
    sqlx::query_scalar(
        "select exists (select from dead_letters
                        where consumer = $1 and log = $2 and position = $3 and state = 'retry')",
    )
    .bind(consumer)
    .bind(LOG)
    .bind(position)
    .fetch_one(store.pool())
    .await
}

/// Why nothing was decided about a dead letter.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    #[error("no such dead letter")]
    NotFound,
    /// Only the first event of a stream is decided about; the others follow it.
    #[error("the event waits behind dead letter {first}")]
    NotFirst { first: Uuid },
    #[error("the dead letter was discarded before")]
    Discarded,
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

/// The columns of [`DeadLetter`] from `dead_letters d`.
const COLUMNS: &str = "d.id, d.consumer, d.stream_type, d.stream_id, d.position, d.event_type, d.error, \
     d.attempts, d.state, d.decided_by, d.reason, \
     (select count(*) from dead_letters w \
      where w.consumer = d.consumer and w.log = d.log and w.stream_type = d.stream_type \
        and w.stream_id = d.stream_id and w.position > d.position and w.state <> 'discarded') as blocked";

/// No event of its stream is before it. For `dead_letters d`.
const IS_FIRST: &str = "d.state <> 'discarded' and not exists (select from dead_letters b \
      where b.consumer = d.consumer and b.log = d.log and b.stream_type = d.stream_type \
        and b.stream_id = d.stream_id and b.position < d.position and b.state <> 'discarded')";

/// The blocked streams, of one consumer or of all, in the order of their positions; at most `limit`, after
/// the one given.
pub async fn list(
    pool: &PgPool,
    consumer: Option<&str>,
    after: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<DeadLetter>> {
    select(pool, IS_FIRST, consumer, after, limit).await
}

/// What was discarded for good, of one consumer or of all, in the order of positions; at most `limit`, after the one
/// given.
pub async fn discarded(
    pool: &PgPool,
    consumer: Option<&str>,
    after: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<DeadLetter>> {
    select(pool, "d.state = 'discarded'", consumer, after, limit).await
}

async fn select(
    pool: &PgPool,
    condition: &str,
    consumer: Option<&str>,
    after: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<DeadLetter>> {
    sqlx::query_as(&format!(
        "select {COLUMNS} from dead_letters d
         where {condition} and d.log = $1 and ($2::text is null or d.consumer = $2)
           and ($3::uuid is null or (d.position, d.id) >
                (select position, id from dead_letters where id = $3))
         order by d.position, d.id limit $4"
    ))
    .bind(LOG)
    .bind(consumer)
    .bind(after)
    .bind(limit)
    .fetch_all(pool)
    .await
}

/// A dead letter with the events that wait behind it, at most 1,000; none where there is no such.
pub async fn show(pool: &PgPool, id: Uuid) -> sqlx::Result<Option<(DeadLetter, Vec<Waiting>)>> {
    let letter: Option<DeadLetter> = sqlx::query_as(&format!(
        "select {COLUMNS} from dead_letters d where d.id = $1"
    ))
    .bind(id)
    .fetch_optional(pool)
    .await?;
    let Some(letter) = letter else {
        return Ok(None);
    };
    let waiting = sqlx::query_as(
        "select id, position, event_type from dead_letters
         where consumer = $1 and log = $2 and stream_type = $3 and stream_id = $4
           and position > $5 and state <> 'discarded'
         order by position limit $6",
    )
    .bind(&letter.consumer)
    .bind(LOG)
    .bind(&letter.stream_type)
    .bind(&letter.stream_id)
    .bind(letter.position)
    .bind(SHOWN_MAX)
    .fetch_all(pool)
    .await?;
    Ok(Some((letter, waiting)))
}

/// How many streams are blocked, of one consumer or of all.
pub async fn count(pool: &PgPool, consumer: Option<&str>) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select count(*) from (
           select distinct consumer, stream_type, stream_id from dead_letters
           where log = $1 and state <> 'discarded' and ($2::text is null or consumer = $2)
         ) as blocked",
    )
    .bind(LOG)
    .bind(consumer)
    .fetch_one(pool)
    .await
}

/// Asks for another try of a stream, from its first event on. The consumer takes it up within a second.
pub async fn request_retry(pool: &PgPool, id: Uuid, who: &str) -> Result<(), DecideError> {
    let mut transaction = begin(pool).await?;
    first(&mut transaction, id).await?;
    sqlx::query(
        "update dead_letters set state = 'retry', decided_by = $2, decided_at = clock_timestamp()
         where id = $1",
    )
    .bind(id)
    .bind(who)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}

/// Skips an event for good, in rebuilds too; the events behind it are retried.
pub async fn discard(pool: &PgPool, id: Uuid, who: &str, why: &str) -> Result<(), DecideError> {
    let mut transaction = begin(pool).await?;
    let letter = first(&mut transaction, id).await?;
    sqlx::query(
        "update dead_letters
         set state = 'discarded', decided_by = $2, reason = $3, decided_at = clock_timestamp()
         where id = $1",
    )
    .bind(id)
    .bind(who)
    .bind(why)
    .execute(&mut *transaction)
    .await?;
    sqlx::query(
        "update dead_letters set state = 'retry', decided_by = $6, decided_at = clock_timestamp()
         where id = (select id from dead_letters
                     where consumer = $1 and log = $2 and stream_type = $3 and stream_id = $4
                       and position > $5 and state <> 'discarded'
                     order by position limit 1)",
    )
    .bind(&letter.consumer)
    .bind(LOG)
    .bind(&letter.stream_type)
    .bind(&letter.stream_id)
    .bind(letter.position)
    .bind(who)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}

/// The positions that were discarded for a consumer, in order: rebuilds skip them.
pub async fn skipped(pool: &PgPool, consumer: &str) -> sqlx::Result<Vec<i64>> {
    skipped_after(pool, &[consumer], 0).await
}

/// Gives the dead letters of one consumer to another, whose own are dropped but for the discarded ones: a
/// rebuild that takes the live one's place brings what it could not handle along. What was discarded for the
/// other meanwhile stays discarded.
pub async fn hand_on(
    transaction: &mut PgTransaction<'_>,
    from: &str,
    to: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "delete from dead_letters where consumer = $1 and log = $2 and state <> 'discarded'",
    )
    .bind(to)
    .bind(LOG)
    .execute(&mut **transaction)
    .await?;
    sqlx::query(
        "update dead_letters d set consumer = $2 where d.consumer = $1 and d.log = $3
           and not exists (select from dead_letters t
                           where t.consumer = $2 and t.log = d.log and t.position = d.position)",
    )
    .bind(from)
    .bind(to)
    .bind(LOG)
    .execute(&mut **transaction)
    .await?;
    sqlx::query("delete from dead_letters where consumer = $1 and log = $2")
        .bind(from)
        .bind(LOG)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

struct First {
    consumer: String,
    stream_type: String,
    stream_id: String,
    position: i64,
}

/// The dead letter, locked, if it is the first of its stream.
async fn first(transaction: &mut PgTransaction<'_>, id: Uuid) -> Result<First, DecideError> {
    type Row = (String, String, String, i64, String);
    let row: Option<Row> = sqlx::query_as(
        "select consumer, stream_type, stream_id, position, state from dead_letters
         where id = $1 for update",
    )
    .bind(id)
    .fetch_optional(&mut **transaction)
    .await?;
    let Some((consumer, stream_type, stream_id, position, state)) = row else {
        return Err(DecideError::NotFound);
    };
    if state == "discarded" {
        return Err(DecideError::Discarded);
    }
    let first: Uuid = sqlx::query_scalar(
        "select id from dead_letters
         where consumer = $1 and log = $2 and stream_type = $3 and stream_id = $4
           and state <> 'discarded'
         order by position limit 1",
    )
    .bind(&consumer)
    .bind(LOG)
    .bind(&stream_type)
    .bind(&stream_id)
    .fetch_one(&mut **transaction)
    .await?;
    if first != id {
        return Err(DecideError::NotFirst { first });
    }
    Ok(First {
        consumer,
        stream_type,
        stream_id,
        position,
    })
}
