//! A product: what is sold, and for how much.
//!
//! Invariants: a product's SKU never changes and is no other product's (see [`create`]); a discontinued product changes
//! no more.

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

use crate::aggregate::{event_types, illegal, write};
use crate::sku_claim::{self, SkuClaim};
use crate::{Price, ProductId, Sku};

mod attributes;
mod category;
mod details;

pub use attributes::Attributes;
pub use category::Category;
pub use details::{Brand, Description, Details, DetailsChange, Name, Size};

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The product's own half of [`create`], which claims the SKU as well.
    Create(Create),
    /// Describe it otherwise.
    UpdateDetails(DetailsChange),
    /// Sell it for another price from now on.
    ChangePrice {
        /// What one piece is to cost.
        price: Price,
    },
    /// Sell it no more.
    Discontinue,
}

/// A product to begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    /// The id of the product's stream, drawn by the caller.
    pub product_id: ProductId,
    /// Its SKU; the stream of the claim.
    pub sku: Sku,
    /// What one piece costs.
    pub price: Price,
    /// What describes it.
    pub details: Details,
}

/// What has happened. Each carries what it changed as it is afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Event {
    /// The product is sold from now on. The members of [`Details`] stand beside SKU and price; spelt out because a
    /// flattened struct costs a second pass on every replay.
    #[serde(rename = "product.created")]
    Created {
        /// For good.
        sku: Sku,
        /// See [`Details`].
        name: Name,
        /// See [`Details`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        brand: Option<Brand>,
        /// See [`Details`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<Description>,
        /// See [`Details`].
        #[serde(default)]
        category: Category,
        /// See [`Details`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<Size>,
        /// See [`Details`].
        #[serde(default)]
        attributes: Attributes,
        /// What one piece costs.
        price: Price,
    },
    /// All details as they are now.
    #[serde(rename = "product.updated")]
    Updated(Details),
    /// The price as it is now.
    #[serde(rename = "product.price-changed")]
    PriceChanged {
        /// What one piece costs.
        price: Price,
    },
    /// The product is sold no more.
    #[serde(rename = "product.discontinued")]
    Discontinued,
}

event_types! {
    Created = "product.created" "1.0",
    Updated = "product.updated" "1.0",
    PriceChanged = "product.price-changed" "1.0",
    Discontinued = "product.discontinued" "1.0",
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Error {
    /// No product has this id.
    #[error("product does not exist")]
    NotFound,
    /// A product with this id exists.
    #[error("product already exists")]
    AlreadyExists,
    /// It changes no more.
    #[error("product is discontinued")]
    Discontinued,
    /// Another product has the SKU.
    #[error("sku {sku} is taken")]
    SkuTaken {
        /// The one asked for.
        sku: Sku,
    },
}

/// Shape of a snapshot of [`Product`]; changes whenever its serialised form does.
pub const SHAPE: &str = "product-1";

/// A product as decisions see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Product {
    /// Never created.
    #[default]
    Absent,
    /// On sale.
    Active(Listing),
    /// On sale once.
    Discontinued(Listing),
}

/// What is known of a product, on sale or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// For good.
    pub sku: Sku,
    /// What one piece costs.
    pub price: Price,
    /// What describes it.
    pub details: Details,
}

impl Product {
    /// What is known of it, on sale or not; `None` if it never was.
    #[must_use]
    pub fn listing(&self) -> Option<&Listing> {
        match self {
            Product::Absent => None,
            Product::Active(listing) | Product::Discontinued(listing) => Some(listing),
        }
    }

    /// # Errors
    /// [`Error`] where the state does not allow it. What changes nothing yields no event.
    pub fn decide(&self, command: Command) -> Result<Vec<Event>, Error> {
        match (self, command) {
            (Product::Absent, Command::Create(create)) => Ok(vec![created(create)]),
            (Product::Active(_) | Product::Discontinued(_), Command::Create(_)) => {
                Err(Error::AlreadyExists)
            }
            (Product::Absent, _) => Err(Error::NotFound),

            (Product::Active(_), Command::Discontinue) => Ok(vec![Event::Discontinued]),
            (Product::Discontinued(_), Command::Discontinue) => Ok(vec![]),
            (Product::Discontinued(_), _) => Err(Error::Discontinued),

            (Product::Active(listing), Command::UpdateDetails(change)) => {
                let details = change.of(&listing.details);
                let changed = details != listing.details;
                Ok(changed
                    .then_some(Event::Updated(details))
                    .into_iter()
                    .collect())
            }
            (Product::Active(listing), Command::ChangePrice { price }) => {
                let changed = price != listing.price;
                Ok(changed
                    .then_some(Event::PriceChanged { price })
                    .into_iter()
                    .collect())
            }
        }
    }
}

/// Creates a product and claims its SKU, in one append to both streams.
///
/// # Errors
/// [`Error::SkuTaken`] where another product has the SKU, [`Error::AlreadyExists`] where this one exists.
pub fn create(
    product: &Product,
    claim: &SkuClaim,
    create: Create,
) -> Result<(Vec<Event>, Vec<sku_claim::Event>), Error> {
    let Create {
        product_id, sku, ..
    } = create.clone();
    let product_events = product.decide(Command::Create(create))?;
    let claim_events = claim
        .decide(sku_claim::Command::Claim { product_id })
        .map_err(|refusal| match refusal {
            sku_claim::Error::Taken { .. } => Error::SkuTaken { sku },
        })?;
    Ok((product_events, claim_events))
}

fn created(create: Create) -> Event {
    let Create {
        product_id: _,
        sku,
        price,
        details,
    } = create;
    let Details {
        name,
        brand,
        description,
        category,
        size,
        attributes,
    } = details;
    Event::Created {
        sku,
        name,
        brand,
        description,
        category,
        size,
        attributes,
        price,
    }
}

impl Aggregate for Product {
    const TYPE: &'static str = "product";
    type Command = Command;
    type Event = Event;
    type Error = Error;
    type Services = ();

    async fn handle(
        &mut self,
        command: Command,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Error> {
        let decided = self.decide(command);
        write(self, decided, sink).await
    }

    fn apply(&mut self, event: Event) {
        *self = match (std::mem::take(self), event) {
            (
                Product::Absent,
                Event::Created {
                    sku,
                    name,
                    brand,
                    description,
                    category,
                    size,
                    attributes,
                    price,
                },
            ) => {
                let details = Details {
                    name,
                    brand,
                    description,
                    category,
                    size,
                    attributes,
                };
                Product::Active(Listing {
                    sku,
                    price,
                    details,
                })
            }
            (Product::Active(listing), Event::Updated(details)) => {
                Product::Active(Listing { details, ..listing })
            }
            (Product::Active(listing), Event::PriceChanged { price }) => {
                Product::Active(Listing { price, ..listing })
            }
            (Product::Active(listing), Event::Discontinued) => Product::Discontinued(listing),
            (state, event) => illegal(&state, &event),
        };
    }
}

#[cfg(test)]
mod tests;
