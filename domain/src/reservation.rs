//! What a store has promised to an order: all of its items or none. One stream an order, appended together with the stock
//! streams of its items ([`reserve`], [`release`], [`commit`]), so that the counts of a stock and the promise that moved
//! them are one commit.
//!
//! Invariant: what was confirmed is released or committed once. A release that comes before its request leaves a
//! tombstone, and the request finds it.

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

use crate::aggregate::{event_types, illegal, write};
use crate::stock::{self, StockId};
use crate::{OrderId, Quantity, Sku, Stock, StoreId};

/// One line of a reservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What.
    pub sku: Sku,
    /// How many pieces.
    pub quantity: Quantity,
}

/// A line that the store cannot serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    /// What.
    pub sku: Sku,
    /// Pieces asked for.
    pub requested: u32,
    /// Pieces there are.
    pub available: u32,
}

/// What is asked of a store: for which order, and which lines. No SKU twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// For whom; the id of the reservation's stream.
    pub order_id: OrderId,
    /// Of whom.
    pub store_id: StoreId,
    /// What; their stock streams are `<store_id>:<sku>`, in this order.
    pub items: Vec<Line>,
}

impl Request {
    /// The stock of each line.
    pub fn stocks(&self) -> impl Iterator<Item = StockId> + '_ {
        self.items
            .iter()
            .map(|line| StockId::new(self.store_id.clone(), line.sku.clone()))
    }
}

/// What can be asked of the reservation alone; the stock's half is in [`reserve`], [`release`] and [`commit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Promise the lines.
    Confirm {
        /// Of whom.
        store_id: StoreId,
        /// What.
        items: Vec<Line>,
    },
    /// Promise nothing: the store is short.
    Reject {
        /// Of whom.
        store_id: StoreId,
        /// What is missing.
        shortages: Vec<Shortage>,
    },
    /// Take the promise back.
    Release {
        /// Of whom.
        store_id: StoreId,
    },
    /// The goods leave the store.
    Commit,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Event {
    /// Every line is promised.
    #[serde(rename = "reservation.confirmed")]
    Confirmed {
        /// By whom.
        store_id: StoreId,
        /// What.
        items: Vec<Line>,
    },
    /// Nothing is promised.
    #[serde(rename = "reservation.rejected")]
    Rejected {
        /// By whom.
        store_id: StoreId,
        /// What is missing.
        shortages: Vec<Shortage>,
    },
    /// Nothing is promised any more; what had left the store is back.
    #[serde(rename = "reservation.released")]
    Released {
        /// By whom.
        store_id: StoreId,
        /// What came free; nothing where nothing had been promised.
        items: Vec<Line>,
    },
    /// The goods have left the store.
    #[serde(rename = "reservation.committed")]
    Committed {
        /// By whom.
        store_id: StoreId,
        /// What.
        items: Vec<Line>,
    },
}

event_types! {
    Confirmed = "reservation.confirmed" "1.0",
    Rejected = "reservation.rejected" "1.0",
    Released = "reservation.released" "1.0",
    Committed = "reservation.committed" "1.0",
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Error {
    /// There is nothing to commit.
    #[error("nothing is reserved for the order")]
    NotReserved,
    /// The stock's own refusal, where the reservation says otherwise.
    #[error("stock and reservation disagree: {error}")]
    Stock {
        /// What the stock says.
        error: stock::Error,
    },
}

/// Shape of a snapshot of [`Reservation`]; changes whenever its serialised form does.
pub const SHAPE: &str = "reservation-1";

/// A reservation as decisions see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reservation {
    /// Never asked for.
    #[default]
    Absent,
    /// Promised.
    Confirmed(Held),
    /// The store was short.
    Rejected,
    /// Given back, or refused for good before it was asked for.
    Released,
    /// Out of the store.
    Committed(Held),
}

/// What an order holds of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Of whom.
    pub store_id: StoreId,
    /// What.
    pub items: Vec<Line>,
}

impl Reservation {
    /// # Errors
    /// [`Error::NotReserved`] for a commit of nothing. What was answered before yields no event.
    pub fn decide(&self, command: Command) -> Result<Vec<Event>, Error> {
        let event = match (self, command) {
            (Reservation::Absent, Command::Confirm { store_id, items }) => {
                Event::Confirmed { store_id, items }
            }
            (
                Reservation::Absent,
                Command::Reject {
                    store_id,
                    shortages,
                },
            ) => Event::Rejected {
                store_id,
                shortages,
            },
            (_, Command::Confirm { .. } | Command::Reject { .. }) => return Ok(vec![]),

            (Reservation::Absent, Command::Release { store_id }) => Event::Released {
                store_id,
                items: Vec::new(),
            },
            (
                Reservation::Confirmed(held) | Reservation::Committed(held),
                Command::Release { .. },
            ) => Event::Released {
                store_id: held.store_id.clone(),
                items: held.items.clone(),
            },
            (Reservation::Rejected | Reservation::Released, Command::Release { .. }) => {
                return Ok(vec![]);
            }

            (Reservation::Confirmed(held), Command::Commit) => Event::Committed {
                store_id: held.store_id.clone(),
                items: held.items.clone(),
            },
            (Reservation::Committed(_) | Reservation::Released, Command::Commit) => {
                return Ok(vec![]);
            }
            (Reservation::Absent | Reservation::Rejected, Command::Commit) => {
                return Err(Error::NotReserved);
            }
        };
        Ok(vec![event])
    }
}

/// What an append to a reservation and the stocks of its lines holds.
pub type Decided = Result<(Vec<Event>, Vec<Vec<stock::Event>>), Error>;

/// Promises all lines of an order, or none. `stocks` are the states of [`Request::stocks`].
///
/// # Errors
/// None that a store without the goods causes: that is [`Event::Rejected`].
pub fn reserve(reservation: &Reservation, stocks: &[&Stock], request: Request) -> Decided {
    let ids: Vec<StockId> = request.stocks().collect();
    let Request {
        order_id,
        store_id,
        items,
    } = request;
    let mut moved = Vec::with_capacity(stocks.len());
    let mut shortages = Vec::new();
    for ((stock, id), Line { sku, quantity }) in stocks.iter().zip(ids).zip(&items) {
        let (sku, quantity) = (sku.clone(), *quantity);
        match stock.decide(stock::Command::Reserve {
            id,
            order_id,
            quantity,
        }) {
            Ok(events) => moved.push(events),
            Err(stock::Error::InsufficientStock {
                requested,
                available,
            }) => shortages.push(Shortage {
                sku,
                requested,
                available,
            }),
            Err(error) => return Err(Error::Stock { error }),
        }
    }
    if !shortages.is_empty() {
        let rejected = reservation.decide(Command::Reject {
            store_id,
            shortages,
        })?;
        return Ok((rejected, vec![Vec::new(); stocks.len()]));
    }
    let confirmed = reservation.decide(Command::Confirm { store_id, items })?;
    if confirmed.is_empty() {
        moved = vec![Vec::new(); stocks.len()];
    }
    Ok((confirmed, moved))
}

/// Takes back what was promised, or what has left the store with the order.
///
/// # Errors
/// [`Error::Stock`] where the stock does not hold what the reservation says.
pub fn release(reservation: &Reservation, stocks: &[&Stock], request: &Request) -> Decided {
    let store_id = request.store_id.clone();
    let released = reservation.decide(Command::Release { store_id })?;
    let moved = match reservation {
        Reservation::Confirmed(_) => each(stocks, request, |id, order_id, quantity| {
            stock::Command::Release {
                id,
                order_id,
                quantity,
            }
        })?,
        Reservation::Committed(_) => each(stocks, request, |id, order_id, quantity| {
            stock::Command::Return {
                id,
                order_id,
                quantity,
            }
        })?,
        Reservation::Absent | Reservation::Rejected | Reservation::Released => {
            vec![Vec::new(); stocks.len()]
        }
    };
    Ok((released, moved))
}

/// The goods leave the store with the order.
///
/// # Errors
/// [`Error::NotReserved`], and [`Error::Stock`] as for [`release`].
pub fn commit(reservation: &Reservation, stocks: &[&Stock], request: &Request) -> Decided {
    let committed = reservation.decide(Command::Commit)?;
    if committed.is_empty() {
        return Ok((committed, vec![Vec::new(); stocks.len()]));
    }
    let moved = each(stocks, request, |id, order_id, quantity| {
        stock::Command::Commit {
            id,
            order_id,
            quantity,
        }
    })?;
    Ok((committed, moved))
}

fn each(
    stocks: &[&Stock],
    request: &Request,
    command: impl Fn(StockId, OrderId, Quantity) -> stock::Command,
) -> Result<Vec<Vec<stock::Event>>, Error> {
    stocks
        .iter()
        .zip(request.stocks())
        .zip(&request.items)
        .map(|((stock, id), line)| {
            stock
                .decide(command(id, request.order_id, line.quantity))
                .map_err(|error| Error::Stock { error })
        })
        .collect()
}

impl Aggregate for Reservation {
    const TYPE: &'static str = "reservation";
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
        *self = match (std::mem::take(self), event) {
            (Reservation::Absent, Event::Confirmed { store_id, items }) => {
                Reservation::Confirmed(Held { store_id, items })
            }
            (Reservation::Absent, Event::Rejected { .. }) => Reservation::Rejected,
            (
                Reservation::Absent | Reservation::Confirmed(_) | Reservation::Committed(_),
                Event::Released { .. },
            ) => Reservation::Released,
            (Reservation::Confirmed(held), Event::Committed { .. }) => Reservation::Committed(held),
            (state, event) => illegal(&state, &event),
        };
    }
}

#[cfg(test)]
mod tests;
