//! How many customers there are, and how they want to be told of things.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use utoipa::ToSchema;

use super::NAME;
use crate::generations::schema_name;
use crate::tables::{Table, column};
use crate::users::{Channels, NotificationPreferences, Role, Status};

/// What is counted of a user, who need not be a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: String,
    pub role: Role,
    pub status: Status,
    /// Those in force.
    pub preferences: NotificationPreferences,
    /// Whether the user has said so; else they are the default ones.
    pub has_chosen: bool,
    /// How often the profile was changed.
    pub profile_updates: i64,
    /// Version of the user's stream.
    pub version: i64,
}

/// Users whose role is that of a customer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Customers {
    /// All who have ever registered.
    pub registered: i64,
    /// Those among them who are neither deactivated nor erased.
    pub active: i64,
    pub deactivated: i64,
    pub erased: i64,
    /// How often the profile (name, phone, e-mail address) of one who has ever registered was changed.
    pub profile_updates: i64,
    /// Active ones who have chosen how to be told; the others are told in the default ways.
    pub with_chosen_preferences: i64,
    /// Active ones, by the preferences in force.
    pub notification_preferences: ByPreference,
}

/// Customers by what they want to be told of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CustomersByPreference)]
pub struct ByPreference {
    pub order: ByChannel,
    pub payment: ByChannel,
    pub delivery: ByChannel,
    pub account: ByChannel,
}

/// Customers by the ways in which they want to be told. Who wants several is counted in each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CustomersByChannel)]
pub struct ByChannel {
    pub email: i64,
    pub webhook: i64,
    pub log: i64,
}

pub(super) const CREATE_TABLE: &str = "create table if not exists {schema}.customers (
   id              text collate \"C\" primary key,
   role            text not null,
   status          text not null,
   preferences     smallint not null,
   has_chosen      boolean not null,
   profile_updates bigint not null,
   version         bigint not null
 )";

pub(super) const TABLE: Table = Table {
    name: "customers",
    comment: "A generation of the read model analytics: one row a user, with what is counted of them. Derived from the \
              log; `nakku replay analytics` makes it anew.",
    columns: &[
        ("id", "The user."),
        ("role", "customer, courier, staff or admin."),
        ("status", "active, deactivated or erased."),
        (
            "preferences",
            "How they want to be told of things: bits 0 to 2 of orders by e-mail, webhook and log, 3 to 5 of payments, \
             6 to 8 of deliveries, 9 to 11 of the account.",
        ),
        (
            "has_chosen",
            "Whether they have said so; else it is the default.",
        ),
        ("profile_updates", "How often the profile was changed."),
        (
            "version",
            "Version of the user's stream that the row shows.",
        ),
    ],
    key: "id",
    personal: &[],
};

/// Preferences as the bits of a number.
fn pack(preferences: &NotificationPreferences) -> i16 {
    let NotificationPreferences {
        order,
        payment,
        delivery,
        account,
    } = preferences;
    let bits = [order, payment, delivery, account].map(|channels| {
        let Channels {
            email,
            webhook,
            log,
        } = *channels;
        i16::from(email) | i16::from(webhook) << 1 | i16::from(log) << 2
    });
    bits[0] | bits[1] << 3 | bits[2] << 6 | bits[3] << 9
}

fn unpack(bits: i16) -> NotificationPreferences {
    let channels = |topic: i16| {
        let is_set = |channel: i16| bits >> (3 * topic + channel) & 1 == 1;
        Channels {
            email: is_set(0),
            webhook: is_set(1),
            log: is_set(2),
        }
    };
    NotificationPreferences {
        order: channels(0),
        payment: channels(1),
        delivery: channels(2),
        account: channels(3),
    }
}

/// The users of these ids, as far as they exist, by id.
pub async fn load(
    executor: impl PgExecutor<'_>,
    generation: i32,
    ids: &[&str],
) -> sqlx::Result<HashMap<String, User>> {
    #[derive(sqlx::FromRow)]
    struct Row {
        id: String,
        #[sqlx(try_from = "String")]
        role: Role,
        #[sqlx(try_from = "String")]
        status: Status,
        preferences: i16,
        has_chosen: bool,
        profile_updates: i64,
        version: i64,
    }
    let schema = schema_name(NAME, generation);
    let rows: Vec<Row> = sqlx::query_as(&format!(
        "select id, role, status, preferences, has_chosen, profile_updates, version
           from {schema}.customers where id = any($1)"
    ))
    .bind(ids)
    .fetch_all(executor)
    .await?;
    let users = rows.into_iter().map(|row| {
        let user = User {
            id: row.id.clone(),
            role: row.role,
            status: row.status,
            preferences: unpack(row.preferences),
            has_chosen: row.has_chosen,
            profile_updates: row.profile_updates,
            version: row.version,
        };
        (row.id, user)
    });
    Ok(users.collect())
}

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
        "insert into {schema}.customers (id, role, status, preferences, has_chosen, profile_updates, version)
         select * from unnest($1::text[], $2::text[], $3::text[], $4::smallint[], $5::boolean[], $6::bigint[],
                              $7::bigint[])
         on conflict (id) do update set
           role = excluded.role, status = excluded.status, preferences = excluded.preferences,
           has_chosen = excluded.has_chosen, profile_updates = excluded.profile_updates, version = excluded.version"
    ))
    .bind(column(users, |user| user.id.as_str()))
    .bind(column(users, |user| user.role.as_str()))
    .bind(column(users, |user| user.status.as_str()))
    .bind(column(users, |user| pack(&user.preferences)))
    .bind(column(users, |user| user.has_chosen))
    .bind(column(users, |user| user.profile_updates))
    .bind(column(users, |user| user.version))
    .execute(executor)
    .await?;
    Ok(())
}

/// Customers as they are now.
pub async fn read(executor: impl PgExecutor<'_>, generation: i32) -> sqlx::Result<Customers> {
    let schema = schema_name(NAME, generation);
    let groups: Vec<(String, i16, i64, i64, i64)> = sqlx::query_as(&format!(
        "select status, preferences, count(*), count(*) filter (where has_chosen), sum(profile_updates)::bigint
           from {schema}.customers where role = 'customer' group by status, preferences"
    ))
    .fetch_all(executor)
    .await?;
    let mut customers = Customers::default();
    for (status, preferences, count, chosen, profile_updates) in groups {
        let status = Status::try_from(status).map_err(|error| sqlx::Error::Decode(error.into()))?;
        customers.registered += count;
        customers.profile_updates += profile_updates;
        match status {
            Status::Deactivated => customers.deactivated += count,
            Status::Erased => customers.erased += count,
            Status::Active => {
                customers.active += count;
                customers.with_chosen_preferences += chosen;
                let wanted = unpack(preferences);
                customers.notification_preferences.add(&wanted, count);
            }
        }
    }
    Ok(customers)
}

impl ByPreference {
    fn add(&mut self, wanted: &NotificationPreferences, count: i64) {
        self.order.add(wanted.order, count);
        self.payment.add(wanted.payment, count);
        self.delivery.add(wanted.delivery, count);
        self.account.add(wanted.account, count);
    }
}

impl ByChannel {
    fn add(&mut self, wanted: Channels, count: i64) {
        let counted = |is_wanted: bool| if is_wanted { count } else { 0 };
        self.email += counted(wanted.email);
        self.webhook += counted(wanted.webhook);
        self.log += counted(wanted.log);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_are_packed_into_bits_of_their_own() {
        for bits in 0..1 << 12 {
            assert_eq!(pack(&unpack(bits)), bits);
        }
        let wanted = unpack(0b010_000_000_001);
        assert!(wanted.order.email && wanted.account.webhook);
        assert!(!wanted.order.webhook && !wanted.payment.email && !wanted.account.log);
    }
}
