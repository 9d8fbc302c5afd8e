use std::time::Duration;

use cqrs_es::test::{AggregateTestExecutor, TestFramework};
use iso_currency::Currency;
use uuid::Uuid;

use super::*;
use crate::aggregate::panic_of;
use crate::saga::NotParked;
use crate::{DeliveryId, Money, PaymentId, Quantity, Sealed, UserId};

mod orders;
mod transitions;

const STEPS: [Step; 7] = [
    Step::Reserve,
    Step::Charge,
    Step::Schedule,
    Step::Commit,
    Step::CancelDelivery,
    Step::Refund,
    Step::Release,
];

fn plan() -> Plan {
    Plan {
        customer_id: UserId::new(Uuid::from_u128(1)),
        store_id: "store-1".parse().unwrap(),
        items: vec![Line {
            sku: "AB-BEE-001".parse().unwrap(),
            quantity: Quantity::new(3).unwrap(),
        }],
        total: Money::new(1497, Currency::EUR),
        payment_id: PaymentId::new(Uuid::from_u128(2)),
        delivery_id: DeliveryId::new(Uuid::from_u128(3)),
        payment_token: Sealed::new("user-1", vec![1]),
        address: None,
    }
}

fn started() -> Input {
    Input::Started(Box::new(plan()))
}

fn ask(step: Step, attempt: u32) -> Event {
    plan().request(step, attempt)
}

/// What leads to waiting for this attempt of a step, for the customer's sake where it undoes something.
fn history(step: Step, attempts: u32) -> Vec<Event> {
    let mut events = vec![Event::Started(plan())];
    if step.is_compensation() {
        let reason = CancelReason::Customer;
        events.push(Event::CompensationStarted { reason });
    }
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

fn fold(events: impl IntoIterator<Item = Event>) -> Fulfilment {
    let mut saga = Fulfilment::default();
    events.into_iter().for_each(|event| saga.apply(event));
    saga
}

fn given(events: impl IntoIterator<Item = Event>) -> AggregateTestExecutor<Fulfilment> {
    TestFramework::with(()).given(events.into_iter().collect())
}

fn slot() -> chrono::DateTime<chrono::Utc> {
    "2026-11-23T05:00:00Z".parse().unwrap()
}

fn refund_failed(attempt: u32) -> Input {
    let error = "silent".to_owned();
    Input::RefundFailed { attempt, error }
}

/// What participants and the order say, by the table's words.
fn said() -> Vec<(&'static str, Input)> {
    vec![
        ("started", started()),
        ("reservation confirmed", Input::ReservationConfirmed),
        ("reservation rejected", Input::ReservationRejected),
        ("reservation released", Input::ReservationReleased),
        ("reservation committed", Input::ReservationCommitted),
        ("payment completed", Input::PaymentCompleted),
        ("payment failed", Input::PaymentFailed),
        ("payment refunded", Input::PaymentRefunded),
        ("refund failed", refund_failed(1)),
        (
            "delivery scheduled",
            Input::DeliveryScheduled { slot: slot() },
        ),
        ("delivery failed", Input::DeliveryFailed),
        ("delivery cancelled", Input::DeliveryCancelled),
        ("cancellation requested", Input::CancellationRequested),
    ]
}

#[test]
fn it_begins_with_what_the_order_says() {
    given([])
        .when(started())
        .then_expect_events(vec![Event::Started(plan()), ask(Step::Reserve, 1)]);
    given(history(Step::Charge, 1))
        .when(started())
        .then_expect_events(vec![]);
}

#[test]
fn a_time_out_counts_for_the_attempt_that_it_was_set_for() {
    for step in STEPS {
        for (of, attempt) in [(step, 1), (step, 3), (Step::Reserve, 2), (Step::Refund, 2)] {
            if (of, attempt) == (step, 2) {
                continue;
            }
            given(history(step, 2))
                .when(Input::TimedOut { step: of, attempt })
                .then_expect_events(vec![]);
        }
    }
}

#[test]
fn a_step_is_asked_for_so_often_and_then_halts() {
    for step in [
        Step::Reserve,
        Step::Commit,
        Step::CancelDelivery,
        Step::Refund,
        Step::Release,
    ] {
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
    }
}

#[test]
fn a_saga_that_was_told_to_go_on_tries_as_often_again() {
    let again = |attempt| {
        let resumed = vec![Event::Retried, ask(Step::Release, TRIES_MAX + 1)];
        let more = (TRIES_MAX + 2..=attempt).map(|attempt| ask(Step::Release, attempt));
        [halted(Step::Release), resumed, more.collect()].concat()
    };
    for attempt in TRIES_MAX + 1..2 * TRIES_MAX {
        let step = Step::Release;
        given(again(attempt))
            .when(Input::TimedOut { step, attempt })
            .then_expect_events(vec![ask(step, attempt + 1)]);
    }
    let (step, attempt) = (Step::Release, 2 * TRIES_MAX);
    given(again(attempt))
        .when(Input::TimedOut { step, attempt })
        .then_expect_events(vec![parked(step)]);
}

#[test]
fn only_what_halts_is_told_to_go_on() {
    for step in STEPS {
        assert_eq!(
            fold(halted(step)).retry(),
            Ok(vec![Event::Retried, ask(step, TRIES_MAX + 1)])
        );
        assert_eq!(fold(history(step, 2)).retry(), Err(NotParked));
    }
    for saga in [
        Fulfilment::NotStarted,
        Fulfilment::Completed,
        Fulfilment::Cancelled,
    ] {
        assert_eq!(saga.retry(), Err(NotParked));
    }
}

#[test]
fn a_saga_that_halts_goes_on_where_the_answer_comes_after_all() {
    given(halted(Step::Reserve))
        .when(Input::ReservationConfirmed)
        .then_expect_events(vec![ask(Step::Charge, 1)]);
    given(halted(Step::Refund))
        .when(Input::PaymentRefunded)
        .then_expect_events(vec![ask(Step::Release, 1)]);
    let went_on = fold([halted(Step::Reserve), vec![ask(Step::Charge, 1)]].concat());
    let waiting = went_on.waiting().unwrap();
    assert_eq!(
        (waiting.parked, waiting.tries, &waiting.error),
        (false, 1, &None)
    );
}

#[test]
fn what_halts_on_its_way_can_be_cancelled() {
    let reason = CancelReason::Customer;
    for (step, undo) in [
        (Step::Reserve, Step::Release),
        (Step::Commit, Step::CancelDelivery),
    ] {
        given(halted(step))
            .when(Input::CancellationRequested)
            .then_expect_events(vec![Event::CompensationStarted { reason }, ask(undo, 1)]);
    }
}

fn attempt_failed(attempt: u32) -> Event {
    Event::AttemptFailed {
        step: Step::Refund,
        attempt,
        error: "silent".to_owned(),
    }
}

#[test]
fn a_refund_that_failed_is_noted_once_and_asked_for_when_its_time_is_up() {
    given(history(Step::Refund, 2))
        .when(refund_failed(2))
        .then_expect_events(vec![attempt_failed(2)]);
    let failed = || [history(Step::Refund, 2), vec![attempt_failed(2)]].concat();
    given(failed())
        .when(refund_failed(2))
        .then_expect_events(vec![]);
    given(failed())
        .when(Input::TimedOut {
            step: Step::Refund,
            attempt: 2,
        })
        .then_expect_events(vec![ask(Step::Refund, 3)]);
    let next = [failed(), vec![ask(Step::Refund, 3)]].concat();
    given(next.clone())
        .when(refund_failed(2))
        .then_expect_events(vec![]);
    given(next)
        .when(refund_failed(3))
        .then_expect_events(vec![attempt_failed(3)]);
}

#[test]
fn a_saga_halts_with_what_went_wrong_last() {
    let error = "silent".to_owned();
    let step = Step::Refund;
    let (last, parked) = (attempt_failed(TRIES_MAX), Event::Parked { step, error });
    given(history(step, TRIES_MAX))
        .when(refund_failed(TRIES_MAX))
        .then_expect_events(vec![last.clone(), parked.clone()]);
    // Told of an earlier attempt, then silence.
    let silent = [
        history(step, 1),
        vec![attempt_failed(1)],
        (2..=TRIES_MAX).map(|attempt| ask(step, attempt)).collect(),
    ];
    given(silent.concat())
        .when(Input::TimedOut {
            step,
            attempt: TRIES_MAX,
        })
        .then_expect_events(vec![parked.clone()]);
    given([history(step, TRIES_MAX), vec![last, parked]].concat())
        .when(refund_failed(TRIES_MAX))
        .then_expect_events(vec![]);
}

#[test]
fn what_has_ended_hears_nothing() {
    for end in [
        Event::Completed,
        Event::Cancelled {
            reason: CancelReason::OutOfStock,
        },
    ] {
        for (_, input) in said() {
            given([history(Step::Reserve, 1), vec![end.clone()]].concat())
                .when(input)
                .then_expect_events(vec![]);
        }
    }
}

#[test]
fn it_waits_longer_with_every_try_and_not_at_all_when_it_halts() {
    let wait = |history| fold(history).patience(&Patience::default());
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(wait(history(Step::Commit, 1)), seconds(30));
    assert_eq!(wait(history(Step::Commit, 3)), seconds(120));
    assert_eq!(wait(history(Step::Charge, 1)), seconds(30));
    assert_eq!(wait(halted(Step::Commit)), None);
    assert_eq!(wait(vec![]), None);
    let again = [
        halted(Step::Commit),
        vec![Event::Retried, ask(Step::Commit, 7)],
    ];
    assert_eq!(wait(again.concat()), seconds(30));
}

#[test]
fn an_impossible_history_is_named() {
    for (history, expected) in [
        (
            vec![Event::Completed],
            "fulfilment.completed recorded while NotStarted",
        ),
        (
            [history(Step::Refund, 1), vec![Event::Completed]].concat(),
            "fulfilment.completed recorded while Waiting",
        ),
        (
            vec![Event::Started(plan()), Event::Started(plan())],
            "fulfilment.started recorded while Waiting",
        ),
    ] {
        let message = panic_of::<Fulfilment>(history);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn words_and_snapshots_are_stored() {
    for step in STEPS {
        assert_eq!(serde_json::to_value(step).unwrap(), step.as_str());
        let saga = fold(halted(step));
        let snapshot = serde_json::to_string(&saga).unwrap();
        assert_eq!(serde_json::from_str::<Fulfilment>(&snapshot).unwrap(), saga);
    }
}
