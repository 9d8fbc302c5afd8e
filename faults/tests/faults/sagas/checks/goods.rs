//! Goods and couriers: what completed orders bought has left, the rest is there, and only completed orders are brought.
//! What came back was brought in vain.

use std::collections::BTreeMap;

use super::{End, Order};
use crate::sagas::evidence::{Event, Evidence};

pub(super) fn check(evidence: &Evidence, orders: &[Order], wrong: &mut Vec<String>) {
    for order in orders {
        moves(evidence, order, wrong);
    }
    levels(evidence, orders, wrong);
    deliveries(evidence, orders, wrong);
}

/// What an order moved in its store: all that it bought, or nothing that is not back.
fn moves(evidence: &Evidence, order: &Order, wrong: &mut Vec<String>) {
    let mut moved: BTreeMap<&str, [i64; 4]> = BTreeMap::new();
    let of_order = |event: &&Event| {
        event.stream_type == "stock" && event.payload["order_id"].as_str() == Some(order.id)
    };
    for event in evidence.log.iter().filter(of_order) {
        let kinds = [
            "inventory.reserved",
            "inventory.committed",
            "inventory.released",
            "inventory.returned",
        ];
        let Some(kind) = kinds.iter().position(|kind| *kind == event.name) else {
            wrong.push(format!("order {}: {}", order.id, event.name));
            continue;
        };
        let pieces = moved.entry(event.text("sku")).or_default();
        pieces[kind] += event.number("quantity");
    }
    for (sku, bought) in &order.items {
        let [reserved, committed, released, returned] = moved.remove(sku).unwrap_or_default();
        let is_right = match order.end {
            Some(End::Completed) => {
                [reserved, committed, released, returned] == [*bought, *bought, 0, 0]
            }
            Some(End::Returned) => {
                [reserved, committed, released, returned] == [*bought, *bought, 0, *bought]
            }
            Some(End::Cancelled(_)) | None => {
                [0, *bought].contains(&reserved)
                    && committed == returned
                    && reserved == released + committed
            }
        };
        if !is_right {
            wrong.push(format!(
                "order {} ({:?}): of {bought} {sku} {reserved} were reserved, {committed} committed, \
                 {released} released, {returned} returned",
                order.id, order.end
            ));
        }
    }
    for sku in moved.keys() {
        wrong.push(format!(
            "order {} moved {sku}, which it did not buy",
            order.id
        ));
    }
    let held = evidence.streams("reservation");
    let last = held.get(order.id).and_then(|events| events.last());
    let last = last.map_or("nothing", |event| event.name.as_str());
    let is_right = match order.end {
        Some(End::Completed) => last == "reservation.committed",
        Some(End::Returned) => last == "reservation.released",
        Some(End::Cancelled(_)) | None => {
            ["reservation.released", "reservation.rejected"].contains(&last)
        }
    };
    if !is_right {
        wrong.push(format!(
            "order {} ({:?}): its reservation ends with {last}",
            order.id, order.end
        ));
    }
}

/// A store has what it received and did not sell, and promises nothing any more.
fn levels(evidence: &Evidence, orders: &[Order], wrong: &mut Vec<String>) {
    for (id, events) in evidence.streams("stock") {
        let (store, sku) = id.split_once(':').expect("a store and a SKU");
        let received = events
            .iter()
            .filter(|event| event.name == "inventory.received");
        let received: i64 = received.map(|event| event.number("quantity")).sum();
        let sold: i64 = orders
            .iter()
            .filter(|order| order.store == store && order.end == Some(End::Completed))
            .filter_map(|order| order.items.get(sku))
            .sum();
        let last = events.last().expect("a stream has events");
        let (on_hand, reserved) = (last.number("on_hand"), last.number("reserved"));
        if (on_hand, reserved) != (received - sold, 0) {
            wrong.push(format!(
                "{id}: {received} received and {sold} sold, but {on_hand} there and {reserved} promised"
            ));
        }
    }
}

/// Each completed order has a place in an hour; whatever failed has used its place; no other one has any, and the hours
/// count that.
fn deliveries(evidence: &Evidence, orders: &[Order], wrong: &mut Vec<String>) {
    let deliveries = evidence.streams("delivery");
    let mut booked: BTreeMap<String, i64> = BTreeMap::new();
    for order in orders {
        let events = deliveries
            .get(order.delivery)
            .map_or(&[][..], Vec::as_slice);
        let named = |name: &str| events.iter().find(|event| event.name == name);
        let scheduled = named("delivery.scheduled");
        let is_cancelled = named("delivery.cancelled").is_some();
        let has_failed = named("delivery.failed").is_some();
        let is_right = match (order.end, scheduled) {
            (Some(End::Completed), scheduled) => {
                scheduled.is_some() && !is_cancelled && !has_failed
            }
            (Some(End::Returned), scheduled) => scheduled.is_some() && !is_cancelled && has_failed,
            (Some(End::Cancelled(_)) | None, Some(_)) => is_cancelled != has_failed,
            (Some(End::Cancelled(_)) | None, None) => true,
        };
        if !is_right {
            let names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
            wrong.push(format!(
                "order {} ({:?}): its delivery is {names:?}",
                order.id, order.end
            ));
        }
        if let (Some(scheduled), false) = (scheduled, is_cancelled) {
            // `2026-11-23T05:00:00Z` begins as the id of its hour ends.
            let hour = &scheduled.text("slot")[..13];
            *booked.entry(format!("{}:{hour}", order.store)).or_default() += 1;
        }
    }
    for (id, events) in evidence.streams("slot") {
        let count = |name: &str| {
            let named = events.iter().filter(|event| event.name == name);
            i64::try_from(named.count()).expect("few")
        };
        let left = count("slot.booked") - count("slot.released");
        let says = events.last().expect("a stream has events").number("booked");
        let expected = booked.remove(id).unwrap_or_default();
        if (left, says) != (expected, expected) {
            wrong.push(format!(
                "{id}: {expected} deliveries, {left} places taken, {says} counted"
            ));
        }
    }
    for id in booked.keys() {
        wrong.push(format!("{id} has deliveries and no places"));
    }
}
