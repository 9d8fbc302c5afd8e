//! A user: who may do what. E-mail, name and phone are sealed before they come here; passwords never do.
//!
//! Invariants: a user's e-mail address is no other user's (see [`register`]); a deactivated user changes no more and
//! keeps the address.

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

use crate::aggregate::{event_types, illegal, write};
use crate::email_claim::{self, EmailClaim};
use crate::{Email, PersonName, PhoneNumber, Role, Sealed, UserId};

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The user's own half of [`register`], which claims the e-mail address as well.
    Register(Register),
    /// Correct name or phone.
    UpdateProfile(ProfileChange),
    /// Let them do more, or less.
    AssignRole {
        /// In force with the next token.
        role: Role,
    },
    /// Note that the password is another one; its hash was stored before.
    ChangePassword,
    /// Let them in no more.
    Deactivate,
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
    /// Name and phone as they are now.
    #[serde(rename = "user.updated")]
    Updated {
        /// Sealed.
        name: Sealed<PersonName>,
        /// Sealed; absent if there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        phone: Option<Sealed<PhoneNumber>>,
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
}

event_types! {
    Registered = "user.registered" "1.0",
    Updated = "user.updated" "1.0",
    RoleAssigned = "user.role-assigned" "1.0",
    PasswordChanged = "user.password-changed" "1.0",
    Deactivated = "user.deactivated" "1.0",
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
    /// Another user has the e-mail address.
    #[error("e-mail address is taken")]
    EmailTaken,
}

/// Shape of a snapshot of [`User`]; changes whenever its serialised form does.
pub const SHAPE: &str = "user-1";

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
}

impl User {
    /// What is known of them, active or not; `None` if they never registered.
    #[must_use]
    pub fn account(&self) -> Option<&Account> {
        match self {
            User::Unregistered => None,
            User::Active(account) | User::Deactivated(account) => Some(account),
        }
    }

    /// The role of a user who may log in; `None` for everybody else.
    #[must_use]
    pub fn active_role(&self) -> Option<Role> {
        match self {
            User::Active(account) => Some(account.role),
            User::Unregistered | User::Deactivated(_) => None,
        }
    }

    /// # Errors
    /// [`Error`] where the state does not allow it. What changes nothing yields no event.
    pub fn decide(&self, command: Command) -> Result<Vec<Event>, Error> {
        match (self, command) {
            (User::Unregistered, Command::Register(register)) => Ok(vec![registered(register)]),
            (User::Active(_) | User::Deactivated(_), Command::Register(_)) => {
                Err(Error::AlreadyRegistered)
            }
            (User::Unregistered, _) => Err(Error::NotFound),

            (User::Active(_), Command::Deactivate) => Ok(vec![Event::Deactivated]),
            (User::Deactivated(_), Command::Deactivate) => Ok(vec![]),
            (User::Deactivated(_), _) => Err(Error::Deactivated),

            (User::Active(account), Command::UpdateProfile(change)) => {
                Ok(update_profile(account, change))
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

/// Registers a user and claims the e-mail address, in one append to both streams.
///
/// # Errors
/// [`Error::EmailTaken`] where another user, active or not, has the address; [`Error::AlreadyRegistered`] where this one
/// exists.
pub fn register(
    user: &User,
    claim: &EmailClaim,
    register: Register,
) -> Result<(Vec<Event>, Vec<email_claim::Event>), Error> {
    let user_id = register.user_id;
    let user_events = user.decide(Command::Register(register))?;
    let claim_events = claim
        .decide(email_claim::Command::Claim { user_id })
        .map_err(|refusal| match refusal {
            email_claim::Error::Taken | email_claim::Error::NotHolder => Error::EmailTaken,
        })?;
    Ok((user_events, claim_events))
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

/// Seals of equal values are equal, so "nothing changed" is told without opening them.
fn update_profile(account: &Account, change: ProfileChange) -> Vec<Event> {
    let name = change.name.unwrap_or_else(|| account.name.clone());
    let phone = change.phone.unwrap_or_else(|| account.phone.clone());
    if name == account.name && phone == account.phone {
        return vec![];
    }
    vec![Event::Updated { name, phone }]
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
            }),
            (User::Active(account), Event::Updated { name, phone }) => User::Active(Account {
                name,
                phone,
                ..account
            }),
            (User::Active(account), Event::RoleAssigned { role }) => {
                User::Active(Account { role, ..account })
            }
            (User::Active(account), Event::PasswordChanged) => User::Active(account),
            (User::Active(account), Event::Deactivated) => User::Deactivated(account),
            (state, event) => illegal(&state, &event),
        };
    }
}

#[cfg(test)]
mod tests;
