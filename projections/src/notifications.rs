//! `notifications`: one row an event and channel.

use std::collections::HashMap;

use cqrs_es::Aggregate;
use domain::Notification;
use domain::notification::{Event, Subject};
use eventstore::{EventStore, HandleError, RecordedEvent};
use read_models::notifications::{self, Notification as Row, Status};
use read_models::tables::Model;
use sqlx::PgConnection;

use crate::recorded::{self, Recorded};
use crate::rows::Rows;

pub(crate) struct Notifications;

impl Rows for Notifications {
    const MODEL: &'static Model = &notifications::MODEL;
    const READS: &'static [&'static str] = &[Notification::TYPE];
    type Event = Row;
    type Key = String;
    type Row = Row;

    async fn read<'a>(
        _store: &EventStore,
        events: &[&'a RecordedEvent],
    ) -> Result<Vec<Recorded<'a, Row>>, HandleError> {
        let read = |event| recorded::read(event).map(shown);
        events.iter().copied().map(read).collect()
    }

    fn key(recorded: &Recorded<'_, Row>) -> Option<String> {
        Some(recorded.id.to_owned())
    }

    fn shows(row: &Row, recorded: &Recorded<'_, Row>) -> bool {
        row.version >= recorded.version
    }

    fn apply(_row: Option<Row>, recorded: Recorded<'_, Row>) -> Result<Row, &'static str> {
        Ok(recorded.event)
    }

    async fn load(
        connection: &mut PgConnection,
        generation: i32,
        keys: &[String],
    ) -> sqlx::Result<HashMap<String, Row>> {
        notifications::load(connection, generation, keys).await
    }

    async fn upsert(
        connection: &mut PgConnection,
        generation: i32,
        rows: &[Row],
    ) -> sqlx::Result<()> {
        notifications::upsert(connection, generation, rows).await
    }
}

/// The row as an event leaves it: each carries all there is to tell, so the last one is all that counts.
fn shown(recorded: Recorded<'_, Event>) -> Recorded<'_, Row> {
    let (id, version, at) = (recorded.id, recorded.version, recorded.at);
    recorded.map(|event| {
        let (subject, attempt, status, error) = match event {
            Event::Attempted { subject, attempt } => (subject, attempt, Status::Pending, None),
            Event::Sent { subject, attempt } => (subject, attempt, Status::Sent, None),
            Event::Failed {
                subject,
                attempt,
                error,
                is_final,
            } => {
                // Another attempt follows one that is not final.
                let status = if is_final {
                    Status::Failed
                } else {
                    Status::Pending
                };
                (subject, attempt, status, Some(error))
            }
        };
        let Subject {
            user_id,
            channel,
            about,
            order_id,
            occurred_at: _,
            facts: _,
        } = subject;
        Row {
            id: id.to_owned(),
            user_id: user_id.to_string(),
            channel: channel.as_str().to_owned(),
            about,
            order_id: order_id.map(|id| id.to_string()),
            status,
            attempts: attempt.into(),
            error,
            at,
            version,
        }
    })
}
