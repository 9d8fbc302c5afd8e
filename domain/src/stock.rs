//! What a store has of a SKU, and how much of it is promised. One stream per store and SKU; counts only, which order
//! holds what is the reservation's to know. The SKU need not be a product yet.
//!
//! Invariant: `available = on_hand - reserved` is never negative. Every event carries the levels after it, so that a
//! reader needs the last one only; folding checks that they follow from what happened.

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

use crate::aggregate::{illegal, write};
use crate::{OrderId, Quantity, Reason};

mod event;
mod levels;
mod stock_id;

pub use event::{EVENT_TYPES, Event};
pub use levels::Levels;
pub use stock_id::StockId;

/// Available pieces at which a shelf is refilled; crossing it downwards is told.
pub const LOW_STOCK_THRESHOLD: u32 = 10;

/// Most pieces of a SKU in a store: a thousand of the largest deliveries, far below where counts would overflow.
pub const ON_HAND_MAX: u32 = 1_000_000_000;

/// What can be asked. `id` names the stream; its parts go into the events.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the members mean the same in every variant, said above and at their types"
)]
pub enum Command {
    /// Goods have arrived.
    Receive { id: StockId, quantity: Quantity },
    /// The count was wrong by `delta`.
    Adjust {
        id: StockId,
        delta: i64,
        reason: Reason,
    },
    /// Promise pieces to an order.
    Reserve {
        id: StockId,
        order_id: OrderId,
        quantity: Quantity,
    },
    /// Take a promise back.
    Release {
        id: StockId,
        order_id: OrderId,
        quantity: Quantity,
    },
    /// Promised pieces leave the store.
    Commit {
        id: StockId,
        order_id: OrderId,
        quantity: Quantity,
    },
    /// Pieces of an order come back.
    Return {
        id: StockId,
        order_id: OrderId,
        quantity: Quantity,
    },
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "the members are numbers of pieces: those asked for, and those there are"
)]
pub enum Error {
    /// Fewer pieces are available than asked for.
    #[error("{available} available, {requested} requested")]
    InsufficientStock { requested: u32, available: u32 },
    /// Fewer pieces are promised than are to be released or to leave.
    #[error("{reserved} reserved, {requested} requested")]
    NotReserved { requested: u32, reserved: u32 },
    /// The correction would leave fewer pieces than are promised.
    #[error("adjusting {on_hand} on hand by {delta} would leave less than the {reserved} reserved")]
    BelowReserved {
        on_hand: u32,
        reserved: u32,
        delta: i64,
    },
    /// More than [`ON_HAND_MAX`] pieces.
    #[error("{on_hand} on hand and {requested} more would exceed the maximum of {maximum}")]
    TooMany {
        on_hand: u32,
        requested: i64,
        maximum: u32,
    },
}

/// Shape of a snapshot of [`Stock`]; changes whenever its serialised form does.
pub const SHAPE: &str = "stock-1";

/// A stock as decisions see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stock {
    /// Never had a piece.
    #[default]
    Untracked,
    /// Has levels, though they may be zero.
    Tracked(Levels),
}

impl Stock {
    /// The counts; zero before the first piece.
    #[must_use]
    pub fn levels(&self) -> Levels {
        match self {
            Stock::Untracked => Levels::default(),
            Stock::Tracked(levels) => *levels,
        }
    }

    /// # Errors
    /// [`Error`] where the pieces are not there. An adjustment by nothing yields no event.
    pub fn decide(&self, command: Command) -> Result<Vec<Event>, Error> {
        let before = self.levels();
        let event = match command {
            Command::Receive { id, quantity } => receive(before, id, quantity)?,
            Command::Adjust { delta: 0, .. } => return Ok(vec![]),
            Command::Adjust { id, delta, reason } => adjust(before, id, delta, reason)?,
            Command::Reserve {
                id,
                order_id,
                quantity,
            } => reserve(before, id, order_id, quantity)?,
            Command::Release {
                id,
                order_id,
                quantity,
            } => release(before, id, order_id, quantity)?,
            Command::Commit {
                id,
                order_id,
                quantity,
            } => commit(before, id, order_id, quantity)?,
            Command::Return {
                id,
                order_id,
                quantity,
            } => take_back(before, id, order_id, quantity)?,
        };
        Ok(with_alerts(before, event))
    }
}

fn receive(before: Levels, id: StockId, quantity: Quantity) -> Result<Event, Error> {
    let StockId { store_id, sku } = id;
    let Levels { on_hand, reserved } = arrive(before, quantity)?;
    Ok(Event::Received {
        store_id,
        sku,
        quantity,
        on_hand,
        reserved,
    })
}

fn adjust(before: Levels, id: StockId, delta: i64, reason: Reason) -> Result<Event, Error> {
    let StockId { store_id, sku } = id;
    let Levels { on_hand, reserved } = within_maximum(before.adjust(delta)).ok_or_else(|| {
        if delta > 0 {
            return too_many(before, delta);
        }
        Error::BelowReserved {
            on_hand: before.on_hand,
            reserved: before.reserved,
            delta,
        }
    })?;
    Ok(Event::Adjusted {
        store_id,
        sku,
        expected: before.on_hand,
        reason,
        on_hand,
        reserved,
    })
}

fn reserve(
    before: Levels,
    id: StockId,
    order_id: OrderId,
    quantity: Quantity,
) -> Result<Event, Error> {
    let StockId { store_id, sku } = id;
    let (requested, available) = (quantity.get(), before.available());
    let Levels { on_hand, reserved } =
        before.reserve(requested).ok_or(Error::InsufficientStock {
            requested,
            available,
        })?;
    Ok(Event::Reserved {
        store_id,
        sku,
        order_id,
        quantity,
        on_hand,
        reserved,
    })
}

fn release(
    before: Levels,
    id: StockId,
    order_id: OrderId,
    quantity: Quantity,
) -> Result<Event, Error> {
    let StockId { store_id, sku } = id;
    let after = before.release(quantity.get());
    let Levels { on_hand, reserved } = after.ok_or_else(|| not_reserved(before, quantity))?;
    Ok(Event::Released {
        store_id,
        sku,
        order_id,
        quantity,
        on_hand,
        reserved,
    })
}

fn commit(
    before: Levels,
    id: StockId,
    order_id: OrderId,
    quantity: Quantity,
) -> Result<Event, Error> {
    let StockId { store_id, sku } = id;
    let after = before.commit(quantity.get());
    let Levels { on_hand, reserved } = after.ok_or_else(|| not_reserved(before, quantity))?;
    Ok(Event::Committed {
        store_id,
        sku,
        order_id,
        quantity,
        on_hand,
        reserved,
    })
}

fn take_back(
    before: Levels,
    id: StockId,
    order_id: OrderId,
    quantity: Quantity,
) -> Result<Event, Error> {
    let StockId { store_id, sku } = id;
    let Levels { on_hand, reserved } = arrive(before, quantity)?;
    Ok(Event::Returned {
        store_id,
        sku,
        order_id,
        quantity,
        on_hand,
        reserved,
    })
}

fn arrive(before: Levels, quantity: Quantity) -> Result<Levels, Error> {
    within_maximum(before.arrive(quantity.get()))
        .ok_or_else(|| too_many(before, i64::from(quantity.get())))
}

/// The maximum bounds what is decided, not what is applied: history stays legal if it is ever lowered.
fn within_maximum(after: Option<Levels>) -> Option<Levels> {
    after.filter(|levels| levels.on_hand <= ON_HAND_MAX)
}

fn too_many(before: Levels, requested: i64) -> Error {
    Error::TooMany {
        on_hand: before.on_hand,
        requested,
        maximum: ON_HAND_MAX,
    }
}

fn not_reserved(before: Levels, quantity: Quantity) -> Error {
    Error::NotReserved {
        requested: quantity.get(),
        reserved: before.reserved,
    }
}

/// The event, and what its crossing of a line gives notice of.
fn with_alerts(before: Levels, event: Event) -> Vec<Event> {
    let (store_id, sku, after) = event.levels();
    let (store_id, sku) = (store_id.clone(), sku.clone());
    let Levels { on_hand, reserved } = after;
    let available = after.available();
    let falls_to = |line: u32| before.available() > line && available <= line;
    let mut events = vec![event];
    if falls_to(LOW_STOCK_THRESHOLD) {
        let threshold = LOW_STOCK_THRESHOLD;
        let (store_id, sku) = (store_id.clone(), sku.clone());
        events.push(Event::LowStock {
            store_id,
            sku,
            available,
            threshold,
            on_hand,
            reserved,
        });
    }
    if falls_to(0) {
        events.push(Event::OutOfStock {
            store_id,
            sku,
            on_hand,
            reserved,
        });
    }
    events
}

impl Aggregate for Stock {
    const TYPE: &'static str = "stock";
    type Command = Command;
    type Event = Event;
    type Error = Error;
    type Services = ();

    async fn handle(
        &mut self,
        command: Command,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Error> {
        let decided = self.decide(command);
        write(self, decided, sink).await
    }

    fn apply(&mut self, event: Event) {
        let (_, _, stated) = event.levels();
        if event.applied_to(self.levels()) != Some(stated) {
            illegal(self, &event);
        }
        *self = Stock::Tracked(stated);
    }
}

#[cfg(test)]
mod tests;
