use cqrs_es::test::{AggregateTestExecutor, TestFramework};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::aggregate::panic_of;
use crate::{Sku, StoreId};

fn id() -> StockId {
    "store-1:AB-BEE-001".parse().unwrap()
}

fn store_id() -> StoreId {
    id().store_id
}

fn sku() -> Sku {
    id().sku
}

fn order() -> OrderId {
    OrderId::new(Uuid::from_u128(1))
}

fn pieces(number: u32) -> Quantity {
    Quantity::new(number).unwrap()
}

fn reason() -> Reason {
    "broken".parse().unwrap()
}

fn received(number: u32, on_hand: u32, reserved: u32) -> Event {
    Event::Received {
        store_id: store_id(),
        sku: sku(),
        quantity: pieces(number),
        on_hand,
        reserved,
    }
}

fn adjusted(expected: u32, on_hand: u32, reserved: u32) -> Event {
    Event::Adjusted {
        store_id: store_id(),
        sku: sku(),
        expected,
        reason: reason(),
        on_hand,
        reserved,
    }
}

fn reserved(number: u32, on_hand: u32, reserved: u32) -> Event {
    Event::Reserved {
        store_id: store_id(),
        sku: sku(),
        order_id: order(),
        quantity: pieces(number),
        on_hand,
        reserved,
    }
}

fn low(available: u32, on_hand: u32, reserved: u32) -> Event {
    Event::LowStock {
        store_id: store_id(),
        sku: sku(),
        available,
        threshold: LOW_STOCK_THRESHOLD,
        on_hand,
        reserved,
    }
}

fn out(on_hand: u32, reserved: u32) -> Event {
    Event::OutOfStock {
        store_id: store_id(),
        sku: sku(),
        on_hand,
        reserved,
    }
}

fn receive(number: u32) -> Command {
    Command::Receive {
        id: id(),
        quantity: pieces(number),
    }
}

fn adjust_by(delta: i64) -> Command {
    Command::Adjust {
        id: id(),
        delta,
        reason: reason(),
    }
}

fn reserve(number: u32) -> Command {
    Command::Reserve {
        id: id(),
        order_id: order(),
        quantity: pieces(number),
    }
}

fn release(number: u32) -> Command {
    Command::Release {
        id: id(),
        order_id: order(),
        quantity: pieces(number),
    }
}

fn commit(number: u32) -> Command {
    Command::Commit {
        id: id(),
        order_id: order(),
        quantity: pieces(number),
    }
}

fn return_back(number: u32) -> Command {
    Command::Return {
        id: id(),
        order_id: order(),
        quantity: pieces(number),
    }
}

fn given(events: impl IntoIterator<Item = Event>) -> AggregateTestExecutor<Stock> {
    TestFramework::with(()).given(events.into_iter().collect())
}

fn fold(events: impl IntoIterator<Item = Event>) -> Stock {
    let mut stock = Stock::default();
    events.into_iter().for_each(|event| stock.apply(event));
    stock
}

#[test]
fn goods_add_to_what_is_there() {
    given([])
        .when(receive(5))
        .then_expect_events(vec![received(5, 5, 0)]);
    given([received(5, 5, 0)])
        .when(receive(7))
        .then_expect_events(vec![received(7, 12, 0)]);
}

#[test]
fn a_store_holds_only_so_much() {
    let full = [adjusted(0, ON_HAND_MAX, 0)];
    let too_many = |requested| Error::TooMany {
        on_hand: ON_HAND_MAX,
        requested,
        maximum: ON_HAND_MAX,
    };
    given(full.clone())
        .when(receive(1))
        .then_expect_error(too_many(1));
    given(full.clone())
        .when(return_back(1))
        .then_expect_error(too_many(1));
    given(full)
        .when(adjust_by(i64::MAX))
        .then_expect_error(too_many(i64::MAX));
}

#[test]
fn a_count_is_corrected_up_and_down() {
    given([])
        .when(adjust_by(3))
        .then_expect_events(vec![adjusted(0, 3, 0)]);
    given([received(50, 50, 0)])
        .when(adjust_by(-8))
        .then_expect_events(vec![adjusted(50, 42, 0)]);
    given([received(50, 50, 0)])
        .when(adjust_by(0))
        .then_expect_events(vec![]);
}

#[test]
fn a_correction_never_takes_what_is_promised() {
    let below = |on_hand, reserved, delta| Error::BelowReserved {
        on_hand,
        reserved,
        delta,
    };
    given([received(50, 50, 0), reserved(20, 50, 20)])
        .when(adjust_by(-31))
        .then_expect_error(below(50, 20, -31));
    given([])
        .when(adjust_by(-1))
        .then_expect_error(below(0, 0, -1));
    given([])
        .when(adjust_by(i64::MIN))
        .then_expect_error(below(0, 0, i64::MIN));
}

#[test]
fn what_is_available_can_be_promised() {
    given([received(50, 50, 0)])
        .when(reserve(20))
        .then_expect_events(vec![reserved(20, 50, 20)]);
    given([received(50, 50, 0), reserved(20, 50, 20)])
        .when(reserve(31))
        .then_expect_error(Error::InsufficientStock {
            requested: 31,
            available: 30,
        });
    given([])
        .when(reserve(1))
        .then_expect_error(Error::InsufficientStock {
            requested: 1,
            available: 0,
        });
}

#[test]
fn a_promise_is_taken_back() {
    given([received(50, 50, 0), reserved(20, 50, 20)])
        .when(release(20))
        .then_expect_events(vec![Event::Released {
            store_id: store_id(),
            sku: sku(),
            order_id: order(),
            quantity: pieces(20),
            on_hand: 50,
            reserved: 0,
        }]);
}

#[test]
fn promised_pieces_leave_the_store() {
    given([received(50, 50, 0), reserved(20, 50, 20)])
        .when(commit(20))
        .then_expect_events(vec![Event::Committed {
            store_id: store_id(),
            sku: sku(),
            order_id: order(),
            quantity: pieces(20),
            on_hand: 30,
            reserved: 0,
        }]);
}

#[test]
fn what_is_not_promised_is_neither_released_nor_sent() {
    let refusal = || Error::NotReserved {
        requested: 6,
        reserved: 5,
    };
    for command in [release(6), commit(6)] {
        given([received(50, 50, 0), reserved(5, 50, 5)])
            .when(command)
            .then_expect_error(refusal());
    }
}

#[test]
fn returned_pieces_can_be_sold_again() {
    given([received(50, 50, 0)])
        .when(return_back(2))
        .then_expect_events(vec![Event::Returned {
            store_id: store_id(),
            sku: sku(),
            order_id: order(),
            quantity: pieces(2),
            on_hand: 52,
            reserved: 0,
        }]);
}

#[test]
fn low_stock_is_told_when_the_line_is_crossed_and_not_again() {
    given([received(12, 12, 0)])
        .when(reserve(1))
        .then_expect_events(vec![reserved(1, 12, 1)]);
    given([received(12, 12, 0)])
        .when(reserve(2))
        .then_expect_events(vec![reserved(2, 12, 2), low(10, 12, 2)]);
    given([received(12, 12, 0), reserved(2, 12, 2), low(10, 12, 2)])
        .when(reserve(1))
        .then_expect_events(vec![reserved(1, 12, 3)]);
}

#[test]
fn out_of_stock_is_told_when_nothing_is_left() {
    given([received(3, 3, 0)])
        .when(reserve(3))
        .then_expect_events(vec![reserved(3, 3, 3), out(3, 3)]);
    given([received(12, 12, 0)])
        .when(adjust_by(-12))
        .then_expect_events(vec![adjusted(12, 0, 0), low(0, 0, 0), out(0, 0)]);
}

#[test]
fn few_goods_are_no_alarm() {
    given([])
        .when(receive(1))
        .then_expect_events(vec![received(1, 1, 0)]);
}

#[test]
fn an_impossible_history_is_named() {
    let message = panic_of::<Stock>(vec![received(3, 3, 0), reserved(4, 3, 4)]);
    assert!(
        message.contains("inventory.reserved recorded while Tracked"),
        "{message}"
    );
}

#[test]
fn levels_that_do_not_follow_are_noticed() {
    let message = panic_of::<Stock>(vec![received(3, 4, 0)]);
    assert!(
        message.contains("inventory.received recorded while Untracked"),
        "{message}"
    );
}

fn any_command() -> impl Strategy<Value = Command> {
    let number = || prop_oneof![4 => 1..15_u32, 1 => 1..=Quantity::MAX];
    let delta = prop_oneof![4 => -15..15_i64, 1 => any::<i64>(), 1 => Just(i64::from(ON_HAND_MAX))];
    prop_oneof![
        number().prop_map(receive),
        delta.prop_map(adjust_by),
        number().prop_map(reserve),
        number().prop_map(release),
        number().prop_map(commit),
        number().prop_map(return_back),
    ]
}

proptest! {
    #[test]
    fn available_is_never_negative_and_history_folds_to_the_same(
        commands in proptest::collection::vec(any_command(), 0..60),
    ) {
        let (mut stock, mut history) = (Stock::default(), Vec::new());
        for command in commands {
            let before = stock.levels().available();
            let events = stock.decide(command).unwrap_or_default();
            for event in &events {
                stock.apply(event.clone());
                let Levels { on_hand, reserved } = stock.levels();
                prop_assert!(reserved <= on_hand, "{} reserved of {}", reserved, on_hand);
                prop_assert!(on_hand <= ON_HAND_MAX);
            }
            let after = stock.levels().available();
            let is_told = |told: fn(&Event) -> bool| events.iter().any(told);
            prop_assert_eq!(
                is_told(|event| matches!(event, Event::LowStock { .. })),
                before > LOW_STOCK_THRESHOLD && after <= LOW_STOCK_THRESHOLD
            );
            prop_assert_eq!(is_told(|event| matches!(event, Event::OutOfStock { .. })), before > 0 && after == 0);
            history.extend(events);
            let snapshot = serde_json::to_string(&stock).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Stock>(&snapshot).unwrap(), &stock);
        }
        prop_assert_eq!(fold(history), stock);
    }
}
