use cqrs_es::test::{AggregateTestExecutor, TestFramework};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::aggregate::panic_of;
use crate::slot::{self, SlotId};
use crate::{Capacity, DeliveryId, Order, Slot, capacity};

mod booking;

fn order_id() -> OrderId {
    OrderId::new(Uuid::from_u128(1))
}

fn delivery_id() -> DeliveryId {
    DeliveryId::new(Uuid::from_u128(2))
}

fn user_id(number: u128) -> UserId {
    UserId::new(Uuid::from_u128(number))
}

fn store_id() -> StoreId {
    "store-1".parse().unwrap()
}

fn reason() -> Reason {
    "nobody at home".parse().unwrap()
}

/// The hour so many after five o'clock.
fn hour(later: u32) -> SlotId {
    let at = "2026-11-23T05:10:00Z".parse().unwrap();
    SlotId::containing(store_id(), at).later(later)
}

fn booking() -> Schedule {
    Schedule {
        order_id: order_id(),
        customer_id: user_id(3),
        store_id: store_id(),
        slot: hour(0).starts_at,
        address: None,
    }
}

fn schedule_it() -> Command {
    Command::Schedule(Box::new(booking()))
}

fn refuse() -> Command {
    Command::Refuse {
        order_id: order_id(),
        reason: reason(),
    }
}

fn assign(courier: u128) -> Command {
    let courier_id = user_id(courier);
    Command::Assign { courier_id }
}

fn fail(is_final: bool) -> Command {
    let reason = reason();
    Command::Fail { reason, is_final }
}

fn call_off() -> Command {
    let order_id = order_id();
    Command::Cancel { order_id }
}

fn scheduled() -> Event {
    Event::Scheduled(booking())
}

fn assigned(courier: u128) -> Event {
    Event::Assigned {
        order_id: order_id(),
        courier_id: user_id(courier),
    }
}

fn picked_up() -> Event {
    let order_id = order_id();
    Event::PickedUp { order_id }
}

fn completed() -> Event {
    let order_id = order_id();
    Event::Completed { order_id }
}

fn failed(is_final: bool) -> Event {
    Event::Failed {
        order_id: order_id(),
        reason: reason(),
        is_final,
    }
}

fn cancelled() -> Event {
    let order_id = order_id();
    Event::Cancelled { order_id }
}

const ALL: [Status; 6] = [
    Status::Scheduled,
    Status::Assigned,
    Status::PickedUp,
    Status::Completed,
    Status::Failed,
    Status::Cancelled,
];

/// What leads to each status.
fn history(status: Status) -> Vec<Event> {
    let way = [scheduled(), assigned(7), picked_up(), completed()];
    match status {
        Status::Scheduled => way[..1].to_vec(),
        Status::Assigned => way[..2].to_vec(),
        Status::PickedUp => way[..3].to_vec(),
        Status::Completed => way.to_vec(),
        Status::Failed => vec![scheduled(), failed(true)],
        Status::Cancelled => vec![scheduled(), cancelled()],
    }
}

fn given(events: impl IntoIterator<Item = Event>) -> AggregateTestExecutor<Delivery> {
    TestFramework::with(()).given(events.into_iter().collect())
}

fn fold(events: impl IntoIterator<Item = Event>) -> Delivery {
    let mut delivery = Delivery::default();
    events.into_iter().for_each(|event| delivery.apply(event));
    delivery
}

#[test]
fn a_delivery_is_booked_refused_or_called_off_once() {
    for (command, event) in [
        (schedule_it(), scheduled()),
        (refuse(), failed(true)),
        (call_off(), cancelled()),
    ] {
        given([]).when(command).then_expect_events(vec![event]);
    }
    for status in ALL {
        for command in [schedule_it(), refuse()] {
            given(history(status))
                .when(command)
                .then_expect_events(vec![]);
        }
    }
}

#[test]
fn a_cancellation_before_its_request_leaves_a_tombstone() {
    for command in [schedule_it(), refuse(), call_off()] {
        given([cancelled()])
            .when(command)
            .then_expect_events(vec![]);
    }
}

#[test]
fn what_was_never_asked_for_is_not_brought() {
    for command in [
        assign(7),
        Command::PickUp,
        Command::Complete,
        fail(true),
        fail(false),
    ] {
        given([]).when(command).then_expect_error(Error::NotFound);
    }
}

/// What each status answers; `None` where it refuses.
#[test]
fn a_delivery_goes_its_way() {
    let again = || Some(vec![]);
    let commands = [
        assign(7),
        Command::PickUp,
        Command::Complete,
        fail(false),
        fail(true),
        call_off(),
    ];
    let news = |event| Some(vec![event]);
    let (retry, end, off) = (
        || news(failed(false)),
        || news(failed(true)),
        || news(cancelled()),
    );
    for (status, answers) in [
        (
            Status::Scheduled,
            [news(assigned(7)), None, None, retry(), end(), off()],
        ),
        (
            Status::Assigned,
            [again(), news(picked_up()), None, retry(), end(), off()],
        ),
        (
            Status::PickedUp,
            [None, again(), news(completed()), retry(), end(), off()],
        ),
        (Status::Completed, [None, None, again(), None, None, None]),
        (Status::Failed, [None, None, None, None, None, again()]),
        (Status::Cancelled, [None, None, None, None, None, again()]),
    ] {
        for (command, answer) in commands.iter().zip(answers) {
            let test = given(history(status)).when(command.clone());
            match answer {
                Some(events) => test.then_expect_events(events),
                None => test.then_expect_error(Error::WrongStatus { status }),
            }
        }
    }
}

#[test]
fn another_courier_can_take_over_until_it_is_picked_up() {
    given(history(Status::Assigned))
        .when(assign(8))
        .then_expect_events(vec![assigned(8)]);
    given([history(Status::Assigned), vec![assigned(8)]].concat())
        .when(assign(8))
        .then_expect_events(vec![]);
    given(history(Status::PickedUp))
        .when(assign(8))
        .then_expect_error(Error::WrongStatus {
            status: Status::PickedUp,
        });
}

#[test]
fn an_attempt_that_failed_is_followed_by_another() {
    let tried = || [history(Status::PickedUp), vec![failed(false)]].concat();
    let run = fold(tried()).run().cloned().unwrap();
    assert_eq!((run.status, run.courier_id), (Status::Scheduled, None));
    assert!(run.booked.is_some());
    given(tried())
        .when(assign(7))
        .then_expect_events(vec![assigned(7)]);
}

#[test]
fn goods_are_handed_over_for_completed_orders_only() {
    let order = |status| {
        Order::Placed(order::Progress {
            customer_id: user_id(3),
            status,
            cancellation_requested: false,
        })
    };
    let assigned = fold(history(Status::Assigned));
    assert_eq!(
        pick_up(&assigned, &order(order::Status::Completed)),
        Ok(vec![picked_up()])
    );
    for status in [
        order::Status::Pending,
        order::Status::Reserved,
        order::Status::Paid,
        order::Status::Scheduled,
        order::Status::Cancelled,
        order::Status::Returned,
    ] {
        assert_eq!(
            pick_up(&assigned, &order(status)),
            Err(Error::OrderNotCompleted { status })
        );
    }
    let asked_again = pick_up(
        &fold(history(Status::PickedUp)),
        &order(order::Status::Completed),
    );
    assert_eq!(asked_again, Ok(vec![]));
    assert_eq!(
        pick_up(&Delivery::default(), &order(order::Status::Completed)),
        Err(Error::NotFound)
    );
}

#[test]
fn an_impossible_history_is_named() {
    for (history, expected) in [
        (
            vec![picked_up()],
            "delivery.picked-up recorded while Absent",
        ),
        (
            vec![scheduled(), picked_up()],
            "delivery.picked-up recorded while Run",
        ),
        (
            vec![scheduled(), cancelled(), assigned(7)],
            "delivery.assigned recorded while Run",
        ),
    ] {
        let message = panic_of::<Delivery>(history);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn words_are_written_as_they_are_stored() {
    for status in ALL {
        let stored = serde_json::to_value(status).unwrap();
        assert_eq!(stored, status.as_str());
    }
}

fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        Just(schedule_it()),
        Just(refuse()),
        (7..9_u128).prop_map(assign),
        Just(Command::PickUp),
        Just(Command::Complete),
        any::<bool>().prop_map(fail),
        Just(call_off()),
    ]
}

proptest! {
    #[test]
    fn what_is_decided_can_be_applied_and_stored(commands in proptest::collection::vec(any_command(), 0..30)) {
        let (mut delivery, mut history) = (Delivery::default(), Vec::new());
        for command in commands {
            for event in delivery.decide(command.clone()).unwrap_or_default() {
                delivery.apply(event.clone());
                history.push(event);
            }
            let snapshot = serde_json::to_string(&delivery).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Delivery>(&snapshot).unwrap(), &delivery);
        }
        prop_assert_eq!(fold(history), delivery);
    }
}
