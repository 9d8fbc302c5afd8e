//! What can be done to stock by hand.

use domain::stock::{Command, Error, StockId};
use domain::{Quantity, Reason, Stock};
use eventstore::{CommandContext, EventStore, Executed, Stream};
use http_server::Problem;

use crate::{execute, problems};

/// Goods have arrived. The SKU need not be a product yet.
///
/// # Errors
/// `stock-limit-exceeded`, and those of any command.
pub async fn receive(
    store: &EventStore,
    context: CommandContext,
    id: StockId,
    quantity: Quantity,
) -> Result<Executed, Problem> {
    command(
        store,
        context,
        &id.clone(),
        Command::Receive { id, quantity },
    )
    .await
}

/// The count was wrong by `delta` pieces. By none: nothing happens.
///
/// # Errors
/// `insufficient-stock` where less than what is reserved would be left, `stock-limit-exceeded`, and those of any command.
pub async fn adjust(
    store: &EventStore,
    context: CommandContext,
    id: StockId,
    delta: i64,
    reason: Reason,
) -> Result<Executed, Problem> {
    command(
        store,
        context,
        &id.clone(),
        Command::Adjust { id, delta, reason },
    )
    .await
}

async fn command(
    store: &EventStore,
    context: CommandContext,
    id: &StockId,
    command: Command,
) -> Result<Executed, Problem> {
    let stream = Stream::<Stock>::new(id.to_string());
    store
        .execute(stream, context, move |stock| stock.decide(command.clone()))
        .await
        .map_err(|error| execute::problem(error, refusal))
}

fn refusal(error: &Error) -> Problem {
    let detail = error.to_string();
    match error {
        Error::InsufficientStock { .. } | Error::BelowReserved { .. } => {
            Problem::from(problems::INSUFFICIENT_STOCK).detail(detail)
        }
        Error::NotReserved { .. } => Problem::from(problems::STOCK_NOT_RESERVED).detail(detail),
        Error::TooMany { .. } => Problem::from(problems::STOCK_LIMIT_EXCEEDED).detail(detail),
    }
}
