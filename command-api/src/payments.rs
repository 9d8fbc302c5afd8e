//! What can be done to payments by hand.

use chrono::Utc;
use domain::payment::{self, Error, give_back};
use domain::{Order, OrderId, Payment, PaymentId, order};
use eventstore::{CommandContext, Decided, EventStore, Executed, Stream, Timer, TimerChange};
use http_server::Problem;
use serde_json::json;

use crate::problems::of_states;
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
    let outcome = match order_of(store, id).await? {
        Some(order_id) => {
            let order = Stream::<Order>::new(order_id.to_string());
            store
                .execute((payment, order), context, move |(payment, order)| {
                    let events = give_back(payment, order, order_id)?;
                    let timers = events.iter().map(|_| call_provider(id)).collect();
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

/// What was paid with it; none where it was never begun.
async fn order_of(store: &EventStore, id: PaymentId) -> Result<Option<OrderId>, Problem> {
    let id = id.to_string();
    let payments = store.states::<Payment>(std::slice::from_ref(&id)).await;
    let payments = payments.map_err(of_states)?;
    let charge = payments.get(&id).and_then(|(payment, _)| payment.charge());
    Ok(charge.map(|charge| charge.order_id))
}

/// Due at once: whoever calls the provider looks at timers.
fn call_provider(id: PaymentId) -> TimerChange {
    TimerChange::Set(Timer {
        name: format!("payment/refund/{id}"),
        due_at: Utc::now(),
        payload: json!({"payment_id": id}),
    })
}

fn refusal(error: &Error) -> Problem {
    let detail = error.to_string();
    match error {
        Error::NotFound => Problem::not_found(detail),
        Error::OrderUnderWay { .. } => Problem::from(problems::ORDER_IN_PROGRESS).detail(detail),
        Error::NothingCharged => Problem::from(problems::PAYMENT_NOT_COMPLETED).detail(detail),
    }
}
