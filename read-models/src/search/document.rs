//! What the index knows of one SKU.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::products::{Money, Status};

/// A document, found by its SKU. Searches find it once it has a product part that is active.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Document {
    pub sku: String,
    pub product: Option<ProductPart>,
    /// By store id; stock may come before its product.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stock: BTreeMap<String, StockPart>,
}

/// The product's part of a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProductPart {
    pub id: String,
    pub name: String,
    pub brand: Option<String>,
    pub description: Option<String>,
    /// From the widest to the narrowest.
    pub category: Vec<String>,
    pub size: Option<String>,
    pub attributes: BTreeMap<String, String>,
    pub price: Money,
    pub status: Status,
    /// Version of the product's stream.
    pub version: i64,
}

/// Stock of the SKU in one store, in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockPart {
    pub on_hand: i64,
    pub reserved: i64,
    /// `on_hand` less `reserved`.
    pub available: i64,
    /// Version of the stock's stream.
    pub version: i64,
}

impl Document {
    /// A document that knows nothing but its SKU yet.
    pub fn new(sku: impl Into<String>) -> Self {
        Self {
            sku: sku.into(),
            ..Self::default()
        }
    }

    /// The product part, if searches may find it.
    pub(super) fn listed(&self) -> Option<&ProductPart> {
        self.product
            .as_ref()
            .filter(|product| product.status == Status::Active)
    }
}
