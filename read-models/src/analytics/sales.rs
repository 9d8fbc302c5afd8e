//! Orders and revenue by the hour in which it happened.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgExecutor, Row as _};
use utoipa::ToSchema;

use super::{NAME, Period, saturating};
use crate::generations::schema_name;
use crate::products::Money;
use crate::tables::{Table, column};

/// What is counted together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Granularity {
    #[default]
    Hour,
    Day,
}

/// Something that happened to an order, to be counted in the hour of `at`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    pub at: DateTime<Utc>,
    pub store_id: String,
    pub currency: String,
    pub what: What,
    /// What it adds to the revenue, in the currency's smallest unit; below zero what it takes away.
    pub revenue_minor: i64,
    /// Pieces that it adds or takes away.
    pub items: i64,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Placed,
    Completed,
    Cancelled,
    /// After it was completed; its money may have been given back before.
    Returned,
    /// After it was completed, whoever had it given back.
    Refunded,
}

impl What {
    /// The column that counts it.
    const fn column(self) -> &'static str {
        match self {
            What::Placed => "placed",
            What::Completed => "completed",
            What::Cancelled => "cancelled",
            What::Returned => "returned",
            What::Refunded => "refunded",
        }
    }
}

/// What happened in an hour or a day, in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SalesBucket)]
pub struct Bucket {
    /// When the hour or day begins, in UTC.
    pub from: DateTime<Utc>,
    /// Orders that were placed then.
    pub placed: i64,
    /// Orders that were completed then, whenever they were placed.
    pub completed: i64,
    /// Orders that were cancelled then.
    pub cancelled: i64,
    /// Completed orders that were returned then.
    pub returned: i64,
    /// Completed orders whose money was given back then: by staff, or because they were returned.
    pub refunded: i64,
    /// The totals of those completed less those of the refunded; negative where more was given back.
    pub revenue: Money,
    /// Pieces of those completed less those of the returned.
    pub items: i64,
}

/// Sums of many orders may leave `bigint`.
pub(super) const CREATE_TABLE: &str = "create table if not exists {schema}.sales (
   hour          timestamptz not null,
   store_id      text collate \"C\" not null,
   currency      text not null,
   placed        bigint not null,
   completed     bigint not null,
   cancelled     bigint not null,
   returned      bigint not null,
   refunded      bigint not null,
   revenue_minor numeric not null,
   items         bigint not null,
   primary key (hour, store_id, currency)
 ) with (fillfactor = 50)";

pub(super) const TABLE: Table = Table {
    name: "sales",
    comment: "A generation of the read model analytics: what happened to orders, one row an hour, store and currency. \
              Derived from the log; `nakku replay analytics` makes it anew.",
    columns: &[
        ("hour", "When the hour begins, in UTC."),
        ("store_id", "The store."),
        ("currency", "ISO 4217 code of the orders' prices."),
        ("placed", "Orders placed in it."),
        ("completed", "Orders completed in it."),
        ("cancelled", "Orders cancelled in it."),
        ("returned", "Completed orders that were returned in it."),
        (
            "refunded",
            "Completed orders whose money was given back in it.",
        ),
        (
            "revenue_minor",
            "Totals of those completed less those refunded, in the currency's smallest unit.",
        ),
        ("items", "Pieces of those completed less those returned."),
    ],
    key: "to_char(hour at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24') || ' ' || store_id || ' ' || currency",
    personal: &[],
};

/// Counts what happened. Twice is twice: to be called once for each.
pub async fn add(
    executor: impl PgExecutor<'_>,
    generation: i32,
    happened: &[Happened],
) -> sqlx::Result<()> {
    if happened.is_empty() {
        return Ok(());
    }
    let schema = schema_name(NAME, generation);
    sqlx::query(&format!(
        "insert into {schema}.sales as s (hour, store_id, currency, placed, completed, cancelled, returned,
                                          refunded, revenue_minor, items)
         select date_trunc('hour', at, 'UTC'), store_id, currency,
                count(*) filter (where what = 'placed'), count(*) filter (where what = 'completed'),
                count(*) filter (where what = 'cancelled'), count(*) filter (where what = 'returned'),
                count(*) filter (where what = 'refunded'), sum(revenue_minor), sum(items)
           from unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])
                as h (at, store_id, currency, what, revenue_minor, items)
          group by 1, 2, 3
         on conflict (hour, store_id, currency) do update set
           placed = s.placed + excluded.placed, completed = s.completed + excluded.completed,
           cancelled = s.cancelled + excluded.cancelled, returned = s.returned + excluded.returned,
           refunded = s.refunded + excluded.refunded, revenue_minor = s.revenue_minor + excluded.revenue_minor,
           items = s.items + excluded.items"
    ))
    .bind(column(happened, |it| it.at))
    .bind(column(happened, |it| it.store_id.as_str()))
    .bind(column(happened, |it| it.currency.as_str()))
    .bind(column(happened, |it| it.what.column()))
    .bind(column(happened, |it| it.revenue_minor))
    .bind(column(happened, |it| it.items))
    .execute(executor)
    .await?;
    Ok(())
}

/// What happened in a period of whole hours, by hour or day and currency, in that order, in one store or in all of
/// them; at most `limit` buckets. Those in which nothing happened are left out.
pub async fn read(
    executor: impl PgExecutor<'_>,
    generation: i32,
    granularity: Granularity,
    period: Period,
    store_id: Option<&str>,
    limit: i64,
) -> sqlx::Result<Vec<Bucket>> {
    let schema = schema_name(NAME, generation);
    let bucket = match granularity {
        Granularity::Hour => "hour",
        Granularity::Day => "date_trunc('day', hour, 'UTC')",
    };
    let revenue = saturating("sum(revenue_minor)");
    let rows = sqlx::query(&format!(
        "select {bucket}, currency, sum(placed)::bigint, sum(completed)::bigint, sum(cancelled)::bigint,
                sum(returned)::bigint, sum(refunded)::bigint, {revenue}, sum(items)::bigint
           from {schema}.sales
          where hour >= $1 and hour < $2 and ($3::text is null or store_id = $3)
          group by 1, 2 order by 1, 2 limit $4"
    ))
    .bind(period.from)
    .bind(period.to)
    .bind(store_id)
    .bind(limit)
    .fetch_all(executor)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Bucket {
                from: row.try_get(0)?,
                placed: row.try_get(2)?,
                completed: row.try_get(3)?,
                cancelled: row.try_get(4)?,
                returned: row.try_get(5)?,
                refunded: row.try_get(6)?,
                revenue: Money {
                    amount_minor: row.try_get(7)?,
                    currency: row.try_get(1)?,
                },
                items: row.try_get(8)?,
            })
        })
        .collect()
}
