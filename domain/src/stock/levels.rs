//! The two counts of a stock and how they move.

use serde::{Deserialize, Serialize};

/// How many pieces there are and how many of them are promised: `reserved <= on_hand`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Levels {
    /// Pieces in the store.
    pub on_hand: u32,
    /// Those among them that are promised to orders.
    pub reserved: u32,
}

/// Each move is `None` where it would break `0 <= reserved <= on_hand`.
impl Levels {
    /// Pieces that can still be promised.
    #[must_use]
    pub const fn available(self) -> u32 {
        self.on_hand.saturating_sub(self.reserved)
    }

    pub(super) fn arrive(self, quantity: u32) -> Option<Self> {
        Some(Self {
            on_hand: self.on_hand.checked_add(quantity)?,
            ..self
        })
    }

    pub(super) fn adjust(self, delta: i64) -> Option<Self> {
        let on_hand = u32::try_from(i64::from(self.on_hand).checked_add(delta)?).ok()?;
        self.counted(on_hand)
    }

    pub(super) fn counted(self, on_hand: u32) -> Option<Self> {
        Self { on_hand, ..self }.sound()
    }

    pub(super) fn reserve(self, quantity: u32) -> Option<Self> {
        Self {
            reserved: self.reserved.checked_add(quantity)?,
            ..self
        }
        .sound()
    }

    pub(super) fn release(self, quantity: u32) -> Option<Self> {
        Some(Self {
            reserved: self.reserved.checked_sub(quantity)?,
            ..self
        })
    }

    pub(super) fn commit(self, quantity: u32) -> Option<Self> {
        let on_hand = self.on_hand.checked_sub(quantity)?;
        Some(Self {
            on_hand,
            reserved: self.reserved.checked_sub(quantity)?,
        })
    }

    fn sound(self) -> Option<Self> {
        (self.reserved <= self.on_hand).then_some(self)
    }
}
