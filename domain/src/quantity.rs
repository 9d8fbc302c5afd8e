//! How many.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Invalid;

/// A number of pieces: 1 to 1,000,000. Zero is never asked for; "nothing" is the absence of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64")]
pub struct Quantity(u32);

impl Quantity {
    /// More than a store holds of anything: what exceeds it is a typing error. Times the highest price it fits an `i64`.
    pub const MAX: u32 = 1_000_000;

    /// # Errors
    /// [`Invalid`] for zero and for more than [`Quantity::MAX`].
    pub fn new(pieces: u32) -> Result<Self, Invalid> {
        Self::try_from(i64::from(pieces))
    }

    /// The number of pieces.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<i64> for Quantity {
    type Error = Invalid;

    fn try_from(raw: i64) -> Result<Self, Invalid> {
        u32::try_from(raw)
            .ok()
            .filter(|pieces| (1..=Self::MAX).contains(pieces))
            .map(Self)
            .ok_or_else(|| {
                Invalid::new(
                    "quantity",
                    format!("must be a whole number from 1 to {}", Self::MAX),
                )
            })
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_neither_nothing_nor_absurd() {
        assert_eq!(
            serde_json::from_str::<Quantity>("1000000").unwrap().get(),
            1_000_000
        );
        for raw in ["0", "-1", "1000001", "1.5", "\"1\""] {
            assert!(serde_json::from_str::<Quantity>(raw).is_err(), "{raw}");
        }
    }
}
