//! Money that was given back, to be taken from the revenue of the hour in which that happened.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::NAME;
use super::sales::{Happened, What};
use crate::generations::schema_name;
use crate::tables::{Table, column};

/// What was given back of an order: its total, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    pub order_id: String,
    pub refunded_at: DateTime<Utc>,
    pub currency: String,
    /// In the currency's smallest unit.
    pub amount_minor: i64,
}

pub(super) const CREATE_TABLE: &str = "create table if not exists {schema}.refunds (
   order_id     text collate \"C\" primary key,
   refunded_at  timestamptz not null,
   currency     text not null,
   amount_minor bigint not null,
   is_counted   boolean not null
 )";

pub(super) const TABLE: Table = Table {
    name: "refunds",
    comment: "A generation of the read model analytics: one row an order whose money was given back. Derived from the log; \
              `nakku replay analytics` makes it anew.",
    columns: &[
        ("order_id", "The order."),
        ("refunded_at", "When the money was given back."),
        ("currency", "ISO 4217 code of the amount."),
        (
            "amount_minor",
            "What was given back, in the currency's smallest unit.",
        ),
        (
            "is_counted",
            "Whether sales have it: of orders that were completed only.",
        ),
    ],
    key: "order_id",
    personal: &[],
};

/// Keeps refunds; does nothing for one that is there.
pub async fn insert(
    executor: impl PgExecutor<'_>,
    generation: i32,
    refunds: &[Refund],
) -> sqlx::Result<()> {
    let schema = schema_name(NAME, generation);
    sqlx::query(&format!(
        "insert into {schema}.refunds (order_id, refunded_at, currency, amount_minor, is_counted)
         select *, false from unnest($1::text[], $2::timestamptz[], $3::text[], $4::bigint[])
         on conflict do nothing"
    ))
    .bind(column(refunds, |it| it.order_id.as_str()))
    .bind(column(refunds, |it| it.refunded_at))
    .bind(column(refunds, |it| it.currency.as_str()))
    .bind(column(refunds, |it| it.amount_minor))
    .execute(executor)
    .await?;
    Ok(())
}

/// Marks those refunds of these orders as counted that are to be counted now: whose order is completed, once each. What
/// they take from the sales.
pub async fn count(
    executor: impl PgExecutor<'_>,
    generation: i32,
    order_ids: &[&str],
) -> sqlx::Result<Vec<Happened>> {
    let schema = schema_name(NAME, generation);
    let counted: Vec<(DateTime<Utc>, String, String, i64)> = sqlx::query_as(&format!(
        "update {schema}.refunds r set is_counted = true from {schema}.orders o
          where r.order_id = any($1) and not r.is_counted and o.id = r.order_id and o.completed_at is not null
         returning r.refunded_at, o.store_id, r.currency, r.amount_minor"
    ))
    .bind(order_ids)
    .fetch_all(executor)
    .await?;
    let happened = counted
        .into_iter()
        .map(|(at, store_id, currency, amount)| Happened {
            at,
            store_id,
            currency,
            what: What::Refunded,
            revenue_minor: -amount,
            items: 0,
        });
    Ok(happened.collect())
}
