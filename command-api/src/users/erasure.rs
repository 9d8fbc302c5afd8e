//! Erasing a user: one append ends the user and the claim on the e-mail address and destroys the data key, without which
//! nothing that was sealed can be read, wherever a copy of it is.

use domain::user::Command;
use domain::{EmailClaim, User, UserId};
use eventstore::{CommandContext, EventStore, Executed, Stream};
use http_server::Problem;

use super::email_moves::{self, Outcome};
use super::{claim_of, problem};
use crate::credentials;
use crate::problems::of_database;

/// Makes a user's personal fields unreadable for good, frees the e-mail address, and ends what lets the user in. Doing it
/// again changes nothing in the log, and destroys a key that has come back, as with a restored table.
///
/// # Errors
/// `not-found`, `user-changed`, and those of any command.
pub async fn erase(
    store: &EventStore,
    context: CommandContext,
    id: UserId,
) -> Result<Executed, Problem> {
    let subject = id.to_string();
    let context = CommandContext {
        erased_subjects: vec![subject.clone()],
        ..context
    };
    let executed = append(store, context, id).await?;
    // Neither lets anybody in any more: log-in begins at the claim, and a refresh asks the log. What is left here because
    // the process ends now is deleted by the next purge.
    let pool = store.pool();
    credentials::end(pool, id).await.map_err(of_database)?;
    store
        .sealer()
        .destroy(&subject)
        .await
        .map_err(of_database)?;
    Ok(executed)
}

async fn append(
    store: &EventStore,
    context: CommandContext,
    id: UserId,
) -> Result<Executed, Problem> {
    for context in email_moves::attempts(store, context) {
        let outcome = append_once(store, context, id).await?;
        if !email_moves::has_moved(&outcome) {
            return outcome.map_err(problem);
        }
    }
    Err(email_moves::gave_up())
}

async fn append_once(
    store: &EventStore,
    context: CommandContext,
    id: UserId,
) -> Result<Outcome, Problem> {
    let user = Stream::<User>::new(id.to_string());
    let key = store.sealer().key(&id.to_string()).await;
    let current = match key.map_err(Problem::internal)? {
        Some(key) => email_moves::current(store, id, &key).await?,
        None => None,
    };
    let Some(current) = current else {
        // There is no such user, or nothing to be read of them any more; then nobody can tell the name of the claim either.
        let erase = Command::Erase { email: None };
        return Ok(store
            .execute(user, context, move |user| user.decide(erase.clone()))
            .await);
    };
    let claim = Stream::<EmailClaim>::new(claim_of(store.sealer(), &current.email));
    Ok(store
        .execute((user, claim), context, move |(user, claim)| {
            domain::user::erase(user, claim, id, current.sealed.clone())
        })
        .await)
}
