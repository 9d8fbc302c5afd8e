//! What a search asks for.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::tokenizers;

/// Hits on a page, unless asked otherwise.
pub const LIMIT_DEFAULT: usize = 50;

/// Hits on a page at most.
pub const LIMIT_MAX: usize = 200;

/// Longer than any product's name; each character can cost.
pub const QUERY_CHARS_MAX: usize = 200;

/// Each word is looked for in every field. In Chinese and Japanese each character is a word.
pub const QUERY_WORDS_MAX: usize = 32;

/// Brands of one search at most.
const BRANDS_MAX: usize = 20;

/// The order of the hits; equal ones follow by SKU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = SearchSort)]
pub enum Sort {
    /// Best match first; by name where nothing is searched for.
    #[default]
    Relevance,
    PriceAsc,
    PriceDesc,
    Name,
}

/// A search over the active products. Everything given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SearchRequest {
    /// Words, all of which must be found; the last one may be the beginning of a word. Empty finds
    /// every product.
    pub q: String,
    /// A category by its path (`Beverages/Beer`) or by the name of one level (`Beer`).
    pub category: Option<String>,
    /// Any of these brands; none: every brand.
    pub brand: Vec<String>,
    /// In the currency's smallest unit, inclusive.
    pub price_min: Option<i64>,
    /// In the currency's smallest unit, inclusive.
    pub price_max: Option<i64>,
    /// A store that must have some available.
    pub in_stock_at: Option<String>,
    pub sort: Sort,
    /// From 1 to 200.
    pub limit: usize,
    /// The `next_cursor` of the page before, for the same search.
    pub cursor: Option<String>,
}

impl Default for SearchRequest {
    fn default() -> Self {
        Self {
            q: String::new(),
            category: None,
            brand: Vec::new(),
            price_min: None,
            price_max: None,
            in_stock_at: None,
            sort: Sort::default(),
            limit: LIMIT_DEFAULT,
            cursor: None,
        }
    }
}

/// A parameter of a search that cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{parameter}: {detail}")]
pub struct InvalidRequest {
    pub parameter: &'static str,
    pub detail: String,
}

impl SearchRequest {
    /// Searches for these words.
    pub fn words(q: impl Into<String>) -> Self {
        Self {
            q: q.into(),
            ..Self::default()
        }
    }

    /// Checks every limit and returns the words to look for.
    pub(super) fn parse(&self) -> Result<Vec<String>, InvalidRequest> {
        let words = parse_words(&self.q)?;
        if self.brand.len() > BRANDS_MAX {
            return Err(invalid("brand", format!("at most {BRANDS_MAX} brands")));
        }
        for (parameter, price) in [("price_min", self.price_min), ("price_max", self.price_max)] {
            if price.is_some_and(|price| price < 0) {
                return Err(invalid(parameter, "not below 0"));
            }
        }
        if !(1..=LIMIT_MAX).contains(&self.limit) {
            return Err(invalid("limit", format!("from 1 to {LIMIT_MAX}")));
        }
        Ok(words)
    }

    /// The order that is meant.
    pub(super) fn effective_sort(&self) -> Sort {
        match self.sort {
            // Without words all are equally relevant.
            Sort::Relevance if self.q.trim().is_empty() => Sort::Name,
            sort => sort,
        }
    }
}

/// The words of a text that is searched for.
pub(super) fn parse_words(q: &str) -> Result<Vec<String>, InvalidRequest> {
    if q.chars().count() > QUERY_CHARS_MAX {
        return Err(invalid(
            "q",
            format!("at most {QUERY_CHARS_MAX} characters"),
        ));
    }
    let words = tokenizers::words(q);
    if words.len() > QUERY_WORDS_MAX {
        return Err(invalid("q", format!("at most {QUERY_WORDS_MAX} words")));
    }
    Ok(words)
}

pub(super) fn invalid(parameter: &'static str, detail: impl Into<String>) -> InvalidRequest {
    InvalidRequest {
        parameter,
        detail: detail.into(),
    }
}
