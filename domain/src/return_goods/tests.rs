use std::time::Duration;

use cqrs_es::test::{AggregateTestExecutor, TestFramework};
use iso_currency::Currency;
use uuid::Uuid;

use super::*;
use crate::aggregate::panic_of;
use crate::fulfilment::{Step as Forward, TRIES_MAX};
use crate::order::CancelReason;
use crate::payment::{Charge, Refunding};
use crate::saga::{NotParked, Patience, table};
use crate::{DeliveryId, Money, OrderId, Quantity, Sealed, UserId};

const STEPS: [Step; 2] = [Step::Refund, Step::Restock];

fn plan() -> Plan {
    Plan {
        store_id: "store-1".parse().unwrap(),
        items: vec![Line {
            sku: "AB-BEE-001".parse().unwrap(),
            quantity: Quantity::new(3).unwrap(),
        }],
        payment_id: PaymentId::new(Uuid::from_u128(2)),
    }
}

fn ask(step: Step, attempt: u32) -> Event {
    plan().request(step, attempt)
}

fn history(step: Step, attempts: u32) -> Vec<Event> {
    let mut events = vec![Event::Started(plan())];
    events.extend((1..=attempts).map(|attempt| ask(step, attempt)));
    events
}

fn parked(step: Step) -> Event {
    let error = "no answer came in time".to_owned();
    Event::Parked { step, error }
}

fn halted(step: Step) -> Vec<Event> {
    [history(step, TRIES_MAX), vec![parked(step)]].concat()
}

fn fold(events: impl IntoIterator<Item = Event>) -> Return {
    let mut saga = Return::default();
    events.into_iter().for_each(|event| saga.apply(event));
    saga
}

fn given(events: impl IntoIterator<Item = Event>) -> AggregateTestExecutor<Return> {
    TestFramework::with(()).given(events.into_iter().collect())
}

fn started(refunded: bool) -> Input {
    let plan = Box::new(plan());
    Input::Started { plan, refunded }
}

fn refund_failed(attempt: u32) -> Input {
    let error = "silent".to_owned();
    Input::RefundFailed { attempt, error }
}

fn said() -> Vec<(&'static str, Input)> {
    vec![
        ("started", started(false)),
        ("started, refunded before", started(true)),
        ("payment refunded", Input::PaymentRefunded),
        ("refund failed", refund_failed(1)),
        ("reservation released", Input::ReservationReleased),
    ]
}

/// What events lead to, in the table's words.
fn words(from: Option<Step>, events: &[Event]) -> String {
    let step = |event: &Event| {
        let is_asked = |step: &Step| (1..9).any(|attempt| *event == ask(*step, attempt));
        match STEPS.into_iter().find(is_asked) {
            Some(step) if Some(step) == from => "the same".to_owned(),
            Some(step) => format!("{step:?}"),
            None => panic!("not a request: {event:?}"),
        }
    };
    match events {
        [] => "nothing".to_owned(),
        [Event::Completed] => "Completed".to_owned(),
        [Event::AttemptFailed { .. }] => "noted".to_owned(),
        [Event::Parked { .. }] => "parked".to_owned(),
        [Event::Started(_) | Event::Retried, request] => step(request),
        [request] => step(request),
        events => panic!("the table has no words for {events:?}"),
    }
}

#[test]
fn the_table_is_what_the_saga_does() {
    let mut table = table::read(include_str!("../return_goods.rs"));
    let mut expected = |step: &str, input: &str| {
        let key = (step.to_owned(), input.to_owned());
        table.remove(&key)
    };
    for (said, input) in said() {
        let leads_to = expected("(nothing)", said).unwrap_or("nothing".to_owned());
        assert_eq!(words(None, &Return::NotStarted.react(input)), leads_to);
    }
    let again = expected("any", "timed out").unwrap();
    for step in STEPS {
        let name = format!("{step:?}");
        let hears =
            |attempts, input| words(Some(step), &fold(history(step, attempts)).react(input));
        for (said, input) in said() {
            let leads_to = expected(&name, said).unwrap_or("nothing".to_owned());
            let (once, last) = leads_to
                .split_once("; too often: ")
                .unwrap_or((&leads_to, ""));
            assert_eq!(hears(1, input), once, "{name}, {said}");
            if !last.is_empty() {
                let failed = fold(history(step, TRIES_MAX)).react(refund_failed(TRIES_MAX));
                assert_eq!(words(Some(step), &failed[1..]), last, "{name}, {said}");
            }
        }
        let (same, last) = again.split_once("; too often: ").unwrap();
        let time_out = |attempt| hears(attempt, Input::TimedOut { step, attempt });
        assert_eq!(
            (time_out(1).as_str(), time_out(TRIES_MAX).as_str()),
            (same, last)
        );
        assert_eq!(hears(1, Input::Retried), "nothing");
    }
    let retried = fold(halted(Step::Restock)).react(Input::Retried);
    assert_eq!(
        expected("parked", "retried"),
        Some(words(Some(Step::Restock), &retried))
    );
    assert_eq!(table, table::Table::new(), "nothing is tried by this test");
}

#[test]
fn it_begins_with_the_money_unless_that_is_back() {
    given([])
        .when(started(false))
        .then_expect_events(vec![Event::Started(plan()), ask(Step::Refund, 1)]);
    given([])
        .when(started(true))
        .then_expect_events(vec![Event::Started(plan()), ask(Step::Restock, 1)]);
    for step in STEPS {
        given(history(step, 1))
            .when(started(false))
            .then_expect_events(vec![]);
    }
}

#[test]
fn a_step_is_asked_for_so_often_and_then_halts() {
    for step in STEPS {
        for attempt in 1..TRIES_MAX {
            given(history(step, attempt))
                .when(Input::TimedOut { step, attempt })
                .then_expect_events(vec![ask(step, attempt + 1)]);
        }
        let attempt = TRIES_MAX;
        given(history(step, attempt))
            .when(Input::TimedOut { step, attempt })
            .then_expect_events(vec![parked(step)]);
        given(halted(step))
            .when(Input::TimedOut { step, attempt })
            .then_expect_events(vec![]);
        given(history(step, 2))
            .when(Input::TimedOut { step, attempt: 1 })
            .then_expect_events(vec![]);
        assert_eq!(
            fold(halted(step)).retry(),
            Ok(vec![Event::Retried, ask(step, TRIES_MAX + 1)])
        );
        assert_eq!(fold(history(step, 1)).retry(), Err(NotParked));
    }
}

#[test]
fn money_that_is_back_after_all_leads_on() {
    given(halted(Step::Refund))
        .when(Input::PaymentRefunded)
        .then_expect_events(vec![ask(Step::Restock, 1)]);
}

#[test]
fn a_refund_that_failed_is_noted_once() {
    let failed = Event::AttemptFailed {
        step: Step::Refund,
        attempt: 1,
        error: "silent".to_owned(),
    };
    given(history(Step::Refund, 1))
        .when(refund_failed(1))
        .then_expect_events(vec![failed.clone()]);
    given([history(Step::Refund, 1), vec![failed]].concat())
        .when(refund_failed(1))
        .then_expect_events(vec![]);
    given(history(Step::Refund, 2))
        .when(refund_failed(1))
        .then_expect_events(vec![]);
}

#[test]
fn what_has_ended_hears_nothing() {
    for (_, input) in said() {
        given([history(Step::Restock, 1), vec![Event::Completed]].concat())
            .when(input)
            .then_expect_events(vec![]);
    }
}

fn order(status: Status) -> Order {
    Order::Placed(order::Progress {
        customer_id: UserId::new(Uuid::from_u128(1)),
        status,
        cancellation_requested: false,
    })
}

#[test]
fn the_order_is_returned_when_everything_is_back() {
    let completed = || order(Status::Completed);
    let refunded = advance(
        &fold(history(Step::Refund, 1)),
        &completed(),
        Input::PaymentRefunded,
    );
    assert_eq!(refunded, Ok((vec![ask(Step::Restock, 1)], vec![])));
    let restocked = |order| {
        advance(
            &fold(history(Step::Restock, 1)),
            &order,
            Input::ReservationReleased,
        )
    };
    assert_eq!(
        restocked(completed()),
        Ok((vec![Event::Completed], vec![order::Event::Returned]))
    );
    let status = Status::Scheduled;
    let error = order::Error::OutOfTurn { status };
    assert_eq!(restocked(order(status)), Err(Error::Order { error }));
}

fn payment(state: impl FnOnce(Charge) -> Payment) -> Payment {
    state(Charge {
        order_id: OrderId::new(Uuid::from_u128(4)),
        customer_id: UserId::new(Uuid::from_u128(1)),
        amount: Money::new(1497, Currency::EUR),
        token: Sealed::new("user-1", vec![1]),
        reference: Some("ch_1".to_owned()),
    })
}

fn fulfilment(step: Forward) -> Fulfilment {
    let mut saga = Fulfilment::default();
    let plan = fulfilment::Plan {
        customer_id: UserId::new(Uuid::from_u128(1)),
        store_id: plan().store_id,
        items: plan().items,
        total: Money::new(1497, Currency::EUR),
        payment_id: plan().payment_id,
        delivery_id: DeliveryId::new(Uuid::from_u128(3)),
        payment_token: Sealed::new("user-1", vec![1]),
        address: None,
    };
    saga.apply(fulfilment::Event::Started(plan.clone()));
    saga.apply(plan.request(step, 1));
    saga
}

#[test]
fn a_delivery_that_fails_after_completion_begins_a_return() {
    let failed = |saga: &Return, payment: &Payment| {
        let order = order(Status::Completed);
        delivery_failed(&Fulfilment::Completed, saga, &order, payment, plan())
    };
    let begun = |step| Ok((vec![], vec![Event::Started(plan()), ask(step, 1)], vec![]));
    let on_its_way = |charge| {
        Payment::Refunding(Refunding {
            charge,
            charged: true,
            attempt: 1,
            failed: false,
        })
    };
    let new = Return::NotStarted;
    assert_eq!(
        failed(&new, &payment(Payment::Completed)),
        begun(Step::Refund)
    );
    assert_eq!(failed(&new, &payment(on_its_way)), begun(Step::Refund));
    assert_eq!(
        failed(&new, &payment(Payment::Refunded)),
        begun(Step::Restock)
    );
    for saga in [fold(history(Step::Refund, 1)), Return::Completed] {
        let again = failed(&saga, &payment(Payment::Refunded));
        assert_eq!(again, Ok((vec![], vec![], vec![])));
    }
}

#[test]
fn a_delivery_that_fails_before_completion_is_the_other_saga_s() {
    let saga = fulfilment(Forward::Commit);
    let failed = delivery_failed(
        &saga,
        &Return::NotStarted,
        &order(Status::Scheduled),
        &payment(Payment::Completed),
        plan(),
    );
    let reason = CancelReason::DeliveryUnavailable;
    let undone = vec![
        fulfilment::Event::CompensationStarted { reason },
        fulfilment::Event::RefundRequested {
            payment_id: plan().payment_id,
            attempt: 1,
        },
    ];
    assert_eq!(failed, Ok((undone, vec![], vec![])));
}

#[test]
fn a_delivery_that_fails_after_the_end_leads_to_nothing() {
    for (saga, status) in [
        (Fulfilment::Cancelled, Status::Cancelled),
        (Fulfilment::Completed, Status::Returned),
    ] {
        let failed = delivery_failed(
            &saga,
            &Return::NotStarted,
            &order(status),
            &payment(Payment::Refunded),
            plan(),
        );
        assert_eq!(failed, Ok((vec![], vec![], vec![])));
    }
}

#[test]
fn it_waits_while_it_waits_for_something() {
    let wait = |history| fold(history).patience(&Patience::default());
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(wait(history(Step::Refund, 1)), seconds(30));
    assert_eq!(wait(history(Step::Restock, 2)), seconds(60));
    assert_eq!(wait(halted(Step::Restock)), None);
    assert_eq!(wait(vec![]), None);
}

#[test]
fn an_impossible_history_is_named() {
    let message = panic_of::<Return>(vec![Event::Completed]);
    assert!(
        message.contains("return.completed recorded while NotStarted"),
        "{message}"
    );
}

#[test]
fn words_and_snapshots_are_stored() {
    for step in STEPS {
        assert_eq!(serde_json::to_value(step).unwrap(), step.as_str());
        let saga = fold(halted(step));
        let snapshot = serde_json::to_string(&saga).unwrap();
        assert_eq!(serde_json::from_str::<Return>(&snapshot).unwrap(), saga);
    }
}
