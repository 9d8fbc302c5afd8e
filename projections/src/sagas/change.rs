//! The events of both kinds of sagas in the words of their rows.

use domain::fulfilment::Step;
use domain::{fulfilment, return_goods};
use read_models::sagas::State;

/// What an event does to a saga's row.
pub(super) enum Change {
    Started,
    /// A step was asked for.
    Asked {
        step: &'static str,
        attempt: u32,
    },
    Compensating {
        reason: &'static str,
    },
    AttemptFailed {
        error: String,
    },
    Parked {
        error: String,
    },
    Retried,
    Ended {
        state: State,
        reason: Option<&'static str>,
    },
}

pub(super) fn of_fulfilment(event: fulfilment::Event) -> Change {
    use fulfilment::Event;
    let asked = |step: Step, attempt| Change::Asked {
        step: step.as_str(),
        attempt,
    };
    match event {
        Event::Started(_) => Change::Started,
        Event::ReservationRequested { attempt, .. } => asked(Step::Reserve, attempt),
        Event::PaymentRequested { attempt, .. } => asked(Step::Charge, attempt),
        Event::DeliveryRequested { attempt, .. } => asked(Step::Schedule, attempt),
        Event::CommitRequested { attempt, .. } => asked(Step::Commit, attempt),
        Event::DeliveryCancellationRequested { attempt, .. } => {
            asked(Step::CancelDelivery, attempt)
        }
        Event::RefundRequested { attempt, .. } => asked(Step::Refund, attempt),
        Event::ReleaseRequested { attempt, .. } => asked(Step::Release, attempt),
        Event::CompensationStarted { reason } => Change::Compensating {
            reason: reason.as_str(),
        },
        Event::AttemptFailed { error, .. } => Change::AttemptFailed { error },
        Event::Parked { error, .. } => Change::Parked { error },
        Event::Retried => Change::Retried,
        Event::Completed => Change::Ended {
            state: State::Completed,
            reason: None,
        },
        Event::Cancelled { reason } => Change::Ended {
            state: State::Cancelled,
            reason: Some(reason.as_str()),
        },
    }
}

pub(super) fn of_return(event: return_goods::Event) -> Change {
    use return_goods::{Event, Step};
    let asked = |step: Step, attempt| Change::Asked {
        step: step.as_str(),
        attempt,
    };
    match event {
        Event::Started(_) => Change::Started,
        Event::RefundRequested { attempt, .. } => asked(Step::Refund, attempt),
        Event::RestockRequested { attempt, .. } => asked(Step::Restock, attempt),
        Event::AttemptFailed { error, .. } => Change::AttemptFailed { error },
        Event::Parked { error, .. } => Change::Parked { error },
        Event::Retried => Change::Retried,
        Event::Completed => Change::Ended {
            state: State::Completed,
            reason: None,
        },
    }
}
