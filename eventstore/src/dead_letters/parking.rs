//! What a runner writes and reads: the rows behind an operator's view.

use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use crate::LOG;
use crate::event::RecordedEvent;

/// Of an error's text this much is kept: enough to understand it, whatever a handler puts into it.
const ERROR_CHARS_MAX: usize = 2_000;

/// A stream: `(type, id)`.
pub(crate) type StreamName = (String, String);

/// An event to be parked; the error where it is the one that failed.
pub(crate) struct Letter<'a> {
    pub(crate) event: &'a RecordedEvent,
    /// What waits for one another: its stream, or what it is said to belong to.
    pub(crate) stream: StreamName,
    pub(crate) error: Option<&'a str>,
}

/// Writes events down as parked. Those that are there already, from before a crash, stay.
pub(crate) async fn park(
    pool: &PgPool,
    consumer: &str,
    letters: &[Letter<'_>],
) -> sqlx::Result<()> {
    let ids: Vec<Uuid> = letters.iter().map(|_| Uuid::now_v7()).collect();
    let events = || letters.iter().map(|letter| letter.event);
    let streams = || letters.iter().map(|letter| &letter.stream);
    let stream_types: Vec<&str> = streams().map(|(kind, _)| kind.as_str()).collect();
    let stream_ids: Vec<&str> = streams().map(|(_, id)| id.as_str()).collect();
    let positions: Vec<i64> = events().map(|event| event.position).collect();
    let event_types: Vec<&str> = events().map(|event| event.event_type.as_str()).collect();
    let errors: Vec<Option<String>> = letters
        .iter()
        .map(|letter| letter.error.map(bounded))
        .collect();
    sqlx::query(
        "insert into dead_letters
           (id, consumer, log, stream_type, stream_id, position, event_type, error, attempts)
         select t.id, $1, $2, t.stream_type, t.stream_id, t.position, t.event_type, t.error,
                case when t.error is null then 0 else 1 end
         from unnest($3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[])
              as t (id, stream_type, stream_id, position, event_type, error)
         on conflict (consumer, log, position) do update
         set error = coalesce(excluded.error, dead_letters.error),
             attempts = dead_letters.attempts + excluded.attempts,
             parked_at = excluded.parked_at",
    )
    .bind(consumer)
    .bind(LOG)
    .bind(ids)
    .bind(stream_types)
    .bind(stream_ids)
    .bind(positions)
    .bind(event_types)
    .bind(errors)
    .execute(pool)
    .await?;
    Ok(())
}

/// A parked stream of a consumer.
pub(crate) struct ParkedStream {
    pub(crate) name: StreamName,
    /// The position from which on its events wait.
    pub(crate) first: i64,
    /// Whether it is to be tried again: somebody asked for it, or the first of its events has never failed.
    /// Then what it waited behind was discarded, or was handled by a retry that was broken off.
    pub(crate) retry: bool,
}

/// The parked streams of a consumer, by their first position.
pub(crate) async fn streams(pool: &PgPool, consumer: &str) -> sqlx::Result<Vec<ParkedStream>> {
    let rows: Vec<(String, String, i64, bool)> = sqlx::query_as(
        "select stream_type, stream_id, min(position),
                bool_or(state = 'retry') or (array_agg(error order by position))[1] is null
         from dead_letters
         where consumer = $1 and log = $2 and state <> 'discarded'
         group by stream_type, stream_id order by min(position)",
    )
    .bind(consumer)
    .bind(LOG)
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(stream_type, stream_id, first, retry)| ParkedStream {
            name: (stream_type, stream_id),
            first,
            retry,
        })
        .collect())
}

/// The discarded positions of these consumers after a position, in order.
pub(crate) async fn skipped_after(
    pool: &PgPool,
    consumers: &[&str],
    after: i64,
) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "select distinct position from dead_letters
         where consumer = any($1) and log = $2 and state = 'discarded' and position > $3
         order by position",
    )
    .bind(consumers)
    .bind(LOG)
    .bind(after)
    .fetch_all(pool)
    .await
}

/// The first positions of a parked stream, as far as the consumer has come.
pub(crate) async fn waiting(
    pool: &PgPool,
    consumer: &str,
    (stream_type, stream_id): &StreamName,
    upto: i64,
    limit: i64,
) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "select position from dead_letters
         where consumer = $1 and log = $2 and stream_type = $3 and stream_id = $4
           and state <> 'discarded' and position <= $5
         order by position limit $6",
    )
    .bind(consumer)
    .bind(LOG)
    .bind(stream_type)
    .bind(stream_id)
    .bind(upto)
    .bind(limit)
    .fetch_all(pool)
    .await
}

/// The database's time.
pub(crate) async fn now(pool: &PgPool) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar("select clock_timestamp()")
        .fetch_one(pool)
        .await
}

/// Takes out what was parked beyond where the consumer stands: it crashed in between, and its feed will yield
/// these events again, in their turn. What was parked since `begun` stays: another owner of the stream may have come past it.
pub(crate) async fn unpark_after(
    pool: &PgPool,
    consumer: &str,
    (stream_type, stream_id): &StreamName,
    after: i64,
    begun: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query(
        "delete from dead_letters
         where consumer = $1 and log = $2 and stream_type = $3 and stream_id = $4
           and position > $5 and state <> 'discarded' and parked_at < $6",
    )
    .bind(consumer)
    .bind(LOG)
    .bind(stream_type)
    .bind(stream_id)
    .bind(after)
    .bind(begun)
    .execute(pool)
    .await?;
    Ok(())
}

/// Events that have had their effect after all. Also one that was discarded a moment before: a rebuild that
/// skipped it would differ.
pub(crate) async fn handled(
    executor: impl PgExecutor<'_>,
    consumer: &str,
    positions: &[i64],
) -> sqlx::Result<()> {
    sqlx::query(
        "delete from dead_letters
         where consumer = $1 and log = $2 and position = any($3)",
    )
    .bind(consumer)
    .bind(LOG)
    .bind(positions)
    .execute(executor)
    .await?;
    Ok(())
}

/// A retry ended at this position: the stream is parked again.
pub(crate) async fn failed(
    pool: &PgPool,
    consumer: &str,
    (stream_type, stream_id): &StreamName,
    position: i64,
    error: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "update dead_letters
         set state = 'parked',
             error = case when position = $5 then $6 else error end,
             attempts = attempts + case when position = $5 then 1 else 0 end
         where consumer = $1 and log = $2 and stream_type = $3 and stream_id = $4
           and state <> 'discarded' and (position = $5 or state = 'retry')",
    )
    .bind(consumer)
    .bind(LOG)
    .bind(stream_type)
    .bind(stream_id)
    .bind(position)
    .bind(bounded(error))
    .execute(pool)
    .await?;
    Ok(())
}

/// A text that the database takes, of bounded length.
fn bounded(error: &str) -> String {
    error
        .chars()
        .filter(|character| *character != '\0')
        .take(ERROR_CHARS_MAX)
        .collect()
}
