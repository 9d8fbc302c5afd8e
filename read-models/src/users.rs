//! `users`: one row a user, for profiles.
//!
//! Personal fields stand here in the clear and become `null` when their user is erased.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use utoipa::ToSchema;

use crate::generations::schema_name;
use crate::tables::{Model, Table, column};

pub const NAME: &str = "users";

/// Changed with every change of the table or of what its rows mean; a generation of another shape
/// is rebuilt.
pub const SHAPE: &str = "users-2";

/// Whether a user may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = UserStatus)]
pub enum Status {
    Active,
    Deactivated,
    Erased,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Active => "active",
            Status::Deactivated => "deactivated",
            Status::Erased => "erased",
        }
    }
}

impl TryFrom<String> for Status {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "active" => Ok(Status::Active),
            "deactivated" => Ok(Status::Deactivated),
            "erased" => Ok(Status::Erased),
            _ => Err(format!("unknown user status `{text}`")),
        }
    }
}

/// What a user may do; each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Customer,
    Courier,
    Staff,
    Admin,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Customer => "customer",
            Role::Courier => "courier",
            Role::Staff => "staff",
            Role::Admin => "admin",
        }
    }
}

impl TryFrom<String> for Role {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "customer" => Ok(Role::Customer),
            "courier" => Ok(Role::Courier),
            "staff" => Ok(Role::Staff),
            "admin" => Ok(Role::Admin),
            _ => Err(format!("unknown role `{text}`")),
        }
    }
}

/// A delivery address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Address {
    /// What the user calls it.
    pub label: Option<String>,
    /// Who opens the door, if not the user.
    pub recipient: Option<String>,
    /// Street and house and what else leads there.
    pub lines: Vec<String>,
    pub postal_code: Option<String>,
    pub city: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// For whoever brings it.
    pub note: Option<String>,
}

/// Of what a user wants to be told, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NotificationPreferences {
    pub order: Channels,
    pub payment: Channels,
    pub delivery: Channels,
    pub account: Channels,
}

/// By which channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Channels {
    pub email: bool,
    pub webhook: bool,
    pub log: bool,
}

/// A user, as queries answer it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
pub struct User {
    pub id: String,
    /// `null` once erased, as `name` and `phone` are.
    pub email: Option<String>,
    pub name: Option<String>,
    pub phone: Option<String>,
    /// In the order in which they were added; empty once erased.
    #[sqlx(json)]
    pub addresses: Vec<Address>,
    /// Those in force: the default ones until the user chose others, and none once erased.
    #[sqlx(json)]
    pub notification_preferences: NotificationPreferences,
    #[sqlx(try_from = "String")]
    pub status: Status,
    #[sqlx(try_from = "String")]
    pub role: Role,
    /// Version of the user's stream.
    pub version: i64,
}

const COLUMNS: &str =
    "id, email, name, phone, addresses, notification_preferences, status, role, version";

const TABLE_COMMENT: &str = "A generation of the read model users: one row a user. Derived from the log; \
                             `nakku replay users` makes it anew.";
const COLUMN_COMMENTS: &[(&str, &str)] = &[
    ("id", "The user, as the subject of tokens names it."),
    ("email", "In the clear; null once erased."),
    ("name", "In the clear; null once erased."),
    (
        "phone",
        "In the clear; null where there is none, and once erased.",
    ),
    (
        "addresses",
        "A JSON array, in the clear; empty once erased.",
    ),
    (
        "notification_preferences",
        "A JSON object, by topic and channel.",
    ),
    ("status", "active, deactivated or erased."),
    ("role", "customer, courier, staff or admin."),
    (
        "version",
        "Version of the user's stream that the row shows.",
    ),
];

/// What its generations are made of.
pub const MODEL: Model = Model {
    name: NAME,
    shape: SHAPE,
    statements: &["create table if not exists {schema}.users (
           id                       text collate \"C\" primary key,
           email                    text,
           name                     text,
           phone                    text,
           addresses                jsonb not null,
           notification_preferences jsonb not null,
           status                   text not null,
           role                     text not null,
           version                  bigint not null
         )"],
    tables: &[Table {
        name: NAME,
        comment: TABLE_COMMENT,
        columns: COLUMN_COMMENTS,
        key: "id",
        personal: &["email", "name", "phone", "addresses"],
    }],
};

/// Writes many users, replacing those of the same id. Ids must not repeat within one call.
pub async fn upsert(
    executor: impl PgExecutor<'_>,
    generation: i32,
    users: &[User],
) -> sqlx::Result<()> {
    if users.is_empty() {
        return Ok(());
    }
    let schema = schema_name(NAME, generation);
    sqlx::query(&format!(
        "insert into {schema}.users ({COLUMNS})
         select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::jsonb[],
                              $6::jsonb[], $7::text[], $8::text[], $9::bigint[])
         on conflict (id) do update set
           email = excluded.email, name = excluded.name, phone = excluded.phone,
           addresses = excluded.addresses,
           notification_preferences = excluded.notification_preferences,
           status = excluded.status, role = excluded.role, version = excluded.version"
    ))
    .bind(column(users, |user| user.id.as_str()))
    .bind(column(users, |user| user.email.as_deref()))
    .bind(column(users, |user| user.name.as_deref()))
    .bind(column(users, |user| user.phone.as_deref()))
    .bind(column(users, |user| Json(&user.addresses)))
    .bind(column(users, |user| Json(&user.notification_preferences)))
    .bind(column(users, |user| user.status.as_str()))
    .bind(column(users, |user| user.role.as_str()))
    .bind(column(users, |user| user.version))
    .execute(executor)
    .await?;
    Ok(())
}

/// Takes the personal fields of these users out of every other generation that there is. The one before the live one may
/// be followed by nobody: it is of another shape, or was given up. Each shape so far has these columns.
pub async fn blank_elsewhere(
    connection: &mut PgConnection,
    generation: i32,
    ids: &[String],
) -> sqlx::Result<()> {
    let schemas: Vec<String> = sqlx::query_scalar(
        "select n.nspname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relname = 'users' and c.relkind = 'r' and n.nspname ~ '^users_[0-9]+$' and n.nspname <> $1
         order by 1",
    )
    .bind(schema_name(NAME, generation))
    .fetch_all(&mut *connection)
    .await?;
    for schema in schemas {
        sqlx::query(&format!(
            "update {schema}.users set email = null, name = null, phone = null, addresses = '[]'
             where id = any($1)
               and (email is not null or name is not null or phone is not null or addresses <> '[]')"
        ))
        .bind(ids)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Loads the users of these ids, as far as they exist, by id.
pub async fn load(
    executor: impl PgExecutor<'_>,
    generation: i32,
    ids: &[String],
) -> sqlx::Result<HashMap<String, User>> {
    let schema = schema_name(NAME, generation);
    let rows: Vec<User> = sqlx::query_as(&format!(
        "select {COLUMNS} from {schema}.users where id = any($1)"
    ))
    .bind(ids)
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|user| (user.id.clone(), user))
        .collect())
}

/// One user by id.
pub async fn by_id(
    executor: impl PgExecutor<'_>,
    generation: i32,
    id: &str,
) -> sqlx::Result<Option<User>> {
    let schema = schema_name(NAME, generation);
    sqlx::query_as(&format!(
        "select {COLUMNS} from {schema}.users where id = $1"
    ))
    .bind(id)
    .fetch_optional(executor)
    .await
}

/// A page of users by id (the order of their registration), those after the cursor: the last id
/// of the page before.
pub async fn list(
    executor: impl PgExecutor<'_>,
    generation: i32,
    after: Option<&str>,
    limit: i64,
) -> sqlx::Result<Vec<User>> {
    let schema = schema_name(NAME, generation);
    sqlx::query_as(&format!(
        "select {COLUMNS} from {schema}.users where id > $1 order by id limit $2"
    ))
    .bind(after.unwrap_or(""))
    .bind(limit)
    .fetch_all(executor)
    .await
}
