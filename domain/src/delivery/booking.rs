//! Finding an hour for a delivery, and giving it back: the rule over delivery, slots and capacity.

use super::{Command, Delivery, Error, Event, Schedule};
use crate::slot::{self, SlotId};
use crate::{Address, Capacity, DeliveryId, OrderId, Sealed, Slot, StoreId, UserId};

/// Hours looked at for a free place, the present one first: what is brought later than that is no quick commerce.
pub const SLOTS_AHEAD: u32 = 8;

/// What is to be brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The delivery's stream.
    pub delivery_id: DeliveryId,
    /// What is brought.
    pub order_id: OrderId,
    /// To whom.
    pub customer_id: UserId,
    /// Where from.
    pub store_id: StoreId,
    /// Where to, if anywhere but the customer's usual place.
    pub address: Option<Sealed<Address>>,
}

/// Books the first hour that has a place. `slots` are the hours to look at with their states, in the order of preference.
/// Where none has one the delivery fails for good.
///
/// # Errors
/// [`Error`]; none that full hours cause.
pub fn schedule(
    delivery: &Delivery,
    slots: &[(&SlotId, &Slot)],
    capacity: &Capacity,
    request: Request,
) -> Result<(Vec<Event>, Vec<Vec<slot::Event>>), Error> {
    let mut booked = vec![Vec::new(); slots.len()];
    let Request {
        delivery_id,
        order_id,
        customer_id,
        store_id,
        address,
    } = request;
    let per_hour = capacity.per_hour();
    let book = |(place, (_, slot)): (usize, &(&SlotId, &Slot))| {
        let booking = slot.decide(slot::Command::Book {
            delivery_id,
            per_hour,
        });
        booking.ok().map(|events| (place, events))
    };
    let Some((place, events)) = slots.iter().enumerate().find_map(book) else {
        let reason = "no delivery slot is free".parse();
        let reason = reason.expect("a short sentence is a reason");
        return Ok((
            delivery.decide(Command::Refuse { order_id, reason })?,
            booked,
        ));
    };
    let scheduled = delivery.decide(Command::Schedule(Box::new(Schedule {
        order_id,
        customer_id,
        store_id,
        slot: slots[place].0.starts_at,
        address,
    })))?;
    if !scheduled.is_empty() {
        booked[place] = events;
    }
    Ok((scheduled, booked))
}

/// Calls a delivery off and gives its place back. `slot` is the state of the slot that the delivery is booked in
/// ([`super::Run::booked`]); none where it has none.
///
/// # Errors
/// [`Error::SlotMismatch`] where another slot was looked up than the one that it is booked in by now: to be asked again.
pub fn cancel(
    delivery: &Delivery,
    slot: Option<(&SlotId, &Slot)>,
    delivery_id: DeliveryId,
    order_id: OrderId,
) -> Result<(Vec<Event>, Vec<slot::Event>), Error> {
    let cancelled = delivery.decide(Command::Cancel { order_id })?;
    // What is cancelled already, or has failed, keeps its hour as it is.
    let run = delivery.run().filter(|_| !cancelled.is_empty());
    let Some((store_id, starts_at)) = run.and_then(|run| run.booked.as_ref()) else {
        return Ok((cancelled, Vec::new()));
    };
    let (id, slot) = slot.ok_or(Error::SlotMismatch)?;
    if (&id.store_id, &id.starts_at) != (store_id, starts_at) {
        return Err(Error::SlotMismatch);
    }
    let released = slot
        .decide(slot::Command::Release { delivery_id })
        .map_err(|_| Error::SlotMismatch)?;
    Ok((cancelled, released))
}
