//! `deliveries`: one row a delivery, its address in the clear until the customer is erased. What was sealed for an
//! erased customer cannot be opened any more; a rebuild comes to the same row.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use domain::delivery::{Event, Schedule};
use domain::{Delivery, User};
use eventstore::{DataKey, EventStore, HandleError, RecordedEvent};
use read_models::deliveries::{self, Delivery as Row, Status};
use read_models::tables::Model;
use read_models::users::Address;
use sqlx::PgConnection;

use crate::recorded::{self, Recorded, poison};
use crate::rows::Rows;
use crate::users::{address_of, opened};

pub(crate) struct Deliveries;

/// As [`domain::user::Event::Erased`] is stored. Other events of users are not looked into, so that none that this program does not
/// know keeps an erasure from its effect.
const ERASED: &str = "user.erased";

/// What is read.
enum Read {
    Delivery(Event),
    Erased,
}

/// What is told.
pub(crate) enum Told {
    Delivery {
        event: Event,
        /// Where to, opened; none where no address is told.
        address: Option<Box<Address>>,
    },
    /// A user, by the stream's id, is erased: every row that is theirs loses its address.
    Erased,
}

impl Rows for Deliveries {
    const MODEL: &'static Model = &deliveries::MODEL;
    const READS: &'static [&'static str] = &[Delivery::TYPE, User::TYPE];
    type Event = Told;
    type Key = String;
    type Row = Row;

    async fn read<'a>(
        store: &EventStore,
        events: &[&'a RecordedEvent],
    ) -> Result<Vec<Recorded<'a, Told>>, HandleError> {
        let read = events.iter().copied().map(read);
        let events: Vec<_> = read
            .filter_map(Result::transpose)
            .collect::<Result<_, _>>()?;
        let subjects = events.iter().filter_map(|it| subject(&it.event));
        let subjects: BTreeSet<&str> = subjects.collect();
        let subjects: Vec<&str> = subjects.into_iter().collect();
        let keys = store.sealer().keys_of(&subjects).await;
        let keys = keys.map_err(|error| HandleError::Transient(error.into()))?;
        let open = |recorded: Recorded<'a, Read>| {
            let position = recorded.position;
            recorded
                .try_map(|read| open(read, &keys))
                .map_err(|error| poison(position, error))
        };
        events.into_iter().map(open).collect()
    }

    fn key(recorded: &Recorded<'_, Told>) -> Option<String> {
        match recorded.event {
            Told::Delivery { .. } => Some(recorded.id.to_owned()),
            Told::Erased => None,
        }
    }

    fn shows(row: &Row, recorded: &Recorded<'_, Told>) -> bool {
        row.version >= recorded.version
    }

    /// Every event tells which order it is: the first one begins the row, whichever it is.
    fn apply(row: Option<Row>, recorded: Recorded<'_, Told>) -> Result<Row, &'static str> {
        let (id, at, version) = (recorded.id, recorded.at, recorded.version);
        let Told::Delivery { event, address } = recorded.event else {
            return Err("an erasure has no row of its own");
        };
        let tried = i64::from(row.is_some());
        let row = Row {
            status: status(&event),
            updated_at: at,
            version,
            ..row.unwrap_or_else(|| begun(id, &event, at))
        };
        Ok(match event {
            Event::Scheduled(schedule) => scheduled(row, &schedule, address.map(|it| *it)),
            Event::Assigned { courier_id, .. } => Row {
                courier_id: Some(courier_id.to_string()),
                ..row
            },
            Event::PickedUp { .. } => row,
            Event::Completed { .. } => Row {
                attempts: row.attempts + tried,
                ended_at: Some(at),
                ..row
            },
            Event::Failed {
                reason, is_final, ..
            } => Row {
                reason: Some(reason.into()),
                courier_id: None,
                attempts: row.attempts + tried,
                ended_at: is_final.then_some(at),
                ..row
            },
            Event::Cancelled { .. } => Row {
                ended_at: Some(at),
                ..row
            },
        })
    }

    async fn load(
        connection: &mut PgConnection,
        generation: i32,
        keys: &[String],
    ) -> sqlx::Result<HashMap<String, Row>> {
        deliveries::load(connection, generation, keys).await
    }

    async fn upsert(
        connection: &mut PgConnection,
        generation: i32,
        rows: &[Row],
    ) -> sqlx::Result<()> {
        deliveries::upsert(connection, generation, rows).await
    }

    async fn sweep(
        connection: &mut PgConnection,
        generation: i32,
        events: Vec<Recorded<'_, Told>>,
    ) -> sqlx::Result<()> {
        let erased = events.iter().map(|recorded| recorded.id.to_owned());
        let erased: Vec<String> = erased.collect();
        deliveries::blank(&mut *connection, generation, &erased).await?;
        deliveries::blank_elsewhere(connection, generation, &erased).await
    }
}

/// Parses an event; none that changes nothing.
fn read(event: &RecordedEvent) -> Result<Option<Recorded<'_, Read>>, HandleError> {
    if event.aggregate_type == User::TYPE {
        let erased = event.event_type == ERASED;
        return Ok(erased.then(|| recorded::of(event, Read::Erased)));
    }
    Ok(Some(recorded::read(event)?.map(Read::Delivery)))
}

/// Whose key an event needs.
fn subject(read: &Read) -> Option<&str> {
    match read {
        Read::Delivery(Event::Scheduled(schedule)) => Some(schedule.address.as_ref()?.subject()),
        Read::Delivery(
            Event::Assigned { .. }
            | Event::PickedUp { .. }
            | Event::Completed { .. }
            | Event::Failed { .. }
            | Event::Cancelled { .. },
        )
        | Read::Erased => None,
    }
}

/// A read error tells nothing of what it was to read: it is stored with the parked event.
fn open(read: Read, keys: &HashMap<String, DataKey>) -> Result<Told, &'static str> {
    let Read::Delivery(event) = read else {
        return Ok(Told::Erased);
    };
    let address = match &event {
        Event::Scheduled(Schedule {
            address: Some(sealed),
            ..
        }) => {
            let json = opened(sealed, keys);
            let address = json.map(|json| serde_json::from_str(&json)).transpose();
            let address = address.map_err(|_| "what was sealed is no address")?;
            address.map(address_of).map(Box::new)
        }
        Event::Scheduled(_)
        | Event::Assigned { .. }
        | Event::PickedUp { .. }
        | Event::Completed { .. }
        | Event::Failed { .. }
        | Event::Cancelled { .. } => None,
    };
    Ok(Told::Delivery { event, address })
}

/// A row that knows nothing yet but which order it is.
fn begun(id: &str, event: &Event, at: DateTime<Utc>) -> Row {
    Row {
        id: id.to_owned(),
        order_id: event.order_id().to_string(),
        customer_id: None,
        store_id: None,
        status: Status::Scheduled,
        slot: None,
        courier_id: None,
        reason: None,
        address: None,
        attempts: 0,
        created_at: at,
        updated_at: at,
        ended_at: None,
        version: 0,
    }
}

fn scheduled(row: Row, schedule: &Schedule, address: Option<Address>) -> Row {
    Row {
        customer_id: Some(schedule.customer_id.to_string()),
        store_id: Some(schedule.store_id.as_str().to_owned()),
        slot: Some(schedule.slot),
        address,
        ..row
    }
}

/// Where a delivery stands after an event.
pub(crate) fn status(event: &Event) -> Status {
    match event {
        Event::Scheduled(_) => Status::Scheduled,
        Event::Assigned { .. } => Status::Assigned,
        Event::PickedUp { .. } => Status::PickedUp,
        Event::Completed { .. } => Status::Completed,
        // Somebody will try again.
        Event::Failed {
            is_final: false, ..
        } => Status::Scheduled,
        Event::Failed { is_final: true, .. } => Status::Failed,
        Event::Cancelled { .. } => Status::Cancelled,
    }
}

#[cfg(test)]
mod tests {
    use cqrs_es::DomainEvent;

    use super::*;

    #[test]
    fn an_erasure_is_known_by_its_name() {
        assert_eq!(domain::user::Event::Erased.event_type(), ERASED);
    }
}
