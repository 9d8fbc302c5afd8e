//! How far an order has come, as its own streams tell it.

use domain::order::{CancelReason, Event};
use domain::{Fulfilment, order};
use eventstore::{EventStore, RecordedEvent};
use http_server::Problem;

use crate::problems::{of_database, of_states};

/// Their aggregate types.
const ORDER: &str = "order";
const FULFILMENT: &str = "fulfilment";

/// More events than an order ever has.
const ORDER_EVENTS_MAX: i64 = 100;

/// The status of an order whose saga halts; no status of the order's own stream.
const PARKED: &str = "parked";

/// How far an order has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Progress {
    /// As in the order's read model.
    pub(crate) status: &'static str,
    /// Why it was cancelled.
    pub(crate) reason: Option<&'static str>,
    /// Of the order's stream.
    pub(crate) version: i64,
    /// Of the last event that this rests on.
    pub(crate) position: i64,
    /// Whether nothing more is to be waited for.
    pub(crate) is_settled: bool,
}

impl Progress {
    /// Reads it from the log as it is now.
    ///
    /// # Errors
    /// Those of the database, and `internal` for an event that cannot be read.
    pub(crate) async fn of(store: &EventStore, order_id: &str) -> Result<Self, Problem> {
        let events = store
            .stream_events(ORDER, order_id, 0, ORDER_EVENTS_MAX)
            .await
            .map_err(of_database)?;
        let mut progress = Progress {
            status: order::Status::Pending.as_str(),
            reason: None,
            version: 0,
            position: 0,
            is_settled: false,
        };
        for event in events {
            progress.apply(&store.upcast(event))?;
        }
        if progress.is_settled {
            return Ok(progress);
        }
        if let Some(position) = parked_at(store, order_id).await? {
            progress.status = PARKED;
            progress.is_settled = true;
            progress.position = progress.position.max(position);
        }
        Ok(progress)
    }

    fn apply(&mut self, recorded: &RecordedEvent) -> Result<(), Problem> {
        let status = match recorded.decode::<Event>().map_err(Problem::internal)? {
            Event::Created { .. } => Some(order::Status::Pending),
            Event::Reserved => Some(order::Status::Reserved),
            Event::Paid => Some(order::Status::Paid),
            Event::Scheduled { .. } => Some(order::Status::Scheduled),
            Event::Completed => Some(order::Status::Completed),
            Event::Cancelled { reason } => {
                self.reason = Some(CancelReason::as_str(reason));
                Some(order::Status::Cancelled)
            }
            Event::Returned => Some(order::Status::Returned),
            Event::CancellationRequested { .. } => None,
        };
        if let Some(status) = status {
            self.status = status.as_str();
            self.is_settled = status.is_ended();
        }
        self.version = recorded.sequence;
        self.position = recorded.position;
        Ok(())
    }
}

/// Where the order's saga has halted, if it stands there.
async fn parked_at(store: &EventStore, order_id: &str) -> Result<Option<i64>, Problem> {
    let id = order_id.to_owned();
    let sagas = store.states::<Fulfilment>(std::slice::from_ref(&id)).await;
    let sagas = sagas.map_err(of_states)?;
    let Some((saga, version)) = sagas.get(&id) else {
        return Ok(None);
    };
    if !saga.waiting().is_some_and(|waiting| waiting.parked) {
        return Ok(None);
    }
    let last = store
        .stream_events(FULFILMENT, &id, version - 1, 1)
        .await
        .map_err(of_database)?;
    Ok(last.first().map(|event| event.position))
}
