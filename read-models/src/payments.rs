//! `payments`: one row a payment, without what it was paid with.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgExecutor, Row as _};
use utoipa::ToSchema;

use crate::generations::schema_name;
use crate::products::Money;
use crate::tables::{Model, Table, column};
use crate::text::{stored_as_text, value};

pub const NAME: &str = "payments";

/// Changed with every change of the table or of what its rows mean; a generation of another shape
/// is rebuilt.
pub const SHAPE: &str = "payments-1";

stored_as_text! {
    /// Where a payment stands.
    #[schema(as = PaymentStatus)]
    pub enum Status {
        /// The provider's answer is outstanding.
        Initiated => "initiated",
        /// The money is taken.
        Completed => "completed",
        /// No money is taken, and none will be; `reason` says why.
        Failed => "failed",
        /// The money is to be given back.
        Refunding => "refunding",
        /// The money is given back.
        Refunded => "refunded",
    }
}

/// A payment, as queries answer it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Payment {
    pub id: String,
    pub order_id: String,
    /// Who pays; `null`, as `amount`, where it was called off before it was begun.
    pub customer_id: Option<String>,
    pub amount: Option<Money>,
    pub status: Status,
    /// Why no money was taken: `declined` or `cancelled`.
    pub reason: Option<String>,
    /// What the provider said to that.
    pub detail: Option<String>,
    /// What the provider calls the charge.
    pub reference: Option<String>,
    /// What the provider calls the refund.
    pub refund_reference: Option<String>,
    /// Why the last attempt to give it back failed; `null` while another is under way.
    pub refund_error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// Version of the payment's stream.
    pub version: i64,
}

const COLUMNS: &str = "id, order_id, customer_id, amount_minor, currency, status, reason, detail, \
                       reference, refund_reference, refund_error, created_at, updated_at, version";

const TABLE_COMMENT: &str = "A generation of the read model payments: one row a payment. Derived from the log; \
                             `nakku replay payments` makes it anew.";
const COLUMN_COMMENTS: &[(&str, &str)] = &[
    ("id", "The payment."),
    ("order_id", "The order that is paid."),
    (
        "customer_id",
        "The user who pays; null where it was called off before it was begun.",
    ),
    (
        "amount_minor",
        "The amount in the currency's smallest unit; null where it was called off before it was begun.",
    ),
    ("currency", "ISO 4217 code of the amount."),
    (
        "status",
        "initiated, completed, failed, refunding or refunded.",
    ),
    ("reason", "Why no money was taken: declined or cancelled."),
    ("detail", "What the provider said to that."),
    ("reference", "What the provider calls the charge."),
    ("refund_reference", "What the provider calls the refund."),
    (
        "refund_error",
        "Why the last attempt to give it back failed; null while another is under way.",
    ),
    ("created_at", "When its stream began."),
    ("updated_at", "When its stream told something last."),
    (
        "version",
        "Version of the payment's stream that the row shows.",
    ),
];

/// What its generations are made of.
pub const MODEL: Model = Model {
    name: NAME,
    shape: SHAPE,
    statements: &["create table if not exists {schema}.payments (
           id               text collate \"C\" primary key,
           order_id         text collate \"C\" not null,
           customer_id      text collate \"C\",
           amount_minor     bigint,
           currency         text,
           status           text not null,
           reason           text,
           detail           text,
           reference        text,
           refund_reference text,
           refund_error     text,
           created_at       timestamptz not null,
           updated_at       timestamptz not null,
           version          bigint not null
         ) with (fillfactor = 85)"],
    tables: &[Table {
        name: NAME,
        comment: TABLE_COMMENT,
        columns: COLUMN_COMMENTS,
        key: "id",
        personal: &[],
    }],
};

impl FromRow<'_, PgRow> for Payment {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let amount_minor: Option<i64> = row.try_get("amount_minor")?;
        let currency: Option<String> = row.try_get("currency")?;
        let amount = amount_minor.zip(currency);
        Ok(Payment {
            id: row.try_get("id")?,
            order_id: row.try_get("order_id")?,
            customer_id: row.try_get("customer_id")?,
            amount: amount.map(|(amount_minor, currency)| Money {
                amount_minor,
                currency,
            }),
            status: value(row, "status")?,
            reason: row.try_get("reason")?,
            detail: row.try_get("detail")?,
            reference: row.try_get("reference")?,
            refund_reference: row.try_get("refund_reference")?,
            refund_error: row.try_get("refund_error")?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
            version: row.try_get("version")?,
        })
    }
}

/// Writes many payments, replacing those of the same id. Ids must not repeat within one call.
pub async fn upsert(
    executor: impl PgExecutor<'_>,
    generation: i32,
    rows: &[Payment],
) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let schema = schema_name(NAME, generation);
    sqlx::query(&format!(
        "insert into {schema}.payments ({COLUMNS})
         select * from unnest(
           $1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[],
           $8::text[], $9::text[], $10::text[], $11::text[], $12::timestamptz[],
           $13::timestamptz[], $14::bigint[])
         on conflict (id) do update set
           order_id = excluded.order_id, customer_id = excluded.customer_id,
           amount_minor = excluded.amount_minor, currency = excluded.currency,
           status = excluded.status, reason = excluded.reason, detail = excluded.detail,
           reference = excluded.reference, refund_reference = excluded.refund_reference,
           refund_error = excluded.refund_error, created_at = excluded.created_at,
           updated_at = excluded.updated_at, version = excluded.version"
    ))
    .bind(column(rows, |row| row.id.as_str()))
    .bind(column(rows, |row| row.order_id.as_str()))
    .bind(column(rows, |row| row.customer_id.as_deref()))
    .bind(column(rows, |row| Some(row.amount.as_ref()?.amount_minor)))
    .bind(column(rows, |row| {
        Some(row.amount.as_ref()?.currency.as_str())
    }))
    .bind(column(rows, |row| row.status.as_str()))
    .bind(column(rows, |row| row.reason.as_deref()))
    .bind(column(rows, |row| row.detail.as_deref()))
    .bind(column(rows, |row| row.reference.as_deref()))
    .bind(column(rows, |row| row.refund_reference.as_deref()))
    .bind(column(rows, |row| row.refund_error.as_deref()))
    .bind(column(rows, |row| row.created_at))
    .bind(column(rows, |row| row.updated_at))
    .bind(column(rows, |row| row.version))
    .execute(executor)
    .await?;
    Ok(())
}

/// Loads the payments of these ids, as far as they exist, by id.
pub async fn load(
    executor: impl PgExecutor<'_>,
    generation: i32,
    ids: &[String],
) -> sqlx::Result<HashMap<String, Payment>> {
    let schema = schema_name(NAME, generation);
    let rows: Vec<Payment> = sqlx::query_as(&format!(
        "select {COLUMNS} from {schema}.payments where id = any($1)"
    ))
    .bind(ids)
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id.clone(), row)).collect())
}

/// One payment by id.
pub async fn by_id(
    executor: impl PgExecutor<'_>,
    generation: i32,
    id: &str,
) -> sqlx::Result<Option<Payment>> {
    let schema = schema_name(NAME, generation);
    sqlx::query_as(&format!(
        "select {COLUMNS} from {schema}.payments where id = $1"
    ))
    .bind(id)
    .fetch_optional(executor)
    .await
}
