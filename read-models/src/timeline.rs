//! `timeline`: one row an event of an order and of whatever serves it, as its customer may see it. Rows are only added.
//!
//! A row is named by the position of its event, so every generation has the same rows, and a reader that remembers the
//! last position it saw goes on in any of them without losing or repeating one.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::generations::schema_name;
use crate::tables::{Model, Table};

pub const NAME: &str = "timeline";

/// Changed with every change of the table or of what its rows mean; a generation of another shape
/// is rebuilt.
pub const SHAPE: &str = "timeline-1";

/// A step of an order, as queries answer it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
#[schema(as = TimelineItem)]
pub struct Item {
    /// When it happened.
    pub at: DateTime<Utc>,
    /// Place of its event in the log.
    pub position: i64,
    /// The event's type, as `order.created`.
    #[serde(rename = "type")]
    #[sqlx(rename = "type")]
    pub event_type: String,
    /// Who did it: the id of the user who asked for it, `operator` where one let a halted saga go on, or the part of the
    /// system that did it by itself: `inventory`, `payment`, `delivery`, `fulfilment`, `return`.
    pub actor: String,
    /// Why, where there is more to say than the type does; for people.
    pub reason: Option<String>,
    /// Which attempt at this step it is, from 1; `null` where there is only one.
    pub attempt: Option<i32>,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub order_id: Uuid,
    /// Whose order it is; on the row of its creation only.
    pub customer_id: Option<Uuid>,
    pub item: Item,
}

const ITEM_COLUMNS: &str = "at, position, type, actor, reason, attempt";

const TABLE_COMMENT: &str = "A generation of the read model timeline: one row an event of an order and of whatever \
                             serves it. Derived from the log; `nakku replay timeline` makes it anew.";
const COLUMN_COMMENTS: &[(&str, &str)] = &[
    ("order_id", "The order."),
    ("position", "Place of the event in the log."),
    ("at", "When the event was recorded."),
    ("type", "The event's type, as order.created."),
    (
        "actor",
        "Id of the user who asked for it, operator, or the part of the system that did it by itself.",
    ),
    (
        "reason",
        "Why; null where the type says all there is to say.",
    ),
    (
        "attempt",
        "Which attempt at this step, from 1; null where there is only one.",
    ),
    (
        "customer_id",
        "Whose order it is; on the row of its creation only.",
    ),
];

/// What its generations are made of.
pub const MODEL: Model = Model {
    name: NAME,
    shape: SHAPE,
    statements: &["create table if not exists {schema}.timeline (
           order_id    uuid not null,
           position    bigint not null,
           at          timestamptz not null,
           type        text collate \"C\" not null,
           actor       text collate \"C\" not null,
           reason      text,
           attempt     int,
           customer_id uuid,
           primary key (order_id, position)
         )"],
    tables: &[Table {
        name: NAME,
        comment: TABLE_COMMENT,
        columns: COLUMN_COMMENTS,
        key: "order_id || ':' || position",
        personal: &[],
    }],
};

/// Adds rows; those that are there already stay as they are.
pub async fn insert(
    executor: impl PgExecutor<'_>,
    generation: i32,
    rows: &[Entry],
) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let schema = schema_name(NAME, generation);
    let items = || rows.iter().map(|row| &row.item);
    sqlx::query(&format!(
        "insert into {schema}.timeline (order_id, customer_id, {ITEM_COLUMNS})
         select * from unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::bigint[], $5::text[],
                              $6::text[], $7::text[], $8::int[])
         on conflict (order_id, position) do nothing"
    ))
    .bind(rows.iter().map(|row| row.order_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.customer_id).collect::<Vec<_>>())
    .bind(items().map(|item| item.at).collect::<Vec<_>>())
    .bind(items().map(|item| item.position).collect::<Vec<_>>())
    .bind(
        items()
            .map(|item| item.event_type.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(items().map(|item| item.actor.as_str()).collect::<Vec<_>>())
    .bind(
        items()
            .map(|item| item.reason.as_deref())
            .collect::<Vec<_>>(),
    )
    .bind(items().map(|item| item.attempt).collect::<Vec<_>>())
    .execute(executor)
    .await?;
    Ok(())
}

/// Whose an order is: `None` for one that has no rows, `Some(None)` for one whose creation is not among them.
pub async fn customer(
    executor: impl PgExecutor<'_>,
    generation: i32,
    order_id: Uuid,
) -> sqlx::Result<Option<Option<Uuid>>> {
    let schema = schema_name(NAME, generation);
    sqlx::query_scalar(&format!(
        "select customer_id from {schema}.timeline where order_id = $1 order by position limit 1"
    ))
    .bind(order_id)
    .fetch_optional(executor)
    .await
}

/// Up to `limit` items of an order after a position, in order; 0 for those from the beginning on.
pub async fn list(
    executor: impl PgExecutor<'_>,
    generation: i32,
    order_id: Uuid,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<Item>> {
    let schema = schema_name(NAME, generation);
    sqlx::query_as(&format!(
        "select {ITEM_COLUMNS} from {schema}.timeline
          where order_id = $1 and position > $2 order by position limit $3"
    ))
    .bind(order_id)
    .bind(after)
    .bind(limit)
    .fetch_all(executor)
    .await
}

/// Which of these orders have items after a position.
pub async fn moved_after(
    executor: impl PgExecutor<'_>,
    generation: i32,
    orders: &[Uuid],
    after: i64,
) -> sqlx::Result<HashSet<Uuid>> {
    let schema = schema_name(NAME, generation);
    // One look into the index an order, whatever the statistics say about orders as a whole.
    let moved: Vec<Uuid> = sqlx::query_scalar(&format!(
        "select order_id from unnest($1::uuid[]) as wanted (order_id)
          where exists (select from {schema}.timeline t
                         where t.order_id = wanted.order_id and t.position > $2)"
    ))
    .bind(orders)
    .bind(after)
    .fetch_all(executor)
    .await?;
    Ok(moved.into_iter().collect())
}
