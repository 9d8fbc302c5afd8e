//! Giving an order's goods to a courier: the rule over delivery and order.

use super::{Command, Delivery, Error, Event};
use crate::order::{Order, Status};

/// The courier has the goods. They leave the store with a completed order only: until then the saga may undo everything,
/// and what the customer has cannot be undone.
///
/// # Errors
/// [`Error::OrderNotCompleted`], and the delivery's own where no courier was assigned.
pub fn pick_up(delivery: &Delivery, order: &Order) -> Result<Vec<Event>, Error> {
    let events = delivery.decide(Command::PickUp)?;
    match order.progress().map(|progress| progress.status) {
        Some(Status::Completed) => Ok(events),
        Some(status) if !events.is_empty() => Err(Error::OrderNotCompleted { status }),
        // Asked again, or of a delivery without an order, which nobody schedules.
        _ => Ok(events),
    }
}
