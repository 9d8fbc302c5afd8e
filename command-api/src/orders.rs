//! What can be done to orders by those who buy.

mod lines;
mod placing;
mod progress;
mod waiting;

use domain::order::{Command, Error};
use domain::{Order, OrderId, Reason, UserId};
use eventstore::{CommandContext, EventStore, Executed, Stream};
use http_server::Problem;

use crate::{execute, problems};

pub(crate) use lines::products;
pub use placing::{NewOrder, place};
pub(crate) use progress::Progress;
pub(crate) use waiting::Waiting;

/// Asks for the end of an order; it ends once everything that was done for it is undone. Asking again changes nothing.
/// With `customer` the order must be theirs.
///
/// # Errors
/// `not-found`, also for an order of somebody else, `order-ended`, and those of any command.
pub async fn cancel(
    store: &EventStore,
    context: CommandContext,
    id: OrderId,
    customer: Option<UserId>,
    reason: Option<Reason>,
) -> Result<Executed, Problem> {
    let stream = Stream::<Order>::new(id.to_string());
    let decide = move |order: &Order| {
        let owner = order.progress().map(|progress| progress.customer_id);
        if customer.is_some() && customer != owner {
            return Err(Error::NotFound);
        }
        let reason = reason.clone();
        order.decide(Command::RequestCancellation { reason })
    };
    fail::fail_point!("order-calling-off");
    let called_off = store.execute(stream, context, decide).await;
    fail::fail_point!("order-called-off");
    called_off.map_err(|error| execute::problem(error, refusal))
}

fn refusal(error: &Error) -> Problem {
    let detail = error.to_string();
    match error {
        Error::NotFound => Problem::not_found(detail),
        Error::AlreadyExists => Problem::from(problems::ORDER_EXISTS).detail(detail),
        Error::Ended { .. } | Error::OutOfTurn { .. } => {
            Problem::from(problems::ORDER_ENDED).detail(detail)
        }
        Error::CustomerNotActive => Problem::from(problems::CUSTOMER_NOT_ACTIVE).detail(detail),
        Error::UnknownItems { items } => {
            let problem = Problem::from(problems::UNKNOWN_ITEMS).detail(detail);
            items.iter().fold(problem, |problem, item| {
                problem.error(
                    lines::sku_pointer(*item),
                    "is not the sku of a product on sale",
                )
            })
        }
        Error::ItemCount => Problem::invalid_body(Vec::new()).error("/items", detail),
        Error::RepeatedItem { item } => lines::repeated(*item),
        Error::MixedCurrencies => Problem::from(problems::MIXED_CURRENCIES)
            .detail(&*detail)
            .error("/items", detail),
        Error::TotalTooLarge => Problem::from(problems::TOTAL_TOO_LARGE)
            .detail(&*detail)
            .error("/items", detail),
    }
}
