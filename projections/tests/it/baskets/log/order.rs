//! An order, as its own events and those of its payment tell it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::Entry;

/// When each thing happened to an order and to its money, by the type of the event.
pub(super) struct Order {
    pub(super) payload: Value,
    moments: BTreeMap<String, DateTime<Utc>>,
    pub(super) reason: Option<String>,
}

impl Order {
    pub(super) fn at(&self, what: &str) -> Option<DateTime<Utc>> {
        self.moments.get(&format!("order.{what}")).copied()
    }

    /// Of one that was completed.
    pub(super) fn refunded_at(&self) -> Option<DateTime<Utc>> {
        self.at("completed")?;
        self.moments.get("payment.refunded").copied()
    }

    pub(super) fn placed(&self) -> DateTime<Utc> {
        self.at("created").unwrap()
    }

    pub(super) fn is_of(&self, store: Option<&str>) -> bool {
        store.is_none_or(|store| self.payload["store_id"] == store)
    }

    pub(super) fn currency(&self) -> String {
        text(&self.payload["total"]["currency"])
    }

    /// SKU, name, pieces and amount of each line.
    pub(super) fn lines(&self) -> Vec<(String, String, i64, i64)> {
        let lines = self.payload["items"].as_array().unwrap();
        let line = |line: &Value| {
            let pieces = number(&line["quantity"]);
            let amount = number(&line["unit_price"]["amount_minor"]) * pieces;
            (text(&line["sku"]), text(&line["name"]), pieces, amount)
        };
        lines.iter().map(line).collect()
    }

    pub(super) fn pieces(&self) -> i64 {
        self.lines().iter().map(|line| line.2).sum()
    }

    pub(super) fn amount(&self) -> i64 {
        self.lines().iter().map(|line| line.3).sum()
    }
}

/// Every order, by its id.
pub(super) fn orders(entries: &[Entry]) -> BTreeMap<String, Order> {
    let mut orders: BTreeMap<String, Order> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.stream.0 == "order") {
        let order = orders.entry(entry.stream.1.clone());
        let order = order.or_insert_with(|| Order {
            payload: entry.payload.clone(),
            moments: BTreeMap::new(),
            reason: None,
        });
        order.moments.insert(entry.kind.clone(), entry.at);
        if entry.kind == "order.cancelled" {
            order.reason = Some(text(&entry.payload["reason"]));
        }
    }
    for entry in entries.iter().filter(|it| it.stream.0 == "payment") {
        let order = orders.get_mut(entry.payload["order_id"].as_str().unwrap());
        let order = order.expect("payments are of orders");
        order.moments.insert(entry.kind.clone(), entry.at);
    }
    orders
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

pub(super) fn number(value: &Value) -> i64 {
    value.as_i64().unwrap()
}
