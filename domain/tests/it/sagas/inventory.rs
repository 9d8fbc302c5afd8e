//! The participants without money: stocks and couriers' hours.

use domain::delivery::{self, Request as Booking};
use domain::reservation::{self, Request};
use domain::slot::SlotId;
use domain::stock::StockId;
use domain::{Slot, Stock};

use super::world::{HOURS, World, hour, store_id};

/// What a saga wants of a store.
#[derive(Debug, Clone, Copy)]
pub enum Wanted {
    Reserve,
    Commit,
    Release,
}

impl World {
    /// One append over the reservation and its stocks.
    pub fn stock(&mut self, order: usize, wanted: Wanted) {
        let books = &self.orders[order];
        let request = Request {
            order_id: books.order_id,
            store_id: store_id(),
            items: books.items.clone(),
        };
        let ids: Vec<StockId> = request.stocks().collect();
        let states: Vec<&Stock> = ids.iter().map(|id| &self.stocks[id].state).collect();
        let reserved = &books.reservation.state;
        let decided = match wanted {
            Wanted::Reserve => reservation::reserve(reserved, &states, request),
            Wanted::Commit => reservation::commit(reserved, &states, &request),
            Wanted::Release => reservation::release(reserved, &states, &request),
        };
        let (events, moved) = decided.expect("reservation and stocks agree");
        for (id, events) in ids.iter().zip(moved) {
            self.stocks.get_mut(id).unwrap().append(events);
        }
        self.reservation_events(order, events);
    }

    /// One append over the delivery and the hours ahead.
    pub fn schedule(&mut self, order: usize) {
        let books = &self.orders[order];
        let request = Booking {
            delivery_id: books.delivery_id,
            order_id: books.order_id,
            customer_id: books.order.state.progress().unwrap().customer_id,
            store_id: store_id(),
            address: None,
        };
        let ids: Vec<SlotId> = (0..HOURS).map(hour).collect();
        let slots: Vec<(&SlotId, &Slot)> =
            ids.iter().map(|id| (id, &self.slots[id].state)).collect();
        let delivery = &books.delivery.state;
        let decided = delivery::schedule(delivery, &slots, &self.capacity, request);
        let (events, booked) = decided.expect("full hours refuse nothing");
        for (id, events) in ids.iter().zip(booked) {
            self.slots.get_mut(id).unwrap().append(events);
        }
        self.delivery_events(order, events);
    }

    /// One append over the delivery and the hour that it is booked in.
    pub fn call_off(&mut self, order: usize) {
        let books = &self.orders[order];
        let delivery = &books.delivery.state;
        let booked = delivery.run().and_then(|run| run.booked.clone());
        let id = booked.map(|(store_id, starts_at)| SlotId {
            store_id,
            starts_at,
        });
        let slot = id.as_ref().map(|id| (id, &self.slots[id].state));
        let decided = delivery::cancel(delivery, slot, books.delivery_id, books.order_id);
        let (events, released) = decided.expect("what is undone was not handed over");
        if let Some(id) = &id {
            self.slots.get_mut(id).unwrap().append(released);
        }
        self.delivery_events(order, events);
    }
}
