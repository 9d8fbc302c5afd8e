//! `users`: one row a user, personal fields in the clear. Those of an erased user cannot be opened any more and
//! are null.

use std::collections::{BTreeSet, HashMap};

use cqrs_es::Aggregate;
use domain::user::Event;
use domain::{Sealed, User};
use eventstore::{DataKey, EventStore, HandleError, RecordedEvent};
use read_models::users::{self, Role, Status, User as Row};
use serde_json::{Map, Value};
use sqlx::PgConnection;

use crate::recorded::{self, Recorded};
use crate::rows::Rows;

const NOT_REGISTERED: &str = "the user's registration has not been projected";

pub(crate) struct Users;

/// What an event does to a row, its personal fields opened.
pub(crate) enum Change {
    Registered {
        email: Option<String>,
        name: Option<String>,
        phone: Option<String>,
        role: Role,
    },
    Updated {
        name: Option<String>,
        phone: Option<String>,
    },
    RoleAssigned {
        role: Role,
    },
    PasswordChanged,
    Deactivated,
}

impl Rows for Users {
    const READS: &'static str = User::TYPE;
    const TABLE: &'static str = "users";
    type Event = Change;
    type Key = String;
    type Row = Row;

    async fn read<'a>(
        store: &EventStore,
        events: &[&'a RecordedEvent],
    ) -> Result<Vec<Recorded<'a, Change>>, HandleError> {
        let read = |event: &'a RecordedEvent| recorded::read::<Event>(event);
        let events: Vec<_> = events.iter().copied().map(read).collect::<Result<_, _>>()?;
        let mut subjects = BTreeSet::new();
        for recorded in &events {
            collect_subjects(&recorded.event, &mut subjects);
        }
        let subjects: Vec<&str> = subjects.into_iter().collect();
        let keys = store.sealer().keys_of(&subjects).await;
        let keys = keys.map_err(|error| HandleError::Transient(error.into()))?;
        Ok(events
            .into_iter()
            .map(|recorded| recorded.map(|event| open(event, &keys)))
            .collect())
    }

    fn key(recorded: &Recorded<'_, Change>) -> String {
        recorded.id.to_owned()
    }

    fn version(row: &Row) -> i64 {
        row.version
    }

    fn apply(row: Option<Row>, recorded: Recorded<'_, Change>) -> Result<Row, &'static str> {
        let version = recorded.version;
        let existing = || row.ok_or(NOT_REGISTERED);
        Ok(match recorded.event {
            Change::Registered {
                email,
                name,
                phone,
                role,
            } => Row {
                id: recorded.id.to_owned(),
                email,
                name,
                phone,
                addresses: Vec::new(),
                notification_preferences: Value::Object(Map::new()),
                status: Status::Active,
                role,
                version,
            },
            Change::Updated { name, phone } => Row {
                name,
                phone,
                version,
                ..existing()?
            },
            Change::RoleAssigned { role } => Row {
                role,
                version,
                ..existing()?
            },
            Change::PasswordChanged => Row {
                version,
                ..existing()?
            },
            Change::Deactivated => Row {
                status: Status::Deactivated,
                version,
                ..existing()?
            },
        })
    }

    async fn load(
        connection: &mut PgConnection,
        generation: i32,
        keys: &[String],
    ) -> sqlx::Result<HashMap<String, Row>> {
        users::load(connection, generation, keys).await
    }

    async fn upsert(
        connection: &mut PgConnection,
        generation: i32,
        rows: &[Row],
    ) -> sqlx::Result<()> {
        users::upsert(connection, generation, rows).await
    }
}

/// Whose keys an event needs.
fn collect_subjects<'a>(event: &'a Event, into: &mut BTreeSet<&'a str>) {
    match event {
        Event::Registered {
            email, name, phone, ..
        } => {
            into.insert(email.subject());
            into.insert(name.subject());
            into.extend(phone.as_ref().map(Sealed::subject));
        }
        Event::Updated { name, phone } => {
            into.insert(name.subject());
            into.extend(phone.as_ref().map(Sealed::subject));
        }
        Event::RoleAssigned { .. } | Event::PasswordChanged | Event::Deactivated => {}
    }
}

fn open(event: Event, keys: &HashMap<String, DataKey>) -> Change {
    match event {
        Event::Registered {
            email,
            name,
            phone,
            role,
        } => Change::Registered {
            email: opened(&email, keys),
            name: opened(&name, keys),
            phone: phone.and_then(|phone| opened(&phone, keys)),
            role: role_of(role),
        },
        Event::Updated { name, phone } => Change::Updated {
            name: opened(&name, keys),
            phone: phone.and_then(|phone| opened(&phone, keys)),
        },
        Event::RoleAssigned { role } => Change::RoleAssigned {
            role: role_of(role),
        },
        Event::PasswordChanged => Change::PasswordChanged,
        Event::Deactivated => Change::Deactivated,
    }
}

/// The text of a sealed field; none without the key of its subject.
fn opened<T>(sealed: &Sealed<T>, keys: &HashMap<String, DataKey>) -> Option<String> {
    let plain = keys.get(sealed.subject())?.open(sealed.ciphertext())?;
    String::from_utf8(plain).ok()
}

fn role_of(role: domain::Role) -> Role {
    match role {
        domain::Role::Customer => Role::Customer,
        domain::Role::Courier => Role::Courier,
        domain::Role::Staff => Role::Staff,
        domain::Role::Admin => Role::Admin,
    }
}
