//! Placing an order: the rule over customer and products, which are streams of their own.

use super::{Command, Error, Event, Item, Order, Placement};
use crate::{Product, Quantity, Sku, User};

/// A line as a customer asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What.
    pub sku: Sku,
    /// How many pieces.
    pub quantity: Quantity,
}

/// Who buys, as their own stream tells it, or another service.
#[derive(Debug, Clone, Copy)]
pub enum Customer<'a> {
    /// The user's stream, checked with the append.
    Here(&'a User),
    /// Told by the service that has the users: as of then.
    Elsewhere {
        /// Whether they may buy.
        active: bool,
    },
}

impl Customer<'_> {
    fn is_active(self) -> bool {
        match self {
            Customer::Here(user) => user.active_role().is_some(),
            Customer::Elsewhere { active } => active,
        }
    }
}

/// Places an order of a customer at the prices of this moment: `placement.items` are as they were looked up, `products`
/// are the states of their products, in the same order; what they say now is what counts. Without `products` (they are
/// another service's) the items are taken as they were looked up.
///
/// # Errors
/// [`Error`] where the customer is not active, a product is not on sale any more, or the items do not make an order.
pub fn place(
    order: &Order,
    customer: Customer<'_>,
    products: &[&Product],
    mut placement: Placement,
) -> Result<Vec<Event>, Error> {
    if !customer.is_active() {
        return Err(Error::CustomerNotActive);
    }
    let mut unknown = Vec::new();
    for (place, (item, product)) in placement.items.iter_mut().zip(products).enumerate() {
        if !take_over(item, product) {
            unknown.push(place);
        }
    }
    if !unknown.is_empty() {
        return Err(Error::UnknownItems { items: unknown });
    }
    order.decide(Command::Place(Box::new(placement)))
}

/// Name and price as they are now; false where the product is not on sale, or is not the SKU's.
fn take_over(item: &mut Item, product: &Product) -> bool {
    let Product::Active(listing) = product else {
        return false;
    };
    item.name = listing.details.name.clone();
    item.unit_price = listing.price;
    listing.sku == item.sku
}
