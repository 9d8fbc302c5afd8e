//! `users`: one row a user, personal fields in the clear until the user is erased. What was sealed for an erased user
//! cannot be opened any more; a rebuild comes to the same row.

use std::collections::{BTreeSet, HashMap};

use cqrs_es::Aggregate;
use domain::user::Event;
use domain::{Sealed, User};
use eventstore::{DataKey, EventStore, HandleError, RecordedEvent};
use read_models::tables::Model;
use read_models::users::{
    self, Address, Channels, NotificationPreferences, Role, Status, User as Row,
};
use sqlx::PgConnection;

use crate::recorded::{self, Recorded, poison};
use crate::rows::Rows;

pub(crate) const NOT_REGISTERED: &str = "the user's registration has not been projected";

pub(crate) struct Users;

/// What an event does to a row, its personal fields opened.
pub(crate) enum Effect {
    Registered(Registered),
    Changed(Change),
}

/// A row to begin with.
pub(crate) struct Registered {
    email: Option<String>,
    name: Option<String>,
    phone: Option<String>,
    role: Role,
}

/// What becomes of a row that is there.
pub(crate) enum Change {
    Updated {
        name: Option<String>,
        phone: Option<String>,
        /// None where it is what it was.
        email: Option<Option<String>>,
    },
    AddressAdded(Option<Address>),
    PreferencesChanged(NotificationPreferences),
    RoleAssigned {
        role: Role,
    },
    PasswordChanged,
    Deactivated,
    Erased,
}

impl Rows for Users {
    const MODEL: &'static Model = &users::MODEL;
    const READS: &'static [&'static str] = &[User::TYPE];
    type Event = Effect;
    type Key = String;
    type Row = Row;

    async fn read<'a>(
        store: &EventStore,
        events: &[&'a RecordedEvent],
    ) -> Result<Vec<Recorded<'a, Effect>>, HandleError> {
        let read = |event: &'a RecordedEvent| recorded::read::<Event>(event);
        let events: Vec<_> = events.iter().copied().map(read).collect::<Result<_, _>>()?;
        let mut subjects = BTreeSet::new();
        for recorded in &events {
            collect_subjects(&recorded.event, &mut subjects);
        }
        let subjects: Vec<&str> = subjects.into_iter().collect();
        let keys = store.sealer().keys_of(&subjects).await;
        let keys = keys.map_err(|error| HandleError::Transient(error.into()))?;
        let open = |recorded: Recorded<'a, Event>| {
            let position = recorded.position;
            recorded
                .try_map(|event| open(event, &keys))
                .map_err(|error| poison(position, error))
        };
        events.into_iter().map(open).collect()
    }

    fn key(recorded: &Recorded<'_, Effect>) -> Option<String> {
        Some(recorded.id.to_owned())
    }

    fn shows(row: &Row, recorded: &Recorded<'_, Effect>) -> bool {
        row.version >= recorded.version
    }

    fn apply(row: Option<Row>, recorded: Recorded<'_, Effect>) -> Result<Row, &'static str> {
        let version = recorded.version;
        let change = match recorded.event {
            Effect::Registered(user) => return Ok(registered(recorded.id, version, user)),
            Effect::Changed(change) => change,
        };
        let row = Row {
            version,
            ..row.ok_or(NOT_REGISTERED)?
        };
        Ok(changed(row, change))
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
        users::upsert(&mut *connection, generation, rows).await?;
        let erased = rows.iter().filter(|row| row.status == Status::Erased);
        let erased: Vec<String> = erased.map(|row| row.id.clone()).collect();
        if erased.is_empty() {
            return Ok(());
        }
        users::blank_elsewhere(connection, generation, &erased).await
    }
}

fn registered(id: &str, version: i64, user: Registered) -> Row {
    Row {
        id: id.to_owned(),
        email: user.email,
        name: user.name,
        phone: user.phone,
        addresses: Vec::new(),
        notification_preferences: preferences_of(domain::NotificationPreferences::default()),
        status: Status::Active,
        role: user.role,
        version,
    }
}

fn changed(row: Row, change: Change) -> Row {
    match change {
        Change::PasswordChanged => row,
        Change::Updated { name, phone, email } => Row {
            name,
            phone,
            email: email.unwrap_or(row.email),
            ..row
        },
        Change::AddressAdded(address) => {
            let mut row = row;
            row.addresses.extend(address);
            row
        }
        Change::PreferencesChanged(notification_preferences) => Row {
            notification_preferences,
            ..row
        },
        Change::RoleAssigned { role } => Row { role, ..row },
        Change::Deactivated => Row {
            status: Status::Deactivated,
            ..row
        },
        Change::Erased => Row {
            email: None,
            name: None,
            phone: None,
            addresses: Vec::new(),
            notification_preferences: preferences_of(domain::NotificationPreferences::NONE),
            status: Status::Erased,
            ..row
        },
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
        Event::Updated { name, phone, email } => {
            into.insert(name.subject());
            into.extend(phone.as_ref().map(Sealed::subject));
            into.extend(email.as_ref().map(Sealed::subject));
        }
        Event::AddressAdded { address } => {
            into.insert(address.subject());
        }
        Event::PreferencesChanged { .. }
        | Event::RoleAssigned { .. }
        | Event::PasswordChanged
        | Event::Deactivated
        | Event::Erased => {}
    }
}

/// A read error tells nothing of what it was to read: it is stored with the parked event.
fn open(event: Event, keys: &HashMap<String, DataKey>) -> Result<Effect, &'static str> {
    let change = match event {
        Event::Registered {
            email,
            name,
            phone,
            role,
        } => {
            return Ok(Effect::Registered(Registered {
                email: opened(&email, keys),
                name: opened(&name, keys),
                phone: phone.and_then(|phone| opened(&phone, keys)),
                role: role_of(role),
            }));
        }
        Event::Updated { name, phone, email } => Change::Updated {
            name: opened(&name, keys),
            phone: phone.and_then(|phone| opened(&phone, keys)),
            email: email.map(|email| opened(&email, keys)),
        },
        Event::AddressAdded { address } => {
            let json = opened(&address, keys);
            let address = json.map(|json| serde_json::from_str(&json)).transpose();
            let address = address.map_err(|_| "what was sealed is no address")?;
            Change::AddressAdded(address.map(address_of))
        }
        Event::PreferencesChanged {
            notification_preferences,
        } => Change::PreferencesChanged(preferences_of(notification_preferences)),
        Event::RoleAssigned { role } => Change::RoleAssigned {
            role: role_of(role),
        },
        Event::PasswordChanged => Change::PasswordChanged,
        Event::Deactivated => Change::Deactivated,
        Event::Erased => Change::Erased,
    };
    Ok(Effect::Changed(change))
}

/// The text of a sealed field; none without the key of its subject.
pub(crate) fn opened<T>(sealed: &Sealed<T>, keys: &HashMap<String, DataKey>) -> Option<String> {
    let plain = keys.get(sealed.subject())?.open(sealed.ciphertext())?;
    String::from_utf8(plain).ok()
}

pub(crate) fn address_of(address: domain::Address) -> Address {
    Address {
        label: address.label.map(Into::into),
        recipient: address.recipient.map(Into::into),
        lines: address.lines.into(),
        postal_code: address.postal_code.map(Into::into),
        city: address.city.into(),
        country: address.country.into(),
        note: address.note.map(Into::into),
    }
}

pub(crate) fn preferences_of(
    preferences: domain::NotificationPreferences,
) -> NotificationPreferences {
    let channels = |domain::Channels {
                        email,
                        webhook,
                        log,
                    }| Channels {
        email,
        webhook,
        log,
    };
    let domain::NotificationPreferences {
        order,
        payment,
        delivery,
        account,
    } = preferences;
    NotificationPreferences {
        order: channels(order),
        payment: channels(payment),
        delivery: channels(delivery),
        account: channels(account),
    }
}

pub(crate) fn role_of(role: domain::Role) -> Role {
    match role {
        domain::Role::Customer => Role::Customer,
        domain::Role::Courier => Role::Courier,
        domain::Role::Staff => Role::Staff,
        domain::Role::Admin => Role::Admin,
    }
}
