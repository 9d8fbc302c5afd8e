//! Finding an hour for a delivery, and giving it back.

use super::*;

fn request() -> Request {
    Request {
        delivery_id: delivery_id(),
        order_id: order_id(),
        customer_id: user_id(3),
        store_id: store_id(),
        address: None,
    }
}

fn per_hour(per_hour: u32) -> Capacity {
    let mut capacity = Capacity::default();
    let store_id = store_id();
    capacity.apply(capacity::Event::Changed { store_id, per_hour });
    capacity
}

fn slot_with(booked: u32) -> Slot {
    let mut slot = Slot::default();
    for booked in 1..=booked {
        slot.apply(slot::Event::Booked {
            delivery_id: DeliveryId::new(Uuid::from_u128(99)),
            booked,
        });
    }
    slot
}

#[test]
fn the_first_hour_with_a_place_is_booked() {
    let (hours, slots) = ([hour(0), hour(1)], [slot_with(2), slot_with(1)]);
    let ahead: Vec<_> = hours.iter().zip(&slots).collect();
    let (events, moved) = schedule(&Delivery::default(), &ahead, &per_hour(2), request()).unwrap();
    let slot = hour(1).starts_at;
    assert_eq!(
        events,
        vec![Event::Scheduled(Schedule { slot, ..booking() })]
    );
    let booked = slot::Event::Booked {
        delivery_id: delivery_id(),
        booked: 2,
    };
    assert_eq!(moved, vec![vec![], vec![booked]]);
}

#[test]
fn where_every_hour_is_full_nobody_brings_it() {
    let (hours, slots) = ([hour(0), hour(1)], [slot_with(1), slot_with(1)]);
    let ahead: Vec<_> = hours.iter().zip(&slots).collect();
    let (events, moved) = schedule(&Delivery::default(), &ahead, &per_hour(1), request()).unwrap();
    let reason = "no delivery slot is free".parse().unwrap();
    let refused = Event::Failed {
        order_id: order_id(),
        reason,
        is_final: true,
    };
    assert_eq!((events, moved), (vec![refused], vec![vec![], vec![]]));
}

#[test]
fn what_is_asked_for_again_or_was_called_off_books_nothing() {
    let (hour, free, full) = (hour(0), slot_with(0), slot_with(1));
    for status in ALL {
        let delivery = fold(history(status));
        for slot in [&free, &full] {
            let booked = schedule(&delivery, &[(&hour, slot)], &per_hour(1), request());
            assert_eq!(booked, Ok((vec![], vec![vec![]])));
        }
    }
}

#[test]
fn a_delivery_that_is_called_off_gives_its_place_back() {
    let (hour, slot) = (hour(0), slot_with(3));
    for status in [Status::Scheduled, Status::Assigned, Status::PickedUp] {
        let delivery = fold(history(status));
        let released = slot::Event::Released {
            delivery_id: delivery_id(),
            booked: 2,
        };
        assert_eq!(
            cancel(&delivery, Some((&hour, &slot)), delivery_id(), order_id()),
            Ok((vec![cancelled()], vec![released]))
        );
    }
}

#[test]
fn what_has_no_place_to_give_back_gives_none() {
    let (hour, slot) = (hour(0), slot_with(3));
    let off = |history: Vec<Event>, slot| cancel(&fold(history), slot, delivery_id(), order_id());
    assert_eq!(off(vec![], None), Ok((vec![cancelled()], vec![])));
    for history in [
        history(Status::Failed),
        vec![failed(true)],
        history(Status::Cancelled),
        vec![cancelled()],
    ] {
        for slot in [None, Some((&hour, &slot))] {
            assert_eq!(off(history.clone(), slot), Ok((vec![], vec![])));
        }
    }
    let status = Status::Completed;
    assert_eq!(
        off(history(status), None),
        Err(Error::WrongStatus { status })
    );
}

#[test]
fn a_place_is_given_back_to_the_hour_that_it_is_in() {
    let (later, slot, empty) = (hour(1), slot_with(3), slot_with(0));
    let booked = fold(history(Status::Scheduled));
    for slot in [None, Some((&later, &slot)), Some((&hour(0), &empty))] {
        assert_eq!(
            cancel(&booked, slot, delivery_id(), order_id()),
            Err(Error::SlotMismatch)
        );
    }
}
