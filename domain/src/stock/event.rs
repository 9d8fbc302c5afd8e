//! What happens to a stock.

use serde::{Deserialize, Serialize};

use super::Levels;
use crate::aggregate::event_types;
use crate::{OrderId, Quantity, Reason, Sku, StoreId};

/// What has happened. `on_hand` and `reserved` are the levels after it; the alerts repeat them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
#[expect(
    missing_docs,
    reason = "the members mean the same in every variant, said above and at their types"
)]
pub enum Event {
    /// Goods arrived.
    #[serde(rename = "inventory.received")]
    Received {
        store_id: StoreId,
        sku: Sku,
        quantity: Quantity,
        on_hand: u32,
        reserved: u32,
    },
    /// The pieces were counted: not those `expected`, but `on_hand`.
    #[serde(rename = "inventory.adjusted")]
    Adjusted {
        store_id: StoreId,
        sku: Sku,
        expected: u32,
        reason: Reason,
        on_hand: u32,
        reserved: u32,
    },
    /// Pieces are promised to an order.
    #[serde(rename = "inventory.reserved")]
    Reserved {
        store_id: StoreId,
        sku: Sku,
        order_id: OrderId,
        quantity: Quantity,
        on_hand: u32,
        reserved: u32,
    },
    /// A promise to an order was taken back.
    #[serde(rename = "inventory.released")]
    Released {
        store_id: StoreId,
        sku: Sku,
        order_id: OrderId,
        quantity: Quantity,
        on_hand: u32,
        reserved: u32,
    },
    /// Promised pieces left the store with their order.
    #[serde(rename = "inventory.committed")]
    Committed {
        store_id: StoreId,
        sku: Sku,
        order_id: OrderId,
        quantity: Quantity,
        on_hand: u32,
        reserved: u32,
    },
    /// Pieces of an order came back into the store.
    #[serde(rename = "inventory.returned")]
    Returned {
        store_id: StoreId,
        sku: Sku,
        order_id: OrderId,
        quantity: Quantity,
        on_hand: u32,
        reserved: u32,
    },
    /// What is available fell from above `threshold` to it or below.
    #[serde(rename = "inventory.low-stock")]
    LowStock {
        store_id: StoreId,
        sku: Sku,
        available: u32,
        threshold: u32,
        on_hand: u32,
        reserved: u32,
    },
    /// What is available fell to nothing.
    #[serde(rename = "inventory.out-of-stock")]
    OutOfStock {
        store_id: StoreId,
        sku: Sku,
        on_hand: u32,
        reserved: u32,
    },
}

event_types! {
    Received = "inventory.received" "1.0",
    Adjusted = "inventory.adjusted" "2.0",
    Reserved = "inventory.reserved" "1.0",
    Released = "inventory.released" "1.0",
    Committed = "inventory.committed" "1.0",
    Returned = "inventory.returned" "1.0",
    LowStock = "inventory.low-stock" "1.0",
    OutOfStock = "inventory.out-of-stock" "1.0",
}

impl Event {
    /// Where, what, and the levels after it: all that a table of stock needs.
    #[must_use]
    pub fn levels(&self) -> (&StoreId, &Sku, Levels) {
        match self {
            Event::Received {
                store_id,
                sku,
                on_hand,
                reserved,
                ..
            }
            | Event::Adjusted {
                store_id,
                sku,
                on_hand,
                reserved,
                ..
            }
            | Event::Reserved {
                store_id,
                sku,
                on_hand,
                reserved,
                ..
            }
            | Event::Released {
                store_id,
                sku,
                on_hand,
                reserved,
                ..
            }
            | Event::Committed {
                store_id,
                sku,
                on_hand,
                reserved,
                ..
            }
            | Event::Returned {
                store_id,
                sku,
                on_hand,
                reserved,
                ..
            }
            | Event::LowStock {
                store_id,
                sku,
                on_hand,
                reserved,
                ..
            }
            | Event::OutOfStock {
                store_id,
                sku,
                on_hand,
                reserved,
            } => (
                store_id,
                sku,
                Levels {
                    on_hand: *on_hand,
                    reserved: *reserved,
                },
            ),
        }
    }

    /// What `before` becomes by this event; `None` where it cannot have happened to it.
    pub(super) fn applied_to(&self, before: Levels) -> Option<Levels> {
        match self {
            Event::Received { quantity, .. } | Event::Returned { quantity, .. } => {
                before.arrive(quantity.get())
            }
            Event::Adjusted {
                expected, on_hand, ..
            } => (before.on_hand == *expected)
                .then(|| before.counted(*on_hand))
                .flatten(),
            Event::Reserved { quantity, .. } => before.reserve(quantity.get()),
            Event::Released { quantity, .. } => before.release(quantity.get()),
            Event::Committed { quantity, .. } => before.commit(quantity.get()),
            Event::LowStock { .. } | Event::OutOfStock { .. } => Some(before),
        }
    }
}
