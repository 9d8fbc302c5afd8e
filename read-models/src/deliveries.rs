//! `deliveries`: one row a delivery, for whoever brings it and whoever waits for it.
//!
//! The address stands here in the clear and becomes `null` when the customer is erased.

mod row;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgExecutor, Postgres, QueryBuilder};
use utoipa::ToSchema;

use crate::generations::schema_name;
use crate::tables::{Model, Table};
use crate::text::stored_as_text;
use crate::users::Address;

pub use row::{blank, blank_elsewhere, load, upsert};

pub const NAME: &str = "deliveries";

/// Changed with every change of the table or of what its rows mean; a generation of another shape
/// is rebuilt.
pub const SHAPE: &str = "deliveries-1";

stored_as_text! {
    /// Where a delivery stands.
    #[schema(as = DeliveryStatus)]
    pub enum Status {
        /// Booked; no courier yet.
        Scheduled => "scheduled",
        /// A courier is on the way to the store.
        Assigned => "assigned",
        /// On the way to the customer.
        PickedUp => "picked-up",
        /// Handed over.
        Completed => "completed",
        /// Nobody will try again.
        Failed => "failed",
        /// Not to be brought.
        Cancelled => "cancelled",
    }
}

/// A delivery, as queries answer it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    pub id: String,
    pub order_id: String,
    /// To whom; `null`, as `store_id` and `slot`, where it was never booked.
    pub customer_id: Option<String>,
    /// Where from.
    pub store_id: Option<String>,
    pub status: Status,
    /// Start of the hour in which it is brought.
    pub slot: Option<DateTime<Utc>>,
    /// Who brings it; `null` before and between attempts.
    pub courier_id: Option<String>,
    /// Why the last attempt failed, or why nobody could bring it.
    pub reason: Option<String>,
    /// Where to; `null` where the order names no address, once the customer is erased, and for couriers who do not
    /// bring it.
    pub address: Option<Address>,
    /// Attempts to hand it over that have ended, the one that succeeded included.
    pub attempts: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// When it was handed over, given up or cancelled.
    pub ended_at: Option<DateTime<Utc>>,
    /// Version of the delivery's stream.
    pub version: i64,
}

/// Which deliveries a list shows; all that is given must hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filter<'a> {
    pub store_id: Option<&'a str>,
    pub status: Option<Status>,
    pub courier_id: Option<&'a str>,
    /// Only what this user may see.
    pub seen_by: SeenBy<'a>,
}

/// Who looks at a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SeenBy<'a> {
    /// Someone who sees all.
    #[default]
    All,
    /// A customer: what is brought to them.
    Customer(&'a str),
    /// A courier: what they bring, what nobody brings yet, and what is brought to them.
    Courier(&'a str),
}

const TABLE_COMMENT: &str = "A generation of the read model deliveries: one row a delivery. Derived from the log; \
                             `nakku replay deliveries` makes it anew.";
const COLUMN_COMMENTS: &[(&str, &str)] = &[
    ("id", "The delivery; in the order of time."),
    ("order_id", "The order that is brought."),
    (
        "customer_id",
        "The user it is brought to; null where it was never booked.",
    ),
    (
        "store_id",
        "The store it is from; null where it was never booked.",
    ),
    (
        "status",
        "scheduled, assigned, picked-up, completed, failed or cancelled.",
    ),
    (
        "slot",
        "Start of the hour in which it is brought; null where it was never booked.",
    ),
    (
        "courier_id",
        "The user who brings it; null before and between attempts.",
    ),
    (
        "reason",
        "Why the last attempt failed, or why nobody could bring it.",
    ),
    (
        "address",
        "A JSON object, in the clear; null where the order names none, and once the customer is erased.",
    ),
    (
        "attempts",
        "Attempts to hand it over that have ended, the one that succeeded included.",
    ),
    ("created_at", "When its stream began."),
    ("updated_at", "When its stream told something last."),
    (
        "ended_at",
        "When it was handed over, given up or cancelled.",
    ),
    (
        "version",
        "Version of the delivery's stream that the row shows.",
    ),
];

/// What its generations are made of.
pub const MODEL: Model = Model {
    name: NAME,
    shape: SHAPE,
    statements: &[
        "create table if not exists {schema}.deliveries (
           id          text collate \"C\" primary key,
           order_id    text collate \"C\" not null,
           customer_id text collate \"C\",
           store_id    text collate \"C\",
           status      text collate \"C\" not null,
           slot        timestamptz,
           courier_id  text collate \"C\",
           reason      text,
           address     jsonb,
           attempts    bigint not null,
           created_at  timestamptz not null,
           updated_at  timestamptz not null,
           ended_at    timestamptz,
           version     bigint not null
         ) with (fillfactor = 85)",
        "create index if not exists deliveries_customer on {schema}.deliveries (customer_id, id)",
        "create index if not exists deliveries_courier on {schema}.deliveries (courier_id, id)",
        "create index if not exists deliveries_store on {schema}.deliveries (store_id, status, id)",
        "create index if not exists deliveries_status on {schema}.deliveries (status, id)",
    ],
    tables: &[Table {
        name: NAME,
        comment: TABLE_COMMENT,
        columns: COLUMN_COMMENTS,
        key: "id",
        personal: &["address"],
    }],
};

/// One delivery by id.
pub async fn by_id(
    executor: impl PgExecutor<'_>,
    generation: i32,
    id: &str,
) -> sqlx::Result<Option<Delivery>> {
    let schema = schema_name(NAME, generation);
    sqlx::query_as(&format!("select * from {schema}.deliveries where id = $1"))
        .bind(id)
        .fetch_optional(executor)
        .await
}

/// A page of deliveries, the newest first, those before the cursor: the last id of the page before.
pub async fn list(
    executor: impl PgExecutor<'_>,
    generation: i32,
    filter: Filter<'_>,
    before: Option<&str>,
    limit: i64,
) -> sqlx::Result<Vec<Delivery>> {
    let schema = schema_name(NAME, generation);
    let mut query =
        QueryBuilder::<Postgres>::new(format!("select * from {schema}.deliveries where true"));
    match filter.seen_by {
        SeenBy::All => {}
        SeenBy::Customer(id) => {
            query.push(" and customer_id = ").push_bind(id);
        }
        SeenBy::Courier(id) => {
            query.push(" and (courier_id = ").push_bind(id);
            query.push(" or customer_id = ").push_bind(id);
            let open = Status::Scheduled.as_str();
            query.push(" or status = ").push_bind(open).push(")");
        }
    }
    for (condition, value) in [
        (" and store_id = ", filter.store_id),
        (" and status = ", filter.status.map(Status::as_str)),
        (" and courier_id = ", filter.courier_id),
        (" and id < ", before),
    ] {
        if let Some(value) = value {
            query.push(condition).push_bind(value);
        }
    }
    query.push(" order by id desc limit ").push_bind(limit);
    query.build_query_as().fetch_all(executor).await
}
