//! What can be done to payments by hand.

use chrono::{DateTime, Utc};
use domain::payment::{self, Call, Due, Error, give_back};
use domain::{Order, OrderId, Payment, PaymentId, order};
use eventstore::{
    CommandContext, Decided, EventStore, Executed, Metadata, Stream, Timer, TimerChange,
};
use http_server::Problem;

use crate::problems::{of_database, of_states};
use crate::{execute, problems};

/// Gives the money of a payment back, once its order has ended. One that is given back, or on its way, stays so; one that
/// the provider could not give back is tried again.
///
/// # Errors
/// `not-found`, `order-in-progress`, `payment-not-completed`, and those of any command.
pub async fn refund(
    store: &EventStore,
    context: CommandContext,
    id: PaymentId,
) -> Result<Executed, Problem> {
    let payment = Stream::<Payment>::new(id.to_string());
    let outcome = match known(store, id).await? {
        // What has happened is due at once, by the database's clock as timers are read by it.
        Some((order_id, due_at)) => {
            let cause = context.metadata();
            let order = Stream::<Order>::new(order_id.to_string());
            store
                .execute((payment, order), context, move |(payment, order)| {
                    let events = give_back(payment, order, order_id)?;
                    let calls = events.iter().filter_map(payment::Event::begins);
                    let timers = calls.map(|call| due(call, id, due_at, &cause)).collect();
                    let events: Events = (events, Vec::new());
                    Ok::<_, Error>(Decided::with_timers(events, timers))
                })
                .await
        }
        // It was never charged, so it has no order to look at.
        None => {
            store
                .execute(payment, context, |payment| match payment {
                    Payment::Absent => Err::<Vec<payment::Event>, _>(Error::NotFound),
                    _ => Err(Error::NothingCharged),
                })
                .await
        }
    };
    outcome.map_err(|error| execute::problem(error, refusal))
}

type Events = (Vec<payment::Event>, Vec<order::Event>);

/// What was paid with it, and when the newest event of the payment was recorded; none where it was never begun.
async fn known(
    store: &EventStore,
    id: PaymentId,
) -> Result<Option<(OrderId, DateTime<Utc>)>, Problem> {
    let id = id.to_string();
    let payments = store.states::<Payment>(std::slice::from_ref(&id)).await;
    let Some((payment, version)) = payments.map_err(of_states)?.remove(&id) else {
        return Ok(None);
    };
    let newest = store.stream_events("payment", &id, version - 1, 1);
    let newest = newest.await.map_err(of_database)?.into_iter().next();
    let order_id = payment.charge().map(|charge| charge.order_id);
    Ok(order_id.zip(newest.map(|event| event.recorded_at)))
}

/// Has whoever looks at timers call the provider.
fn due(call: Call, payment_id: PaymentId, due_at: DateTime<Utc>, cause: &Metadata) -> TimerChange {
    let attempt = 1;
    let due = Due {
        payment_id,
        attempt,
    };
    let name = call.timer_name(payment_id);
    TimerChange::Set(Timer::new(name, due_at, due, cause))
}

fn refusal(error: &Error) -> Problem {
    let detail = error.to_string();
    match error {
        Error::NotFound => Problem::not_found(detail),
        Error::OrderUnderWay { .. } => Problem::from(problems::ORDER_IN_PROGRESS).detail(detail),
        Error::NothingCharged => Problem::from(problems::PAYMENT_NOT_COMPLETED).detail(detail),
    }
}
