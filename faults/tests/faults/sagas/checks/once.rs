//! Nothing is done twice.

use std::collections::BTreeMap;

use crate::sagas::evidence::Evidence;

/// What happens to a stream once at most.
const ONCE: [&str; 25] = [
    "order.created",
    "order.reserved",
    "order.paid",
    "order.scheduled",
    "order.completed",
    "order.cancellation-requested",
    "order.cancelled",
    "order.returned",
    "fulfilment.started",
    "fulfilment.compensation-started",
    "fulfilment.completed",
    "fulfilment.cancelled",
    "return.started",
    "return.completed",
    "reservation.confirmed",
    "reservation.rejected",
    "reservation.released",
    "reservation.committed",
    "payment.initiated",
    "payment.completed",
    "payment.failed",
    "payment.refunded",
    "delivery.scheduled",
    "delivery.failed",
    "delivery.cancelled",
];

pub(super) fn check(evidence: &Evidence, wrong: &mut Vec<String>) {
    let mut happened: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    let mut answered: BTreeMap<(&str, &str, &str, &str, i64), u32> = BTreeMap::new();
    for event in &evidence.log {
        let (kind, id, name) = (&*event.stream_type, &*event.stream_id, &*event.name);
        if ONCE.contains(&name) {
            *happened.entry((id, name)).or_default() += 1;
        }
        // Whoever answers an event does so with one command: the same consequence comes once, but for numbered attempts.
        if let Some(cause) = &event.cause {
            let attempt = event.payload["attempt"].as_i64().unwrap_or_default();
            *answered
                .entry((kind, id, name, cause, attempt))
                .or_default() += 1;
        }
    }
    for ((id, name), times) in happened {
        if times > 1 {
            wrong.push(format!("{name} happened {times} times to {id}"));
        }
    }
    for ((kind, id, name, cause, attempt), times) in answered {
        if times > 1 {
            wrong.push(format!(
                "{cause} was answered {times} times with {name} (attempt {attempt}) of {kind} {id}"
            ));
        }
    }
}
