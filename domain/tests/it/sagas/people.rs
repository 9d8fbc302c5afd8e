//! Customers, couriers, staff and operators, who do what they like when they like. What is refused is refused.

use domain::delivery::{self, Command};
use domain::saga::Saga;
use domain::{UserId, order, payment};
use uuid::Uuid;

use super::world::World;

/// What a courier, or whoever sends them, does with a delivery.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    /// All the way.
    Bring,
    Assign,
    PickUp,
    HandOver,
    TryLater,
    GiveUp,
}

impl World {
    pub fn cancel_order(&mut self, order: usize) {
        let books = &mut self.orders[order];
        let request = order::Command::RequestCancellation { reason: None };
        match books.order.state.decide(request) {
            Ok(events) => self.order_events(order, events),
            Err(_) => books.cancelled_too_late = true,
        }
    }

    pub fn courier(&mut self, order: usize, act: Act) {
        let books = &self.orders[order];
        let (delivery, fail) = (&books.delivery.state, |is_final| Command::Fail {
            reason: "nobody at home".parse().unwrap(),
            is_final,
        });
        let courier_id = UserId::new(Uuid::from_u128(7));
        let decided = match act {
            Act::Bring => {
                for act in [Act::Assign, Act::PickUp, Act::HandOver] {
                    self.courier(order, act);
                }
                return;
            }
            Act::Assign => delivery.decide(Command::Assign { courier_id }),
            Act::PickUp => delivery::pick_up(delivery, &books.order.state),
            Act::HandOver => delivery.decide(Command::Complete),
            Act::TryLater => delivery.decide(fail(false)),
            Act::GiveUp => delivery.decide(fail(true)),
        };
        self.delivery_events(order, decided.unwrap_or_default());
    }

    pub fn staff_refund(&mut self, order: usize) {
        let books = &self.orders[order];
        let (paid, placed) = (&books.payment.state, &books.order.state);
        let decided = payment::give_back(paid, placed, books.order_id);
        self.payment_events(order, decided.unwrap_or_default());
    }

    /// Whether there was anything to go on with.
    pub fn retry(&mut self, order: usize) -> bool {
        let books = &self.orders[order];
        let forward = books.fulfilment.state.retry().unwrap_or_default();
        let back = books.returning.state.retry().unwrap_or_default();
        let went_on = !forward.is_empty() || !back.is_empty();
        self.fulfilment_events(order, forward);
        self.return_events(order, back);
        went_on
    }
}
