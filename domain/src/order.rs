//! An order: what a customer buys from a store, and how far it has come. The work is the saga's ([`crate::fulfilment`]),
//! which writes every step here in the commit in which it is decided.
//!
//! `Pending → Reserved → Paid → Scheduled → Completed`, or `Cancelled` from any of the first four; `Returned` after
//! `Completed`.
//!
//! Invariants: an order keeps the names and prices of the moment in which it was placed; a cancellation that was accepted
//! is never overtaken by completion; an order that has ended changes no more, but for its return.

use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

use crate::aggregate::{event_types, illegal, write};
use crate::{
    Address, Currency, DeliveryId, Money, PaymentId, PaymentToken, Price, ProductId, Quantity,
    Reason, Sealed, Sku, StoreId, UserId, product,
};

mod placing;
mod status;

pub use placing::{Customer, Wanted, place};
pub use status::{CancelReason, Status};

/// Lines of one order: more than any household buys at once, few enough that reserving them is one append.
pub const ITEMS_MAX: usize = 100;

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What is bought.
    pub sku: Sku,
    /// The product that had the SKU.
    pub product_id: ProductId,
    /// Its name then.
    pub name: product::Name,
    /// How many pieces.
    pub quantity: Quantity,
    /// What one piece cost then.
    pub unit_price: Price,
}

/// An order to begin with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Who buys.
    pub customer_id: UserId,
    /// Where from.
    pub store_id: StoreId,
    /// What; no SKU twice, one currency.
    pub items: Vec<Item>,
    /// The stream of its payment, drawn by the caller.
    pub payment_id: PaymentId,
    /// The stream of its delivery, drawn by the caller.
    pub delivery_id: DeliveryId,
    /// How it is paid.
    pub payment_token: Sealed<PaymentToken>,
    /// Where it is brought, if anywhere but the customer's usual place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Sealed<Address>>,
}

/// What can be asked. All but `Place` and `RequestCancellation` are the saga's to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The order's own half of [`place`].
    Place(Box<Placement>),
    /// Its goods are promised.
    MarkReserved,
    /// Its money is taken.
    MarkPaid,
    /// Its delivery has a slot.
    MarkScheduled {
        /// Start of the hour.
        slot: DateTime<Utc>,
    },
    /// Everything is arranged.
    Complete,
    /// The customer, or staff for them, does not want it any more.
    RequestCancellation {
        /// In their words.
        reason: Option<Reason>,
    },
    /// Everything that was done is undone.
    Cancel {
        /// Why.
        reason: CancelReason,
    },
    /// Money and goods are back after a delivery that failed.
    MarkReturned,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Event {
    /// The order exists from now on. The members are those of [`Placement`] and the sum.
    #[serde(rename = "order.created")]
    Created {
        /// See [`Placement`].
        customer_id: UserId,
        /// See [`Placement`].
        store_id: StoreId,
        /// See [`Placement`].
        items: Vec<Item>,
        /// The sum over the items.
        total: Money,
        /// See [`Placement`].
        payment_id: PaymentId,
        /// See [`Placement`].
        delivery_id: DeliveryId,
        /// See [`Placement`].
        payment_token: Sealed<PaymentToken>,
        /// See [`Placement`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<Sealed<Address>>,
    },
    /// The store has promised every item.
    #[serde(rename = "order.reserved")]
    Reserved,
    /// The total was charged.
    #[serde(rename = "order.paid")]
    Paid,
    /// The delivery is booked.
    #[serde(rename = "order.scheduled")]
    Scheduled {
        /// Start of the hour in which it is brought.
        slot: DateTime<Utc>,
    },
    /// Goods committed, money taken, delivery booked.
    #[serde(rename = "order.completed")]
    Completed,
    /// Somebody asked for its end; it ends once everything is undone.
    #[serde(rename = "order.cancellation-requested")]
    CancellationRequested {
        /// In their words; absent where none were given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
    },
    /// It has ended, and everything that was done for it is undone.
    #[serde(rename = "order.cancelled")]
    Cancelled {
        /// Why.
        reason: CancelReason,
    },
    /// The delivery failed for good; money and goods are back.
    #[serde(rename = "order.returned")]
    Returned,
}

event_types! {
    Created = "order.created" "1.0",
    Reserved = "order.reserved" "1.0",
    Paid = "order.paid" "1.0",
    Scheduled = "order.scheduled" "1.0",
    Completed = "order.completed" "1.0",
    CancellationRequested = "order.cancellation-requested" "1.0",
    Cancelled = "order.cancelled" "1.0",
    Returned = "order.returned" "1.0",
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Error {
    /// No order has this id.
    #[error("order does not exist")]
    NotFound,
    /// An order with this id exists.
    #[error("order already exists")]
    AlreadyExists,
    /// It has ended.
    #[error("order is {status} already")]
    Ended {
        /// What it has become.
        status: Status,
    },
    /// The saga is not where the order is.
    #[error("order is {status}, which does not allow this step")]
    OutOfTurn {
        /// How far it has come.
        status: Status,
    },
    /// Nobody who could buy.
    #[error("customer is not active")]
    CustomerNotActive,
    /// These items cannot be bought.
    #[error("not every item is a product on sale")]
    UnknownItems {
        /// Their places among the items, from 0.
        items: Vec<usize>,
    },
    /// Not 1 to [`ITEMS_MAX`] items.
    #[error("an order has 1 to {ITEMS_MAX} items")]
    ItemCount,
    /// A SKU stands in two lines.
    #[error("no item may repeat the sku of another")]
    RepeatedItem {
        /// The later one's place among the items, from 0.
        item: usize,
    },
    /// The items are priced in more than one currency.
    #[error("all items must be priced in one currency")]
    MixedCurrencies,
    /// The sum cannot be paid by anybody.
    #[error("the total exceeds what can be charged")]
    TotalTooLarge,
}

/// Shape of a snapshot of [`Order`]; changes whenever its serialised form does.
pub const SHAPE: &str = "order-1";

/// An order as decisions see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Never placed.
    #[default]
    Absent,
    /// Placed once.
    Placed(Progress),
}

/// How an order stands. What was bought is the saga's to remember.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Who buys.
    pub customer_id: UserId,
    /// How far it has come.
    pub status: Status,
    /// Whether its end was asked for.
    pub cancellation_requested: bool,
}

impl Order {
    /// How it stands; `None` if it never was.
    #[must_use]
    pub fn progress(&self) -> Option<&Progress> {
        match self {
            Order::Absent => None,
            Order::Placed(progress) => Some(progress),
        }
    }

    /// # Errors
    /// [`Error`] where the state does not allow it. What changes nothing yields no event.
    pub fn decide(&self, command: Command) -> Result<Vec<Event>, Error> {
        match (self, command) {
            (Order::Absent, Command::Place(placement)) => Ok(vec![created(*placement)?]),
            (Order::Placed(_), Command::Place(_)) => Err(Error::AlreadyExists),
            (Order::Absent, _) => Err(Error::NotFound),

            (Order::Placed(progress), Command::RequestCancellation { reason }) => {
                if progress.status.is_ended() {
                    let status = progress.status;
                    return Err(Error::Ended { status });
                }
                let news = (!progress.cancellation_requested)
                    .then_some(Event::CancellationRequested { reason });
                Ok(news.into_iter().collect())
            }
            (Order::Placed(progress), command) => advance(progress.status, command),
        }
    }
}

/// The saga's steps. One that was taken before changes nothing.
fn advance(status: Status, command: Command) -> Result<Vec<Event>, Error> {
    let event = match (status, command) {
        (Status::Pending, Command::MarkReserved) => Event::Reserved,
        (Status::Reserved, Command::MarkPaid) => Event::Paid,
        (Status::Paid, Command::MarkScheduled { slot }) => Event::Scheduled { slot },
        (Status::Scheduled, Command::Complete) => Event::Completed,
        (
            Status::Pending | Status::Reserved | Status::Paid | Status::Scheduled,
            Command::Cancel { reason },
        ) => Event::Cancelled { reason },
        (Status::Completed, Command::MarkReturned) => Event::Returned,

        (Status::Reserved, Command::MarkReserved)
        | (Status::Paid, Command::MarkPaid)
        | (Status::Scheduled, Command::MarkScheduled { .. })
        | (Status::Completed, Command::Complete)
        | (Status::Cancelled, Command::Cancel { .. })
        | (Status::Returned, Command::MarkReturned) => return Ok(vec![]),
        (status, _) => return Err(Error::OutOfTurn { status }),
    };
    Ok(vec![event])
}

fn created(placement: Placement) -> Result<Event, Error> {
    let total = total(&placement.items)?;
    let Placement {
        customer_id,
        store_id,
        items,
        payment_id,
        delivery_id,
        payment_token,
        address,
    } = placement;
    Ok(Event::Created {
        customer_id,
        store_id,
        items,
        total,
        payment_id,
        delivery_id,
        payment_token,
        address,
    })
}

/// The sum over the items, which are checked on the way.
fn total(items: &[Item]) -> Result<Money, Error> {
    if !(1..=ITEMS_MAX).contains(&items.len()) {
        return Err(Error::ItemCount);
    }
    let repeated =
        |(place, item): (usize, &Item)| items[..place].iter().any(|before| before.sku == item.sku);
    if let Some(item) = (0..).zip(items).position(repeated) {
        return Err(Error::RepeatedItem { item });
    }
    let currency: Currency = items[0].unit_price.currency();
    if items
        .iter()
        .any(|item| item.unit_price.currency() != currency)
    {
        return Err(Error::MixedCurrencies);
    }
    items
        .iter()
        .try_fold(Money::new(0, currency), |sum, item| {
            let line = item.unit_price.money();
            sum.checked_add(line.checked_mul(item.quantity.get().into())?)
        })
        .ok_or(Error::TotalTooLarge)
}

impl Aggregate for Order {
    const TYPE: &'static str = "order";
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
        if let (Order::Absent, Event::Created { customer_id, .. }) = (&*self, &event) {
            *self = Order::Placed(Progress {
                customer_id: *customer_id,
                status: Status::Pending,
                cancellation_requested: false,
            });
            return;
        }
        let Order::Placed(progress) = self else {
            illegal(self, &event);
        };
        progress.status = match (progress.status, &event) {
            (Status::Pending, Event::Reserved) => Status::Reserved,
            (Status::Reserved, Event::Paid) => Status::Paid,
            (Status::Paid, Event::Scheduled { .. }) => Status::Scheduled,
            (Status::Scheduled, Event::Completed) => Status::Completed,
            (
                Status::Pending | Status::Reserved | Status::Paid | Status::Scheduled,
                Event::Cancelled { .. },
            ) => Status::Cancelled,
            (Status::Completed, Event::Returned) => Status::Returned,
            (status, Event::CancellationRequested { .. }) if !status.is_ended() => {
                progress.cancellation_requested = true;
                status
            }
            _ => illegal(progress, &event),
        };
    }
}

#[cfg(test)]
mod tests;
