//! Which user an e-mail address belongs to. One stream an address, named by a keyed hash of its normalised form and
//! written together with the user's.
//!
//! Invariant: an address belongs to one user at a time; a deactivated user keeps it, only a release frees it.

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

use crate::UserId;
use crate::aggregate::{event_types, illegal, write};

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Take the address for a user.
    Claim {
        /// The user that is to have it.
        user_id: UserId,
    },
    /// Give the address back.
    Release {
        /// The user that has it.
        user_id: UserId,
    },
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Event {
    /// The address belongs to this user from now on.
    #[serde(rename = "email.claimed")]
    Claimed {
        /// The user that has it.
        user_id: UserId,
    },
    /// The address is free again.
    #[serde(rename = "email.released")]
    Released,
}

event_types! {
    Claimed = "email.claimed" "1.0",
    Released = "email.released" "1.0",
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Error {
    /// Another user has it. Does not say who: whoever asks is not to know.
    #[error("e-mail address is taken")]
    Taken,
    /// Only the user that has it can give it back.
    #[error("e-mail address belongs to another user")]
    NotHolder,
}

/// Shape of a snapshot of [`EmailClaim`]; changes whenever its serialised form does.
pub const SHAPE: &str = "email-1";

/// Whose the address is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmailClaim {
    /// Nobody's, or nobody's any more.
    #[default]
    Free,
    /// This user's.
    Claimed {
        /// The user that has it.
        user_id: UserId,
    },
}

impl EmailClaim {
    /// The user that has the address: who logs in with it.
    #[must_use]
    pub fn holder(&self) -> Option<UserId> {
        match self {
            EmailClaim::Free => None,
            EmailClaim::Claimed { user_id } => Some(*user_id),
        }
    }

    /// # Errors
    /// [`Error::Taken`] and [`Error::NotHolder`] where another user has it. Claiming one's own and releasing a free one
    /// change nothing.
    pub fn decide(&self, command: Command) -> Result<Vec<Event>, Error> {
        match (self.holder(), command) {
            (None, Command::Claim { user_id }) => Ok(vec![Event::Claimed { user_id }]),
            (Some(holder), Command::Claim { user_id }) if holder == user_id => Ok(vec![]),
            (Some(_), Command::Claim { .. }) => Err(Error::Taken),
            (None, Command::Release { .. }) => Ok(vec![]),
            (Some(holder), Command::Release { user_id }) if holder == user_id => {
                Ok(vec![Event::Released])
            }
            (Some(_), Command::Release { .. }) => Err(Error::NotHolder),
        }
    }
}

impl Aggregate for EmailClaim {
    const TYPE: &'static str = "email";
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
        *self = match (&*self, event) {
            (EmailClaim::Free, Event::Claimed { user_id }) => EmailClaim::Claimed { user_id },
            (EmailClaim::Claimed { .. }, Event::Released) => EmailClaim::Free,
            (state, event) => illegal(state, &event),
        };
    }
}

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;
    use uuid::Uuid;

    use super::*;
    use crate::aggregate::panic_of;

    fn user(number: u128) -> UserId {
        UserId::new(Uuid::from_u128(number))
    }

    fn claimed_by(number: u128) -> Event {
        Event::Claimed {
            user_id: user(number),
        }
    }

    #[test]
    fn a_free_address_is_claimed() {
        TestFramework::<EmailClaim>::with(())
            .given_no_previous_events()
            .when(Command::Claim { user_id: user(1) })
            .then_expect_events(vec![claimed_by(1)]);
    }

    #[test]
    fn claiming_ones_own_address_changes_nothing() {
        TestFramework::<EmailClaim>::with(())
            .given(vec![claimed_by(1)])
            .when(Command::Claim { user_id: user(1) })
            .then_expect_events(vec![]);
    }

    #[test]
    fn another_user_does_not_get_it() {
        TestFramework::<EmailClaim>::with(())
            .given(vec![claimed_by(1)])
            .when(Command::Claim { user_id: user(2) })
            .then_expect_error(Error::Taken);
    }

    #[test]
    fn a_released_address_is_free_for_others() {
        TestFramework::<EmailClaim>::with(())
            .given(vec![claimed_by(1)])
            .when(Command::Release { user_id: user(1) })
            .then_expect_events(vec![Event::Released]);
        TestFramework::<EmailClaim>::with(())
            .given(vec![claimed_by(1), Event::Released])
            .when(Command::Claim { user_id: user(2) })
            .then_expect_events(vec![claimed_by(2)]);
    }

    #[test]
    fn only_the_holder_releases_it() {
        TestFramework::<EmailClaim>::with(())
            .given(vec![claimed_by(1)])
            .when(Command::Release { user_id: user(2) })
            .then_expect_error(Error::NotHolder);
    }

    #[test]
    fn releasing_a_free_address_changes_nothing() {
        TestFramework::<EmailClaim>::with(())
            .given_no_previous_events()
            .when(Command::Release { user_id: user(1) })
            .then_expect_events(vec![]);
    }

    #[test]
    fn an_impossible_history_is_named() {
        let message = panic_of::<EmailClaim>(vec![claimed_by(1), claimed_by(2)]);
        assert!(
            message.contains("email.claimed recorded while Claimed"),
            "{message}"
        );
    }
}
