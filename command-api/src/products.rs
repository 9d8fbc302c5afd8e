//! What can be done to products.

mod body;
mod import;
mod line;
mod lines;
mod upsert;

use domain::product::{Command, Create, Details, DetailsChange, Error};
use domain::{Price, Product, ProductId, Sku, SkuClaim};
use eventstore::{CommandContext, EventStore, Executed, Stream};
use http_server::Problem;
use uuid::Uuid;

use crate::{execute, problems};

pub(crate) use self::body::{CreateProduct, MoneyDocument};
pub use self::import::{Ended, Import, Observer, Origin, Rejected, Stopped, Summary};
pub use self::line::{BadLine, parse_line};
pub use self::lines::{LINE_BYTES_MAX, Line, Lines, NotUnpacked, TooLong};

/// A product that is to be sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewProduct {
    /// No other product's, for good.
    pub sku: Sku,
    /// What one piece costs.
    pub price: Price,
    /// What describes it.
    pub details: Details,
}

/// Creates a product under a fresh id, the `stream_id` of what was executed.
///
/// # Errors
/// `sku-taken`, and those of any command.
pub async fn create(
    store: &EventStore,
    context: CommandContext,
    new: NewProduct,
) -> Result<Executed, Problem> {
    let product_id = ProductId::new(Uuid::now_v7());
    let NewProduct {
        sku,
        price,
        details,
    } = new;
    let streams = (
        Stream::<Product>::beginning(product_id.to_string()),
        Stream::<SkuClaim>::new(sku.as_str()),
    );
    let create = Create {
        product_id,
        sku,
        price,
        details,
    };
    store
        .execute(streams, context, move |(product, claim)| {
            domain::product::create(product, claim, create.clone())
        })
        .await
        .map_err(|error| execute::problem(error, refusal))
}

/// Changes what describes a product.
///
/// # Errors
/// `not-found`, `product-discontinued`, and those of any command.
pub async fn update_details(
    store: &EventStore,
    context: CommandContext,
    id: ProductId,
    change: DetailsChange,
) -> Result<Executed, Problem> {
    command(store, context, id, Command::UpdateDetails(change)).await
}

/// Changes what a product costs.
///
/// # Errors
/// As [`update_details`].
pub async fn change_price(
    store: &EventStore,
    context: CommandContext,
    id: ProductId,
    price: Price,
) -> Result<Executed, Problem> {
    command(store, context, id, Command::ChangePrice { price }).await
}

/// Takes a product out of sale, for good. Doing it again changes nothing.
///
/// # Errors
/// `not-found`, and those of any command.
pub async fn discontinue(
    store: &EventStore,
    context: CommandContext,
    id: ProductId,
) -> Result<Executed, Problem> {
    command(store, context, id, Command::Discontinue).await
}

async fn command(
    store: &EventStore,
    context: CommandContext,
    id: ProductId,
    command: Command,
) -> Result<Executed, Problem> {
    let stream = Stream::<Product>::new(id.to_string());
    store
        .execute(stream, context, move |product| {
            product.decide(command.clone())
        })
        .await
        .map_err(|error| execute::problem(error, refusal))
}

fn refusal(error: &Error) -> Problem {
    let detail = error.to_string();
    match error {
        Error::NotFound => Problem::not_found(detail),
        Error::AlreadyExists => Problem::from(problems::PRODUCT_EXISTS).detail(detail),
        Error::Discontinued => Problem::from(problems::PRODUCT_DISCONTINUED).detail(detail),
        Error::SkuTaken { .. } => Problem::from(problems::SKU_TAKEN).detail(detail),
    }
}
