//! A product as a catalogue has it: created where its SKU is nobody's, else changed where it differs.

use std::sync::Arc;
use std::time::Duration;

use domain::product::{Command, Create, Event};
use domain::{Product, ProductId, SkuClaim, product, sku_claim};
use eventstore::{CommandContext, EventStore, ExecuteError, Executed, Stream};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::NewProduct;
use super::line::BadLine;

/// How long the log may take no command, for want of its database or of room, before the rest is given up. Meanwhile
/// whoever sends the catalogue waits.
const OUTAGE_MAX: Duration = Duration::from_secs(60);
/// Waits before a command is tried again: doubled from the first to the second.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// What became of a line.
pub(super) enum Upserted {
    Created(Executed),
    Updated(Executed),
    Unchanged(Executed),
    Refused(BadLine),
    /// Nothing: the log takes no commands.
    GaveUp(GaveUp),
}

/// Why the log takes no commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GaveUp {
    Overloaded,
    Closed,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Refusal {
    /// The SKU is that product's.
    Claimed {
        product_id: ProductId,
    },
    Product(product::Error),
}

/// Brings a product to what the catalogue says. Safe to repeat, and to be tried again whatever came of it. `context` makes
/// one for each try.
pub(super) async fn upsert(
    store: &EventStore,
    context: impl Fn() -> CommandContext,
    new: NewProduct,
) -> Upserted {
    let new = Arc::new(new);
    let began = Instant::now();
    let mut wait = RETRY_MIN;
    loop {
        let gave_up = match attempt(store, &context, &new).await {
            Ok(upserted) => return upserted,
            Err(ExecuteError::Closed) => return Upserted::GaveUp(GaveUp::Closed),
            Err(ExecuteError::Refused { error, .. }) => {
                return Upserted::Refused(refused(&error));
            }
            Err(ExecuteError::Invalid(reason)) => return Upserted::Refused(BadLine::new(&reason)),
            Err(ExecuteError::Corrupt(reason)) => {
                let sku = new.sku.as_str();
                tracing::error!(sku, reason, "a product cannot be imported");
                let detail = "the product's history cannot be read: see the program's log";
                return Upserted::Refused(BadLine::at("/sku", detail));
            }
            // It may have taken effect: then it changes nothing when it is tried again.
            Err(ExecuteError::OutcomeUnknown | ExecuteError::Overloaded) => GaveUp::Overloaded,
            // Of commands with an id or an expected version, which these are not.
            Err(
                ExecuteError::VersionMismatch { .. }
                | ExecuteError::KeyReused
                | ExecuteError::InFlight,
            ) => GaveUp::Overloaded,
        };
        if began.elapsed() + wait > OUTAGE_MAX {
            return Upserted::GaveUp(gave_up);
        }
        sleep(wait).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
}

async fn attempt(
    store: &EventStore,
    context: &impl Fn() -> CommandContext,
    new: &Arc<NewProduct>,
) -> Result<Upserted, ExecuteError<Refusal>> {
    match create(store, context(), new).await {
        Err(ExecuteError::Refused {
            error: Refusal::Claimed { product_id },
            ..
        }) => {
            let executed = revise(store, context(), product_id, new).await?;
            Ok(if executed.events == 0 {
                Upserted::Unchanged(executed)
            } else {
                Upserted::Updated(executed)
            })
        }
        created => created.map(Upserted::Created),
    }
}

async fn create(
    store: &EventStore,
    context: CommandContext,
    new: &Arc<NewProduct>,
) -> Result<Executed, ExecuteError<Refusal>> {
    let product_id = ProductId::new(Uuid::now_v7());
    let streams = (
        Stream::<Product>::beginning(product_id.to_string()),
        Stream::<SkuClaim>::new(new.sku.as_str()),
    );
    let new = Arc::clone(new);
    store
        .execute(streams, context, move |(product, claim)| {
            if let Some(product_id) = claim.holder() {
                return Err(Refusal::Claimed { product_id });
            }
            let NewProduct {
                sku,
                price,
                details,
            } = NewProduct::clone(&new);
            let create = Create {
                product_id,
                sku,
                price,
                details,
            };
            let decided: (Vec<Event>, Vec<sku_claim::Event>) =
                product::create(product, claim, create).map_err(Refusal::Product)?;
            Ok(decided)
        })
        .await
}

/// A SKU is a product's for good, so the claim need not be looked at again.
async fn revise(
    store: &EventStore,
    context: CommandContext,
    product_id: ProductId,
    new: &Arc<NewProduct>,
) -> Result<Executed, ExecuteError<Refusal>> {
    let stream = Stream::<Product>::new(product_id.to_string());
    let new = Arc::clone(new);
    store
        .execute(stream, context, move |product| {
            // Neither looks at what the other changes, so both can be decided on the same state.
            let details = Command::UpdateDetails(new.details.clone().into());
            let mut events = product.decide(details).map_err(Refusal::Product)?;
            let price = Command::ChangePrice { price: new.price };
            events.extend(product.decide(price).map_err(Refusal::Product)?);
            Ok(events)
        })
        .await
}

fn refused(refusal: &Refusal) -> BadLine {
    match refusal {
        Refusal::Product(error) => BadLine::at("/sku", &error.to_string()),
        Refusal::Claimed { product_id } => {
            BadLine::at("/sku", &format!("it is product {product_id}'s"))
        }
    }
}
