//! What was bought most, by day.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgExecutor, Row as _};
use utoipa::ToSchema;

use super::{NAME, Period, saturating};
use crate::generations::schema_name;
use crate::products::Money;
use crate::tables::{Table, column};

/// An order whose lines begin or cease to count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    pub order_id: String,
    pub store_id: String,
    pub currency: String,
    /// Whose day its lines are counted in, now and later.
    pub completed_at: DateTime<Utc>,
    /// Returned: they cease to.
    pub is_returned: bool,
}

/// A product among those bought most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TopProduct {
    pub sku: String,
    /// As it was bought last in the period.
    pub name: String,
    /// Orders that it was bought with.
    pub orders: i64,
    /// Pieces.
    pub items: i64,
    pub revenue: Money,
}

/// The products bought most, in both orders.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TopProducts {
    /// Those with the most pieces first.
    pub by_items: Vec<TopProduct>,
    /// Those with the highest revenue first, whatever its currency.
    pub by_revenue: Vec<TopProduct>,
}

/// Stands for all stores together; no store has this id. Most questions are about these, and a SKU that every store sells
/// is one row for them.
const ALL_STORES: &str = "";

/// A row whose orders were all returned stays, with zeros: a rebuild comes to the same.
pub(super) const CREATE_TABLE: &str = "create table if not exists {schema}.product_sales (
   store_id      text collate \"C\" not null,
   day           date not null,
   sku           text collate \"C\" not null,
   currency      text not null,
   name          text collate \"C\" not null,
   orders        bigint not null,
   items         bigint not null,
   revenue_minor numeric not null,
   primary key (store_id, day, sku, currency)
 ) with (fillfactor = 70)";

pub(super) const TABLE: Table = Table {
    name: "product_sales",
    comment: "A generation of the read model analytics: what was bought, one row a store, day, SKU and currency, and one for \
              all stores together; orders that were returned do not count. Derived from the log; `nakku replay \
              analytics` makes it anew.",
    columns: &[
        ("store_id", "The store; empty for all of them together."),
        (
            "day",
            "The day, in UTC, on which the orders were completed.",
        ),
        ("sku", "What was bought."),
        ("currency", "ISO 4217 code of its price."),
        (
            "name",
            "Its name in one of the orders that were completed, the last by the alphabet.",
        ),
        ("orders", "Orders that it was bought with."),
        ("items", "Pieces."),
        (
            "revenue_minor",
            "What was paid for them, in the currency's smallest unit.",
        ),
    ],
    key: "to_char(day, 'YYYY-MM-DD') || ' ' || store_id || ' ' || sku || ' ' || currency",
    personal: &[],
};

/// Counts the lines of orders, which are known already. Twice is twice: to be called once for each.
pub async fn add(
    executor: impl PgExecutor<'_>,
    generation: i32,
    counted: &[Counted],
) -> sqlx::Result<()> {
    if counted.is_empty() {
        return Ok(());
    }
    let schema = schema_name(NAME, generation);
    sqlx::query(&format!(
        "insert into {schema}.product_sales as p (store_id, day, sku, currency, name, orders, items, revenue_minor)
         select coalesce(store_id, '{ALL_STORES}'), day, sku, currency, max(name), sum(sign), sum(sign * items),
                sum(sign * amount_minor)
           from (select c.store_id, (c.completed_at at time zone 'UTC')::date as day, c.currency, c.sign, l.*
                   from unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::bigint[])
                        as c (order_id, completed_at, store_id, currency, sign)
                   join {schema}.order_items i using (order_id)
                  cross join lateral jsonb_to_recordset(i.lines)
                        as l (sku text, name text collate \"C\", items bigint, amount_minor bigint)) lines
          group by grouping sets ((store_id, day, sku, currency), (day, sku, currency))
         on conflict (store_id, day, sku, currency) do update set
           name = greatest(p.name, excluded.name), orders = p.orders + excluded.orders,
           items = p.items + excluded.items, revenue_minor = p.revenue_minor + excluded.revenue_minor"
    ))
    .bind(column(counted, |it| it.order_id.as_str()))
    .bind(column(counted, |it| it.completed_at))
    .bind(column(counted, |it| it.store_id.as_str()))
    .bind(column(counted, |it| it.currency.as_str()))
    .bind(column(counted, |it| if it.is_returned { -1_i64 } else { 1 }))
    .execute(executor)
    .await?;
    Ok(())
}

/// The products bought most in a period of whole days, in one store or in all of them, at most `limit` in each order.
/// A product that was sold in several currencies is there once for each.
pub async fn top(
    executor: impl PgExecutor<'_>,
    generation: i32,
    period: Period,
    store_id: Option<&str>,
    limit: i64,
) -> sqlx::Result<TopProducts> {
    let schema = schema_name(NAME, generation);
    let sold = format!(
        "{schema}.product_sales where store_id = $3
            and day >= ($1 at time zone 'UTC')::date and day < ($2 at time zone 'UTC')::date"
    );
    let revenue = saturating("revenue");
    let rows = sqlx::query(&format!(
        "with sums as materialized (
           select sku, currency, sum(orders)::bigint as orders, sum(items)::bigint as items,
                  sum(revenue_minor) as revenue
             from {sold} group by sku, currency having sum(orders) > 0),
         top as (
           (select 'items' as by, * from sums order by items desc, revenue desc, sku, currency limit $4)
           union all
           (select 'revenue', * from sums order by revenue desc, items desc, sku, currency limit $4)),
         names as (
           select distinct on (sku, currency) sku, currency, name from {sold}
              and (sku, currency) in (select sku, currency from top) and orders > 0
            order by sku, currency, day desc, name desc)
         select by, sku, name, orders, items, {revenue}, currency
           from top join names using (sku, currency)
          order by by, case by when 'items' then items else revenue end desc,
                   case by when 'items' then revenue else items end desc, sku, currency"
    ))
    .bind(period.from)
    .bind(period.to)
    .bind(store_id.unwrap_or(ALL_STORES))
    .bind(limit)
    .fetch_all(executor)
    .await?;
    let mut top = TopProducts::default();
    for row in rows {
        let product = TopProduct {
            sku: row.try_get(1)?,
            name: row.try_get(2)?,
            orders: row.try_get(3)?,
            items: row.try_get(4)?,
            revenue: Money {
                amount_minor: row.try_get(5)?,
                currency: row.try_get(6)?,
            },
        };
        match row.try_get(0)? {
            "items" => top.by_items.push(product),
            _ => top.by_revenue.push(product),
        }
    }
    Ok(top)
}
