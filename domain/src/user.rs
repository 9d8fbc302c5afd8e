//! A user: who may do what. E-mail, name, phone and addresses are sealed before they come here; passwords never do.
//!
//! Invariants: a user's e-mail address is no other user's (see [`register`], [`change_email`]); a deactivated user changes
//! no more and keeps the address; an erased one (see [`erase`]) has none, and nothing that is known of them can be opened.

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

use crate::aggregate::{event_types, illegal, write};
use crate::{
    Address, Email, NotificationPreferences, PersonName, PhoneNumber, Role, Sealed, UserId,
};

mod claiming;

pub use claiming::{change_email, erase, register};

/// Delivery addresses of one user: more than anybody goes by, few enough to be shown at once.
pub const ADDRESSES_MAX: usize = 20;

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The user's own half of [`register`], which claims the e-mail address as well.
    Register(Register),
    /// Correct name or phone, or how the e-mail address is written. The user's own half of [`change_email`], where the
    /// address becomes another one.
    UpdateProfile(ProfileChange),
    /// Have goods brought there, too.
    AddAddress(Sealed<Address>),
    /// Be told of other things, or in other ways.
    ChangePreferences(NotificationPreferences),
    /// Let them do more, or less.
    AssignRole {
        /// In force with the next token.
        role: Role,
    },
    /// Note that the password is another one; its hash was stored before.
    ChangePassword,
    /// Let them in no more.
    Deactivate,
    /// The user's own half of [`erase`], which frees the e-mail address as well.
    Erase {
        /// The address whose claim is given back; none where it cannot be read any more.
        email: Option<Sealed<Email>>,
    },
}

/// A user to begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// The id of the user's stream, drawn by the caller; also the subject of the seals.
    pub user_id: UserId,
    /// As given, not normalised.
    pub email: Sealed<Email>,
    /// As given.
    pub name: Sealed<PersonName>,
    /// If given.
    pub phone: Option<Sealed<PhoneNumber>>,
    /// [`Role::Customer`] for whoever registers themselves.
    pub role: Role,
}

/// Which parts of a profile change: `None` leaves one as it is; the inner `None` takes the phone number away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileChange {
    /// A new name.
    pub name: Option<Sealed<PersonName>>,
    /// Another phone number, or none.
    pub phone: Option<Option<Sealed<PhoneNumber>>>,
    /// Another e-mail address, or another way to write it.
    pub email: Option<EmailChange>,
}

/// From one e-mail address to another. Which claims that moves was worked out for `from`: where the user has another one
/// by now, it has to be worked out again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailChange {
    /// The user's address as it was read.
    pub from: Sealed<Email>,
    /// The one that it becomes.
    pub to: Sealed<Email>,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Event {
    /// The user exists from now on.
    #[serde(rename = "user.registered")]
    Registered {
        /// As given, sealed.
        email: Sealed<Email>,
        /// Sealed.
        name: Sealed<PersonName>,
        /// Sealed; absent if none was given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        phone: Option<Sealed<PhoneNumber>>,
        /// What they may do.
        role: Role,
    },
    /// Name and phone as they are now, and the e-mail address if it changed.
    #[serde(rename = "user.updated")]
    Updated {
        /// Sealed.
        name: Sealed<PersonName>,
        /// Sealed; absent if there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        phone: Option<Sealed<PhoneNumber>>,
        /// Since 1.1. As given, sealed; absent if it is what it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        email: Option<Sealed<Email>>,
    },
    /// One more delivery address.
    #[serde(rename = "user.address-added")]
    AddressAdded {
        /// Sealed as a whole.
        address: Sealed<Address>,
    },
    /// What they are told of, and how, from now on.
    #[serde(rename = "user.preferences-changed")]
    PreferencesChanged {
        /// All of them.
        notification_preferences: NotificationPreferences,
    },
    /// The role as it is now.
    #[serde(rename = "user.role-assigned")]
    RoleAssigned {
        /// What they may do.
        role: Role,
    },
    /// The password is another one. What it is stands in no event.
    #[serde(rename = "user.password-changed")]
    PasswordChanged,
    /// The user is let in no more.
    #[serde(rename = "user.deactivated")]
    Deactivated,
    /// The user's data key is destroyed: nothing that was sealed for them can be opened again. Changes no more.
    #[serde(rename = "user.erased")]
    Erased,
}

event_types! {
    Registered = "user.registered" "1.0",
    Updated = "user.updated" "1.1",
    AddressAdded = "user.address-added" "1.0",
    PreferencesChanged = "user.preferences-changed" "1.0",
    RoleAssigned = "user.role-assigned" "1.0",
    PasswordChanged = "user.password-changed" "1.0",
    Deactivated = "user.deactivated" "1.0",
    Erased = "user.erased" "1.0",
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Error {
    /// No user has this id.
    #[error("user does not exist")]
    NotFound,
    /// A user with this id exists.
    #[error("user is already registered")]
    AlreadyRegistered,
    /// Changes no more.
    #[error("user is deactivated")]
    Deactivated,
    /// Nothing is known of them any more.
    #[error("user is erased")]
    Erased,
    /// Another user has the e-mail address.
    #[error("e-mail address is taken")]
    EmailTaken,
    /// It was decided for an e-mail address that is not the user's any more.
    #[error("the user's e-mail address was changed meanwhile")]
    EmailMoved,
    /// The user has as many as one can have.
    #[error("user has {ADDRESSES_MAX} addresses, more than that cannot be kept")]
    TooManyAddresses,
}

/// Shape of a snapshot of [`User`]; changes whenever its serialised form does.
pub const SHAPE: &str = "user-2";

/// A user as decisions see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum User {
    /// Never registered.
    #[default]
    Unregistered,
    /// May log in.
    Active(Account),
    /// May not any more.
    Deactivated(Account),
    /// Was there once.
    Erased,
}

/// What is known of a user, active or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// As given, sealed; its claim is a stream of its own.
    pub email: Sealed<Email>,
    /// Sealed.
    pub name: Sealed<PersonName>,
    /// Sealed, if there is one.
    pub phone: Option<Sealed<PhoneNumber>>,
    /// What they may do.
    pub role: Role,
    /// Sealed, in the order in which they were added.
    pub addresses: Vec<Sealed<Address>>,
    /// `None` until they were set: then the default ones apply.
    pub notification_preferences: Option<NotificationPreferences>,
}

impl User {
    /// What is known of them, active or not; `None` if they never registered or were erased.
    #[must_use]
    pub fn account(&self) -> Option<&Account> {
        match self {
            User::Unregistered | User::Erased => None,
            User::Active(account) | User::Deactivated(account) => Some(account),
        }
    }

    /// The role of a user who may log in; `None` for everybody else.
    #[must_use]
    pub fn active_role(&self) -> Option<Role> {
        match self {
            User::Active(account) => Some(account.role),
            User::Unregistered | User::Deactivated(_) | User::Erased => None,
        }
    }

    /// # Errors
    /// [`Error`] where the state does not allow it. What changes nothing yields no event.
    pub fn decide(&self, command: Command) -> Result<Vec<Event>, Error> {
        match (self, command) {
            (User::Unregistered, Command::Register(register)) => Ok(vec![registered(register)]),
            (_, Command::Register(_)) => Err(Error::AlreadyRegistered),
            (User::Unregistered, _) => Err(Error::NotFound),

            (User::Erased, Command::Erase { .. }) => Ok(vec![]),
            (User::Erased, _) => Err(Error::Erased),
            (User::Active(account) | User::Deactivated(account), Command::Erase { email }) => {
                still(account, email.as_ref())?;
                Ok(vec![Event::Erased])
            }

            (User::Active(_), Command::Deactivate) => Ok(vec![Event::Deactivated]),
            (User::Deactivated(_), Command::Deactivate) => Ok(vec![]),
            (User::Deactivated(_), _) => Err(Error::Deactivated),

            (User::Active(account), Command::UpdateProfile(change)) => {
                update_profile(account, change)
            }
            (User::Active(account), Command::AddAddress(address)) => add_address(account, address),
            (User::Active(account), Command::ChangePreferences(preferences)) => {
                let changed = account.notification_preferences != Some(preferences);
                let event = Event::PreferencesChanged {
                    notification_preferences: preferences,
                };
                Ok(changed.then_some(event).into_iter().collect())
            }
            (User::Active(account), Command::AssignRole { role }) => {
                let changed = role != account.role;
                Ok(changed
                    .then_some(Event::RoleAssigned { role })
                    .into_iter()
                    .collect())
            }
            (User::Active(_), Command::ChangePassword) => Ok(vec![Event::PasswordChanged]),
        }
    }
}

/// That the account's address is the one that the claims were looked up for.
fn still(account: &Account, email: Option<&Sealed<Email>>) -> Result<(), Error> {
    match email {
        Some(email) if *email != account.email => Err(Error::EmailMoved),
        Some(_) | None => Ok(()),
    }
}

/// Seals of equal values are equal, so "nothing changed" is told without opening them.
fn update_profile(account: &Account, change: ProfileChange) -> Result<Vec<Event>, Error> {
    still(account, change.email.as_ref().map(|email| &email.from))?;
    let name = change.name.unwrap_or_else(|| account.name.clone());
    let phone = change.phone.unwrap_or_else(|| account.phone.clone());
    let email = change
        .email
        .map(|email| email.to)
        .filter(|email| *email != account.email);
    if name == account.name && phone == account.phone && email.is_none() {
        return Ok(vec![]);
    }
    Ok(vec![Event::Updated { name, phone, email }])
}

fn add_address(account: &Account, address: Sealed<Address>) -> Result<Vec<Event>, Error> {
    if account.addresses.contains(&address) {
        return Ok(vec![]);
    }
    if account.addresses.len() >= ADDRESSES_MAX {
        return Err(Error::TooManyAddresses);
    }
    Ok(vec![Event::AddressAdded { address }])
}

fn registered(register: Register) -> Event {
    let Register {
        user_id: _,
        email,
        name,
        phone,
        role,
    } = register;
    Event::Registered {
        email,
        name,
        phone,
        role,
    }
}

impl Aggregate for User {
    const TYPE: &'static str = "user";
    type Command = Command;
    type Event = Event;
    type Error = Error;
    type Services = ();

    async fn handle(
        &mut self,
        command: Command,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Error> {
        let decided = self.decide(command);
        write(self, decided, sink).await
    }

    fn apply(&mut self, event: Event) {
        *self = match (std::mem::take(self), event) {
            (
                User::Unregistered,
                Event::Registered {
                    email,
                    name,
                    phone,
                    role,
                },
            ) => User::Active(Account {
                email,
                name,
                phone,
                role,
                addresses: Vec::new(),
                notification_preferences: None,
            }),
            (User::Active(account), Event::Updated { name, phone, email }) => {
                User::Active(Account {
                    name,
                    phone,
                    email: email.unwrap_or(account.email),
                    ..account
                })
            }
            (User::Active(mut account), Event::AddressAdded { address }) => {
                account.addresses.push(address);
                User::Active(account)
            }
            (
                User::Active(account),
                Event::PreferencesChanged {
                    notification_preferences,
                },
            ) => User::Active(Account {
                notification_preferences: Some(notification_preferences),
                ..account
            }),
            (User::Active(account), Event::RoleAssigned { role }) => {
                User::Active(Account { role, ..account })
            }
            (User::Active(account), Event::PasswordChanged) => User::Active(account),
            (User::Active(account), Event::Deactivated) => User::Deactivated(account),
            (User::Active(_) | User::Deactivated(_), Event::Erased) => User::Erased,
            (state, event) => illegal(&state, &event),
        };
    }
}

#[cfg(test)]
mod tests;
