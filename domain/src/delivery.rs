//! Bringing an order to its customer. One stream an order, appended together with the slot in which it is booked
//! ([`schedule`], [`cancel`]).
//!
//! `Scheduled → Assigned → PickedUp → Completed`; a failed attempt leads back to `Scheduled`, one that is final to
//! `Failed`; `Cancelled` from anywhere before the end. A cancellation that comes before its request leaves a tombstone.
//!
//! Invariants: goods are handed over for completed orders only ([`pick_up`]), so that what is undone is never with its
//! customer; only what is cancelled gives its place in the hour back, since a failed attempt has used it.

use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

use crate::aggregate::{event_types, illegal, write};
use crate::{Address, OrderId, Reason, Sealed, StoreId, UserId, order};

mod booking;
mod handing_over;

pub use booking::{Request, SLOTS_AHEAD, cancel, schedule};
pub use handing_over::pick_up;

/// What can be asked; the slot's half of scheduling and cancelling is in [`schedule`] and [`cancel`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Bring it in this hour.
    Schedule(Box<Schedule>),
    /// Nobody can bring it.
    Refuse {
        /// What was to be brought.
        order_id: OrderId,
        /// Why not.
        reason: Reason,
    },
    /// This courier brings it.
    Assign {
        /// A user with the role of a courier, or more.
        courier_id: UserId,
    },
    /// The courier has it: the delivery's own half of [`pick_up`].
    PickUp,
    /// The customer has it.
    Complete,
    /// It could not be handed over.
    Fail {
        /// Why, in the courier's words.
        reason: Reason,
        /// Whether nobody will try again.
        is_final: bool,
    },
    /// It is not to be brought.
    Cancel {
        /// What was to be brought.
        order_id: OrderId,
    },
}

/// A delivery to begin with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// What is brought.
    pub order_id: OrderId,
    /// To whom.
    pub customer_id: UserId,
    /// Where from.
    pub store_id: StoreId,
    /// Start of the hour in which it is brought.
    pub slot: DateTime<Utc>,
    /// Where to, if anywhere but the customer's usual place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Sealed<Address>>,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
#[expect(
    missing_docs,
    reason = "every event names the order; the other members mean what they do in `Command`"
)]
pub enum Event {
    /// It is booked.
    #[serde(rename = "delivery.scheduled")]
    Scheduled(Schedule),
    /// A courier will bring it.
    #[serde(rename = "delivery.assigned")]
    Assigned {
        order_id: OrderId,
        courier_id: UserId,
    },
    /// The courier has it.
    #[serde(rename = "delivery.picked-up")]
    PickedUp { order_id: OrderId },
    /// The customer has it.
    #[serde(rename = "delivery.completed")]
    Completed { order_id: OrderId },
    /// It could not be handed over, or not even be booked.
    #[serde(rename = "delivery.failed")]
    Failed {
        order_id: OrderId,
        reason: Reason,
        #[serde(rename = "final")]
        is_final: bool,
    },
    /// It is not brought.
    #[serde(rename = "delivery.cancelled")]
    Cancelled { order_id: OrderId },
}

event_types! {
    Scheduled = "delivery.scheduled" "1.0",
    Assigned = "delivery.assigned" "1.0",
    PickedUp = "delivery.picked-up" "1.0",
    Completed = "delivery.completed" "1.0",
    Failed = "delivery.failed" "1.0",
    Cancelled = "delivery.cancelled" "1.0",
}

impl Event {
    /// Whose delivery.
    #[must_use]
    pub fn order_id(&self) -> OrderId {
        match self {
            Event::Scheduled(Schedule { order_id, .. })
            | Event::Assigned { order_id, .. }
            | Event::PickedUp { order_id }
            | Event::Completed { order_id }
            | Event::Failed { order_id, .. }
            | Event::Cancelled { order_id } => *order_id,
        }
    }
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Error {
    /// No delivery has this id.
    #[error("delivery does not exist")]
    NotFound,
    /// Not from where it stands.
    #[error("delivery is {status}, which does not allow this")]
    WrongStatus {
        /// Where it stands.
        status: Status,
    },
    /// The goods are not given to a courier before the order is completed.
    #[error("order is {status}, its goods leave the store once it is completed")]
    OrderNotCompleted {
        /// How far it has come.
        status: order::Status,
    },
    /// The slot does not hold what the delivery says.
    #[error("delivery and slot disagree")]
    SlotMismatch,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Booked; no courier yet.
    Scheduled,
    /// A courier is on the way to the store.
    Assigned,
    /// On the way to the customer.
    PickedUp,
    /// Handed over.
    Completed,
    /// Nobody will try again.
    Failed,
    /// Not to be brought.
    Cancelled,
}

impl Status {
    /// As it is stored, as `picked-up`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Status::Scheduled => "scheduled",
            Status::Assigned => "assigned",
            Status::PickedUp => "picked-up",
            Status::Completed => "completed",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Shape of a snapshot of [`Delivery`]; changes whenever its serialised form does.
pub const SHAPE: &str = "delivery-1";

/// A delivery as decisions see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// Never asked for.
    #[default]
    Absent,
    /// Asked for once.
    Known(Run),
}

/// What is known of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Whose.
    pub order_id: OrderId,
    /// Where it stands.
    pub status: Status,
    /// Store and hour in which it has a place; none before it was booked and after it was cancelled.
    pub booked: Option<(StoreId, DateTime<Utc>)>,
    /// Who brings it; none before and between attempts.
    pub courier_id: Option<UserId>,
}

impl Delivery {
    /// What is known of it; `None` if it was never asked for.
    #[must_use]
    pub fn run(&self) -> Option<&Run> {
        match self {
            Delivery::Absent => None,
            Delivery::Known(run) => Some(run),
        }
    }

    /// # Errors
    /// [`Error`] where the state does not allow it. What changes nothing yields no event.
    pub fn decide(&self, command: Command) -> Result<Vec<Event>, Error> {
        let run = match (self, command) {
            (Delivery::Absent, Command::Schedule(schedule)) => {
                return Ok(vec![Event::Scheduled(*schedule)]);
            }
            (Delivery::Absent, Command::Refuse { order_id, reason }) => {
                return Ok(vec![Event::Failed {
                    order_id,
                    reason,
                    is_final: true,
                }]);
            }
            (Delivery::Absent, Command::Cancel { order_id }) => {
                return Ok(vec![Event::Cancelled { order_id }]);
            }
            (Delivery::Absent, _) => return Err(Error::NotFound),
            // Asked again, or called off before.
            (Delivery::Known(_), Command::Schedule(_) | Command::Refuse { .. }) => {
                return Ok(vec![]);
            }
            (Delivery::Known(run), command) => (run, command),
        };
        run.0.decide(run.1)
    }
}

impl Run {
    fn decide(&self, command: Command) -> Result<Vec<Event>, Error> {
        let Run {
            order_id, status, ..
        } = *self;
        let event = match (status, command) {
            (Status::Scheduled | Status::Assigned, Command::Assign { courier_id }) => {
                if self.courier_id == Some(courier_id) {
                    return Ok(vec![]);
                }
                Event::Assigned {
                    order_id,
                    courier_id,
                }
            }
            (Status::Assigned, Command::PickUp) => Event::PickedUp { order_id },
            (Status::PickedUp, Command::Complete) => Event::Completed { order_id },
            (
                Status::Scheduled | Status::Assigned | Status::PickedUp,
                Command::Fail { reason, is_final },
            ) => Event::Failed {
                order_id,
                reason,
                is_final,
            },
            (
                Status::Scheduled | Status::Assigned | Status::PickedUp,
                Command::Cancel { order_id },
            ) => Event::Cancelled { order_id },

            (Status::PickedUp, Command::PickUp)
            | (Status::Completed, Command::Complete)
            | (Status::Cancelled | Status::Failed, Command::Cancel { .. }) => return Ok(vec![]),
            (status, _) => return Err(Error::WrongStatus { status }),
        };
        Ok(vec![event])
    }

    fn apply(&mut self, event: &Event) {
        self.status = match (self.status, event) {
            (Status::Scheduled | Status::Assigned, Event::Assigned { courier_id, .. }) => {
                self.courier_id = Some(*courier_id);
                Status::Assigned
            }
            (Status::Assigned, Event::PickedUp { .. }) => Status::PickedUp,
            (Status::PickedUp, Event::Completed { .. }) => Status::Completed,
            (
                Status::Scheduled | Status::Assigned | Status::PickedUp,
                Event::Failed { is_final, .. },
            ) => {
                self.courier_id = None;
                if *is_final {
                    Status::Failed
                } else {
                    Status::Scheduled
                }
            }
            (Status::Scheduled | Status::Assigned | Status::PickedUp, Event::Cancelled { .. }) => {
                self.booked = None;
                Status::Cancelled
            }
            _ => illegal(self, event),
        };
    }
}

impl Aggregate for Delivery {
    const TYPE: &'static str = "delivery";
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
        if let Delivery::Known(run) = self {
            return run.apply(&event);
        }
        let order_id = event.order_id();
        let (status, booked) = match event {
            Event::Scheduled(Schedule { store_id, slot, .. }) => {
                (Status::Scheduled, Some((store_id, slot)))
            }
            Event::Failed { .. } => (Status::Failed, None),
            Event::Cancelled { .. } => (Status::Cancelled, None),
            event => illegal(self, &event),
        };
        *self = Delivery::Known(Run {
            order_id,
            status,
            booked,
            courier_id: None,
        });
    }
}

#[cfg(test)]
mod tests;
