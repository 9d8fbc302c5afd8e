//! `orders`: one row an order, for its customer and for staff.
//!
//! A row has a part for each stream that tells of the order: its own, its payment, its delivery, its saga. Each part
//! knows the version of its stream; whichever comes first begins the row, and until the order's own part is there
//! queries do not see it.

mod row;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgExecutor, Postgres, QueryBuilder};
use utoipa::ToSchema;

use crate::generations::schema_name;
use crate::products::Money;
use crate::tables::{Model, Table};
use crate::text::stored_as_text;
use crate::{deliveries, payments};

pub use row::{DeliveryPart, OrderPart, PaymentPart, Row, SagaPart, load, upsert};

pub const NAME: &str = "orders";

/// Changed with every change of the table or of what its rows mean; a generation of another shape
/// is rebuilt.
pub const SHAPE: &str = "orders-1";

stored_as_text! {
    /// How far an order has come.
    #[schema(as = OrderStatus)]
    pub enum Status {
        /// Placed.
        Pending => "pending",
        /// The store has promised every item.
        Reserved => "reserved",
        /// The money is taken.
        Paid => "paid",
        /// The delivery is booked.
        Scheduled => "scheduled",
        /// Everything is arranged.
        Completed => "completed",
        /// Everything is undone; `reason` says why.
        Cancelled => "cancelled",
        /// The delivery failed for good; money and goods are back.
        Returned => "returned",
        /// It halts until an operator goes on with it.
        Parked => "parked",
    }
}

impl Status {
    /// Whether the saga of fulfilment is through with it.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Returned)
    }
}

/// One line of an order, as it was when the order was placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = OrderItem)]
pub struct Item {
    pub sku: String,
    /// The product that had the SKU.
    pub product_id: String,
    pub name: String,
    pub quantity: i64,
    pub unit_price: Money,
}

/// How an order is brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = OrderDelivery)]
pub struct Delivery {
    pub id: String,
    pub status: deliveries::Status,
    /// Start of the hour in which it is brought; `null` where nobody could bring it.
    pub slot: Option<DateTime<Utc>>,
}

/// An order, as queries answer it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Order {
    pub id: String,
    pub customer_id: String,
    pub store_id: String,
    pub status: Status,
    /// Why it was cancelled: `out-of-stock`, `payment-declined`, `payment-timeout`, `delivery-unavailable` or
    /// `customer`.
    pub reason: Option<String>,
    pub items: Vec<Item>,
    /// The sum over the items.
    pub total: Money,
    pub payment_id: String,
    /// `null` until the payment is begun.
    pub payment_status: Option<payments::Status>,
    /// `null` until the delivery is booked, or could not be.
    pub delivery: Option<Delivery>,
    pub placed_at: DateTime<Utc>,
    /// When it was completed or cancelled.
    pub ended_at: Option<DateTime<Utc>>,
    pub returned_at: Option<DateTime<Utc>>,
    /// Version of the order's stream, for `If-Match`. Payment and delivery have versions of their own.
    pub version: i64,
}

/// Which orders a list shows; all that is given must hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filter<'a> {
    pub customer_id: Option<&'a str>,
    pub store_id: Option<&'a str>,
    pub status: Option<Status>,
}

const TABLE_COMMENT: &str = "A generation of the read model orders: one row an order. Derived from the log; \
                             `nakku replay orders` makes it anew.";
const COLUMN_COMMENTS: &[(&str, &str)] = &[
    ("id", "The order; in the order of time."),
    (
        "order_version",
        "Version of the order's stream that the row shows; null until it tells of it. The row is not answered before.",
    ),
    (
        "payment_version",
        "Version of the payment's stream that the row shows; null until it tells of it.",
    ),
    (
        "delivery_version",
        "Version of the delivery's stream that the row shows; null until it tells of it.",
    ),
    (
        "saga_version",
        "Version of the stream of the fulfilment that the row shows; null until it tells of it.",
    ),
    ("customer_id", "The user who buys."),
    ("store_id", "The store it is from."),
    (
        "status",
        "What is answered: the stage, or parked while the saga halts before its end.",
    ),
    (
        "stage",
        "As the order's own stream says: pending, reserved, paid, scheduled, completed, cancelled or returned.",
    ),
    ("parked", "Whether the saga halts."),
    ("reason", "Why it was cancelled."),
    (
        "items",
        "A JSON array: SKU, product, name, quantity and price of one piece as they were.",
    ),
    ("amount_minor", "The sum in the currency's smallest unit."),
    ("currency", "ISO 4217 code of the sum."),
    ("payment_id", "Its payment, begun or not."),
    ("payment_status", "As the payment's stream says."),
    (
        "delivery_id",
        "Its delivery, as the delivery's stream says.",
    ),
    ("delivery_status", "As the delivery's stream says."),
    ("delivery_slot", "Start of the hour in which it is brought."),
    ("placed_at", "When it was placed."),
    ("ended_at", "When it was completed or cancelled."),
    ("returned_at", "When money and goods were back."),
];

/// What its generations are made of.
pub const MODEL: Model = Model {
    name: NAME,
    shape: SHAPE,
    statements: &[
        // Rows change with every step: room in each page keeps the steps that change no index off the indexes.
        "create table if not exists {schema}.orders (
           id               text collate \"C\" primary key,
           order_version    bigint,
           payment_version  bigint,
           delivery_version bigint,
           saga_version     bigint,
           customer_id      text collate \"C\",
           store_id         text collate \"C\",
           status           text collate \"C\",
           stage            text,
           parked           boolean,
           reason           text,
           items            jsonb,
           amount_minor     bigint,
           currency         text,
           payment_id       text,
           payment_status   text,
           delivery_id      text,
           delivery_status  text,
           delivery_slot    timestamptz,
           placed_at        timestamptz,
           ended_at         timestamptz,
           returned_at      timestamptz
         ) with (fillfactor = 70)",
        "create index if not exists orders_customer on {schema}.orders (customer_id, id)",
        "create index if not exists orders_store on {schema}.orders (store_id, id)",
        "create index if not exists orders_status on {schema}.orders (status, id)",
    ],
    tables: &[Table {
        name: NAME,
        comment: TABLE_COMMENT,
        columns: COLUMN_COMMENTS,
        key: "id",
        personal: &[],
    }],
};

/// One order by id.
pub async fn by_id(
    executor: impl PgExecutor<'_>,
    generation: i32,
    id: &str,
) -> sqlx::Result<Option<Order>> {
    let schema = schema_name(NAME, generation);
    let row: Option<Row> = sqlx::query_as(&format!("select * from {schema}.orders where id = $1"))
        .bind(id)
        .fetch_optional(executor)
        .await?;
    Ok(row.and_then(Row::into_order))
}

/// A page of orders, the newest first, those before the cursor: the last id of the page before.
pub async fn list(
    executor: impl PgExecutor<'_>,
    generation: i32,
    filter: Filter<'_>,
    before: Option<&str>,
    limit: i64,
) -> sqlx::Result<Vec<Order>> {
    let schema = schema_name(NAME, generation);
    let mut query = QueryBuilder::<Postgres>::new(format!(
        "select * from {schema}.orders where order_version is not null"
    ));
    let Filter {
        customer_id,
        store_id,
        status,
    } = filter;
    for (condition, value) in [
        (" and customer_id = ", customer_id),
        (" and store_id = ", store_id),
        (" and status = ", status.map(Status::as_str)),
        (" and id < ", before),
    ] {
        if let Some(value) = value {
            query.push(condition).push_bind(value);
        }
    }
    query.push(" order by id desc limit ").push_bind(limit);
    let rows: Vec<Row> = query.build_query_as().fetch_all(executor).await?;
    Ok(rows.into_iter().filter_map(Row::into_order).collect())
}
