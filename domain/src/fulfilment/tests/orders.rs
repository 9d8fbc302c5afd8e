//! The saga and its order, which are one append.

use super::*;
use crate::order::Status;

fn order(status: Status, cancellation_requested: bool) -> Order {
    Order::Placed(order::Progress {
        customer_id: plan().customer_id,
        status,
        cancellation_requested,
    })
}

/// The step that is waited for, the status of the order meanwhile, the answer, and the step and status after it.
fn way() -> [(Step, Status, Input, Vec<Event>, order::Event); 4] {
    let scheduled = Input::DeliveryScheduled { slot: slot() };
    [
        (
            Step::Reserve,
            Status::Pending,
            Input::ReservationConfirmed,
            vec![ask(Step::Charge, 1)],
            order::Event::Reserved,
        ),
        (
            Step::Charge,
            Status::Reserved,
            Input::PaymentCompleted,
            vec![ask(Step::Schedule, 1)],
            order::Event::Paid,
        ),
        (
            Step::Schedule,
            Status::Paid,
            scheduled,
            vec![ask(Step::Commit, 1)],
            order::Event::Scheduled { slot: slot() },
        ),
        (
            Step::Commit,
            Status::Scheduled,
            Input::ReservationCommitted,
            vec![Event::Completed],
            order::Event::Completed,
        ),
    ]
}

#[test]
fn every_step_is_written_into_the_order() {
    for (step, status, input, events, told) in way() {
        let decided = advance(&fold(history(step, 1)), &order(status, false), input);
        assert_eq!(decided, Ok((events, vec![told])));
    }
}

#[test]
fn a_cancellation_that_was_accepted_beats_every_answer_that_leads_on() {
    let undone_from = |step| match step {
        Step::Reserve => Step::Release,
        Step::Charge => Step::Refund,
        _ => Step::CancelDelivery,
    };
    for (step, status, input, ..) in way() {
        let decided = advance(&fold(history(step, 1)), &order(status, true), input);
        let reason = CancelReason::Customer;
        let undone = vec![
            Event::CompensationStarted { reason },
            ask(undone_from(step), 1),
        ];
        assert_eq!(decided, Ok((undone, vec![])), "{step:?}");
    }
}

#[test]
fn a_failure_keeps_its_reason_though_a_cancellation_was_accepted() {
    let called_off = order(Status::Reserved, true);
    let declined = advance(
        &fold(history(Step::Charge, 1)),
        &called_off,
        Input::PaymentFailed,
    );
    let reason = CancelReason::PaymentDeclined;
    let undone = vec![Event::CompensationStarted { reason }, ask(Step::Release, 1)];
    assert_eq!(declined, Ok((undone, vec![])));
}

#[test]
fn what_is_asked_again_writes_nothing_into_the_order() {
    for (step, status) in [
        (Step::Reserve, Status::Pending),
        (Step::Schedule, Status::Paid),
        (Step::Commit, Status::Scheduled),
        (Step::Refund, Status::Paid),
    ] {
        let decided = advance(
            &fold(history(step, 1)),
            &order(status, false),
            Input::TimedOut { step, attempt: 1 },
        );
        assert_eq!(decided, Ok((vec![ask(step, 2)], vec![])));
    }
}

#[test]
fn an_order_is_cancelled_when_everything_is_undone_and_not_before() {
    let pending = || order(Status::Pending, false);
    let rejected = advance(
        &fold(history(Step::Reserve, 1)),
        &pending(),
        Input::ReservationRejected,
    );
    let reason = CancelReason::OutOfStock;
    let (ended, cancelled) = (
        Event::Cancelled { reason },
        order::Event::Cancelled { reason },
    );
    assert_eq!(rejected, Ok((vec![ended], vec![cancelled])));

    let paid = || order(Status::Paid, true);
    let refunded = advance(
        &fold(history(Step::Refund, 1)),
        &paid(),
        Input::PaymentRefunded,
    );
    assert_eq!(refunded, Ok((vec![ask(Step::Release, 1)], vec![])));
    let released = advance(
        &fold(history(Step::Release, 1)),
        &paid(),
        Input::ReservationReleased,
    );
    let reason = CancelReason::Customer;
    let (ended, cancelled) = (
        Event::Cancelled { reason },
        order::Event::Cancelled { reason },
    );
    assert_eq!(released, Ok((vec![ended], vec![cancelled])));
}

#[test]
fn an_order_that_is_not_where_its_saga_is_stops_it() {
    let status = Status::Cancelled;
    let decided = advance(
        &fold(history(Step::Reserve, 1)),
        &order(status, false),
        Input::ReservationConfirmed,
    );
    let error = order::Error::OutOfTurn { status };
    assert_eq!(decided, Err(Error::Order { error }));
}
