//! What has to be refilled.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use utoipa::ToSchema;

use super::NAME;
use crate::generations::schema_name;
use crate::stock::Key;
use crate::tables::{Table, column};

/// Stock of a SKU in a store that is low, or once was; there is no row of any other.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Level {
    pub store_id: String,
    pub sku: String,
    /// Pieces that can be promised.
    pub available: i64,
    /// Low at so many or fewer.
    pub threshold: i64,
    /// Version of the stock's stream.
    pub version: i64,
}

impl Level {
    pub fn key(&self) -> Key {
        Key {
            store_id: self.store_id.clone(),
            sku: self.sku.clone(),
        }
    }

    pub fn is_low(&self) -> bool {
        self.available <= self.threshold
    }
}

/// A stock that is low.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
pub struct LowStock {
    pub store_id: String,
    pub sku: String,
    /// Pieces that can be promised.
    pub available: i64,
    /// Low at so many or fewer.
    pub threshold: i64,
}

pub(super) const CREATE_TABLE: &str = "create table if not exists {schema}.low_stock (
   store_id  text collate \"C\" not null,
   sku       text collate \"C\" not null,
   available bigint not null,
   threshold bigint not null,
   version   bigint not null,
   primary key (store_id, sku)
 ) with (fillfactor = 70)";

pub(super) const TABLE: Table = Table {
    name: "low_stock",
    comment: "A generation of the read model analytics: one row a store and SKU of which there is little, or once was. \
              Derived from the log; `nakku replay analytics` makes it anew.",
    columns: &[
        ("store_id", "The store."),
        ("sku", "The SKU; it need not be a product yet."),
        ("available", "Pieces that can be promised."),
        ("threshold", "It is low at so many or fewer."),
        (
            "version",
            "Version of the stock's stream that the row shows.",
        ),
    ],
    key: "store_id || ':' || sku",
    personal: &[],
};

/// The rows of these keys, as far as they exist.
pub async fn load(
    executor: impl PgExecutor<'_>,
    generation: i32,
    keys: &[Key],
) -> sqlx::Result<HashMap<Key, Level>> {
    let schema = schema_name(NAME, generation);
    let rows: Vec<Level> = sqlx::query_as(&format!(
        "select store_id, sku, available, threshold, version
           from unnest($1::text[], $2::text[]) as wanted (store_id, sku)
           join {schema}.low_stock using (store_id, sku)"
    ))
    .bind(column(keys, |key| key.store_id.as_str()))
    .bind(column(keys, |key| key.sku.as_str()))
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.key(), row)).collect())
}

/// Writes many rows, replacing those of the same key. Keys must not repeat within one call.
pub async fn upsert(
    executor: impl PgExecutor<'_>,
    generation: i32,
    levels: &[Level],
) -> sqlx::Result<()> {
    if levels.is_empty() {
        return Ok(());
    }
    let schema = schema_name(NAME, generation);
    sqlx::query(&format!(
        "insert into {schema}.low_stock (store_id, sku, available, threshold, version)
         select * from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
         on conflict (store_id, sku) do update set
           available = excluded.available, threshold = excluded.threshold, version = excluded.version"
    ))
    .bind(column(levels, |level| level.store_id.as_str()))
    .bind(column(levels, |level| level.sku.as_str()))
    .bind(column(levels, |level| level.available))
    .bind(column(levels, |level| level.threshold))
    .bind(column(levels, |level| level.version))
    .execute(executor)
    .await?;
    Ok(())
}

/// What is low now, in one store or in all of them: how much there is of that, and the first `limit`, those with the
/// fewest pieces first.
pub async fn list(
    executor: impl PgExecutor<'_>,
    generation: i32,
    store_id: Option<&str>,
    limit: i64,
) -> sqlx::Result<(i64, Vec<LowStock>)> {
    #[derive(sqlx::FromRow)]
    struct Counted {
        total: i64,
        #[sqlx(flatten)]
        stock: LowStock,
    }
    let schema = schema_name(NAME, generation);
    let rows: Vec<Counted> = sqlx::query_as(&format!(
        "select store_id, sku, available, threshold, count(*) over () as total
           from {schema}.low_stock
          where available <= threshold and ($1::text is null or store_id = $1)
          order by available, store_id, sku limit $2"
    ))
    .bind(store_id)
    .bind(limit)
    .fetch_all(executor)
    .await?;
    let total = rows.first().map_or(0, |row| row.total);
    Ok((total, rows.into_iter().map(|row| row.stock).collect()))
}
