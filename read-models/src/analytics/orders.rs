//! What happened to each order, and when: the facts that everything about orders is counted from, but for their money that
//! was given back.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use sqlx::types::Json;

use super::NAME;
use crate::generations::schema_name;
use crate::tables::Table;

/// One order. A moment is `None` until it has come, and never changes then.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Order {
    pub id: String,
    pub store_id: String,
    pub currency: String,
    /// The total, in the currency's smallest unit.
    pub amount_minor: i64,
    /// Pieces of all its lines.
    pub items: i64,
    pub placed_at: DateTime<Utc>,
    pub reserved_at: Option<DateTime<Utc>>,
    pub paid_at: Option<DateTime<Utc>>,
    pub scheduled_at: Option<DateTime<Utc>>,
    pub completed_at: Option<DateTime<Utc>>,
    pub cancelled_at: Option<DateTime<Utc>>,
    /// Why, as `out-of-stock`.
    pub cancel_reason: Option<String>,
    pub returned_at: Option<DateTime<Utc>>,
    /// Version of the order's stream.
    pub version: i64,
}

/// A line of an order, as it was placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub sku: String,
    /// The product's name then.
    pub name: String,
    pub items: i64,
    /// Of all its pieces, in the currency's smallest unit.
    pub amount_minor: i64,
}

const COLUMNS: &str = "id, store_id, currency, amount_minor, items, placed_at, reserved_at, paid_at, scheduled_at, \
                       completed_at, cancelled_at, cancel_reason, returned_at, version";

/// An order is written once for each of its steps, unless these come in one batch: room in each page keeps that off the
/// indexes, whose columns never change.
pub(super) const CREATE_TABLE: &str = "create table if not exists {schema}.orders (
   id            text collate \"C\" primary key,
   store_id      text collate \"C\" not null,
   currency      text not null,
   amount_minor  bigint not null,
   items         bigint not null,
   placed_at     timestamptz not null,
   reserved_at   timestamptz,
   paid_at       timestamptz,
   scheduled_at  timestamptz,
   completed_at  timestamptz,
   cancelled_at  timestamptz,
   cancel_reason text,
   returned_at   timestamptz,
   version       bigint not null
 ) with (fillfactor = 60)";

pub(super) const CREATE_INDEX: &str =
    "create index if not exists orders_placed_at on {schema}.orders (placed_at)";

pub(super) const CREATE_ITEMS: &str = "create table if not exists {schema}.order_items (
   order_id text collate \"C\" primary key,
   lines    jsonb not null
 )";

pub(super) const TABLE: Table = Table {
    name: "orders",
    comment: "A generation of the read model analytics: one row an order. Derived from the log; \
              `nakku replay analytics` makes it anew.",
    columns: &[
        ("id", "The order."),
        ("store_id", "Where it was placed."),
        ("currency", "ISO 4217 code of its prices."),
        (
            "amount_minor",
            "Its total, in the currency's smallest unit.",
        ),
        ("items", "Pieces of all its lines."),
        ("placed_at", "When it was created."),
        (
            "reserved_at",
            "When its goods were promised; null until then.",
        ),
        ("paid_at", "When its total was charged; null until then."),
        (
            "scheduled_at",
            "When its delivery was booked; null until then.",
        ),
        (
            "completed_at",
            "When everything was arranged; null until then.",
        ),
        (
            "cancelled_at",
            "When everything was undone; null until then.",
        ),
        (
            "cancel_reason",
            "Why it was cancelled; null where it was not.",
        ),
        (
            "returned_at",
            "When money and goods were back after it was completed; null until then.",
        ),
        (
            "version",
            "Version of the order's stream that the row shows.",
        ),
    ],
    key: "id",
    personal: &[],
};

pub(super) const ITEMS: Table = Table {
    name: "order_items",
    comment: "A generation of the read model analytics: the lines of each order, as it was placed. Derived from the \
              log; `nakku replay analytics` makes it anew.",
    columns: &[
        ("order_id", "The order."),
        (
            "lines",
            "A JSON array of objects: sku, name, items (pieces), amount_minor (of all of them).",
        ),
    ],
    key: "order_id",
    personal: &[],
};

/// The orders of these ids, as far as they exist, by id.
pub async fn load(
    executor: impl PgExecutor<'_>,
    generation: i32,
    ids: &[&str],
) -> sqlx::Result<HashMap<String, Order>> {
    let schema = schema_name(NAME, generation);
    let rows: Vec<Order> = sqlx::query_as(&format!(
        "select {COLUMNS} from {schema}.orders where id = any($1)"
    ))
    .bind(ids)
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|order| (order.id.clone(), order))
        .collect())
}

/// Writes many orders. Of one that is there, what may change is replaced. Ids must not repeat within one call.
pub async fn upsert(
    executor: impl PgExecutor<'_>,
    generation: i32,
    orders: &[&Order],
) -> sqlx::Result<()> {
    if orders.is_empty() {
        return Ok(());
    }
    let schema = schema_name(NAME, generation);
    sqlx::query(&format!(
        "insert into {schema}.orders ({COLUMNS})
         select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[],
                              $6::timestamptz[], $7::timestamptz[], $8::timestamptz[],
                              $9::timestamptz[], $10::timestamptz[], $11::timestamptz[],
                              $12::text[], $13::timestamptz[], $14::bigint[])
         on conflict (id) do update set
           reserved_at = excluded.reserved_at, paid_at = excluded.paid_at,
           scheduled_at = excluded.scheduled_at, completed_at = excluded.completed_at,
           cancelled_at = excluded.cancelled_at, cancel_reason = excluded.cancel_reason,
           returned_at = excluded.returned_at, version = excluded.version"
    ))
    .bind(column(orders, |order| order.id.as_str()))
    .bind(column(orders, |order| order.store_id.as_str()))
    .bind(column(orders, |order| order.currency.as_str()))
    .bind(column(orders, |order| order.amount_minor))
    .bind(column(orders, |order| order.items))
    .bind(column(orders, |order| order.placed_at))
    .bind(column(orders, |order| order.reserved_at))
    .bind(column(orders, |order| order.paid_at))
    .bind(column(orders, |order| order.scheduled_at))
    .bind(column(orders, |order| order.completed_at))
    .bind(column(orders, |order| order.cancelled_at))
    .bind(column(orders, |order| order.cancel_reason.as_deref()))
    .bind(column(orders, |order| order.returned_at))
    .bind(column(orders, |order| order.version))
    .execute(executor)
    .await?;
    Ok(())
}

fn column<'a, T>(orders: &[&'a Order], value: impl Fn(&'a Order) -> T) -> Vec<T> {
    orders.iter().copied().map(value).collect()
}

/// Keeps the lines of orders that were placed, by order id; does nothing for an order that has them.
pub async fn insert_lines(
    executor: impl PgExecutor<'_>,
    generation: i32,
    placed: &[(&str, &[Line])],
) -> sqlx::Result<()> {
    if placed.is_empty() {
        return Ok(());
    }
    let schema = schema_name(NAME, generation);
    let ids: Vec<&str> = placed.iter().map(|(id, _)| *id).collect();
    let lines: Vec<Json<&[Line]>> = placed.iter().map(|(_, lines)| Json(*lines)).collect();
    sqlx::query(&format!(
        "insert into {schema}.order_items (order_id, lines)
         select * from unnest($1::text[], $2::jsonb[]) on conflict do nothing"
    ))
    .bind(ids)
    .bind(lines)
    .execute(executor)
    .await?;
    Ok(())
}
