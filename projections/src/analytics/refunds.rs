//! What was given back, and of which orders that is new for sales.

use domain::payment::Event;
use domain::{Money, OrderId};
use eventstore::HandleError;
use read_models::analytics::refunds::{self, Refund};
use read_models::analytics::sales;
use sqlx::PgConnection;

use crate::recorded::Recorded;

/// Money was given back.
pub(crate) struct Change {
    order_id: OrderId,
    amount: Money,
}

pub(super) fn change(event: &Event) -> Option<Change> {
    match *event {
        Event::Refunded {
            order_id, amount, ..
        } => Some(Change { order_id, amount }),
        Event::Initiated { .. }
        | Event::Completed { .. }
        | Event::Failed { .. }
        | Event::RefundRequested { .. }
        | Event::RefundFailed { .. } => None,
    }
}

/// Counts each refund once, when it and the completion of its order have both been told: where the order was parked, that is
/// the later of the two.
pub(super) async fn write(
    connection: &mut PgConnection,
    generation: i32,
    events: &[Recorded<'_, Change>],
    completed: &[String],
) -> Result<(), HandleError> {
    let refunds: Vec<Refund> = events.iter().map(refund).collect();
    if !refunds.is_empty() {
        refunds::insert(&mut *connection, generation, &refunds).await?;
    }
    let refunded = refunds.iter().map(|refund| refund.order_id.as_str());
    let orders: Vec<&str> = refunded
        .chain(completed.iter().map(String::as_str))
        .collect();
    if orders.is_empty() {
        return Ok(());
    }
    let happened = refunds::count(&mut *connection, generation, &orders).await?;
    sales::add(connection, generation, &happened).await?;
    Ok(())
}

fn refund(recorded: &Recorded<'_, Change>) -> Refund {
    let Change { order_id, amount } = recorded.event;
    Refund {
        order_id: order_id.to_string(),
        refunded_at: recorded.at,
        currency: amount.currency.code().to_owned(),
        amount_minor: amount.amount_minor,
    }
}
