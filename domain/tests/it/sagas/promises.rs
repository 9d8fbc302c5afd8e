//! What must be true of every order, and of what they share.

use std::collections::BTreeSet;

use domain::order::Status;
use domain::stock::{self, Event};
use domain::{
    Delivery, Fulfilment, Payment, Return, delivery, fulfilment, order, payment, reservation,
    return_goods,
};
use proptest::prelude::*;

use super::world::{Books, World};

type Kept = Result<(), TestCaseError>;

/// What is true at every moment. That no history is impossible is seen to by the aggregates.
pub fn are_not_broken_yet(world: &World) -> Kept {
    for slot in world.slots.values() {
        prop_assert!(slot.state.booked() <= world.capacity.per_hour());
    }
    for books in &world.orders {
        let account = world.provider.account(books.payment_id);
        prop_assert!(account.charged <= 1 && account.refunded <= account.charged);
    }
    Ok(())
}

/// What is true when nothing is outstanding.
pub fn are_kept(world: &World) -> Kept {
    for books in &world.orders {
        prop_assert_eq!(&books.timers.set, &vec![]);
        it_has_ended_once(books)?;
        the_sagas_say_the_same(books)?;
        a_cancellation_is_kept(books)?;
        the_money_adds_up(world, books)?;
        the_goods_add_up(world, books)?;
        it_is_brought_or_not(books)?;
    }
    the_stocks_add_up(world)?;
    the_hours_add_up(world)
}

fn status(books: &Books) -> Status {
    books.order.state.progress().unwrap().status
}

fn it_has_ended_once(books: &Books) -> Kept {
    let completed = books.order.count(|event| *event == order::Event::Completed);
    let cancelled = books
        .order
        .count(|event| matches!(event, order::Event::Cancelled { .. }));
    prop_assert_eq!((completed + cancelled, status(books).is_ended()), (1, true));
    prop_assert_eq!(books.was_arranged, completed == 1);
    Ok(())
}

fn the_sagas_say_the_same(books: &Books) -> Kept {
    let expected = match status(books) {
        Status::Completed => (Fulfilment::Completed, Return::NotStarted),
        Status::Returned => (Fulfilment::Completed, Return::Completed),
        _ => (Fulfilment::Cancelled, Return::NotStarted),
    };
    let sagas = (&books.fulfilment.state, &books.returning.state);
    prop_assert_eq!(sagas, (&expected.0, &expected.1));
    Ok(())
}

fn a_cancellation_is_kept(books: &Books) -> Kept {
    let was_accepted = books
        .order
        .count(|event| matches!(event, order::Event::CancellationRequested { .. }))
        > 0;
    if was_accepted {
        prop_assert_eq!(status(books), Status::Cancelled);
    }
    Ok(())
}

fn the_money_adds_up(world: &World, books: &Books) -> Kept {
    let account = world.provider.account(books.payment_id);
    let told = |is: fn(&payment::Event) -> bool| books.payment.count(is);
    let charged = told(|event| matches!(event, payment::Event::Completed { .. }));
    let refunded = told(|event| matches!(event, payment::Event::Refunded { .. }));
    prop_assert_eq!((charged, refunded), (account.charged, account.refunded));
    match status(books) {
        Status::Completed => {
            let is_refunded = matches!(books.payment.state, Payment::Refunded(_));
            prop_assert_eq!((charged, refunded), (1, u32::from(is_refunded)));
        }
        Status::Returned => prop_assert_eq!((charged, refunded), (1, 1)),
        _ => prop_assert_eq!(charged, refunded),
    }
    let is_settled = !matches!(
        books.payment.state,
        Payment::Initiated(_) | Payment::Refunding(_)
    );
    prop_assert!(is_settled, "{:?}", books.payment.state);
    Ok(())
}

/// Pieces of a line that were reserved, released, committed and returned.
fn the_goods_add_up(world: &World, books: &Books) -> Kept {
    for line in &books.items {
        let mut moved = [0; 4];
        let stocks = world.stocks.iter().filter(|(id, _)| id.sku == line.sku);
        for event in stocks.flat_map(|(_, stock)| &stock.events) {
            let (place, order_id, quantity) = match event {
                Event::Reserved {
                    order_id, quantity, ..
                } => (0, order_id, quantity),
                Event::Released {
                    order_id, quantity, ..
                } => (1, order_id, quantity),
                Event::Committed {
                    order_id, quantity, ..
                } => (2, order_id, quantity),
                Event::Returned {
                    order_id, quantity, ..
                } => (3, order_id, quantity),
                _ => continue,
            };
            if *order_id == books.order_id {
                moved[place] += quantity.get();
            }
        }
        let all = line.quantity.get();
        let allowed = match status(books) {
            Status::Completed => vec![[all, 0, all, 0]],
            Status::Returned => vec![[all, 0, all, all]],
            _ => vec![[0; 4], [all, all, 0, 0], [all, 0, all, all]],
        };
        prop_assert!(allowed.contains(&moved), "{:?}", moved);
    }
    Ok(())
}

fn it_is_brought_or_not(books: &Books) -> Kept {
    use delivery::Status::{Cancelled, Failed};
    let run = books.delivery.state.run();
    let at = run.map(|run| run.status);
    let booked = books
        .delivery
        .count(|event| matches!(event, delivery::Event::Scheduled(_)));
    match status(books) {
        Status::Completed => {
            prop_assert!(
                booked == 1 && !matches!(at, Some(Cancelled | Failed)),
                "{:?}",
                at
            );
        }
        Status::Returned => prop_assert_eq!((booked, at), (1, Some(Failed))),
        _ => prop_assert!(matches!(at, None | Some(Cancelled | Failed)), "{:?}", at),
    }
    Ok(())
}

fn the_stocks_add_up(world: &World) -> Kept {
    for stock in world.stocks.values() {
        let mut on_hand = 0;
        for event in &stock.events {
            match event {
                Event::Received { quantity, .. } | Event::Returned { quantity, .. } => {
                    on_hand += quantity.get();
                }
                Event::Committed { quantity, .. } => on_hand -= quantity.get(),
                _ => {}
            }
        }
        let reserved = 0;
        prop_assert_eq!(stock.state.levels(), stock::Levels { on_hand, reserved });
    }
    Ok(())
}

/// A place is taken by every delivery that was booked and not cancelled, and by no other.
fn the_hours_add_up(world: &World) -> Kept {
    for (id, slot) in &world.slots {
        let has_place = |books: &&Books| {
            let Delivery::Known(run) = &books.delivery.state else {
                return false;
            };
            let booked = run.booked.as_ref();
            booked == Some(&(id.store_id.clone(), id.starts_at))
        };
        let places = world.orders.iter().filter(has_place).count();
        prop_assert_eq!(slot.state.booked() as usize, places);
    }
    Ok(())
}

/// What its schedule has led to.
impl Books {
    pub fn tell(&self, seen: &mut BTreeSet<&'static str>) {
        self.tell_end(seen);
        self.tell_money(seen);
        let mut tell = |is: bool, what: &'static str| {
            if is {
                seen.insert(what);
            }
        };
        let reserved = &self.reservation.events;
        tell(
            matches!(reserved.first(), Some(reservation::Event::Released { .. })),
            "a reservation was released before it was asked for",
        );
        let was_committed =
            |it: &reservation::Event| matches!(it, reservation::Event::Committed { .. });
        tell(
            status(self) == Status::Cancelled && reserved.iter().any(was_committed),
            "committed and taken back",
        );
        let brought = &self.delivery.events;
        tell(
            matches!(brought.first(), Some(delivery::Event::Cancelled { .. })),
            "a delivery was cancelled before it was asked for",
        );
        tell(
            matches!(
                brought[..],
                [
                    delivery::Event::Scheduled(_),
                    ..,
                    delivery::Event::Cancelled { .. }
                ]
            ),
            "a delivery was cancelled by its saga",
        );
        tell(
            matches!(brought.last(), Some(delivery::Event::Completed { .. })),
            "a delivery was made",
        );
        let forward = &self.fulfilment.events;
        tell(
            forward.contains(&fulfilment::Event::Retried),
            "a fulfilment halted and went on",
        );
        let back = &self.returning.events;
        tell(
            back.contains(&return_goods::Event::Retried),
            "a return halted and went on",
        );
        tell(
            matches!(
                back.get(1),
                Some(return_goods::Event::RestockRequested { .. })
            ),
            "returned, refunded by staff before",
        );
        tell(self.cancelled_too_late, "too late to cancel");
    }

    fn tell_end(&self, seen: &mut BTreeSet<&'static str>) {
        use order::CancelReason::{
            Customer, DeliveryUnavailable, OutOfStock, PaymentDeclined, PaymentTimeout,
        };
        let reason = self.order.events.iter().find_map(|event| match event {
            order::Event::Cancelled { reason } => Some(*reason),
            _ => None,
        });
        seen.insert(match (status(self), reason) {
            (Status::Completed, _) => "completed",
            (Status::Returned, _) => "returned",
            (_, Some(OutOfStock)) => "cancelled (out-of-stock)",
            (_, Some(PaymentDeclined)) => "cancelled (payment-declined)",
            (_, Some(PaymentTimeout)) => "cancelled (payment-timeout)",
            (_, Some(DeliveryUnavailable)) => "cancelled (delivery-unavailable)",
            (_, Some(Customer)) => "cancelled (customer)",
            (_, None) => "not ended",
        });
    }

    fn tell_money(&self, seen: &mut BTreeSet<&'static str>) {
        let mut tell = |is: bool, what: &'static str| {
            if is {
                seen.insert(what);
            }
        };
        let paid = &self.payment.events;
        let place = |is: fn(&payment::Event) -> bool| paid.iter().position(is);
        let charged = place(|it| matches!(it, payment::Event::Completed { .. }));
        let asked_back = place(|it| matches!(it, payment::Event::RefundRequested { .. }));
        let refunded = place(|it| matches!(it, payment::Event::Refunded { .. }));
        let is_late = asked_back.is_some() && charged > asked_back;
        let at_once = charged.map(|place| place + 1) == refunded;
        tell(is_late && !at_once, "charged late");
        tell(
            is_late && at_once,
            "an answer was lost and the money came back",
        );
        tell(
            matches!(paid.first(), Some(payment::Event::Failed { .. })),
            "a payment was called off before it was asked for",
        );
        tell(
            place(|it| matches!(it, payment::Event::RefundFailed { .. })).is_some(),
            "a refund failed",
        );
        tell(
            self.asked_itself,
            "a refund that no saga waited for was tried again",
        );
        tell(
            status(self) == Status::Completed && refunded.is_some(),
            "completed, then refunded by staff",
        );
    }
}
