//! How long orders take.

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{PgExecutor, Row as _};
use utoipa::ToSchema;

use super::{NAME, Period};
use crate::generations::schema_name;

/// How long orders took from being placed to a step, in milliseconds, each rounded down. A percentile is the shortest
/// time that so many of the orders did not exceed: one of the times there were, not one between them. `null` where no
/// order has come so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Times {
    /// Orders that have come so far.
    pub count: i64,
    pub p50_ms: Option<i64>,
    pub p90_ms: Option<i64>,
    pub p95_ms: Option<i64>,
    pub p99_ms: Option<i64>,
    pub max_ms: Option<i64>,
}

/// From being placed to each step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FulfilmentTimes {
    pub reserved: Times,
    pub paid: Times,
    pub scheduled: Times,
    pub completed: Times,
}

/// How long the orders took that were placed in a period, in one store or in all of them. Exact, from each order's row.
pub async fn read(
    executor: impl PgExecutor<'_>,
    generation: i32,
    period: Period,
    store_id: Option<&str>,
) -> sqlx::Result<FulfilmentTimes> {
    let schema = schema_name(NAME, generation);
    let steps = ["reserved", "paid", "scheduled", "completed"];
    let taken = steps.map(taken).join(", ");
    let figures = steps.map(figures).join(", ");
    let row = sqlx::query(&format!(
        "select {figures}
           from (select {taken} from {schema}.orders
                  where placed_at >= $1 and placed_at < $2 and ($3::text is null or store_id = $3)) t"
    ))
    .bind(period.from)
    .bind(period.to)
    .bind(store_id)
    .fetch_one(executor)
    .await?;
    Ok(FulfilmentTimes {
        reserved: times(&row, 0)?,
        paid: times(&row, 1)?,
        scheduled: times(&row, 2)?,
        completed: times(&row, 3)?,
    })
}

/// SQL for the milliseconds from an order's placement to a step, null where it has not come so far. By way of whole
/// microseconds, because no fraction of a second is exact. A clock that was set back makes no time negative.
fn taken(step: &str) -> String {
    format!(
        "case when {step}_at is not null
              then greatest(round(date_part('epoch', {step}_at - placed_at) * 1000000)::bigint / 1000, 0)
          end as {step}"
    )
}

/// SQL for three columns, which [`times`] reads.
fn figures(step: &str) -> String {
    format!(
        "count({step}), max({step}),
         percentile_disc(array[0.5, 0.9, 0.95, 0.99]) within group (order by {step})"
    )
}

fn times(row: &PgRow, step: usize) -> sqlx::Result<Times> {
    let column = step * 3;
    let percentiles: Option<Vec<Option<i64>>> = row.try_get(column + 2)?;
    let percentiles = percentiles.unwrap_or_default();
    let percentile = |place: usize| percentiles.get(place).copied().flatten();
    Ok(Times {
        count: row.try_get(column)?,
        p50_ms: percentile(0),
        p90_ms: percentile(1),
        p95_ms: percentile(2),
        p99_ms: percentile(3),
        max_ms: row.try_get(column + 1)?,
    })
}
