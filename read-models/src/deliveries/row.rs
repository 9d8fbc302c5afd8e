//! Rows as they are written, and what is taken out of them once a customer is erased.

use std::collections::HashMap;

use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, PgExecutor, Row as _};

use super::{Delivery, NAME};
use crate::generations::schema_name;
use crate::tables::column;
use crate::text::value;
use crate::users::Address;

impl FromRow<'_, PgRow> for Delivery {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let address: Option<Json<Address>> = row.try_get("address")?;
        Ok(Delivery {
            id: row.try_get("id")?,
            order_id: row.try_get("order_id")?,
            customer_id: row.try_get("customer_id")?,
            store_id: row.try_get("store_id")?,
            status: value(row, "status")?,
            slot: row.try_get("slot")?,
            courier_id: row.try_get("courier_id")?,
            reason: row.try_get("reason")?,
            address: address.map(|Json(address)| address),
            attempts: row.try_get("attempts")?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
            ended_at: row.try_get("ended_at")?,
            version: row.try_get("version")?,
        })
    }
}

/// Writes many deliveries, replacing those of the same id. Ids must not repeat within one call.
pub async fn upsert(
    executor: impl PgExecutor<'_>,
    generation: i32,
    rows: &[Delivery],
) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let schema = schema_name(NAME, generation);
    sqlx::query(&format!(
        "insert into {schema}.deliveries (
           id, order_id, customer_id, store_id, status, slot, courier_id, reason, address, attempts,
           created_at, updated_at, ended_at, version)
         select * from unnest(
           $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[],
           $7::text[], $8::text[], $9::jsonb[], $10::bigint[], $11::timestamptz[],
           $12::timestamptz[], $13::timestamptz[], $14::bigint[])
         on conflict (id) do update set
           order_id = excluded.order_id, customer_id = excluded.customer_id,
           store_id = excluded.store_id, status = excluded.status, slot = excluded.slot,
           courier_id = excluded.courier_id, reason = excluded.reason, address = excluded.address,
           attempts = excluded.attempts, created_at = excluded.created_at,
           updated_at = excluded.updated_at, ended_at = excluded.ended_at,
           version = excluded.version"
    ))
    .bind(column(rows, |row| row.id.as_str()))
    .bind(column(rows, |row| row.order_id.as_str()))
    .bind(column(rows, |row| row.customer_id.as_deref()))
    .bind(column(rows, |row| row.store_id.as_deref()))
    .bind(column(rows, |row| row.status.as_str()))
    .bind(column(rows, |row| row.slot))
    .bind(column(rows, |row| row.courier_id.as_deref()))
    .bind(column(rows, |row| row.reason.as_deref()))
    .bind(column(rows, |row| row.address.as_ref().map(Json)))
    .bind(column(rows, |row| row.attempts))
    .bind(column(rows, |row| row.created_at))
    .bind(column(rows, |row| row.updated_at))
    .bind(column(rows, |row| row.ended_at))
    .bind(column(rows, |row| row.version))
    .execute(executor)
    .await?;
    Ok(())
}

/// Loads the deliveries of these ids, as far as they exist, by id.
pub async fn load(
    executor: impl PgExecutor<'_>,
    generation: i32,
    ids: &[String],
) -> sqlx::Result<HashMap<String, Delivery>> {
    let schema = schema_name(NAME, generation);
    let rows: Vec<Delivery> = sqlx::query_as(&format!(
        "select * from {schema}.deliveries where id = any($1)"
    ))
    .bind(ids)
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id.clone(), row)).collect())
}

/// Takes the addresses of these customers out of a generation.
pub async fn blank(
    executor: impl PgExecutor<'_>,
    generation: i32,
    customers: &[String],
) -> sqlx::Result<()> {
    blank_in(executor, &schema_name(NAME, generation), customers).await
}

/// Takes the addresses of these customers out of every other generation that there is. The one before the live one may
/// be followed by nobody: it is of another shape, or was given up. Each shape so far has these columns.
pub async fn blank_elsewhere(
    connection: &mut PgConnection,
    generation: i32,
    customers: &[String],
) -> sqlx::Result<()> {
    let schemas: Vec<String> = sqlx::query_scalar(
        "select n.nspname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relname = 'deliveries' and c.relkind = 'r' and n.nspname ~ '^deliveries_[0-9]+$'
           and n.nspname <> $1
         order by 1",
    )
    .bind(schema_name(NAME, generation))
    .fetch_all(&mut *connection)
    .await?;
    for schema in schemas {
        blank_in(&mut *connection, &schema, customers).await?;
    }
    Ok(())
}

async fn blank_in(
    executor: impl PgExecutor<'_>,
    schema: &str,
    customers: &[String],
) -> sqlx::Result<()> {
    sqlx::query(&format!(
        "update {schema}.deliveries set address = null
         where customer_id = any($1) and address is not null"
    ))
    .bind(customers)
    .execute(executor)
    .await?;
    Ok(())
}
