//! Which sagas halt.

use std::collections::HashSet;

use cqrs_es::Aggregate;
use domain::{Fulfilment, Return, fulfilment, return_goods};
use eventstore::HandleError;
use read_models::analytics::funnel::{self, Halt, Key};
use sqlx::PgConnection;

use super::changes;
use crate::recorded::Recorded;

/// Whether a saga halts after an event.
#[derive(Clone, Copy)]
pub(crate) struct Change {
    saga: &'static str,
    is_parked: bool,
}

pub(super) fn of_fulfilment(event: &fulfilment::Event) -> Change {
    let is_parked = match event {
        fulfilment::Event::Parked { .. } => true,
        fulfilment::Event::Started(_)
        | fulfilment::Event::ReservationRequested { .. }
        | fulfilment::Event::PaymentRequested { .. }
        | fulfilment::Event::DeliveryRequested { .. }
        | fulfilment::Event::CommitRequested { .. }
        | fulfilment::Event::DeliveryCancellationRequested { .. }
        | fulfilment::Event::RefundRequested { .. }
        | fulfilment::Event::ReleaseRequested { .. }
        | fulfilment::Event::CompensationStarted { .. }
        | fulfilment::Event::AttemptFailed { .. }
        | fulfilment::Event::Retried
        | fulfilment::Event::Completed
        | fulfilment::Event::Cancelled { .. } => false,
    };
    Change {
        saga: Fulfilment::TYPE,
        is_parked,
    }
}

pub(super) fn of_return(event: &return_goods::Event) -> Change {
    let is_parked = match event {
        return_goods::Event::Parked { .. } => true,
        return_goods::Event::Started(_)
        | return_goods::Event::RefundRequested { .. }
        | return_goods::Event::RestockRequested { .. }
        | return_goods::Event::AttemptFailed { .. }
        | return_goods::Event::Retried
        | return_goods::Event::Completed => false,
    };
    Change {
        saga: Return::TYPE,
        is_parked,
    }
}

impl changes::Row for Halt {
    fn version(&self) -> i64 {
        self.version
    }
}

fn key(recorded: &Recorded<'_, Change>) -> Key {
    Key {
        order_id: recorded.id.to_owned(),
        saga: recorded.event.saga.to_owned(),
    }
}

pub(super) async fn write(
    connection: &mut PgConnection,
    generation: i32,
    events: Vec<Recorded<'_, Change>>,
) -> Result<(), HandleError> {
    if events.is_empty() {
        return Ok(());
    }
    let keys: HashSet<Key> = events.iter().map(key).collect();
    let keys: Vec<Key> = keys.into_iter().collect();
    let known = funnel::load(&mut *connection, generation, &keys).await?;
    let changed = changes::fold(known, events, key, |row, recorded| {
        let Change { is_parked, .. } = recorded.event;
        // One that goes its way has no row until it halts.
        let concerns = is_parked || row.is_some();
        Ok(concerns.then(|| Halt {
            key: key(&recorded),
            is_parked,
            version: recorded.version,
        }))
    })?;
    funnel::upsert(connection, generation, &changes::after(changed)).await?;
    Ok(())
}
