//! A row as it is written: a part for each stream that tells of the order.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, PgExecutor, Row as _};

use super::{Delivery, Item, NAME, Order, Status};
use crate::generations::schema_name;
use crate::payments;
use crate::products::Money;
use crate::tables::column;
use crate::text::value;

/// A row; each part is there once its stream has told of the order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    pub id: String,
    pub order: Option<OrderPart>,
    pub payment: Option<PaymentPart>,
    pub delivery: Option<DeliveryPart>,
    pub saga: Option<SagaPart>,
}

/// What the order's own stream tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderPart {
    pub version: i64,
    pub customer_id: String,
    pub store_id: String,
    /// Never [`Status::Parked`]: that is the saga's.
    pub stage: Status,
    pub reason: Option<String>,
    pub items: Vec<Item>,
    pub total: Money,
    pub payment_id: String,
    pub placed_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
    pub returned_at: Option<DateTime<Utc>>,
}

/// What the payment's stream tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentPart {
    pub version: i64,
    pub status: payments::Status,
}

/// What the delivery's stream tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryPart {
    pub version: i64,
    pub delivery: Delivery,
}

/// What the stream of the fulfilment tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SagaPart {
    pub version: i64,
    pub parked: bool,
}

impl Row {
    /// What is answered as status: a saga that halts is through with nothing but its end.
    fn status(&self) -> Option<Status> {
        let stage = self.order.as_ref()?.stage;
        let parked = self.saga.as_ref().is_some_and(|saga| saga.parked);
        Some(if parked && !stage.is_ended() {
            Status::Parked
        } else {
            stage
        })
    }

    /// What queries answer; none until the order's own stream has told of it.
    pub fn into_order(self) -> Option<Order> {
        let status = self.status()?;
        let OrderPart {
            version,
            customer_id,
            store_id,
            stage: _,
            reason,
            items,
            total,
            payment_id,
            placed_at,
            ended_at,
            returned_at,
        } = self.order?;
        Some(Order {
            id: self.id,
            customer_id,
            store_id,
            status,
            reason,
            items,
            total,
            payment_id,
            payment_status: self.payment.map(|payment| payment.status),
            delivery: self.delivery.map(|part| part.delivery),
            placed_at,
            ended_at,
            returned_at,
            version,
        })
    }
}

impl FromRow<'_, PgRow> for Row {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let version = |column| row.try_get::<Option<i64>, _>(column);
        let order = version("order_version")?.map(|version| order_part(row, version));
        let payment = version("payment_version")?.map(|version| {
            let status = value(row, "payment_status")?;
            Ok::<_, sqlx::Error>(PaymentPart { version, status })
        });
        let delivery = version("delivery_version")?.map(|version| {
            let delivery = Delivery {
                id: row.try_get("delivery_id")?,
                status: value(row, "delivery_status")?,
                slot: row.try_get("delivery_slot")?,
            };
            Ok::<_, sqlx::Error>(DeliveryPart { version, delivery })
        });
        let saga = version("saga_version")?.map(|version| {
            let parked = row.try_get("parked")?;
            Ok::<_, sqlx::Error>(SagaPart { version, parked })
        });
        Ok(Row {
            id: row.try_get("id")?,
            order: order.transpose()?,
            payment: payment.transpose()?,
            delivery: delivery.transpose()?,
            saga: saga.transpose()?,
        })
    }
}

fn order_part(row: &PgRow, version: i64) -> sqlx::Result<OrderPart> {
    let Json(items): Json<Vec<Item>> = row.try_get("items")?;
    Ok(OrderPart {
        version,
        customer_id: row.try_get("customer_id")?,
        store_id: row.try_get("store_id")?,
        stage: value(row, "stage")?,
        reason: row.try_get("reason")?,
        items,
        total: Money {
            amount_minor: row.try_get("amount_minor")?,
            currency: row.try_get("currency")?,
        },
        payment_id: row.try_get("payment_id")?,
        placed_at: row.try_get("placed_at")?,
        ended_at: row.try_get("ended_at")?,
        returned_at: row.try_get("returned_at")?,
    })
}

/// Loads the rows of these orders, as far as they exist, by id.
pub async fn load(
    executor: impl PgExecutor<'_>,
    generation: i32,
    ids: &[String],
) -> sqlx::Result<HashMap<String, Row>> {
    let schema = schema_name(NAME, generation);
    let rows: Vec<Row> =
        sqlx::query_as(&format!("select * from {schema}.orders where id = any($1)"))
            .bind(ids)
            .fetch_all(executor)
            .await?;
    Ok(rows.into_iter().map(|row| (row.id.clone(), row)).collect())
}

/// Writes many rows, replacing those of the same id. Ids must not repeat within one call.
pub async fn upsert(
    executor: impl PgExecutor<'_>,
    generation: i32,
    rows: &[Row],
) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let schema = schema_name(NAME, generation);
    sqlx::query(&format!(
        "insert into {schema}.orders (
           id, order_version, customer_id, store_id, status, stage, reason, items, amount_minor,
           currency, payment_id, placed_at, ended_at, returned_at, payment_version, payment_status,
           delivery_version, delivery_id, delivery_status, delivery_slot, saga_version, parked)
         select * from unnest(
           $1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
           $8::jsonb[], $9::bigint[], $10::text[], $11::text[], $12::timestamptz[],
           $13::timestamptz[], $14::timestamptz[], $15::bigint[], $16::text[], $17::bigint[],
           $18::text[], $19::text[], $20::timestamptz[], $21::bigint[], $22::boolean[])
         on conflict (id) do update set
           order_version = excluded.order_version, customer_id = excluded.customer_id,
           store_id = excluded.store_id, status = excluded.status, stage = excluded.stage,
           reason = excluded.reason, items = excluded.items, amount_minor = excluded.amount_minor,
           currency = excluded.currency, payment_id = excluded.payment_id,
           placed_at = excluded.placed_at, ended_at = excluded.ended_at,
           returned_at = excluded.returned_at, payment_version = excluded.payment_version,
           payment_status = excluded.payment_status, delivery_version = excluded.delivery_version,
           delivery_id = excluded.delivery_id, delivery_status = excluded.delivery_status,
           delivery_slot = excluded.delivery_slot, saga_version = excluded.saga_version,
           parked = excluded.parked"
    ))
    .bind(column(rows, |row| Some(row.id.as_str())))
    .bind(order_column(rows, |order| Some(order.version)))
    .bind(order_column(rows, |order| Some(order.customer_id.as_str())))
    .bind(order_column(rows, |order| Some(order.store_id.as_str())))
    .bind(column(rows, |row| row.status().map(Status::as_str)))
    .bind(order_column(rows, |order| Some(order.stage.as_str())))
    .bind(order_column(rows, |order| order.reason.as_deref()))
    .bind(order_column(rows, |order| Some(Json(&order.items))))
    .bind(order_column(rows, |order| Some(order.total.amount_minor)))
    .bind(order_column(rows, |order| {
        Some(order.total.currency.as_str())
    }))
    .bind(order_column(rows, |order| Some(order.payment_id.as_str())))
    .bind(order_column(rows, |order| Some(order.placed_at)))
    .bind(order_column(rows, |order| order.ended_at))
    .bind(order_column(rows, |order| order.returned_at))
    .bind(column(rows, |row| Some(row.payment.as_ref()?.version)))
    .bind(column(rows, |row| {
        Some(row.payment.as_ref()?.status.as_str())
    }))
    .bind(column(rows, |row| Some(row.delivery.as_ref()?.version)))
    .bind(delivery_column(rows, |delivery| Some(delivery.id.as_str())))
    .bind(delivery_column(rows, |delivery| {
        Some(delivery.status.as_str())
    }))
    .bind(delivery_column(rows, |delivery| delivery.slot))
    .bind(column(rows, |row| Some(row.saga.as_ref()?.version)))
    .bind(column(rows, |row| Some(row.saga.as_ref()?.parked)))
    .execute(executor)
    .await?;
    Ok(())
}

fn order_column<'a, T>(
    rows: &'a [Row],
    value: impl Fn(&'a OrderPart) -> Option<T>,
) -> Vec<Option<T>> {
    column(rows, |row| row.order.as_ref().and_then(&value))
}

fn delivery_column<'a, T>(
    rows: &'a [Row],
    value: impl Fn(&'a Delivery) -> Option<T>,
) -> Vec<Option<T>> {
    column(rows, |row| {
        row.delivery.as_ref().and_then(|part| value(&part.delivery))
    })
}
