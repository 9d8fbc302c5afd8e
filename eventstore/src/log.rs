//! Reading the log by position.

mod copy;

use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use crate::checkpoint::Checkpoint;
use crate::event::{COLUMNS, RecordedEvent};

/// The newest position and the event at it; the start where the log is empty.
pub(crate) async fn head(executor: impl PgExecutor<'_>) -> sqlx::Result<Checkpoint> {
    let row: Option<(i64, Uuid)> =
        sqlx::query_as("select position, event_id from events order by position desc limit 1")
            .fetch_optional(executor)
            .await?;
    Ok(
        row.map_or(Checkpoint::START, |(position, event_id)| Checkpoint {
            position,
            event_id: Some(event_id),
        }),
    )
}

/// Up to `limit` events after a position, in order, as stored. Positions have no holes, so the bound on
/// both sides keeps the plan an index range scan whatever the statistics say.
pub(crate) async fn read_after(
    executor: impl PgExecutor<'_>,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<RecordedEvent>> {
    sqlx::query(&format!(
        "select {COLUMNS} from events where position > $1 and position <= $1 + $2 order by position"
    ))
    .bind(after)
    .bind(limit)
    .try_map(|row| RecordedEvent::from_row(&row))
    .fetch_all(executor)
    .await
}

/// The events at these positions, as stored, in order.
pub(crate) async fn read_at(
    executor: impl PgExecutor<'_>,
    positions: &[i64],
) -> sqlx::Result<Vec<RecordedEvent>> {
    sqlx::query(&format!(
        "select {COLUMNS} from events where position = any($1) order by position"
    ))
    .bind(positions)
    .try_map(|row| RecordedEvent::from_row(&row))
    .fetch_all(executor)
    .await
}

/// As [`read_after`], for long pages: the server's binary COPY costs both sides about half of what rows do,
/// but is planned anew each time.
pub(crate) async fn scan_after(
    pool: &PgPool,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<RecordedEvent>> {
    let upto = after.saturating_add(limit);
    let statement = format!(
        "copy (select {COLUMNS} from events where position > {after} and position <= {upto} order by position)
         to stdout (format binary)"
    );
    copy::events(pool, &statement).await
}
