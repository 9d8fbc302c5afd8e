//! Money: the log and the payment provider's own record say the same, and every charge is an order's or went back.

use std::collections::{BTreeMap, BTreeSet};

use testing::{Payment, Performed};

use super::{End, Order};
use crate::sagas::evidence::{Event, Evidence};

pub(super) fn check(evidence: &Evidence, orders: &[Order], wrong: &mut Vec<String>) {
    let mut record: BTreeMap<&str, Vec<&Performed>> = BTreeMap::new();
    for performed in &evidence.record {
        record.entry(&performed.key).or_default().push(performed);
    }
    let payments = evidence.streams("payment");
    let known: BTreeSet<&str> = orders.iter().map(|order| order.payment).collect();
    for key in record.keys().chain(payments.keys()) {
        if !known.contains(key) {
            wrong.push(format!("payment {key} is no order's"));
        }
    }
    for order in orders {
        let performed = record.get(order.payment).map_or(&[][..], Vec::as_slice);
        let events = payments.get(order.payment).map_or(&[][..], Vec::as_slice);
        let moved = Moved::of(performed);
        moved.check(order, wrong);
        told(order, events, &moved, wrong);
    }
}

/// What the provider did under one key.
struct Moved<'a> {
    charged: Vec<&'a Performed>,
    refunded: Vec<&'a Performed>,
    voided: usize,
}

impl<'a> Moved<'a> {
    fn of(performed: &[&'a Performed]) -> Self {
        let these = |kind| {
            let of_kind = performed.iter().filter(move |line| line.payment == kind);
            of_kind.copied().collect::<Vec<_>>()
        };
        Self {
            charged: these(Payment::Charged),
            refunded: these(Payment::Refunded),
            voided: these(Payment::Voided).len(),
        }
    }

    fn check(&self, order: &Order, wrong: &mut Vec<String>) {
        let id = order.id;
        let (charged, refunded) = (self.charged.len(), self.refunded.len());
        if charged > 1 || refunded > 1 {
            wrong.push(format!(
                "order {id} was charged {charged} times and refunded {refunded} times"
            ));
        }
        if charged > 0 && self.voided > 0 {
            wrong.push(format!("order {id} was charged and voided"));
        }
        let owed = match order.end {
            Some(End::Completed) => (1, 0),
            Some(End::Returned) => (1, 1),
            Some(End::Cancelled(_)) => (charged, charged),
            None => (charged, refunded),
        };
        if owed != (charged, refunded) {
            wrong.push(format!(
                "order {id} ({:?}): {charged} charges, {refunded} refunds",
                order.end
            ));
        }
        for line in self.charged.iter().chain(&self.refunded) {
            if (line.amount_minor, line.currency.as_str()) != (order.total, order.currency) {
                wrong.push(format!(
                    "order {id} costs {}, not {}",
                    order.total, line.amount_minor
                ));
            }
        }
    }
}

/// The log tells what the provider did: no more, no less, by its names for it.
fn told(order: &Order, events: &[&Event], moved: &Moved, wrong: &mut Vec<String>) {
    let named = |name: &str| -> Vec<&Event> {
        let named = events.iter().filter(|event| event.name == name);
        named.copied().collect()
    };
    let (completed, refunded) = (named("payment.completed"), named("payment.refunded"));
    if completed.len() != moved.charged.len() || refunded.len() != moved.refunded.len() {
        wrong.push(format!(
            "order {}: the log tells of {} charges and {} refunds, the provider of {} and {}",
            order.id,
            completed.len(),
            refunded.len(),
            moved.charged.len(),
            moved.refunded.len()
        ));
    }
    let reference = |lines: &[&Performed]| lines.first().and_then(|line| line.reference.clone());
    let (charge, refund) = (reference(&moved.charged), reference(&moved.refunded));
    for event in completed.iter().chain(&refunded) {
        if event.payload["amount"]["amount_minor"] != order.total
            || event.text("order_id") != order.id
        {
            wrong.push(format!(
                "order {}: {} says {}",
                order.id, event.name, event.payload
            ));
        }
    }
    for event in refunded {
        if Some(event.text("reference")) != refund.as_deref() {
            wrong.push(format!(
                "order {}: refunded as {}",
                order.id,
                event.text("reference")
            ));
        }
    }
    for event in completed {
        // Where the charge's own answer was lost, the refund's tells of both.
        let told = Some(event.text("reference"));
        if told != charge.as_deref() && told != refund.as_deref() {
            wrong.push(format!(
                "order {}: charged as {}",
                order.id,
                event.text("reference")
            ));
        }
    }
}
