//! `payments`: one row a payment. What it is paid with is not read.

use std::collections::HashMap;

use cqrs_es::Aggregate;
use domain::payment::{Event, Failure};
use domain::{OrderId, Payment};
use eventstore::{EventStore, HandleError, RecordedEvent};
use read_models::payments::{self, Payment as Row, Status};
use read_models::tables::Model;
use sqlx::PgConnection;

use crate::products::amount;
use crate::recorded::{self, Recorded};
use crate::rows::Rows;

pub(crate) struct Payments;

impl Rows for Payments {
    const MODEL: &'static Model = &payments::MODEL;
    const READS: &'static [&'static str] = &[Payment::TYPE];
    type Event = Event;
    type Key = String;
    type Row = Row;

    async fn read<'a>(
        _store: &EventStore,
        events: &[&'a RecordedEvent],
    ) -> Result<Vec<Recorded<'a, Event>>, HandleError> {
        events.iter().copied().map(recorded::read).collect()
    }

    fn key(recorded: &Recorded<'_, Event>) -> Option<String> {
        Some(recorded.id.to_owned())
    }

    fn shows(row: &Row, recorded: &Recorded<'_, Event>) -> bool {
        row.version >= recorded.version
    }

    /// Every event tells whose payment it is: the first one begins the row, whichever it is.
    fn apply(row: Option<Row>, recorded: Recorded<'_, Event>) -> Result<Row, &'static str> {
        let status = status(row.as_ref().map(|row| row.status), &recorded.event);
        let row = Row {
            status,
            updated_at: recorded.at,
            version: recorded.version,
            ..row.unwrap_or_else(|| begun(&recorded))
        };
        Ok(match recorded.event {
            Event::Initiated {
                customer_id,
                amount: charged,
                ..
            } => Row {
                customer_id: Some(customer_id.to_string()),
                amount: Some(amount(charged)),
                ..row
            },
            Event::Completed {
                amount: charged,
                reference,
                ..
            } => Row {
                amount: Some(amount(charged)),
                // One that was failed because it was called off, and is told now.
                reason: None,
                detail: None,
                reference: Some(reference),
                ..row
            },
            Event::Failed { reason, detail, .. } => Row {
                reason: Some(reason_of(reason).to_owned()),
                detail,
                refund_error: None,
                ..row
            },
            Event::RefundRequested { .. } => Row {
                refund_error: None,
                ..row
            },
            Event::Refunded { reference, .. } => Row {
                refund_reference: Some(reference),
                ..row
            },
            Event::RefundFailed { error, .. } => Row {
                refund_error: Some(error),
                ..row
            },
        })
    }

    async fn load(
        connection: &mut PgConnection,
        generation: i32,
        keys: &[String],
    ) -> sqlx::Result<HashMap<String, Row>> {
        payments::load(connection, generation, keys).await
    }

    async fn upsert(
        connection: &mut PgConnection,
        generation: i32,
        rows: &[Row],
    ) -> sqlx::Result<()> {
        payments::upsert(connection, generation, rows).await
    }
}

/// A row that knows nothing yet but whose payment it is.
fn begun(recorded: &Recorded<'_, Event>) -> Row {
    Row {
        id: recorded.id.to_owned(),
        order_id: order_id(&recorded.event).to_string(),
        customer_id: None,
        amount: None,
        status: Status::Initiated,
        reason: None,
        detail: None,
        reference: None,
        refund_reference: None,
        refund_error: None,
        created_at: recorded.at,
        updated_at: recorded.at,
        version: recorded.version,
    }
}

fn reason_of(failure: Failure) -> &'static str {
    match failure {
        Failure::Declined => "declined",
        Failure::Cancelled => "cancelled",
    }
}

/// Whose payment it is.
pub(crate) fn order_id(event: &Event) -> OrderId {
    match event {
        Event::Initiated { order_id, .. }
        | Event::Completed { order_id, .. }
        | Event::Failed { order_id, .. }
        | Event::RefundRequested { order_id, .. }
        | Event::Refunded { order_id, .. }
        | Event::RefundFailed { order_id, .. } => *order_id,
    }
}

/// Where a payment stands after an event. A charge that is told after its refund was asked for goes back.
pub(crate) fn status(before: Option<Status>, event: &Event) -> Status {
    match event {
        Event::Initiated { .. } => Status::Initiated,
        Event::Completed { .. } if before == Some(Status::Refunding) => Status::Refunding,
        Event::Completed { .. } => Status::Completed,
        Event::Failed { .. } => Status::Failed,
        Event::RefundRequested { .. } | Event::RefundFailed { .. } => Status::Refunding,
        Event::Refunded { .. } => Status::Refunded,
    }
}
