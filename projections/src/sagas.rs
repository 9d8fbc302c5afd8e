//! `sagas`: one row a saga, as its stream tells it.

mod change;
mod gauge;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use domain::{Fulfilment, Return};
use eventstore::{EventStore, HandleError, RecordedEvent};
use read_models::sagas::{self, Kind, Saga as Row, SagaId, State};
use read_models::tables::Model;
use sqlx::PgConnection;
use uuid::Uuid;

use self::change::Change;
pub(crate) use self::gauge::report;
use crate::recorded::{self, Recorded, poison};
use crate::rows::Rows;

const NOT_STARTED: &str = "the saga's beginning has not been projected";

pub(crate) struct Sagas;

/// An event of a saga.
pub(crate) struct Told {
    saga: SagaId,
    change: Change,
}

impl Rows for Sagas {
    const MODEL: &'static Model = &sagas::MODEL;
    const READS: &'static [&'static str] = &[Fulfilment::TYPE, Return::TYPE];
    type Event = Told;
    type Key = SagaId;
    type Row = Row;

    async fn read<'a>(
        _store: &EventStore,
        events: &[&'a RecordedEvent],
    ) -> Result<Vec<Recorded<'a, Told>>, HandleError> {
        events.iter().copied().map(read).collect()
    }

    fn key(recorded: &Recorded<'_, Told>) -> Option<SagaId> {
        Some(recorded.event.saga)
    }

    fn shows(row: &Row, recorded: &Recorded<'_, Told>) -> bool {
        row.version >= recorded.version
    }

    fn apply(row: Option<Row>, recorded: Recorded<'_, Told>) -> Result<Row, &'static str> {
        let (version, at) = (recorded.version, recorded.at);
        let Told { saga, change } = recorded.event;
        let row = match (row, &change) {
            (None, Change::Started) => started(saga, at, recorded.position),
            (None, _) => return Err(NOT_STARTED),
            (Some(row), _) => row,
        };
        Ok(Row {
            version,
            ..changed(row, at, change)
        })
    }

    async fn load(
        connection: &mut PgConnection,
        generation: i32,
        keys: &[SagaId],
    ) -> sqlx::Result<HashMap<SagaId, Row>> {
        sagas::load(connection, generation, keys).await
    }

    async fn upsert(
        connection: &mut PgConnection,
        generation: i32,
        rows: &[Row],
    ) -> sqlx::Result<()> {
        sagas::upsert(connection, generation, rows).await
    }
}

fn read(recorded: &RecordedEvent) -> Result<Recorded<'_, Told>, HandleError> {
    let Ok(order_id) = Uuid::try_parse(&recorded.aggregate_id) else {
        let error = "the stream's id is no order's";
        return Err(poison(recorded.position, error));
    };
    let told = |kind, change| Told {
        saga: SagaId { kind, order_id },
        change,
    };
    if recorded.aggregate_type == Return::TYPE {
        let read = recorded::read(recorded)?;
        return Ok(read.map(|event| told(Kind::Return, change::of_return(event))));
    }
    let read = recorded::read(recorded)?;
    Ok(read.map(|event| told(Kind::Fulfilment, change::of_fulfilment(event))))
}

fn started(saga: SagaId, at: DateTime<Utc>, position: i64) -> Row {
    Row {
        order_id: saga.order_id,
        kind: saga.kind,
        state: State::Running,
        waiting_for: None,
        attempts: 0,
        reason: None,
        error: None,
        started_at: at,
        started_position: position,
        ended_at: None,
        version: 0,
    }
}

fn changed(row: Row, at: DateTime<Utc>, change: Change) -> Row {
    match change {
        Change::Started => row,
        Change::Asked { step, attempt } => {
            // What went wrong in another step is over.
            let is_same = row.waiting_for.as_deref() == Some(step);
            Row {
                state: State::Running,
                error: row.error.filter(|_| is_same),
                waiting_for: Some(step.to_owned()),
                attempts: i32::try_from(attempt).unwrap_or(i32::MAX),
                ..row
            }
        }
        Change::Compensating { reason } => Row {
            reason: Some(reason.to_owned()),
            ..row
        },
        Change::AttemptFailed { error } => Row {
            error: Some(error),
            ..row
        },
        Change::Parked { error } => Row {
            state: State::Parked,
            error: Some(error),
            ..row
        },
        Change::Retried => Row {
            state: State::Running,
            ..row
        },
        Change::Ended { state, reason } => Row {
            state,
            waiting_for: None,
            error: None,
            reason: reason.map(str::to_owned),
            ended_at: Some(at),
            ..row
        },
    }
}
