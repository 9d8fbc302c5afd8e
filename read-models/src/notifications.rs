//! `notifications`: one row an event and channel through which its user is told of it, without what was said.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgExecutor, Postgres, QueryBuilder};
use utoipa::ToSchema;

use crate::generations::schema_name;
use crate::tables::{Model, Table, column};
use crate::text::stored_as_text;

pub const NAME: &str = "notifications";

/// Changed with every change of the table or of what its rows mean; a generation of another shape
/// is rebuilt.
pub const SHAPE: &str = "notifications-1";

stored_as_text! {
    /// What became of a notification.
    #[schema(as = NotificationStatus)]
    pub enum Status {
        /// It is being sent, or is tried again later.
        Pending => "pending",
        /// The channel has taken it.
        Sent => "sent",
        /// It was given up.
        Failed => "failed",
    }
}

/// A notification, as queries answer it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
pub struct Notification {
    /// Id of the event that it tells of, and the channel.
    #[schema(example = "0198c0de-0000-7000-8000-000000000001:email")]
    pub id: String,
    /// Who is told: the caller.
    #[serde(skip)]
    pub user_id: String,
    /// `email`, `webhook` or `log`.
    pub channel: String,
    /// Type of the event that it tells of, as `order.completed`.
    pub about: String,
    /// The order that it is about, if any.
    pub order_id: Option<String>,
    #[sqlx(try_from = "String")]
    pub status: Status,
    /// Attempts to send it so far.
    pub attempts: i64,
    /// Why the last attempt failed; `null` while another is under way, and once it is sent.
    pub error: Option<String>,
    /// Of the last attempt, or of its outcome.
    pub at: DateTime<Utc>,
    /// Version of the notification's stream.
    pub version: i64,
}

const COLUMNS: &str = "id, user_id, channel, about, order_id, status, attempts, error, at, version";

const TABLE_COMMENT: &str = "A generation of the read model notifications: one row an event and channel through which \
                             its user is told of it. Derived from the log; `nakku replay notifications` makes it anew.";
const COLUMN_COMMENTS: &[(&str, &str)] = &[
    (
        "id",
        "Id of the event that it tells of, and the channel; in the order of time.",
    ),
    ("user_id", "The user who is told."),
    ("channel", "email, webhook or log."),
    ("about", "Type of the event that it tells of."),
    ("order_id", "The order that it is about, if any."),
    (
        "status",
        "pending, sent or failed; failed once it is given up.",
    ),
    ("attempts", "Attempts to send it so far."),
    (
        "error",
        "Why the last attempt failed; null while another is under way, and once it is sent.",
    ),
    ("at", "Time of the last attempt, or of its outcome."),
    (
        "version",
        "Version of the notification's stream that the row shows.",
    ),
];

/// What its generations are made of.
pub const MODEL: Model = Model {
    name: NAME,
    shape: SHAPE,
    statements: &[
        "create table if not exists {schema}.notifications (
           id       text collate \"C\" primary key,
           user_id  text collate \"C\" not null,
           channel  text not null,
           about    text not null,
           order_id text collate \"C\",
           status   text not null,
           attempts bigint not null,
           error    text,
           at       timestamptz not null,
           version  bigint not null
         ) with (fillfactor = 85)",
        "create index if not exists notifications_user on {schema}.notifications (user_id, id)",
    ],
    tables: &[Table {
        name: NAME,
        comment: TABLE_COMMENT,
        columns: COLUMN_COMMENTS,
        key: "id",
        personal: &[],
    }],
};

/// Writes many notifications, replacing those of the same id. Ids must not repeat within one call.
pub async fn upsert(
    executor: impl PgExecutor<'_>,
    generation: i32,
    rows: &[Notification],
) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let schema = schema_name(NAME, generation);
    sqlx::query(&format!(
        "insert into {schema}.notifications ({COLUMNS})
         select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[],
                              $6::text[], $7::bigint[], $8::text[], $9::timestamptz[],
                              $10::bigint[])
         on conflict (id) do update set
           user_id = excluded.user_id, channel = excluded.channel, about = excluded.about,
           order_id = excluded.order_id, status = excluded.status, attempts = excluded.attempts,
           error = excluded.error, at = excluded.at, version = excluded.version"
    ))
    .bind(column(rows, |row| row.id.as_str()))
    .bind(column(rows, |row| row.user_id.as_str()))
    .bind(column(rows, |row| row.channel.as_str()))
    .bind(column(rows, |row| row.about.as_str()))
    .bind(column(rows, |row| row.order_id.as_deref()))
    .bind(column(rows, |row| row.status.as_str()))
    .bind(column(rows, |row| row.attempts))
    .bind(column(rows, |row| row.error.as_deref()))
    .bind(column(rows, |row| row.at))
    .bind(column(rows, |row| row.version))
    .execute(executor)
    .await?;
    Ok(())
}

/// Loads the notifications of these ids, as far as they exist, by id.
pub async fn load(
    executor: impl PgExecutor<'_>,
    generation: i32,
    ids: &[String],
) -> sqlx::Result<HashMap<String, Notification>> {
    let schema = schema_name(NAME, generation);
    let rows: Vec<Notification> = sqlx::query_as(&format!(
        "select {COLUMNS} from {schema}.notifications where id = any($1)"
    ))
    .bind(ids)
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id.clone(), row)).collect())
}

/// A page of a user's notifications, the newest first, those before the cursor: the last id of the page before.
pub async fn list(
    executor: impl PgExecutor<'_>,
    generation: i32,
    user_id: &str,
    before: Option<&str>,
    limit: i64,
) -> sqlx::Result<Vec<Notification>> {
    let schema = schema_name(NAME, generation);
    let mut query = QueryBuilder::<Postgres>::new(format!(
        "select {COLUMNS} from {schema}.notifications where user_id = "
    ));
    query.push_bind(user_id);
    if let Some(before) = before {
        query.push(" and id < ").push_bind(before);
    }
    query.push(" order by id desc limit ").push_bind(limit);
    query.build_query_as().fetch_all(executor).await
}
