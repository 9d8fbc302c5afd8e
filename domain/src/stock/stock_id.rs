//! Which stock.

use std::fmt;
use std::str::FromStr;

use crate::{Invalid, Sku, StoreId};

/// A store and a SKU. Written `<store_id>:<sku>`, the id of the stock's stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StockId {
    /// Where.
    pub store_id: StoreId,
    /// What.
    pub sku: Sku,
}

impl StockId {
    /// The stock of a SKU in a store.
    #[must_use]
    pub const fn new(store_id: StoreId, sku: Sku) -> Self {
        Self { store_id, sku }
    }
}

impl fmt::Display for StockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.store_id, self.sku)
    }
}

impl FromStr for StockId {
    type Err = Invalid;

    fn from_str(raw: &str) -> Result<Self, Invalid> {
        // Neither part can contain the colon.
        let (store_id, sku) = raw
            .split_once(':')
            .ok_or_else(|| Invalid::new("stock id", "must be a store id, a colon and a sku"))?;
        Ok(Self {
            store_id: store_id.parse()?,
            sku: sku.parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stock_id_names_store_and_sku() {
        let id: StockId = "store-1:AB-BEE-001".parse().unwrap();
        assert_eq!(
            (id.store_id.as_str(), id.sku.as_str()),
            ("store-1", "AB-BEE-001")
        );
        assert_eq!(id.to_string(), "store-1:AB-BEE-001");
        for raw in ["", "store-1", "store-1:", ":x", "a:b:c"] {
            assert!(raw.parse::<StockId>().is_err(), "{raw}");
        }
    }
}
