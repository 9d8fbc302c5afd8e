//! What must hold after any run, computed from the log's own rows and the payment provider's own record.

mod goods;
mod money;
mod once;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::evidence::{Event, Evidence};
use super::site::PARTICIPANTS;

/// An order, as its first event and its last one tell it.
#[derive(Debug)]
pub(super) struct Order<'a> {
    pub(super) id: &'a str,
    pub(super) store: &'a str,
    /// Pieces by SKU.
    pub(super) items: BTreeMap<&'a str, i64>,
    pub(super) total: i64,
    pub(super) currency: &'a str,
    pub(super) payment: &'a str,
    pub(super) delivery: &'a str,
    pub(super) end: Option<End<'a>>,
}

/// How an order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End<'a> {
    Completed,
    /// Why.
    Cancelled(&'a str),
    /// It was completed, and came back.
    Returned,
}

impl fmt::Display for End<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Completed => f.write_str("completed"),
            End::Cancelled(reason) => write!(f, "cancelled: {reason}"),
            End::Returned => f.write_str("returned"),
        }
    }
}

/// What is wrong, a line each; nothing of a run that is as it must be.
pub(super) fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    let orders = orders(evidence, &mut wrong);
    asked(evidence, &orders, &mut wrong);
    sagas(evidence, &orders, &mut wrong);
    outstanding(evidence, &mut wrong);
    once::check(evidence, &mut wrong);
    money::check(evidence, &orders, &mut wrong);
    goods::check(evidence, &orders, &mut wrong);
    wrong
}

/// Every order of the log; each ends, once, and may come back after it was completed.
pub(super) fn orders<'a>(evidence: &'a Evidence, wrong: &mut Vec<String>) -> Vec<Order<'a>> {
    let mut orders = Vec::new();
    for (id, events) in evidence.streams("order") {
        if events[0].name != "order.created" {
            wrong.push(format!("order {id} begins with {}", events[0].name));
            continue;
        }
        let ends: Vec<End> = events
            .iter()
            .filter_map(|event| end(event, "order"))
            .collect();
        if !matches!(
            ends[..],
            [End::Completed | End::Cancelled(_)] | [End::Completed, End::Returned]
        ) {
            wrong.push(format!("order {id} has ended like this: {ends:?}"));
        }
        let called_off = events
            .iter()
            .any(|event| event.name == "order.cancellation-requested");
        if called_off && ends.first() == Some(&End::Completed) {
            wrong.push(format!("order {id} was called off and is completed"));
        }
        orders.push(order(id, events[0], ends.last().copied()));
    }
    orders
}

fn order<'a>(id: &'a str, created: &'a Event, end: Option<End<'a>>) -> Order<'a> {
    let items = created.payload["items"].as_array().expect("items");
    let total = &created.payload["total"];
    Order {
        id,
        store: created.text("store_id"),
        items: items
            .iter()
            .map(|item| {
                let sku = item["sku"].as_str().expect("a SKU");
                (sku, item["quantity"].as_i64().expect("a quantity"))
            })
            .collect(),
        total: total["amount_minor"].as_i64().expect("an amount"),
        currency: total["currency"].as_str().expect("a currency"),
        payment: created.text("payment_id"),
        delivery: created.text("delivery_id"),
        end,
    }
}

fn end<'a>(event: &'a Event, of: &str) -> Option<End<'a>> {
    match event.name.strip_prefix(of)? {
        ".completed" => Some(End::Completed),
        ".cancelled" => Some(End::Cancelled(event.text("reason"))),
        ".returned" => Some(End::Returned),
        _ => None,
    }
}

/// Each customer was answered with one order, every order is somebody's, and what cannot be completed is not.
fn asked(evidence: &Evidence, orders: &[Order], wrong: &mut Vec<String>) {
    let mut known: BTreeMap<&str, &Order> = orders.iter().map(|order| (order.id, order)).collect();
    for asked in &evidence.asked {
        if asked.answers.len() != 1 {
            wrong.push(format!(
                "one key was answered with the orders {:?}",
                asked.answers
            ));
        }
        for id in &asked.answers {
            let Some(order) = known.remove(id.as_str()) else {
                wrong.push(format!(
                    "order {id} ({}) is not in the log, or is two customers'",
                    asked.kind
                ));
                continue;
            };
            if !asked.may_complete && order.end == Some(End::Completed) {
                wrong.push(format!("order {id} ({}) is completed", asked.kind));
            }
        }
    }
    for id in known.keys() {
        wrong.push(format!("order {id} is nobody's"));
    }
}

/// Each order has a saga, which ends once, as the order does; and whatever came back has a second one, which ends as well.
fn sagas(evidence: &Evidence, orders: &[Order], wrong: &mut Vec<String>) {
    let sagas = evidence.streams("fulfilment");
    let returns = evidence.streams("return");
    for order in orders {
        let first = match order.end {
            Some(End::Returned) => Some(End::Completed),
            end => end,
        };
        let events = sagas.get(order.id).map_or(&[][..], Vec::as_slice);
        let ends: Vec<End> = events
            .iter()
            .filter_map(|event| end(event, "fulfilment"))
            .collect();
        if ends.len() != 1 || ends.first() != first.as_ref() {
            wrong.push(format!(
                "order {} ends as {:?}, its saga as {ends:?}",
                order.id, order.end
            ));
        }
        let last = events.last().and_then(|event| end(event, "fulfilment"));
        if last.is_none() {
            wrong.push(format!(
                "the saga of order {} does not end with its end",
                order.id
            ));
        }
        let last = returns.get(order.id).and_then(|events| events.last());
        let last = last.map(|event| event.name.as_str());
        let expected = (order.end == Some(End::Returned)).then_some("return.completed");
        if last != expected {
            wrong.push(format!(
                "order {} ({:?}): its return ends with {last:?}",
                order.id, order.end
            ));
        }
    }
}

/// Nothing waits; nothing is parked but what nobody can read, and that by each participant.
fn outstanding(evidence: &Evidence, wrong: &mut Vec<String>) {
    for timer in &evidence.timers {
        wrong.push(format!("{timer} waits"));
    }
    let unreadable: BTreeSet<String> = evidence
        .log
        .iter()
        .filter(|event| event.stream_type == "fulfilment")
        .filter(|event| event.name == "fulfilment.reservation-requested")
        .filter(|event| event.payload.get("items").is_none())
        .map(|event| format!("fulfilment/{}", event.stream_id))
        .collect();
    let mut by: BTreeSet<&str> = BTreeSet::new();
    for (consumer, stream) in &evidence.parked {
        if !unreadable.contains(stream) || !by.insert(consumer) {
            wrong.push(format!("{consumer} has parked {stream}"));
        }
    }
    for participant in PARTICIPANTS {
        if !by.contains(participant) {
            wrong.push(format!("{participant} has not parked what nobody can read"));
        }
    }
}
