//! Rows and documents to test with.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use read_models::Checkpoint;
use read_models::products::{Money, Product, Status};
use read_models::search::{Document, ProductPart, SearchWriter, StockPart};
use tokio::time::Instant;
use uuid::Uuid;

/// Long enough for a busy machine; whatever waits ends much sooner.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

pub fn at(position: i64) -> Checkpoint {
    Checkpoint {
        position,
        event_id: Some(Uuid::from_u128(position.unsigned_abs().into())),
    }
}

pub fn euros(amount_minor: i64) -> Money {
    Money {
        amount_minor,
        currency: "EUR".to_owned(),
    }
}

pub fn product(id: &str, sku: &str) -> Product {
    Product {
        id: id.to_owned(),
        sku: sku.to_owned(),
        name: format!("Product {sku}"),
        brand: Some("Brand".to_owned()),
        description: None,
        category: vec!["Food".to_owned(), "Fruit".to_owned()],
        size: Some("1 kg".to_owned()),
        attributes: BTreeMap::from([("tier".to_owned(), "premium".to_owned())]),
        price: euros(199),
        status: Status::Active,
        version: 1,
    }
}

pub fn part(id: &str, name: &str) -> ProductPart {
    ProductPart {
        id: id.to_owned(),
        name: name.to_owned(),
        brand: None,
        description: None,
        category: Vec::new(),
        size: None,
        attributes: BTreeMap::new(),
        price: euros(100),
        status: Status::Active,
        version: 1,
    }
}

/// An active product named so, its id `id-<sku>`.
pub fn document(sku: &str, name: &str) -> Document {
    Document {
        product: Some(part(&format!("id-{sku}"), name)),
        ..Document::new(sku)
    }
}

/// Like [`document`], changed before it is used.
pub fn document_with(sku: &str, name: &str, change: impl FnOnce(&mut ProductPart)) -> Document {
    let mut product = part(&format!("id-{sku}"), name);
    change(&mut product);
    Document {
        product: Some(product),
        ..Document::new(sku)
    }
}

pub fn pieces(available: i64) -> StockPart {
    StockPart {
        on_hand: available,
        reserved: 0,
        available,
        version: 1,
    }
}

pub fn index_of(dir: &Path, documents: impl IntoIterator<Item = Document>) -> SearchWriter {
    let mut writer = SearchWriter::create(dir).unwrap();
    for document in documents {
        writer.put(document).unwrap();
    }
    writer.commit(&at(1)).unwrap();
    writer
}
