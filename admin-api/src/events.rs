//! Events as operators see them, and finding them in the log.
//!
//! The log is indexed by position and by stream, and by nothing else: every further index would
//! cost each append. Whatever else is asked for is looked for in a window of positions.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::PgExecutor;
use utoipa::ToSchema;
use uuid::Uuid;

use eventstore::RecordedEvent;

/// An event. Personal fields stay sealed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
pub struct Event {
    /// Place in the log, from 1, without a hole.
    pub position: i64,
    pub id: Uuid,
    pub stream_type: String,
    pub stream_id: String,
    /// Version of the stream after this event, from 1, without a hole.
    pub version: i64,
    #[serde(rename = "type")]
    #[sqlx(rename = "type")]
    pub event_type: String,
    pub event_version: String,
    /// As stored.
    #[sqlx(json)]
    #[schema(value_type = Object)]
    pub payload: Box<RawValue>,
    pub recorded_at: DateTime<Utc>,
    pub correlation_id: Option<String>,
    /// Id of the event, or of the request, that led to this one.
    pub causation_id: Option<String>,
    pub user_id: Option<String>,
}

impl TryFrom<RecordedEvent> for Event {
    type Error = serde_json::Error;

    /// # Errors
    /// For a payload that is not JSON: the log's column does not take one.
    fn try_from(event: RecordedEvent) -> Result<Self, serde_json::Error> {
        let metadata = event.metadata();
        Ok(Event {
            position: event.position,
            id: event.event_id,
            stream_type: event.aggregate_type,
            stream_id: event.aggregate_id,
            version: event.sequence,
            event_type: event.event_type,
            event_version: event.event_version,
            payload: RawValue::from_string(event.payload)?,
            recorded_at: event.recorded_at,
            correlation_id: metadata.correlation_id,
            causation_id: metadata.causation_id,
            user_id: metadata.user_id,
        })
    }
}

/// Which events are wanted; everything given must hold.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter<'a> {
    /// Type and id of a stream.
    pub stream: Option<(&'a str, &'a str)>,
    /// As `product.created`.
    pub event_type: Option<&'a str>,
    pub correlation_id: Option<&'a str>,
}

/// Positions to look through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Exclusive.
    pub after: i64,
    /// Inclusive.
    pub until: i64,
}

const COLUMNS: &str = r#"position, event_id as id, aggregate_type as stream_type,
    aggregate_id as stream_id, sequence as version, event_type as "type", event_version, payload,
    recorded_at, metadata->>'correlation_id' as correlation_id,
    metadata->>'causation_id' as causation_id, metadata->>'user_id' as user_id"#;

/// The first `limit` events of a window that are wanted, in position order. Looks at every event
/// of the window, some 100,000 in a few tenths of a second: keep it bounded.
pub async fn find(
    executor: impl PgExecutor<'_>,
    filter: Filter<'_>,
    window: Window,
    limit: i64,
) -> sqlx::Result<Vec<Event>> {
    let (stream_type, stream_id) = filter.stream.unzip();
    sqlx::query_as(&format!(
        "select {COLUMNS} from events
          where position > $1 and position <= $2
            and ($3::text is null or (aggregate_type = $3 and aggregate_id = $4))
            and ($5::text is null or event_type = $5)
            and ($6::text is null or metadata->>'correlation_id' = $6)
          order by position limit $7"
    ))
    .bind(window.after)
    .bind(window.until)
    .bind(stream_type)
    .bind(stream_id)
    .bind(filter.event_type)
    .bind(filter.correlation_id)
    .bind(limit)
    .fetch_all(executor)
    .await
}

/// The event at a position, if the log has one there.
pub async fn at(executor: impl PgExecutor<'_>, position: i64) -> sqlx::Result<Option<Event>> {
    sqlx::query_as(&format!("select {COLUMNS} from events where position = $1"))
        .bind(position)
        .fetch_optional(executor)
        .await
}

/// The first `limit` events of a stream, in order.
pub async fn of_stream(
    executor: impl PgExecutor<'_>,
    stream_type: &str,
    stream_id: &str,
    limit: i64,
) -> sqlx::Result<Vec<Event>> {
    sqlx::query_as(&format!(
        "select {COLUMNS} from events
          where aggregate_type = $1 and aggregate_id = $2 order by sequence limit $3"
    ))
    .bind(stream_type)
    .bind(stream_id)
    .bind(limit)
    .fetch_all(executor)
    .await
}

/// The last version that a stream had at a time, if it had begun.
pub(crate) async fn version_at(
    executor: impl PgExecutor<'_>,
    stream_type: &str,
    stream_id: &str,
    at: DateTime<Utc>,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "select sequence from events
          where aggregate_type = $1 and aggregate_id = $2 and recorded_at <= $3
          order by sequence desc limit 1",
    )
    .bind(stream_type)
    .bind(stream_id)
    .bind(at)
    .fetch_optional(executor)
    .await
}

/// The first position that was recorded at a time or later; one after the head if none was.
/// Positions have no holes and times never go back along them, so halving finds it.
pub(crate) async fn position_at(
    pool: &sqlx::PgPool,
    head: i64,
    at: DateTime<Utc>,
) -> sqlx::Result<i64> {
    let (mut low, mut high) = (1, head + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let recorded_at: Option<DateTime<Utc>> =
            sqlx::query_scalar("select recorded_at from events where position = $1")
                .bind(middle)
                .fetch_optional(pool)
                .await?;
        if recorded_at.is_some_and(|recorded_at| recorded_at < at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}
