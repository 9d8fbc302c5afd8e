//! An event as the log holds it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use cqrs_es::DomainEvent;
use cqrs_es::persist::{EventUpcaster, SerializedEvent};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

/// The columns that [`RecordedEvent::from_row`] reads, in its order.
pub(crate) const COLUMNS: &str = "position, event_id, aggregate_type, aggregate_id, sequence, \
     event_type, event_version, payload, metadata, recorded_at";

/// An event with its place in the log and in its stream.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedEvent {
    /// Place in the log, from 1, without a hole.
    pub position: i64,
    pub event_id: Uuid,
    pub aggregate_type: String,
    pub aggregate_id: String,
    /// Version of the stream after this event, from 1, without a hole.
    pub sequence: i64,
    pub event_type: String,
    pub event_version: String,
    /// JSON text; personal fields are sealed.
    pub payload: String,
    /// JSON text, a flat object of strings: see [`Metadata`].
    pub metadata: String,
    pub recorded_at: DateTime<Utc>,
}

/// What stands beside the payload. Absent values are left out of the stored form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// An event that this program cannot read: an unknown type, an unknown version, or a broken payload.
#[derive(Debug, thiserror::Error)]
#[error("event {position} ({event_type} {event_version}) cannot be read")]
pub struct DecodeError {
    pub position: i64,
    pub event_type: String,
    pub event_version: String,
    #[source]
    pub source: serde_json::Error,
}

impl RecordedEvent {
    pub(crate) fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            position: row.try_get(0)?,
            event_id: row.try_get(1)?,
            aggregate_type: row.try_get(2)?,
            aggregate_id: row.try_get(3)?,
            sequence: row.try_get(4)?,
            event_type: row.try_get(5)?,
            event_version: row.try_get(6)?,
            // `json` travels as its text; a cast in the statement would copy each one twice on the server.
            payload: row.try_get_unchecked(7)?,
            metadata: row.try_get_unchecked(8)?,
            recorded_at: row.try_get(9)?,
        })
    }

    /// Type and id of its stream.
    pub fn stream(&self) -> (String, String) {
        (self.aggregate_type.clone(), self.aggregate_id.clone())
    }

    /// The event as its aggregate's type. One of another major version is not taken for what its members
    /// look like.
    pub fn decode<E: DomainEvent>(&self) -> Result<E, DecodeError> {
        serde_json::from_str(&self.payload)
            .and_then(|event| of_known_version(event, &self.event_version))
            .map_err(|source| DecodeError {
                position: self.position,
                event_type: self.event_type.clone(),
                event_version: self.event_version.clone(),
                source,
            })
    }

    /// What stands beside the payload; unreadable metadata counts as absent, it decides nothing.
    pub fn metadata(&self) -> Metadata {
        serde_json::from_str(&self.metadata).unwrap_or_default()
    }

    /// What its consequences carry: its correlation, its user and its trace, with itself as their cause.
    pub fn as_cause(&self) -> Metadata {
        Metadata {
            causation_id: Some(self.event_id.to_string()),
            ..self.metadata()
        }
    }
}

/// The event, if it was stored in a version that this program reads: versions are semantic, within a major one
/// older programs read newer events.
pub(crate) fn of_known_version<E: DomainEvent>(event: E, found: &str) -> serde_json::Result<E> {
    let known = event.event_version();
    if major(&known) == major(found) {
        return Ok(event);
    }
    Err(serde::de::Error::custom(format!(
        "it has version {found}, this program reads {known}"
    )))
}

fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or(version)
}

/// Brings events of older versions to the present shape.
#[derive(Clone, Default)]
pub(crate) struct Upcasters(Arc<Vec<Box<dyn EventUpcaster>>>);

impl Upcasters {
    pub(crate) fn new(upcasters: Vec<Box<dyn EventUpcaster>>) -> Self {
        Self(Arc::new(upcasters))
    }

    /// The event in its present shape. An event that no upcaster wants is handed back untouched.
    pub(crate) fn upcast(&self, mut event: RecordedEvent) -> RecordedEvent {
        for upcaster in self.0.iter() {
            if !upcaster.can_upcast(&event.event_type, &event.event_version) {
                continue;
            }
            // A broken payload stays as it is: decoding names it.
            let Ok(payload) = serde_json::from_str(&event.payload) else {
                return event;
            };
            let newer = upcaster.upcast(SerializedEvent::new(
                event.aggregate_id.clone(),
                usize::try_from(event.sequence).unwrap_or_default(),
                event.aggregate_type.clone(),
                event.event_type.clone(),
                event.event_version.clone(),
                payload,
                serde_json::Value::Null,
            ));
            event.event_type = newer.event_type;
            event.event_version = newer.event_version;
            event.payload = newer.payload.to_string();
        }
        event
    }

    /// The same for an event as postgres-es loads it.
    pub(crate) fn upcast_serialized(&self, event: SerializedEvent) -> SerializedEvent {
        self.0.iter().fold(event, |event, upcaster| {
            if upcaster.can_upcast(&event.event_type, &event.event_version) {
                upcaster.upcast(event)
            } else {
                event
            }
        })
    }
}
