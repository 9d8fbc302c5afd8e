//! What users say of themselves. Personal fields are sealed under their data key; whoever has none is told so by the rules.

use domain::user::{Command, EmailChange, Error, ProfileChange, change_email};
use domain::{
    Address, Email, EmailClaim, NotificationPreferences, PersonName, PhoneNumber, Sealed, User,
    UserId,
};
use eventstore::{CommandContext, DataKey, EventStore, Executed, Stream};
use http_server::Problem;

use super::email_moves::{self, Current, Outcome};
use super::{claim_of, command, problem, seal};
use crate::problems::of_sealing;

/// Which parts of a profile change: `None` leaves one as it is; the inner `None` takes the number away.
#[derive(Debug, Clone, Default)]
pub struct ProfileUpdate {
    /// A new name.
    pub name: Option<PersonName>,
    /// Another number, or none.
    pub phone: Option<Option<PhoneNumber>>,
    /// Another e-mail address, which no other user has, or the same written otherwise.
    pub email: Option<Email>,
}

/// Changes a user's name, number or e-mail address; the claim on the address moves in the same append, so the old one is
/// free and the new one logs in at once.
///
/// # Errors
/// `email-taken`, `not-found`, `user-deactivated`, `user-erased`, `user-changed`, and those of any command.
pub async fn update_profile(
    store: &EventStore,
    context: CommandContext,
    id: UserId,
    update: ProfileUpdate,
) -> Result<Executed, Problem> {
    let Some(key) = key_of(store, id).await? else {
        return without_key(store, context, id).await;
    };
    let change = ProfileChange {
        name: update.name.map(|name| seal(&key, &name)),
        phone: update
            .phone
            .map(|phone| phone.map(|phone| seal(&key, &phone))),
        email: None,
    };
    let Some(email) = update.email else {
        return command(store, context, id, Command::UpdateProfile(change)).await;
    };
    for context in email_moves::attempts(store, context) {
        let Some(current) = email_moves::current(store, id, &key).await? else {
            return without_key(store, context, id).await;
        };
        let change = ProfileChange {
            email: Some(EmailChange {
                from: current.sealed.clone(),
                to: seal(&key, &email),
            }),
            ..change.clone()
        };
        let outcome = move_email(store, context, id, &current, &email, change).await;
        if !email_moves::has_moved(&outcome) {
            return outcome.map_err(problem);
        }
    }
    Err(email_moves::gave_up())
}

async fn move_email(
    store: &EventStore,
    context: CommandContext,
    id: UserId,
    current: &Current,
    email: &Email,
    change: ProfileChange,
) -> Outcome {
    let user = Stream::<User>::new(id.to_string());
    // In other letters it is the same address, and has the same claim.
    if current.email.normalized() == email.normalized() {
        return store
            .execute(user, context, move |user| {
                user.decide(Command::UpdateProfile(change.clone()))
            })
            .await;
    }
    let claim = |email| Stream::<EmailClaim>::new(claim_of(store.sealer(), email));
    let streams = (user, claim(&current.email), claim(email));
    store
        .execute(streams, context, move |(user, given_back, taken)| {
            change_email(user, given_back, taken, id, change.clone())
        })
        .await
}

/// Adds a delivery address. One that the user has already changes nothing.
///
/// # Errors
/// `too-many-addresses`, `not-found`, `user-deactivated`, `user-erased`, and those of any command.
pub async fn add_address(
    store: &EventStore,
    context: CommandContext,
    id: UserId,
    address: &Address,
) -> Result<Executed, Problem> {
    let Some(key) = key_of(store, id).await? else {
        return without_key(store, context, id).await;
    };
    let json = serde_json::to_vec(address).map_err(Problem::internal)?;
    let sealed = Sealed::new(key.subject(), key.seal(&json));
    command(store, context, id, Command::AddAddress(sealed)).await
}

/// Says what a user is told of, and how.
///
/// # Errors
/// `not-found`, `user-deactivated`, `user-erased`, and those of any command.
pub async fn change_preferences(
    store: &EventStore,
    context: CommandContext,
    id: UserId,
    preferences: NotificationPreferences,
) -> Result<Executed, Problem> {
    command(store, context, id, Command::ChangePreferences(preferences)).await
}

/// What a user's fields are sealed with; none for whoever was never registered or is erased.
pub(crate) async fn key_of(store: &EventStore, id: UserId) -> Result<Option<DataKey>, Problem> {
    let key = store.sealer().key(&id.to_string()).await;
    key.map_err(of_sealing)
}

/// Nothing can be sealed for somebody who has no key. Why, the rules say; or it is the repetition of a command that had
/// its effect while there was one.
async fn without_key(
    store: &EventStore,
    context: CommandContext,
    id: UserId,
) -> Result<Executed, Problem> {
    let user = Stream::<User>::new(id.to_string());
    let outcome = store
        .execute(user, context, |user: &User| {
            let nothing = Command::UpdateProfile(ProfileChange::default());
            user.decide(nothing).and(Err::<Vec<_>, _>(Error::Erased))
        })
        .await;
    outcome.map_err(problem)
}
