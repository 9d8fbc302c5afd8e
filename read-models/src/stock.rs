//! `stock`: one row a store and SKU, for what is on the shelves.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use utoipa::ToSchema;

use crate::generations::schema_name;
use crate::tables::{Model, Table};

pub const NAME: &str = "stock";

/// Changed with every change of the table or of what its rows mean; a generation of another shape
/// is rebuilt.
pub const SHAPE: &str = "stock-1";

/// What a row is found by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub store_id: String,
    pub sku: String,
}

/// Stock of one SKU in one store, in pieces, as queries answer it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
pub struct Stock {
    pub store_id: String,
    pub sku: String,
    pub on_hand: i64,
    pub reserved: i64,
    /// `on_hand` less `reserved`.
    pub available: i64,
    /// Version of the stock's stream.
    pub version: i64,
}

impl Stock {
    pub fn key(&self) -> Key {
        Key {
            store_id: self.store_id.clone(),
            sku: self.sku.clone(),
        }
    }
}

const COLUMNS: &str = "store_id, sku, on_hand, reserved, available, version";

const TABLE_COMMENT: &str = "A generation of the read model stock: one row a store and SKU. Derived from the log; \
                             `nakku replay stock` makes it anew.";
const COLUMN_COMMENTS: &[(&str, &str)] = &[
    ("store_id", "The store."),
    ("sku", "The SKU; it need not be a product yet."),
    ("on_hand", "Pieces in the store."),
    ("reserved", "Those among them that are promised to orders."),
    ("available", "on_hand less reserved."),
    (
        "version",
        "Version of the stock's stream that the row shows.",
    ),
];

/// What its generations are made of.
pub const MODEL: Model = Model {
    name: NAME,
    shape: SHAPE,
    statements: &[
        // Rows change with every order: room in each page keeps that off the index.
        "create table if not exists {schema}.stock (
           store_id  text collate \"C\" not null,
           sku       text collate \"C\" not null,
           on_hand   bigint not null,
           reserved  bigint not null,
           available bigint not null,
           version   bigint not null,
           primary key (store_id, sku)
         ) with (fillfactor = 70)",
    ],
    tables: &[Table {
        name: NAME,
        comment: TABLE_COMMENT,
        columns: COLUMN_COMMENTS,
        key: "store_id || ':' || sku",
        personal: &[],
    }],
};

/// Writes many rows, replacing those of the same key. Keys must not repeat within one call.
pub async fn upsert(
    executor: impl PgExecutor<'_>,
    generation: i32,
    rows: &[Stock],
) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let schema = schema_name(NAME, generation);
    sqlx::query(&format!(
        "insert into {schema}.stock ({COLUMNS})
         select * from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[],
                              $6::bigint[])
         on conflict (store_id, sku) do update set
           on_hand = excluded.on_hand, reserved = excluded.reserved,
           available = excluded.available, version = excluded.version"
    ))
    .bind(
        rows.iter()
            .map(|row| row.store_id.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(rows.iter().map(|row| row.sku.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.on_hand).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.reserved).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.available).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.version).collect::<Vec<_>>())
    .execute(executor)
    .await?;
    Ok(())
}

/// Loads the rows of these keys, as far as they exist.
pub async fn load(
    executor: impl PgExecutor<'_>,
    generation: i32,
    keys: &[Key],
) -> sqlx::Result<HashMap<Key, Stock>> {
    let schema = schema_name(NAME, generation);
    let rows: Vec<Stock> = sqlx::query_as(&format!(
        "select {COLUMNS} from unnest($1::text[], $2::text[]) as wanted (store_id, sku)
           join {schema}.stock using (store_id, sku)"
    ))
    .bind(
        keys.iter()
            .map(|key| key.store_id.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(keys.iter().map(|key| key.sku.as_str()).collect::<Vec<_>>())
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.key(), row)).collect())
}

/// The stock of one SKU in one store.
pub async fn by_key(
    executor: impl PgExecutor<'_>,
    generation: i32,
    store_id: &str,
    sku: &str,
) -> sqlx::Result<Option<Stock>> {
    let schema = schema_name(NAME, generation);
    sqlx::query_as(&format!(
        "select {COLUMNS} from {schema}.stock where store_id = $1 and sku = $2"
    ))
    .bind(store_id)
    .bind(sku)
    .fetch_optional(executor)
    .await
}

/// A page of a store's stock by SKU, those after the cursor: the last SKU of the page before.
pub async fn list(
    executor: impl PgExecutor<'_>,
    generation: i32,
    store_id: &str,
    after: Option<&str>,
    limit: i64,
) -> sqlx::Result<Vec<Stock>> {
    let schema = schema_name(NAME, generation);
    sqlx::query_as(&format!(
        "select {COLUMNS} from {schema}.stock
          where store_id = $1 and sku > $2 order by sku limit $3"
    ))
    .bind(store_id)
    .bind(after.unwrap_or(""))
    .bind(limit)
    .fetch_all(executor)
    .await
}
