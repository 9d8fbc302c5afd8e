//! What is counted of users. Nothing of it is sealed, so no key is needed.

use domain::user::Event;
use eventstore::HandleError;
use read_models::analytics::customers::{self, User};
use read_models::users::{NotificationPreferences, Role, Status};
use sqlx::PgConnection;

use super::changes;
use crate::recorded::Recorded;
use crate::users::{NOT_REGISTERED, preferences_of, role_of};

/// What an event does to a user's row.
pub(crate) enum Change {
    Registered { role: Role },
    Later(News),
}

/// What becomes of a row that is there.
pub(crate) enum News {
    ProfileUpdated,
    PreferencesChosen(NotificationPreferences),
    RoleAssigned { role: Role },
    Deactivated,
    Erased,
}

pub(super) fn change(event: &Event) -> Option<Change> {
    let news = match event {
        Event::Registered { role, .. } => {
            let role = role_of(*role);
            return Some(Change::Registered { role });
        }
        Event::Updated { .. } => News::ProfileUpdated,
        Event::PreferencesChanged {
            notification_preferences,
        } => News::PreferencesChosen(preferences_of(*notification_preferences)),
        Event::RoleAssigned { role } => News::RoleAssigned {
            role: role_of(*role),
        },
        Event::Deactivated => News::Deactivated,
        Event::Erased => News::Erased,
        Event::AddressAdded { .. } | Event::PasswordChanged => return None,
    };
    Some(Change::Later(news))
}

impl changes::Row for User {
    fn version(&self) -> i64 {
        self.version
    }
}

pub(super) async fn write(
    connection: &mut PgConnection,
    generation: i32,
    events: Vec<Recorded<'_, Change>>,
) -> Result<(), HandleError> {
    if events.is_empty() {
        return Ok(());
    }
    let known = customers::load(&mut *connection, generation, &changes::ids(&events)).await?;
    let changed = changes::fold(known, events, |it| it.id.to_owned(), apply)?;
    customers::upsert(connection, generation, &changes::after(changed)).await?;
    Ok(())
}

fn apply(row: Option<User>, recorded: Recorded<'_, Change>) -> Result<Option<User>, &'static str> {
    let version = recorded.version;
    let news = match recorded.event {
        Change::Registered { role } => return Ok(Some(registered(recorded.id, version, role))),
        Change::Later(news) => news,
    };
    let mut user = row.ok_or(NOT_REGISTERED)?;
    user.version = version;
    match news {
        News::ProfileUpdated => user.profile_updates += 1,
        News::PreferencesChosen(preferences) => {
            user.preferences = preferences;
            user.has_chosen = true;
        }
        News::RoleAssigned { role } => user.role = role,
        News::Deactivated => user.status = Status::Deactivated,
        News::Erased => user.status = Status::Erased,
    }
    Ok(Some(user))
}

fn registered(id: &str, version: i64, role: Role) -> User {
    User {
        id: id.to_owned(),
        role,
        status: Status::Active,
        preferences: preferences_of(domain::NotificationPreferences::default()),
        has_chosen: false,
        profile_updates: 0,
        version,
    }
}
