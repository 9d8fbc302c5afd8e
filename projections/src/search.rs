//! `search`: one document a SKU, with a product part and a stock part, whichever comes first.

use std::collections::{HashMap, HashSet};

use cqrs_es::Aggregate;
use domain::product::Event;
use domain::{Product, Stock};
use eventstore::{HandleError, RecordedEvent};
use read_models::products::Status;
use read_models::search::{Document, IndexError, ProductPart, SearchWriter, StockPart};
use read_models::stock::Stock as Levels;

use crate::products::{NOT_CREATED, money};
use crate::recorded::{self, Recorded, poison};
use crate::stock::levels;

/// The aggregate types whose events are read; those of others are passed over.
pub(crate) const READS: [&str; 2] = [Product::TYPE, Stock::TYPE];

/// What is read.
pub(crate) enum Change {
    Product(Event),
    Stock(Levels),
}

/// Why a batch was not put into the index.
pub(crate) enum Failure {
    /// An event cannot be handled; nothing was put.
    Poison(HandleError),
    /// The writer is dead until it is recovered.
    Index(IndexError),
}

impl From<IndexError> for Failure {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

/// Parses an event of a type that is read.
pub(crate) fn read(event: &RecordedEvent) -> Result<Recorded<'_, Change>, HandleError> {
    if event.aggregate_type == Stock::TYPE {
        let recorded = recorded::read(event).map(levels)?;
        return Ok(recorded.map(Change::Stock));
    }
    Ok(recorded::read(event)?.map(Change::Product))
}

/// Puts what the events make of their documents, each document once. Parts that show an event already pass it
/// over. To be committed by the caller.
pub(crate) fn write(
    writer: &mut SearchWriter,
    events: Vec<Recorded<'_, Change>>,
) -> Result<(), Failure> {
    let mut batch = Batch::default();
    for recorded in events {
        let Recorded {
            position,
            id,
            version,
            event,
            ..
        } = recorded;
        match event {
            Change::Product(event) => {
                batch
                    .product(writer, id, version, event)?
                    .map_err(|error| Failure::Poison(poison(position, error)))?;
            }
            Change::Stock(levels) => batch.stock(writer, levels)?,
        }
    }
    for document in batch.into_changed() {
        writer.put(document)?;
    }
    Ok(())
}

/// The documents that a batch has touched.
#[derive(Default)]
struct Batch {
    documents: HashMap<String, Document>,
    /// SKUs by product id.
    products: HashMap<String, String>,
    changed: HashSet<String>,
}

impl Batch {
    fn product(
        &mut self,
        writer: &SearchWriter,
        id: &str,
        version: i64,
        event: Event,
    ) -> Result<Result<(), &'static str>, IndexError> {
        let sku = match &event {
            Event::Created { sku, .. } => Some(sku.as_str().to_owned()),
            Event::Updated(_) | Event::PriceChanged { .. } | Event::Discontinued => {
                self.sku_of(writer, id)?
            }
        };
        let Some(sku) = sku else {
            return Ok(Err(NOT_CREATED));
        };
        let document = self.document(writer, &sku)?;
        if document
            .product
            .as_ref()
            .is_some_and(|part| part.version >= version)
        {
            return Ok(Ok(()));
        }
        match product_part(document.product.take(), id, version, event) {
            Ok(part) => document.product = Some(part),
            Err(error) => return Ok(Err(error)),
        }
        self.products.insert(id.to_owned(), sku.clone());
        self.changed.insert(sku);
        Ok(Ok(()))
    }

    fn stock(&mut self, writer: &SearchWriter, levels: Levels) -> Result<(), IndexError> {
        let document = self.document(writer, &levels.sku)?;
        let before = document.stock.get(&levels.store_id);
        if before.is_some_and(|part| part.version >= levels.version) {
            return Ok(());
        }
        let part = StockPart {
            on_hand: levels.on_hand,
            reserved: levels.reserved,
            available: levels.available,
            version: levels.version,
        };
        document.stock.insert(levels.store_id, part);
        self.changed.insert(levels.sku);
        Ok(())
    }

    /// A product keeps its SKU for good.
    fn sku_of(&mut self, writer: &SearchWriter, id: &str) -> Result<Option<String>, IndexError> {
        if let Some(sku) = self.products.get(id) {
            return Ok(Some(sku.clone()));
        }
        Ok(writer.get_by_product(id)?.map(|document| document.sku))
    }

    fn document(&mut self, writer: &SearchWriter, sku: &str) -> Result<&mut Document, IndexError> {
        if !self.documents.contains_key(sku) {
            let stored = writer.get(sku)?;
            let document = stored.unwrap_or_else(|| Document::new(sku));
            self.documents.insert(sku.to_owned(), document);
        }
        Ok(self.documents.entry(sku.to_owned()).or_default())
    }

    fn into_changed(mut self) -> impl Iterator<Item = Document> {
        let changed = self.changed;
        changed
            .into_iter()
            .filter_map(move |sku| self.documents.remove(&sku))
    }
}

fn product_part(
    part: Option<ProductPart>,
    id: &str,
    version: i64,
    event: Event,
) -> Result<ProductPart, &'static str> {
    let existing = || part.ok_or(NOT_CREATED);
    Ok(match event {
        Event::Created {
            sku: _,
            name,
            brand,
            description,
            category,
            size,
            attributes,
            price,
        } => ProductPart {
            id: id.to_owned(),
            name: name.into(),
            brand: brand.map(Into::into),
            description: description.map(Into::into),
            category: category.into(),
            size: size.map(Into::into),
            attributes: attributes.as_map().clone(),
            price: money(price),
            status: Status::Active,
            version,
        },
        Event::Updated(details) => ProductPart {
            name: details.name.into(),
            brand: details.brand.map(Into::into),
            description: details.description.map(Into::into),
            category: details.category.into(),
            size: details.size.map(Into::into),
            attributes: details.attributes.as_map().clone(),
            version,
            ..existing()?
        },
        Event::PriceChanged { price } => ProductPart {
            price: money(price),
            version,
            ..existing()?
        },
        Event::Discontinued => ProductPart {
            status: Status::Discontinued,
            version,
            ..existing()?
        },
    })
}
