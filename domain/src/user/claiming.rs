//! The rules over a user and the claims on e-mail addresses: what they yield is appended together.

use super::{Command, Error, Event, ProfileChange, Register, User};
use crate::email_claim::{self, EmailClaim};
use crate::{Email, Sealed, UserId};

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
    let claim_events = claimed(claim, user_id)?;
    Ok((user_events, claim_events))
}

/// What [`change_email`] yields: of the user, of the claim that is given back, of the one that is taken.
pub type EmailChanged = (Vec<Event>, Vec<email_claim::Event>, Vec<email_claim::Event>);

/// Changes a profile whose e-mail address becomes another one: gives the claim on the one back and takes the other, in
/// one append to the three streams.
///
/// # Errors
/// [`Error::EmailTaken`] where another user has the new address; [`Error::EmailMoved`] where `given_back` is not the claim
/// of the present one; otherwise as [`Command::UpdateProfile`].
pub fn change_email(
    user: &User,
    given_back: &EmailClaim,
    taken: &EmailClaim,
    user_id: UserId,
    change: ProfileChange,
) -> Result<EmailChanged, Error> {
    let user_events = user.decide(Command::UpdateProfile(change))?;
    let taken_events = claimed(taken, user_id)?;
    Ok((user_events, released(given_back, user_id), taken_events))
}

/// Erases a user and gives the claim on the e-mail address back, in one append to both streams. The caller destroys the
/// data key in the same append.
///
/// # Errors
/// [`Error::NotFound`] where there is none; [`Error::EmailMoved`] where `claim` is not the one of the user's `email`. Doing
/// it again changes nothing.
pub fn erase(
    user: &User,
    claim: &EmailClaim,
    user_id: UserId,
    email: Sealed<Email>,
) -> Result<(Vec<Event>, Vec<email_claim::Event>), Error> {
    let user_events = user.decide(Command::Erase { email: Some(email) })?;
    let claim_events = match user_events.is_empty() {
        true => vec![],
        false => released(claim, user_id),
    };
    Ok((user_events, claim_events))
}

fn claimed(claim: &EmailClaim, user_id: UserId) -> Result<Vec<email_claim::Event>, Error> {
    claim
        .decide(email_claim::Command::Claim { user_id })
        .map_err(|refusal| match refusal {
            email_claim::Error::Taken | email_claim::Error::NotHolder => Error::EmailTaken,
        })
}

/// What is not the user's to give back stays whose it is.
fn released(claim: &EmailClaim, user_id: UserId) -> Vec<email_claim::Event> {
    claim
        .decide(email_claim::Command::Release { user_id })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
