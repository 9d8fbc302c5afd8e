//! The change of a password, and who may ask for it: whoever knows the present one.

use domain::user::Command;
use domain::{User, UserId};
use eventstore::{CommandContext, ExecuteError, Executed, Stream};
use http_server::Problem;

use super::{command, problem, refusal};
use crate::password::Password;
use crate::problems::of_database;
use crate::{CommandApi, credentials, problems};

/// Changes a user's password and ends the user's sessions. `current` is the present password.
///
/// # Errors
/// `invalid-credentials` where it is not, `not-found`, `user-deactivated`, `user-erased`, `overloaded`, and those of any
/// command.
pub async fn change_password(
    api: &CommandApi,
    context: CommandContext,
    id: UserId,
    current: &str,
    new: &Password,
) -> Result<Executed, Problem> {
    let store = &api.store;
    let state = store.state_at::<User>(&id.to_string(), None).await?;
    let (user, _) = state.unwrap_or_default();
    user.decide(Command::ChangePassword)
        .map_err(|error| refusal(&error))?;
    let present = credentials::find(store.pool(), id)
        .await
        .map_err(of_database)?;
    let present = present.ok_or_else(wrong_password)?;
    match known_by(api, id, current, new, &present).await? {
        Known::Current => replace_password(api, context, id, &present, new).await,
        Known::New => command(store, context, id, Command::ChangePassword).await,
    }
}

/// By which member of the request its sender knows the present password.
enum Known {
    Current,
    /// The repetition of a change that was made, and whose answer was lost.
    New,
}

async fn known_by(
    api: &CommandApi,
    id: UserId,
    current: &str,
    new: &Password,
    present: &str,
) -> Result<Known, Problem> {
    // A stolen access token is not to be a way around the limit of guesses.
    let account = id.to_string();
    api.attempts.begin(&account)?;
    let known = async {
        if api.passwords.matches(current, Some(present)).await? {
            return Ok(Some(Known::Current));
        }
        let repeated = api.passwords.matches(new.as_str(), Some(present)).await?;
        Ok(repeated.then_some(Known::New))
    };
    let known: Result<_, Problem> = known.await;
    if !matches!(known, Ok(None)) {
        api.attempts.give_back(&account);
    }
    known?.ok_or_else(wrong_password)
}

async fn replace_password(
    api: &CommandApi,
    context: CommandContext,
    id: UserId,
    old: &str,
    new: &Password,
) -> Result<Executed, Problem> {
    let store = &api.store;
    let hash = api.passwords.hash(new).await?;
    // First the row, then the event: a crash between them leaves a password that works and a request that can be repeated.
    if !credentials::replace(store.pool(), id, old, &hash)
        .await
        .map_err(of_database)?
    {
        return Err(wrong_password());
    }
    let stream = Stream::<User>::new(id.to_string());
    let outcome = store
        .execute(stream, context, |user| user.decide(Command::ChangePassword))
        .await;
    let may_count = match &outcome {
        Ok(executed) => !executed.replayed,
        Err(error) => matches!(error, ExecuteError::OutcomeUnknown),
    };
    if !may_count {
        credentials::replace(store.pool(), id, &hash, old)
            .await
            .map_err(of_database)?;
    }
    outcome.map_err(problem)
}

fn wrong_password() -> Problem {
    problems::invalid_credentials("the current password is wrong")
}
