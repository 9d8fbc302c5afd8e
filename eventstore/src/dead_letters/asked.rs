//! What operators want tried again, of consumers that may have any number of dead letters: nothing here reads them all.

use std::collections::HashSet;

use sqlx::PgPool;

use super::parking::ParkedStream;
use crate::LOG;

/// The streams that are to be tried again, by position; at most so many.
pub(crate) async fn asked_for(
    pool: &PgPool,
    consumer: &str,
    limit: i64,
) -> sqlx::Result<Vec<ParkedStream>> {
    let rows: Vec<(String, String, i64)> = sqlx::query_as(
        "select stream_type, stream_id, position from dead_letters
         where consumer = $1 and log = $2 and state = 'retry'
         order by position limit $3",
    )
    .bind(consumer)
    .bind(LOG)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    let mut seen = HashSet::new();
    Ok(rows
        .into_iter()
        .map(|(stream_type, stream_id, first)| ParkedStream {
            name: (stream_type, stream_id),
            first,
            retry: true,
        })
        .filter(|stream| seen.insert(stream.name.clone()))
        .collect())
}

/// How many events are parked for a consumer, counted no further than `limit`.
pub(crate) async fn count_some(pool: &PgPool, consumer: &str, limit: i64) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select count(*) from (select from dead_letters
                               where consumer = $1 and log = $2 and state in ('parked', 'retry')
                               limit $3) as some_parked",
    )
    .bind(consumer)
    .bind(LOG)
    .bind(limit)
    .fetch_one(pool)
    .await
}
