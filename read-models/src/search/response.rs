//! What a search answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::products::Money;

/// A page of hits, with counts over all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SearchResponse {
    pub hits: Vec<Hit>,
    /// How many products were found in all.
    pub total: u64,
    pub facets: Facets,
    pub took_ms: u64,
    /// The place in the log that the answer stands for.
    pub position: i64,
    /// `null` on the last page.
    pub next_cursor: Option<String>,
}

/// A product that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Hit {
    pub id: String,
    pub sku: String,
    pub name: String,
    pub brand: Option<String>,
    pub category: Vec<String>,
    pub price: Money,
    /// How well it matches; comparable within one answer only.
    pub score: f32,
    /// By field (`name`, `brand`, `description`), where any of the words was found: the text as
    /// HTML, escaped, the words in `<em>`.
    #[schema(example = json!({"name": "Red <em>Onion</em>"}))]
    pub highlights: BTreeMap<String, String>,
}

/// How the hits divide up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Facets {
    /// The categories one level below the one asked for, each as a path to ask for next.
    pub category: Vec<FacetCount>,
    /// The brands with most hits.
    pub brand: Vec<FacetCount>,
    pub price: Vec<PriceRange>,
}

/// How many hits share a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FacetCount {
    pub value: String,
    pub count: u64,
}

/// How many hits are in a range of prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PriceRange {
    /// In the currency's smallest unit, inclusive.
    pub from: i64,
    /// In the currency's smallest unit, exclusive; `null`: no upper end.
    pub to: Option<i64>,
    pub count: u64,
}
