use cqrs_es::test::{AggregateTestExecutor, TestFramework};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::aggregate::panic_of;
use crate::{Product, Role, User, user};

mod placing;

fn user_id() -> UserId {
    UserId::new(Uuid::from_u128(1))
}

fn product_id(number: u128) -> ProductId {
    ProductId::new(Uuid::from_u128(number))
}

fn euros(amount_minor: i64) -> Price {
    Price::new(amount_minor, Currency::EUR).unwrap()
}

fn slot() -> DateTime<Utc> {
    "2026-11-23T05:00:00Z".parse().unwrap()
}

fn item(number: u128, quantity: u32, unit_price: Price) -> Item {
    Item {
        sku: format!("SKU-{number}").parse().unwrap(),
        product_id: product_id(number),
        name: "Craft lager".parse().unwrap(),
        quantity: Quantity::new(quantity).unwrap(),
        unit_price,
    }
}

fn placement(items: Vec<Item>) -> Placement {
    Placement {
        customer_id: user_id(),
        store_id: "store-1".parse().unwrap(),
        items,
        payment_id: PaymentId::new(Uuid::from_u128(2)),
        delivery_id: DeliveryId::new(Uuid::from_u128(3)),
        payment_token: Sealed::new("user-1", vec![1]),
        address: None,
    }
}

fn lager() -> Placement {
    placement(vec![item(1, 3, euros(499)), item(2, 1, euros(100))])
}

fn placed(placement: Placement, amount_minor: i64) -> Event {
    Event::Created {
        customer_id: placement.customer_id,
        store_id: placement.store_id,
        items: placement.items,
        total: Money::new(amount_minor, Currency::EUR),
        payment_id: placement.payment_id,
        delivery_id: placement.delivery_id,
        payment_token: placement.payment_token,
        address: placement.address,
    }
}

fn place_it(placement: Placement) -> Command {
    Command::Place(Box::new(placement))
}

fn cancel() -> Command {
    let reason = CancelReason::OutOfStock;
    Command::Cancel { reason }
}

fn cancelled() -> Event {
    let reason = CancelReason::OutOfStock;
    Event::Cancelled { reason }
}

fn wish(reason: Option<&str>) -> Option<Reason> {
    reason.map(|reason| reason.parse().unwrap())
}

fn request(reason: Option<&str>) -> Command {
    let reason = wish(reason);
    Command::RequestCancellation { reason }
}

fn requested(reason: Option<&str>) -> Event {
    let reason = wish(reason);
    Event::CancellationRequested { reason }
}

/// What leads to each status.
fn history(status: Status) -> Vec<Event> {
    let way = [
        placed(lager(), 1597),
        Event::Reserved,
        Event::Paid,
        Event::Scheduled { slot: slot() },
        Event::Completed,
        Event::Returned,
    ];
    let steps = match status {
        Status::Pending => 1,
        Status::Reserved => 2,
        Status::Paid => 3,
        Status::Scheduled => 4,
        Status::Completed => 5,
        Status::Returned => 6,
        Status::Cancelled => return vec![way[0].clone(), cancelled()],
    };
    way[..steps].to_vec()
}

const ALL: [Status; 7] = [
    Status::Pending,
    Status::Reserved,
    Status::Paid,
    Status::Scheduled,
    Status::Completed,
    Status::Cancelled,
    Status::Returned,
];

fn given(events: impl IntoIterator<Item = Event>) -> AggregateTestExecutor<Order> {
    TestFramework::with(()).given(events.into_iter().collect())
}

#[test]
fn an_order_is_placed_once_and_knows_its_sum() {
    given([])
        .when(place_it(lager()))
        .then_expect_events(vec![placed(lager(), 1597)]);
    for status in ALL {
        given(history(status))
            .when(place_it(lager()))
            .then_expect_error(Error::AlreadyExists);
    }
}

#[test]
fn what_was_never_placed_takes_no_step() {
    for command in [
        Command::MarkReserved,
        Command::MarkPaid,
        Command::MarkScheduled { slot: slot() },
        Command::Complete,
        request(None),
        cancel(),
        Command::MarkReturned,
    ] {
        given([]).when(command).then_expect_error(Error::NotFound);
    }
}

/// Which steps each status allows, and which it has behind it; every other pair is out of turn.
#[test]
fn steps_are_taken_in_turn_and_once() {
    let steps = [
        (Command::MarkReserved, Event::Reserved),
        (Command::MarkPaid, Event::Paid),
        (
            Command::MarkScheduled { slot: slot() },
            Event::Scheduled { slot: slot() },
        ),
        (Command::Complete, Event::Completed),
        (Command::MarkReturned, Event::Returned),
        (cancel(), cancelled()),
    ];
    let reached = [
        Status::Reserved,
        Status::Paid,
        Status::Scheduled,
        Status::Completed,
        Status::Returned,
        Status::Cancelled,
    ];
    let allowed = |status| match status {
        Status::Pending => vec![0, 5],
        Status::Reserved => vec![1, 5],
        Status::Paid => vec![2, 5],
        Status::Scheduled => vec![3, 5],
        Status::Completed => vec![4],
        Status::Cancelled | Status::Returned => vec![],
    };
    for status in ALL {
        for (place, (command, event)) in steps.iter().enumerate() {
            let test = given(history(status)).when(command.clone());
            if allowed(status).contains(&place) {
                test.then_expect_events(vec![event.clone()]);
            } else if reached[place] == status {
                test.then_expect_events(vec![]);
            } else {
                test.then_expect_error(Error::OutOfTurn { status });
            }
        }
    }
}

#[test]
fn an_end_can_be_asked_for_until_there_is_one() {
    for status in ALL {
        let test = given(history(status)).when(request(Some("ordered twice")));
        if status.is_ended() {
            test.then_expect_error(Error::Ended { status });
        } else {
            test.then_expect_events(vec![requested(Some("ordered twice"))]);
        }
    }
    given([placed(lager(), 1597), requested(None)])
        .when(request(Some("once more")))
        .then_expect_events(vec![]);
}

#[test]
fn an_order_has_items_but_not_too_many() {
    let items = |number: u128| (0..number).map(|place| item(place, 1, euros(1))).collect();
    for number in [0, ITEMS_MAX as u128 + 1] {
        given([])
            .when(place_it(placement(items(number))))
            .then_expect_error(Error::ItemCount);
    }
    given([])
        .when(place_it(placement(items(ITEMS_MAX as u128))))
        .then_expect_events(vec![placed(placement(items(ITEMS_MAX as u128)), 100)]);
}

#[test]
fn items_that_do_not_make_an_order_are_refused() {
    let line = || item(1, 1, euros(1));
    given([])
        .when(place_it(placement(vec![
            line(),
            item(2, 1, euros(1)),
            line(),
        ])))
        .then_expect_error(Error::RepeatedItem { item: 2 });
    let dollars = Price::new(1, Currency::USD).unwrap();
    given([])
        .when(place_it(placement(vec![line(), item(2, 1, dollars)])))
        .then_expect_error(Error::MixedCurrencies);
    let dearest = |number| item(number, Quantity::MAX, euros(Price::AMOUNT_MINOR_MAX));
    given([])
        .when(place_it(placement((0..10).map(dearest).collect())))
        .then_expect_error(Error::TotalTooLarge);
}

#[test]
fn an_impossible_history_is_named() {
    let message = panic_of::<Order>(vec![Event::Reserved]);
    assert!(
        message.contains("order.reserved recorded while Absent"),
        "{message}"
    );
    let mut completed = history(Status::Completed);
    completed.push(requested(None));
    let message = panic_of::<Order>(completed);
    assert!(
        message.contains("order.cancellation-requested recorded while Progress"),
        "{message}"
    );
}

#[test]
fn refusals_are_stored_by_their_code() {
    let refusal = Error::Ended {
        status: Status::Completed,
    };
    let json = r#"{"code":"ended","status":"completed"}"#;
    assert_eq!(serde_json::to_string(&refusal).unwrap(), json);
    assert_eq!(serde_json::from_str::<Error>(json).unwrap(), refusal);
    assert_eq!(refusal.to_string(), "order is completed already");
}

#[test]
fn words_are_written_as_they_are_stored() {
    for status in ALL {
        let stored = serde_json::to_value(status).unwrap();
        assert_eq!(stored, status.as_str());
    }
    for reason in [
        CancelReason::OutOfStock,
        CancelReason::PaymentDeclined,
        CancelReason::PaymentTimeout,
        CancelReason::DeliveryUnavailable,
        CancelReason::Customer,
    ] {
        let stored = serde_json::to_value(reason).unwrap();
        assert_eq!(stored, reason.as_str());
    }
}

fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        Just(place_it(lager())),
        Just(Command::MarkReserved),
        Just(Command::MarkPaid),
        Just(Command::MarkScheduled { slot: slot() }),
        Just(Command::Complete),
        Just(request(None)),
        Just(cancel()),
        Just(Command::MarkReturned),
    ]
}

proptest! {
    #[test]
    fn what_is_decided_can_be_applied_and_stored(commands in proptest::collection::vec(any_command(), 0..40)) {
        let mut order = Order::default();
        for command in commands {
            for event in order.decide(command.clone()).unwrap_or_default() {
                order.apply(event);
            }
            // Asking once more for what is already so changes nothing, or is refused.
            prop_assert!(order.decide(command).unwrap_or_default().is_empty());
            let snapshot = serde_json::to_string(&order).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Order>(&snapshot).unwrap(), &order);
        }
    }
}
