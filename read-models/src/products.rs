//! `products`: one row a product, for pages and lists of products.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use sqlx::types::Json;
use utoipa::ToSchema;

use crate::generations::schema_name;
use crate::tables::{Model, Table, column};

pub const NAME: &str = "products";

/// Changed with every change of the table or of what its rows mean; a generation of another shape
/// is rebuilt.
pub const SHAPE: &str = "products-1";

/// An amount of money in the currency's smallest unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
#[schema(example = json!({"amount_minor": 1299, "currency": "EUR"}))]
pub struct Money {
    pub amount_minor: i64,
    /// ISO 4217 code.
    pub currency: String,
}

/// Whether a product is for sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = ProductStatus)]
pub enum Status {
    Active,
    Discontinued,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Active => "active",
            Status::Discontinued => "discontinued",
        }
    }
}

impl TryFrom<String> for Status {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "active" => Ok(Status::Active),
            "discontinued" => Ok(Status::Discontinued),
            _ => Err(format!("unknown product status `{text}`")),
        }
    }
}

/// A product, as queries answer it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
pub struct Product {
    pub id: String,
    pub sku: String,
    pub name: String,
    pub brand: Option<String>,
    pub description: Option<String>,
    /// From the widest to the narrowest.
    #[sqlx(json)]
    pub category: Vec<String>,
    pub size: Option<String>,
    #[sqlx(json)]
    pub attributes: BTreeMap<String, String>,
    #[sqlx(flatten)]
    pub price: Money,
    #[sqlx(try_from = "String")]
    pub status: Status,
    /// Version of the product's stream.
    pub version: i64,
}

const COLUMNS: &str = "id, sku, name, brand, description, category, size, attributes, \
                       amount_minor, currency, status, version";

const TABLE_COMMENT: &str = "A generation of the read model products: one row a product. Derived from the log; \
                             `nakku replay products` makes it anew.";
const COLUMN_COMMENTS: &[(&str, &str)] = &[
    ("id", "The product."),
    ("sku", "Its SKU, for good."),
    ("name", "What it is called."),
    ("brand", "Who makes it, if known."),
    ("description", "What there is to say about it."),
    (
        "category",
        "A JSON array, from the widest to the narrowest.",
    ),
    ("size", "The size of a pack, in words."),
    ("attributes", "A JSON object of texts: what else is known."),
    (
        "amount_minor",
        "Price of one piece in the currency's smallest unit.",
    ),
    ("currency", "ISO 4217 code of the price."),
    ("status", "active or discontinued."),
    (
        "version",
        "Version of the product's stream that the row shows.",
    ),
];

/// What its generations are made of.
pub const MODEL: Model = Model {
    name: NAME,
    shape: SHAPE,
    statements: &[
        // Room in each page keeps updates of prices off the indexes.
        "create table if not exists {schema}.products (
           id           text collate \"C\" primary key,
           sku          text collate \"C\" not null,
           name         text not null,
           brand        text,
           description  text,
           category     jsonb not null,
           size         text,
           attributes   jsonb not null,
           amount_minor bigint not null,
           currency     text not null,
           status       text not null,
           version      bigint not null
         ) with (fillfactor = 85)",
        "create index if not exists products_sku on {schema}.products (sku)",
    ],
    tables: &[Table {
        name: NAME,
        comment: TABLE_COMMENT,
        columns: COLUMN_COMMENTS,
        key: "id",
        personal: &[],
    }],
};

/// Writes many products, replacing those of the same id. Ids must not repeat within one call.
pub async fn upsert(
    executor: impl PgExecutor<'_>,
    generation: i32,
    products: &[Product],
) -> sqlx::Result<()> {
    if products.is_empty() {
        return Ok(());
    }
    let schema = schema_name(NAME, generation);
    sqlx::query(&format!(
        "insert into {schema}.products ({COLUMNS})
         select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[],
                              $6::jsonb[], $7::text[], $8::jsonb[], $9::bigint[], $10::text[],
                              $11::text[], $12::bigint[])
         on conflict (id) do update set
           sku = excluded.sku, name = excluded.name, brand = excluded.brand,
           description = excluded.description, category = excluded.category,
           size = excluded.size, attributes = excluded.attributes,
           amount_minor = excluded.amount_minor, currency = excluded.currency,
           status = excluded.status, version = excluded.version"
    ))
    .bind(column(products, |product| product.id.as_str()))
    .bind(column(products, |product| product.sku.as_str()))
    .bind(column(products, |product| product.name.as_str()))
    .bind(column(products, |product| product.brand.as_deref()))
    .bind(column(products, |product| product.description.as_deref()))
    .bind(column(products, |product| Json(&product.category)))
    .bind(column(products, |product| product.size.as_deref()))
    .bind(column(products, |product| Json(&product.attributes)))
    .bind(column(products, |product| product.price.amount_minor))
    .bind(column(products, |product| product.price.currency.as_str()))
    .bind(column(products, |product| product.status.as_str()))
    .bind(column(products, |product| product.version))
    .execute(executor)
    .await?;
    Ok(())
}

/// Loads the products of these ids, as far as they exist, by id.
pub async fn load(
    executor: impl PgExecutor<'_>,
    generation: i32,
    ids: &[String],
) -> sqlx::Result<HashMap<String, Product>> {
    let schema = schema_name(NAME, generation);
    let rows: Vec<Product> = sqlx::query_as(&format!(
        "select {COLUMNS} from {schema}.products where id = any($1)"
    ))
    .bind(ids)
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|product| (product.id.clone(), product))
        .collect())
}

/// One product by its id.
pub async fn by_id(
    executor: impl PgExecutor<'_>,
    generation: i32,
    id: &str,
) -> sqlx::Result<Option<Product>> {
    let schema = schema_name(NAME, generation);
    sqlx::query_as(&format!(
        "select {COLUMNS} from {schema}.products where id = $1"
    ))
    .bind(id)
    .fetch_optional(executor)
    .await
}

/// One product by its SKU.
pub async fn by_sku(
    executor: impl PgExecutor<'_>,
    generation: i32,
    sku: &str,
) -> sqlx::Result<Option<Product>> {
    let schema = schema_name(NAME, generation);
    sqlx::query_as(&format!(
        "select {COLUMNS} from {schema}.products where sku = $1 limit 1"
    ))
    .bind(sku)
    .fetch_optional(executor)
    .await
}

/// A page of products by id (the order of their creation), those after the cursor: the last id of
/// the page before.
pub async fn list(
    executor: impl PgExecutor<'_>,
    generation: i32,
    after: Option<&str>,
    limit: i64,
) -> sqlx::Result<Vec<Product>> {
    let schema = schema_name(NAME, generation);
    sqlx::query_as(&format!(
        "select {COLUMNS} from {schema}.products where id > $1 order by id limit $2"
    ))
    .bind(after.unwrap_or(""))
    .bind(limit)
    .fetch_all(executor)
    .await
}
