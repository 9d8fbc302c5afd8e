//! How far orders have come, and which of their sagas halt.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use utoipa::ToSchema;

use super::{NAME, Period};
use crate::generations::schema_name;
use crate::tables::{Table, column};

/// What a halt is found by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    pub order_id: String,
    /// The saga's aggregate type.
    pub saga: String,
}

/// A saga that halts, or once did; there is no row of any other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halt {
    pub key: Key,
    pub is_parked: bool,
    /// Version of the saga's stream.
    pub version: i64,
}

/// How far the orders of a period have come. Who has come to a step has come to those before it as well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
pub struct Funnel {
    /// All of them.
    pub placed: i64,
    /// Whose goods were promised, whatever came then.
    pub reserved: i64,
    /// Whose total was charged, whatever came then.
    pub paid: i64,
    /// Whose delivery was booked, whatever came then.
    pub scheduled: i64,
    /// For which everything was arranged; those that were returned are among them.
    pub completed: i64,
    /// For which everything was undone before that.
    pub cancelled: i64,
    #[sqlx(flatten)]
    pub cancelled_by_reason: Reasons,
    /// Completed ones whose money and goods are back.
    pub returned: i64,
    /// Those that halt now and wait for an operator.
    pub parked: i64,
}

/// Cancelled orders by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
#[serde(rename_all = "kebab-case")]
#[schema(as = CancelledByReason)]
pub struct Reasons {
    pub out_of_stock: i64,
    pub payment_declined: i64,
    pub payment_timeout: i64,
    pub delivery_unavailable: i64,
    pub customer: i64,
}

pub(super) const CREATE_TABLE: &str = "create table if not exists {schema}.halts (
   order_id  text collate \"C\" not null,
   saga      text not null,
   is_parked boolean not null,
   version   bigint not null,
   primary key (order_id, saga)
 )";

pub(super) const TABLE: Table = Table {
    name: "halts",
    comment: "A generation of the read model analytics: one row a saga that halts or once did. Derived from the log; \
              `nakku replay analytics` makes it anew.",
    columns: &[
        ("order_id", "The order it is about."),
        ("saga", "Its aggregate type: fulfilment or return."),
        ("is_parked", "Whether it halts now."),
        (
            "version",
            "Version of the saga's stream that the row shows.",
        ),
    ],
    key: "order_id || ' ' || saga",
    personal: &[],
};

/// The halts of these keys, as far as they exist.
pub async fn load(
    executor: impl PgExecutor<'_>,
    generation: i32,
    keys: &[Key],
) -> sqlx::Result<HashMap<Key, Halt>> {
    let schema = schema_name(NAME, generation);
    let rows: Vec<(String, String, bool, i64)> = sqlx::query_as(&format!(
        "select order_id, saga, is_parked, version
           from unnest($1::text[], $2::text[]) as wanted (order_id, saga)
           join {schema}.halts using (order_id, saga)"
    ))
    .bind(column(keys, |key| key.order_id.as_str()))
    .bind(column(keys, |key| key.saga.as_str()))
    .fetch_all(executor)
    .await?;
    let halts = rows
        .into_iter()
        .map(|(order_id, saga, is_parked, version)| {
            let key = Key { order_id, saga };
            let halt = Halt {
                key: key.clone(),
                is_parked,
                version,
            };
            (key, halt)
        });
    Ok(halts.collect())
}

/// Writes many halts, replacing those of the same key. Keys must not repeat within one call.
pub async fn upsert(
    executor: impl PgExecutor<'_>,
    generation: i32,
    halts: &[Halt],
) -> sqlx::Result<()> {
    if halts.is_empty() {
        return Ok(());
    }
    let schema = schema_name(NAME, generation);
    sqlx::query(&format!(
        "insert into {schema}.halts (order_id, saga, is_parked, version)
         select * from unnest($1::text[], $2::text[], $3::boolean[], $4::bigint[])
         on conflict (order_id, saga) do update set
           is_parked = excluded.is_parked, version = excluded.version"
    ))
    .bind(column(halts, |halt| halt.key.order_id.as_str()))
    .bind(column(halts, |halt| halt.key.saga.as_str()))
    .bind(column(halts, |halt| halt.is_parked))
    .bind(column(halts, |halt| halt.version))
    .execute(executor)
    .await?;
    Ok(())
}

/// How far the orders have come that were placed in a period, in one store or in all of them.
pub async fn read(
    executor: impl PgExecutor<'_>,
    generation: i32,
    period: Period,
    store_id: Option<&str>,
) -> sqlx::Result<Funnel> {
    let schema = schema_name(NAME, generation);
    let within = "o.placed_at >= $1 and o.placed_at < $2 and ($3::text is null or o.store_id = $3)";
    sqlx::query_as(&format!(
        "select count(*) as placed, count(reserved_at) as reserved, count(paid_at) as paid,
                count(scheduled_at) as scheduled, count(completed_at) as completed,
                count(cancelled_at) as cancelled, count(returned_at) as returned,
                count(*) filter (where cancel_reason = 'out-of-stock') as out_of_stock,
                count(*) filter (where cancel_reason = 'payment-declined') as payment_declined,
                count(*) filter (where cancel_reason = 'payment-timeout') as payment_timeout,
                count(*) filter (where cancel_reason = 'delivery-unavailable') as delivery_unavailable,
                count(*) filter (where cancel_reason = 'customer') as customer,
                (select count(distinct o.id) from {schema}.halts h join {schema}.orders o on o.id = h.order_id
                  where h.is_parked and {within}) as parked
           from {schema}.orders o where {within}"
    ))
    .bind(period.from)
    .bind(period.to)
    .bind(store_id)
    .fetch_one(executor)
    .await
}
