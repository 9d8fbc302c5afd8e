//! From what a customer wants to what the catalogue has.

use std::collections::HashMap;

use domain::order::{Item, Wanted};
use domain::product::Name;
use domain::{Price, Product, ProductId, Sku, SkuClaim};
use eventstore::EventStore;
use http_server::Problem;

use crate::elsewhere::{Asking, Catalogue, KnownProduct};
use crate::problems::of_states;

/// The lines of an order as they were looked up. Whether that still holds is seen with the append.
pub(super) struct Lines {
    /// Those whose SKU is a product's, at the name and price of now.
    pub(super) known: Vec<Item>,
    /// The place of each known one among all lines, from 0.
    pub(super) places: Vec<usize>,
    /// The places of the others.
    pub(super) unknown: Vec<usize>,
}

/// What is sold under a SKU.
pub(super) struct Offer {
    product_id: ProductId,
    name: Name,
    price: Price,
}

impl Lines {
    /// In the log, or where `catalogue` has it.
    pub(super) async fn look_up(
        store: &EventStore,
        catalogue: Option<&dyn Catalogue>,
        wanted: &[Wanted],
        asking: Asking,
    ) -> Result<Self, Problem> {
        let skus: Vec<Sku> = wanted.iter().map(|line| line.sku.clone()).collect();
        let offers = match catalogue {
            None => offers_here(store, &skus).await?,
            Some(catalogue) => offers_elsewhere(catalogue, &skus, asking).await?,
        };
        let mut lines = Self {
            known: Vec::with_capacity(wanted.len()),
            places: Vec::with_capacity(wanted.len()),
            unknown: Vec::new(),
        };
        for (place, line) in wanted.iter().enumerate() {
            let Some(offer) = offers.get(&line.sku) else {
                lines.unknown.push(place);
                continue;
            };
            lines.places.push(place);
            lines.known.push(Item {
                sku: line.sku.clone(),
                product_id: offer.product_id,
                name: offer.name.clone(),
                quantity: line.quantity,
                unit_price: offer.price,
            });
        }
        Ok(lines)
    }
}

async fn offers_here(store: &EventStore, skus: &[Sku]) -> Result<HashMap<Sku, Offer>, Problem> {
    let products = products(store, skus).await?;
    let offers = products
        .into_iter()
        .filter_map(|(sku, product_id, product)| {
            let listing = product.listing()?;
            let offer = Offer {
                product_id,
                name: listing.details.name.clone(),
                price: listing.price,
            };
            Some((sku, offer))
        });
    Ok(offers.collect())
}

async fn offers_elsewhere(
    catalogue: &dyn Catalogue,
    skus: &[Sku],
    asking: Asking,
) -> Result<HashMap<Sku, Offer>, Problem> {
    let products = catalogue.products(skus, asking).await?;
    let offers = products
        .into_iter()
        .filter(KnownProduct::is_active)
        .map(|product| {
            let offer = Offer {
                product_id: product.product_id,
                name: product.name,
                price: product.price,
            };
            (product.sku, offer)
        });
    Ok(offers.collect())
}

/// The products that have these SKUs, in the order of the SKUs; those that are nobody's are left out.
pub(crate) async fn products(
    store: &EventStore,
    skus: &[Sku],
) -> Result<Vec<(Sku, ProductId, Product)>, Problem> {
    let names: Vec<String> = skus.iter().map(ToString::to_string).collect();
    let claims = store.states::<SkuClaim>(&names).await.map_err(of_states)?;
    let holder = |sku: &Sku| claims.get(sku.as_str())?.0.holder();
    let held: Vec<(Sku, ProductId)> = skus
        .iter()
        .filter_map(|sku| Some((sku.clone(), holder(sku)?)))
        .collect();
    let ids: Vec<String> = held.iter().map(|(_, id)| id.to_string()).collect();
    let mut products = store.states::<Product>(&ids).await.map_err(of_states)?;
    let found = held.into_iter().filter_map(|(sku, id)| {
        let (product, _) = products.remove(&id.to_string())?;
        Some((sku, id, product))
    });
    Ok(found.collect())
}

/// Where a line's SKU stands in the body.
pub(super) fn sku_pointer(line: usize) -> String {
    format!("/items/{line}/sku")
}

/// # Errors
/// `invalid-body` where a SKU stands in two lines.
pub(super) fn check_distinct(wanted: &[Wanted]) -> Result<(), Problem> {
    let mut seen = HashMap::with_capacity(wanted.len());
    for (place, line) in wanted.iter().enumerate() {
        if seen.insert(&line.sku, place).is_some() {
            return Err(repeated(place));
        }
    }
    Ok(())
}

pub(super) fn repeated(line: usize) -> Problem {
    Problem::invalid_body(Vec::new()).error(
        sku_pointer(line),
        "stands in an earlier item already: one item for all pieces of a sku",
    )
}
