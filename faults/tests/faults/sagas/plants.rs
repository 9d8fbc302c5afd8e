//! Bugs, planted into what a clean run has left: the checks see each of them.

use testing::Payment;

use super::checks::check;
use super::evidence::{Event, Evidence};

/// A bug, and what it does to the evidence.
type Plant = (&'static str, fn(&mut Evidence));

const PLANTS: [Plant; 18] = [
    ("a charge more", |evidence| {
        repeat_line(evidence, Payment::Charged);
    }),
    ("a refund more", |evidence| {
        repeat_line(evidence, Payment::Refunded);
    }),
    ("a refund less", |evidence| {
        let at = line(evidence, Payment::Refunded);
        evidence.record.remove(at);
    }),
    ("a charge that the log does not tell of", |evidence| {
        remove(evidence, "payment.completed");
    }),
    ("a refund of another amount", |evidence| {
        let at = line(evidence, Payment::Refunded);
        evidence.record[at].amount_minor += 1;
    }),
    ("a saga that does not end", |evidence| {
        remove(evidence, "fulfilment.completed");
    }),
    ("an order that does not end", |evidence| {
        remove(evidence, "order.cancelled");
    }),
    ("an order that ends twice", |evidence| {
        let at = event(evidence, "order.completed");
        let again = Event {
            name: "order.cancelled".to_owned(),
            payload: serde_json::json!({"type": "order.cancelled", "reason": "customer"}),
            ..evidence.log[at].clone()
        };
        evidence.log.push(again);
    }),
    ("a request that was answered twice", |evidence| {
        let at = event(evidence, "slot.booked");
        let again = evidence.log[at].clone();
        evidence.log.push(again);
    }),
    ("goods that are not given back", |evidence| {
        remove(evidence, "inventory.released");
    }),
    ("goods that came back and are not there", |evidence| {
        remove(evidence, "inventory.returned");
    }),
    ("a return that does not end", |evidence| {
        remove(evidence, "return.completed");
    }),
    ("an order that came back and does not say so", |evidence| {
        remove(evidence, "order.returned");
    }),
    ("goods that left twice", |evidence| {
        let at = event(evidence, "inventory.committed");
        let again = evidence.log[at].clone();
        evidence.log.push(again);
    }),
    ("a completed order that nobody brings", |evidence| {
        let at = booked_only(evidence);
        evidence.log.remove(at);
    }),
    ("a completed order whose delivery failed", |evidence| {
        let at = booked_only(evidence);
        let failed = Event {
            name: "delivery.failed".to_owned(),
            payload: serde_json::json!({"type": "delivery.failed", "final": true}),
            cause: None,
            ..evidence.log[at].clone()
        };
        evidence.log.push(failed);
    }),
    ("a key answered with two orders", |evidence| {
        let other = evidence.asked[1].answers.clone();
        evidence.asked[0].answers.extend(other);
    }),
    ("a timer that waits", |evidence| {
        evidence.timers.push("fulfilment/1".to_owned());
    }),
];

/// # Panics
/// Where a bug goes unnoticed.
pub(super) fn are_caught(clean: &Evidence) {
    for (name, plant) in PLANTS {
        let mut evidence = clean.clone();
        plant(&mut evidence);
        assert!(!check(&evidence).is_empty(), "not caught: {name}");
    }
    println!("  {} planted bugs caught", PLANTS.len());
}

/// Where the only event of a delivery is, which is on its way.
fn booked_only(evidence: &Evidence) -> usize {
    let booked = |events: &Vec<&Event>| {
        let [only] = events[..] else { return None };
        (only.name == "delivery.scheduled").then_some(only.position)
    };
    let position = evidence.streams("delivery").values().find_map(booked);
    let position = position.expect("the run had one");
    let found = evidence.log.iter().position(|it| it.position == position);
    found.expect("it is in the log")
}

fn line(evidence: &Evidence, kind: Payment) -> usize {
    let found = evidence.record.iter().position(|line| line.payment == kind);
    found.expect("the run had one")
}

fn repeat_line(evidence: &mut Evidence, kind: Payment) {
    let again = evidence.record[line(evidence, kind)].clone();
    evidence.record.push(again);
}

fn event(evidence: &Evidence, name: &str) -> usize {
    let found = evidence.log.iter().position(|event| event.name == name);
    found.unwrap_or_else(|| panic!("the run had no {name}"))
}

fn remove(evidence: &mut Evidence, name: &str) {
    let at = event(evidence, name);
    evidence.log.remove(at);
}
