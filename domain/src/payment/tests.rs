use cqrs_es::test::{AggregateTestExecutor, TestFramework};
use iso_currency::Currency;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::Order;
use crate::aggregate::panic_of;

mod staff;

fn order_id() -> OrderId {
    OrderId::new(Uuid::from_u128(1))
}

fn customer_id() -> UserId {
    UserId::new(Uuid::from_u128(2))
}

fn amount() -> Money {
    Money::new(1497, Currency::EUR)
}

fn token() -> Sealed<PaymentToken> {
    Sealed::new("user-1", vec![1])
}

fn initiate() -> Command {
    Command::Initiate {
        order_id: order_id(),
        customer_id: customer_id(),
        amount: amount(),
        token: token(),
    }
}

fn complete() -> Command {
    let reference = "ch_1".to_owned();
    Command::Complete { reference }
}

fn decline() -> Command {
    let detail = Some("no funds".to_owned());
    Command::Decline { detail }
}

fn refund(attempt: u32) -> Command {
    let order_id = order_id();
    Command::Refund { order_id, attempt }
}

fn mark_refunded() -> Command {
    let reference = "re_1".to_owned();
    Command::MarkRefunded { reference }
}

fn fail_refund() -> Command {
    let error = "silent".to_owned();
    Command::FailRefund { error }
}

fn initiated() -> Event {
    Event::Initiated {
        order_id: order_id(),
        customer_id: customer_id(),
        amount: amount(),
        token: token(),
    }
}

fn completed(reference: &str) -> Event {
    Event::Completed {
        order_id: order_id(),
        amount: amount(),
        reference: reference.to_owned(),
    }
}

fn declined() -> Event {
    Event::Failed {
        order_id: order_id(),
        reason: Failure::Declined,
        detail: Some("no funds".to_owned()),
    }
}

fn called_off() -> Event {
    Event::Failed {
        order_id: order_id(),
        reason: Failure::Cancelled,
        detail: None,
    }
}

fn refund_requested(attempt: u32) -> Event {
    let order_id = order_id();
    Event::RefundRequested { order_id, attempt }
}

fn refunded() -> Event {
    Event::Refunded {
        order_id: order_id(),
        amount: amount(),
        reference: "re_1".to_owned(),
    }
}

fn refund_failed(attempt: u32) -> Event {
    Event::RefundFailed {
        order_id: order_id(),
        attempt,
        error: "silent".to_owned(),
    }
}

fn charged() -> Vec<Event> {
    vec![initiated(), completed("ch_1")]
}

/// A charge whose fate is unknown is to be given back.
fn voiding() -> Vec<Event> {
    vec![initiated(), refund_requested(1)]
}

fn refunding() -> Vec<Event> {
    [charged(), vec![refund_requested(1)]].concat()
}

fn given_back() -> Vec<Event> {
    [refunding(), vec![refunded()]].concat()
}

fn given(events: impl IntoIterator<Item = Event>) -> AggregateTestExecutor<Payment> {
    TestFramework::with(()).given(events.into_iter().collect())
}

fn fold(events: impl IntoIterator<Item = Event>) -> Payment {
    let mut payment = Payment::default();
    events.into_iter().for_each(|event| payment.apply(event));
    payment
}

#[test]
fn a_payment_is_begun_once() {
    given([])
        .when(initiate())
        .then_expect_events(vec![initiated()]);
    for history in [
        vec![initiated()],
        charged(),
        vec![initiated(), declined()],
        voiding(),
        given_back(),
    ] {
        given(history).when(initiate()).then_expect_events(vec![]);
    }
}

#[test]
fn what_the_provider_says_of_nothing_is_refused() {
    for command in [
        complete(),
        decline(),
        mark_refunded(),
        Command::MarkVoided,
        fail_refund(),
    ] {
        given([]).when(command).then_expect_error(Error::NotFound);
    }
}

#[test]
fn a_charge_is_made_or_declined() {
    given([initiated()])
        .when(complete())
        .then_expect_events(vec![completed("ch_1")]);
    given([initiated()])
        .when(decline())
        .then_expect_events(vec![declined()]);
}

#[test]
fn an_answer_that_comes_twice_changes_nothing() {
    for (history, command) in [
        (charged(), complete()),
        (charged(), decline()),
        (vec![initiated(), declined()], decline()),
        (given_back(), complete()),
        (given_back(), decline()),
        (given_back(), mark_refunded()),
        (given_back(), Command::MarkVoided),
        (given_back(), fail_refund()),
        (refunding(), complete()),
        (refunding(), decline()),
        (
            [voiding(), vec![called_off()]].concat(),
            Command::MarkVoided,
        ),
        ([voiding(), vec![called_off()]].concat(), decline()),
    ] {
        given(history).when(command).then_expect_events(vec![]);
    }
}

#[test]
fn what_was_charged_is_given_back_once() {
    given(charged())
        .when(refund(1))
        .then_expect_events(vec![refund_requested(1)]);
    given(refunding())
        .when(mark_refunded())
        .then_expect_events(vec![refunded()]);
    for history in [refunding(), given_back()] {
        given(history).when(refund(2)).then_expect_events(vec![]);
    }
}

#[test]
fn a_refund_that_failed_is_asked_for_again() {
    given(refunding())
        .when(fail_refund())
        .then_expect_events(vec![refund_failed(1)]);
    let failed = || [refunding(), vec![refund_failed(1)]].concat();
    given(failed())
        .when(fail_refund())
        .then_expect_events(vec![]);
    given(failed())
        .when(refund(2))
        .then_expect_events(vec![refund_requested(2)]);
    given(failed())
        .when(mark_refunded())
        .then_expect_events(vec![refunded()]);
    given([failed(), vec![refund_requested(2)]].concat())
        .when(fail_refund())
        .then_expect_events(vec![refund_failed(2)]);
}

#[test]
fn a_refund_before_its_payment_leaves_a_tombstone() {
    given([])
        .when(refund(1))
        .then_expect_events(vec![called_off()]);
    for command in [
        initiate(),
        refund(2),
        complete(),
        decline(),
        mark_refunded(),
        Command::MarkVoided,
        fail_refund(),
    ] {
        given([called_off()])
            .when(command)
            .then_expect_events(vec![]);
    }
}

#[test]
fn a_charge_without_an_answer_is_called_off() {
    given([initiated()])
        .when(refund(1))
        .then_expect_events(vec![refund_requested(1)]);
    given(voiding())
        .when(Command::MarkVoided)
        .then_expect_events(vec![called_off()]);
    given(voiding())
        .when(decline())
        .then_expect_events(vec![declined()]);
    given(voiding())
        .when(fail_refund())
        .then_expect_events(vec![refund_failed(1)]);
}

#[test]
fn that_it_was_given_back_tells_that_it_was_charged() {
    given(voiding())
        .when(mark_refunded())
        .then_expect_events(vec![completed("re_1"), refunded()]);
}

#[test]
fn a_charge_that_is_told_late_is_on_its_way_back() {
    given(voiding())
        .when(complete())
        .then_expect_events(vec![completed("ch_1")]);
    let told = || [voiding(), vec![completed("ch_1")]].concat();
    given(told())
        .when(mark_refunded())
        .then_expect_events(vec![refunded()]);
    given(told())
        .when(Command::MarkVoided)
        .then_expect_events(vec![]);
}

#[test]
fn a_charge_that_is_told_after_it_was_called_off_goes_back() {
    for history in [
        [voiding(), vec![called_off()]].concat(),
        vec![initiated(), declined()],
    ] {
        given(history)
            .when(complete())
            .then_expect_events(vec![completed("ch_1"), refund_requested(1)]);
    }
}

#[test]
fn a_payment_that_failed_has_nothing_to_give_back() {
    given([initiated(), declined()])
        .when(refund(1))
        .then_expect_events(vec![]);
    given([initiated(), declined()])
        .when(mark_refunded())
        .then_expect_events(vec![]);
}

#[test]
fn what_was_charged_is_remembered_with_its_reference() {
    let reference = |history| fold(history).charge().unwrap().reference.clone();
    assert_eq!(reference(vec![initiated()]), None);
    for history in [charged(), refunding(), given_back()] {
        assert_eq!(reference(history).as_deref(), Some("ch_1"));
    }
    let late = [voiding(), vec![completed("ch_2")]].concat();
    assert_eq!(reference(late).as_deref(), Some("ch_2"));
    assert_eq!(Payment::default().charge(), None);
    assert_eq!(fold([called_off()]).charge(), None);
}

#[test]
fn an_impossible_history_is_named() {
    let message = panic_of::<Payment>(vec![refunded()]);
    assert!(
        message.contains("payment.refunded recorded while Absent"),
        "{message}"
    );
    let message = panic_of::<Payment>([given_back(), vec![refund_requested(2)]].concat());
    assert!(
        message.contains("payment.refund-requested recorded while Refunded"),
        "{message}"
    );
}

#[test]
fn refusals_are_stored_by_their_code() {
    let status = order::Status::Paid;
    let refusal = Error::OrderUnderWay { status };
    let json = r#"{"code":"order-under-way","status":"paid"}"#;
    assert_eq!(serde_json::to_string(&refusal).unwrap(), json);
    assert_eq!(serde_json::from_str::<Error>(json).unwrap(), refusal);
}

fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        Just(initiate()),
        Just(complete()),
        Just(decline()),
        (1..4_u32).prop_map(refund),
        Just(mark_refunded()),
        Just(Command::MarkVoided),
        Just(fail_refund()),
    ]
}

proptest! {
    /// Whatever the provider says, and when.
    #[test]
    fn nothing_is_charged_or_given_back_twice(commands in proptest::collection::vec(any_command(), 0..30)) {
        let (mut payment, mut history) = (Payment::default(), Vec::new());
        for command in commands {
            for event in payment.decide(command.clone()).unwrap_or_default() {
                payment.apply(event.clone());
                history.push(event);
            }
            prop_assert!(payment.decide(command).unwrap_or_default().is_empty());
            let snapshot = serde_json::to_string(&payment).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Payment>(&snapshot).unwrap(), &payment);
        }
        let count = |is: fn(&Event) -> bool| history.iter().filter(|event| is(event)).count();
        let charges = count(|event| matches!(event, Event::Completed { .. }));
        let refunds = count(|event| matches!(event, Event::Refunded { .. }));
        prop_assert!(charges <= 1 && refunds <= charges, "{} charges, {} refunds", charges, refunds);
        prop_assert_eq!(fold(history), payment);
    }
}
